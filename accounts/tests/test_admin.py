"""The pages of users, accounts and credentials."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.db.models.signals import pre_delete
from django.test import RequestFactory
from django.urls import reverse
from django.views.debug import SafeExceptionReporterFilter

from accounts import vault
from accounts.models import ApiCredential, BybitAccount, User
from accounts.secret import Secret
from accounts.tests.factories import PASSWORD, ApiCredentialFactory, UserFactory

pytestmark = pytest.mark.django_db
SECRET = "canary-canary-canary-canary-1a2b"
ADD = "/admin/accounts/apicredential/add/"


def page(row, name="change"):
    arguments = [] if name in ("add", "changelist") else [row.pk]
    return reverse(f"admin:accounts_{row._meta.model_name}_{name}", args=arguments)


def errors(response):
    assert response.status_code == 200, "the form was accepted"
    return response.context["adminform"].form.errors


def form(account, **values):
    return {"account": account.pk, "api_key": "key-of-bob", "is_active": "on", **values}


# --- The site -----------------------------------------------------------------------------


def test_the_index_works_on_an_empty_database(olivia_client):
    response = olivia_client.get("/", follow=True)
    assert response.status_code == 200
    assert "gridbot" in response.content.decode()


def test_people_without_rights_are_sent_to_the_login(client, alice):
    client.force_login(alice)
    assert client.get("/admin/").url == "/admin/login/?next=/admin/"


# --- Users --------------------------------------------------------------------------------


def test_the_operator_adds_and_changes_users(olivia_client):
    data = {"username": "dora", "usable_password": "true"}
    data |= {"password1": PASSWORD, "password2": PASSWORD}
    assert olivia_client.post("/admin/accounts/user/add/", data).status_code == 302
    dora = User.objects.get(username="dora")
    data = {"username": "dora", "status": "suspended", "date_joined_0": "2026-01-02"}
    data |= {"date_joined_1": "00:00:00"}
    assert olivia_client.post(page(dora), data).status_code == 302
    dora.refresh_from_db()
    assert dora.status == User.Status.SUSPENDED
    assert olivia_client.get(page(dora, "changelist")).status_code == 200


def test_the_operator_sets_a_password(olivia_client, alice):
    path = f"/admin/accounts/user/{alice.pk}/password/"
    assert olivia_client.get(path).status_code == 200
    data = {"password1": "battery staple", "password2": "battery staple", "usable_password": "true"}
    assert olivia_client.post(path, data).status_code == 302
    alice.refresh_from_db()
    assert alice.check_password("battery staple")


@pytest.mark.parametrize("name", ["changelist", "add", "change", "delete", "history"])
def test_nobody_else_sees_users_whatever_the_permissions(bob_client, bob, alice, name):
    from django.contrib.auth.models import Permission

    bob.user_permissions.set(Permission.objects.all())
    # Django looks for a row's history before it asks who may see it: there is no such row.
    assert bob_client.get(page(alice, name)).status_code == (302 if name == "history" else 403)
    assert "/admin/accounts/user/" not in bob_client.get("/admin/").content.decode()


# --- Accounts -----------------------------------------------------------------------------


def test_a_tenant_adds_an_account_of_their_own(bob_client, bob, alice):
    url = "/admin/accounts/bybitaccount/add/"
    choices = bob_client.get(url).context["adminform"].form.fields["user"].queryset
    assert list(choices) == [bob]
    data = {"account_name": "second", "environment": "testnet", "position_mode": "hedge"}
    data |= {"status": "enabled"}
    assert "user" in errors(bob_client.post(url, data | {"user": alice.pk}))
    assert bob_client.post(url, data | {"user": bob.pk}).status_code == 302
    assert BybitAccount.objects.for_user(bob).get().account_name == "second"


def test_the_user_of_an_account_is_a_link_for_those_who_may_follow_it(
    bob_client, olivia_client, bob, bob_account
):
    link = f"/admin/accounts/user/{bob.pk}/change/"
    assert link in olivia_client.get(page(bob_account)).content.decode()
    shown = bob_client.get(page(bob_account)).content.decode()
    assert link not in shown
    assert "<label>User:</label>" in shown


def test_neither_user_nor_environment_change_once_there_is_an_account(
    olivia_client, bob_account, alice
):
    data = {"user": alice.pk, "account_name": "renamed", "environment": "mainnet"}
    data |= {"position_mode": "one_way", "status": "disabled"}
    assert olivia_client.post(page(bob_account), data).status_code == 302
    old_user = bob_account.user
    bob_account = BybitAccount.objects.unscoped().get(pk=bob_account.pk)
    assert (bob_account.user, bob_account.environment) == (old_user, "sandbox")
    assert (bob_account.account_name, bob_account.position_mode) == ("renamed", "one_way")


def test_a_name_that_is_taken_is_an_error_of_the_form(bob_client, bob, bob_account):
    other = BybitAccount.objects.create(user=bob, account_name="other")
    data = {"account_name": bob_account.account_name, "position_mode": "hedge", "status": "enabled"}
    found = errors(bob_client.post(page(other), data))
    assert found["__all__"] == ["The user has an account of this name already."]


# --- Credentials --------------------------------------------------------------------------


def test_a_secret_goes_in_and_never_comes_out(bob_client, bob_account):
    assert bob_client.post(ADD, form(bob_account, secret=SECRET)).status_code == 302
    credential = ApiCredential.objects.for_user(bob_account.user).get()
    assert credential.open_secret("a test") == Secret(SECRET)
    for name in ("change", "changelist", "delete", "history"):
        content = bob_client.get(page(credential, name)).content.decode()
        assert "canary" not in content, name
    assert "Set, ends with 1a2b." in bob_client.get(page(credential)).content.decode()
    assert "canary" not in str(list(LogEntry.objects.values()))


def test_a_refused_form_does_not_repeat_the_secret(bob_client, bob_account):
    response = bob_client.post(ADD, form(bob_account, api_key="", secret=SECRET))
    assert list(errors(response)) == ["api_key"]
    assert "canary" not in response.content.decode()


def test_a_new_credential_needs_a_secret(bob_client, bob_account):
    assert list(errors(bob_client.post(ADD, form(bob_account)))) == ["secret"]


def test_a_blank_secret_keeps_the_old_one(bob_client, bob_account):
    credential = ApiCredentialFactory.create(
        account=bob_account, api_key="key-of-bob", secret=SECRET
    )
    data = form(bob_account, secret="") | {"is_active": ""}
    assert bob_client.post(page(credential), data).status_code == 302
    credential.refresh_from_db()
    assert credential.open_secret("a test") == Secret(SECRET)
    assert not credential.is_active


def test_a_new_secret_takes_the_place_of_the_old_one(bob_client, bob_account):
    credential = ApiCredentialFactory.create(account=bob_account, api_key="key-of-bob")
    data = form(bob_account, secret="another-secret-3c4d")
    assert bob_client.post(page(credential), data).status_code == 302
    credential.refresh_from_db()
    assert credential.open_secret("a test") == Secret("another-secret-3c4d")
    assert credential.secret_hint == "3c4d"


def test_what_was_found_out_about_a_key_is_shown_and_not_asked_for(bob_client, bob_account):
    credential = ApiCredentialFactory.create(account=bob_account, api_key="key-of-bob")
    known = {"refusal": "It may withdraw.", "checked_at": datetime(2026, 1, 2, tzinfo=UTC)}
    known |= {"expires_at": datetime(2026, 4, 5, tzinfo=UTC)}
    ApiCredential.objects.unscoped().filter(pk=credential.pk).update(**known)
    data = form(bob_account, secret=SECRET, refusal="", checked_at="", expires_at="")
    assert bob_client.post(page(credential), data).status_code == 302
    for name in ("change", "changelist"):
        content = bob_client.get(page(credential, name)).content.decode()
        for text in ("It may withdraw.", "Jan. 2, 2026", "April 5, 2026"):
            assert text in content, name
        assert 'name="refusal"' not in content


def test_a_new_key_needs_its_own_secret(bob_client, bob_account):
    credential = ApiCredentialFactory.create(account=bob_account, secret=SECRET)
    found = errors(bob_client.post(page(credential), form(bob_account, api_key="other")))
    assert found == {"secret": ["A new API key comes with a secret of its own: enter it."]}


def test_a_second_active_credential_is_an_error_of_the_form(bob_client, bob_account):
    ApiCredentialFactory.create(account=bob_account)
    old = ApiCredentialFactory.create(account=bob_account, api_key="key-of-bob", is_active=False)
    message = "The account has an active credential already: deactivate that one first."
    for url in (ADD, page(old)):
        response = bob_client.post(url, form(bob_account, secret=SECRET))
        assert errors(response) == {"__all__": [message]}


def test_a_missing_key_is_said_beside_the_field(bob_client, bob_account, settings):
    settings.GRIDBOT_CREDENTIAL_KEYS = []
    found = errors(bob_client.post(ADD, form(bob_account, secret=SECRET)))
    assert found["secret"][0].startswith("No credential key is configured")
    assert not ApiCredential.objects.unscoped().exists()


def test_a_credential_is_not_added_to_the_account_of_another(bob_client, bob, alice_account):
    found = errors(bob_client.post(ADD, form(alice_account, secret=SECRET)))
    assert list(found) == ["account"]


def test_who_may_only_look_sees_no_field_for_the_secret(client, bob_account):
    bob = bob_account.user
    credential = ApiCredentialFactory.create(account=bob_account, secret=SECRET)
    names = ("add_apicredential", "change_apicredential", "delete_apicredential")
    bob.user_permissions.remove(*bob.user_permissions.filter(codename__in=names))
    client.force_login(bob)
    content = client.get(page(credential)).content.decode()
    assert 'name="secret"' not in content
    assert "Set, ends with 1a2b." in content
    assert "canary" not in content


def test_a_credential_without_a_secret_says_so():
    from accounts.admin import described

    assert described(ApiCredential()) == "Not set."
    assert described(ApiCredential(sealed_secret=b"sealed")) == "Set."


def test_an_error_report_leaves_the_secret_out(bob, rf: RequestFactory, monkeypatch):
    request = rf.post(ADD, {"secret": SECRET, "api_key": "key-of-bob"})
    request.user = bob

    def fail(*args, **kwargs):
        raise RuntimeError

    model_admin = admin.site.get_model_admin(ApiCredential)
    monkeypatch.setattr(admin.ModelAdmin, "changeform_view", fail)
    with pytest.raises(RuntimeError):
        model_admin.add_view(request)
    reported = SafeExceptionReporterFilter().get_post_parameters(request)
    assert reported["api_key"] == "key-of-bob"
    assert "canary" not in reported["secret"]


def test_no_local_variable_of_the_vault_reaches_an_error_report(rf, settings):
    import sys

    from django.views.debug import ExceptionReporter

    settings.GRIDBOT_CREDENTIAL_KEYS = []
    credential = ApiCredential(account=BybitAccount(user=UserFactory.build()))
    try:
        credential.seal_secret(SECRET)
    except vault.VaultError:
        report = ExceptionReporter(rf.get("/"), *sys.exc_info()).get_traceback_data()
    frames = [frame for frame in report["frames"] if "/accounts/" in frame["filename"]]
    inside = [frame for frame in frames if "/tests/" not in frame["filename"]]
    assert len(inside) == 4
    assert "canary" not in str([frame["vars"] for frame in inside])


@pytest.mark.parametrize("page", ["delete", "changelist"])
def test_a_deletion_is_not_cut_off_like_a_page(page, olivia_client, alice):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no limit")
    limits = []

    def look(**kwargs):
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            limits.append(cursor.fetchone()[0])

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '30s'")
    pre_delete.connect(look, sender=User)
    try:
        if page == "delete":
            olivia_client.post(f"/admin/accounts/user/{alice.pk}/delete/", {"post": "yes"})
        else:
            chosen = {"action": "delete_selected", "_selected_action": alice.pk, "post": "yes"}
            olivia_client.post("/admin/accounts/user/", chosen)
    finally:
        pre_delete.disconnect(look, sender=User)
    assert limits == ["0"]
    assert not User.objects.filter(pk=alice.pk).exists()
