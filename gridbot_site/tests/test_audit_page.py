"""The page of the audit log: whose entries it shows, and that nobody writes to it."""

from __future__ import annotations

import pytest
from auditlog.models import LogEntry
from axes.models import AccessAttempt
from django.contrib import admin

from accounts.audit import record
from accounts.tests.factories import ApiCredentialFactory
from gridbot_site.tests.signing_in import give_password

pytestmark = pytest.mark.django_db
PAGE = "/admin/auditlog/logentry/"


def last():
    return LogEntry.objects.order_by("pk").last()


def test_tenants_see_what_concerns_their_rows_and_nothing_else(
    bob_client, bob_account, charlie_account
):
    for account in (bob_account, charlie_account):
        ApiCredentialFactory.create(account=account, api_key=f"key-of-{account.user}")
    page = bob_client.get(PAGE).content.decode()
    assert "key-of-bob" in page
    assert "charlie" not in page
    assert bob_client.get(f"{PAGE}?q=charlie").context["cl"].result_count == 0
    for entry in LogEntry.objects.all():
        own = entry.additional_data.get("owner") == str(bob_account.user_id)
        assert bob_client.get(f"{PAGE}{entry.pk}/change/").status_code == (200 if own else 302)


def test_operators_see_everything_in_one_list(olivia_client, client, charlie_account):
    give_password(client, "nobody")
    page = olivia_client.get(PAGE).content.decode()
    for text in ("charlie", "unknown user", "password refused", "127.0.0.1", "account of charlie"):
        assert text in page


def test_changes_are_shown_from_old_to_new(olivia_client, alice_account):
    alice_account.account_name = "<b>renamed"
    alice_account.save()
    for page in (PAGE, f"{PAGE}{last().pk}/change/"):
        assert (
            "account_name: account of alice → &lt;b&gt;renamed"
            in olivia_client.get(page).content.decode()
        )


def test_of_a_new_row_what_it_holds_is_shown(olivia_client, alice_account):
    page = olivia_client.get(f"{PAGE}{last().pk}/change/").content.decode()
    assert "account_name: account of alice" in page
    assert "None →" not in page
    assert "status_reason" not in page


def test_of_a_refused_password_nobody_knows_who_gave_it(olivia_client, client, alice):
    shown_by = admin.site.get_model_admin(LogEntry).by
    for name in ("alice", "nobody"):
        give_password(client, name, "a guess")
        assert last().additional_data["event"] == "password refused"
        assert shown_by(last()) == "-"
    record(alice, "something of a program")
    assert shown_by(last()) == "gridbot"
    give_password(client, alice)
    olivia_client.post("/admin/auth/group/add/", {"name": "desk"})
    assert shown_by(last()) == "olivia"


@pytest.mark.parametrize("name", ["alice", "my-password-in-the-wrong-box"])
@pytest.mark.parametrize("together", [False, True])
def test_who_ends_a_lock_out_is_recorded(olivia_client, client, alice, name, together):
    for _ in range(5):
        give_password(client, name, "a guess", REMOTE_ADDR="10.1.1.1")
    assert give_password(client, name, "a guess", REMOTE_ADDR="10.1.1.1").status_code == 429
    attempt = AccessAttempt.objects.get()
    page = "/admin/axes/accessattempt/"
    if together:
        data = {"action": "delete_selected", "_selected_action": attempt.pk, "post": "yes"}
        olivia_client.post(page, data)
    else:
        olivia_client.post(f"{page}{attempt.pk}/delete/", {"post": "yes"})
    assert not AccessAttempt.objects.exists()
    entry = LogEntry.objects.get(additional_data__event="refused sign-ins deleted")
    assert entry.object_repr == ("alice" if name == "alice" else "unknown user")
    details = {"by": "olivia", "address": "10.1.1.1", "failures": 5}
    assert details.items() <= entry.additional_data.items()
    assert "wrong-box" not in str(list(LogEntry.objects.values()))


def test_a_sign_in_that_forgets_the_wrong_ones_deletes_in_nobodys_name(client, olivia):
    give_password(client, olivia, "a guess")
    give_password(client, olivia)
    assert not AccessAttempt.objects.exists()
    assert not LogEntry.objects.filter(additional_data__event="refused sign-ins deleted").exists()


def test_nobody_writes_to_it(olivia_client, alice):
    entry = last()
    assert olivia_client.get(f"{PAGE}add/").status_code == 403
    assert olivia_client.post(f"{PAGE}{entry.pk}/change/", {}).status_code == 403
    assert olivia_client.post(f"{PAGE}{entry.pk}/delete/", {"post": "yes"}).status_code == 403
    assert LogEntry.objects.filter(pk=entry.pk).exists()


@pytest.mark.parametrize("app", ["otp_totp/totpdevice", "otp_static/staticdevice"])
def test_the_admin_has_no_page_of_keys(olivia_client, app):
    assert olivia_client.get(f"/admin/{app}/").status_code == 404
