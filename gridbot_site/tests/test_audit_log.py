"""The audit log: everything that matters is in it, once, and no secret ever."""

from __future__ import annotations

import json

import pytest
from auditlog.models import LogEntry
from auditlog.registry import auditlog
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.core.management import call_command
from django.db import connection
from django.db.models import BinaryField
from django.db.models.signals import post_delete, post_save, pre_delete, pre_save
from django.test import Client

from accounts.audit import UNRECORDED, recorded_fields
from accounts.models import ApiCredential, BybitAccount, User
from accounts.tests.factories import (
    PASSWORD,
    ApiCredentialFactory,
    BybitAccountFactory,
    UserFactory,
)
from gridbot_site.second_factor import new_recovery_codes
from gridbot_site.tests.signing_in import code_of, give_code, give_password, sign_in
from strategies.models import Strategy
from strategies.tests.factories import StrategyFactory

pytestmark = pytest.mark.django_db
SECRET = "canary-canary-canary-canary-1a2b"


def events():
    """What happened, oldest first: the event of an entry, or its action."""
    return [
        entry.additional_data.get("event") or entry.get_action_display()
        for entry in LogEntry.objects.order_by("pk")
    ]


def last():
    return LogEntry.objects.order_by("pk").last()


@pytest.fixture
def operator(olivia_client):
    """The operator's browser, and a list that begins with what it does."""
    LogEntry.objects.all().delete()
    return olivia_client


# --- Changes --------------------------------------------------------------------------------


def test_what_is_recorded():
    assert set(auditlog.get_models()) == {User, Group, BybitAccount, ApiCredential, Strategy}
    for model in auditlog.get_models():
        every = {field.name for field in model._meta.concrete_fields}
        recorded = {field.name for field in recorded_fields(model)}
        assert every - recorded <= UNRECORDED
        assert set(auditlog.get_model_fields(model)["include_fields"]) == recorded
        assert not any(isinstance(field, BinaryField) for field in recorded_fields(model))
        assert not auditlog.get_model_fields(model)["mask_fields"]


@pytest.mark.parametrize(
    ("make", "name", "value"),
    [
        (UserFactory, "is_staff", True),
        (BybitAccountFactory, "account_name", "renamed"),
        (ApiCredentialFactory, "is_active", False),
        (StrategyFactory, "config", {"grid_count": 20}),
    ],
)
def test_a_row_that_comes_changes_and_goes_is_three_entries(make, name, value):
    row = make.create()
    made = last()
    assert (made.action, made.object_pk) == (LogEntry.Action.CREATE, str(row.pk))
    before = getattr(row, name)
    setattr(row, name, value)
    row.save()
    changed = last()
    assert changed.action == LogEntry.Action.UPDATE
    assert list(changed.changes) == [name]
    texts = [text if isinstance(text, str) else str(text) for text in changed.changes[name]]
    as_text = json.dumps if isinstance(value, dict) else str
    assert texts == [as_text(before), as_text(value)]
    row.delete()
    gone = last()
    assert gone.action == LogEntry.Action.DELETE
    owner = str(getattr(row, "user_id", None) or made.object_pk)
    assert {entry.additional_data["owner"] for entry in (made, changed, gone)} == {owner}


def test_saving_without_a_change_is_no_entry(alice):
    count = LogEntry.objects.count()
    alice.save()
    assert LogEntry.objects.count() == count


def test_an_update_of_many_rows_is_recorded_row_by_row(alice_account, bob_account):
    LogEntry.objects.all().delete()
    rows = BybitAccount.objects.unscoped()
    rows.update(status="error", status_reason="refused")
    rows.update(status="error")
    entries = LogEntry.objects.order_by("pk")
    assert {entry.additional_data["owner"] for entry in entries} == {
        str(alice_account.user_id),
        str(bob_account.user_id),
    }
    wanted = {"status": ["enabled", "error"], "status_reason": ["", "refused"]}
    assert [entry.changes for entry in entries] == [wanted, wanted]
    alice_account.account_name = "in bulk"
    BybitAccount.objects.bulk_update([alice_account], ["account_name"])
    assert last().changes["account_name"][1] == "in bulk"


def test_rights_and_groups_are_recorded(operator, alice):
    right = Permission.objects.get(codename="view_strategy")
    group = Group.objects.create(name="desk")
    alice.user_permissions.add(right)
    assert last().changes["user_permissions"]["objects"] == [str(right)]
    alice.groups.add(group)
    group.permissions.add(right)
    assert (last().object_repr, last().changes["permissions"]["operation"]) == ("desk", "add")
    alice.groups.remove(group)
    change = {"type": "m2m", "operation": "delete", "objects": ["desk"]}
    assert last().changes["groups"] == change


def test_a_change_in_the_admin_says_who_and_from_where(operator, alice_account, olivia):
    data = {"account_name": "renamed", "position_mode": "hedge", "status": "enabled"}
    page = f"/admin/accounts/bybitaccount/{alice_account.pk}/change/"
    assert operator.post(page, data, REMOTE_ADDR="10.1.1.1").status_code == 302
    assert (last().actor, last().remote_addr) == (olivia, "10.1.1.1")
    assert last().additional_data["by"] == "olivia"
    assert last().changes == {"account_name": ["account of alice", "renamed"]}
    olivia.delete()
    assert "olivia" in {entry.additional_data.get("by") for entry in LogEntry.objects.all()}
    assert last().actor is None


def test_an_address_that_the_client_made_up_is_not_recorded(operator, alice_account):
    page = f"/admin/accounts/bybitaccount/{alice_account.pk}/delete/"
    operator.post(page, {"post": "yes"}, HTTP_X_FORWARDED_FOR="6.6.6.6")
    assert {entry.remote_addr for entry in LogEntry.objects.filter(object_pk=alice_account.pk)} == {
        None,
        "127.0.0.1",
    }


def test_after_a_request_nobody_is_behind_a_change(operator, alice):
    operator.get("/admin/")
    alice.email = "new@example.com"
    alice.save()
    assert (last().actor, last().remote_addr) == (None, None)


def test_facts_are_written_and_deleted_without_it():
    facts = list(apps.get_app_config("marketdata").get_models())
    assert facts
    for signal in (pre_save, post_save, pre_delete, post_delete):
        assert not [model for model in facts if signal.has_listeners(model)]


# --- Sign-ins -------------------------------------------------------------------------------


def test_signing_in_and_out_is_recorded(settings, client, olivia):
    settings.GRIDBOT_REQUIRE_OTP = True
    LogEntry.objects.all().delete()
    sign_in(client, olivia)
    client.post("/admin/logout/")
    assert events() == ["signed in by password", "code accepted", "signed out"]
    assert {entry.actor for entry in LogEntry.objects.all()} == {olivia}
    assert {entry.object_pk for entry in LogEntry.objects.all()} == {str(olivia.pk)}
    assert {entry.remote_addr for entry in LogEntry.objects.all()} == {"127.0.0.1"}


def test_a_guesser_fills_six_lines_and_no_more(client, olivia):
    LogEntry.objects.all().delete()
    for n in range(9):
        give_password(client, olivia, f"guess {n}")
    assert events() == ["password refused"] * 5 + ["locked out"]
    assert {entry.object_repr for entry in LogEntry.objects.all()} == {"olivia"}
    assert {entry.actor for entry in LogEntry.objects.all()} == {None}


def test_a_name_that_nobody_has_is_not_kept(client, db):
    give_password(client, "my-password-in-the-wrong-box")
    assert events() == ["password refused"]
    assert "wrong-box" not in entire_log()


def test_the_second_factor_is_recorded(client, olivia):
    device = sign_in(client, olivia)
    codes = new_recovery_codes(olivia)
    other = Client()
    give_password(other, olivia)
    give_code(other, device, "nonsense")
    static = olivia.staticdevice_set.get()
    give_code(other, static, codes[0])
    call_command("reset_otp", "olivia")
    assert [event for event in events() if "password" not in event][-4:] == [
        *("recovery codes made", "code refused", "recovery code used", "second factor reset"),
    ]
    assert last().additional_data["by"] == "manage.py reset_otp"


# --- Secrets --------------------------------------------------------------------------------


def entire_log():
    return str(list(LogEntry.objects.values()))


def test_a_new_password_is_an_event_without_it(operator, olivia, settings):
    old, new = olivia.password, "canary battery horse staple"
    data = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    assert operator.post("/admin/password_change/", data).status_code == 302
    olivia.refresh_from_db()
    assert events() == ["password changed"]
    assert not any(text in entire_log() for text in (old, olivia.password, new))


def test_a_newer_hash_of_the_same_password_is_no_event(settings, client, olivia):
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        *settings.PASSWORD_HASHERS,
    ]
    LogEntry.objects.all().delete()
    give_password(client, olivia)
    olivia.refresh_from_db()
    assert olivia.password.startswith("pbkdf2")
    assert events() == ["signed in by password"]


@pytest.mark.parametrize("by_update", [False, True])
def test_a_new_secret_is_an_event_without_it(by_update):
    credential = ApiCredentialFactory.create(secret="x" * 28 + "old1")
    LogEntry.objects.all().delete()
    credential.seal_secret(SECRET)
    if by_update:
        rows = ApiCredential.objects.unscoped().filter(pk=credential.pk)
        rows.update(sealed_secret=credential.sealed_secret, secret_hint=credential.secret_hint)
    else:
        credential.save()
    assert events() == ["secret sealed anew"]


def test_no_entry_holds_a_secret(settings, client, olivia):
    device = sign_in(client, olivia)
    codes = new_recovery_codes(olivia)
    credential = ApiCredentialFactory.create(secret=SECRET)
    sealed = bytes(credential.sealed_secret)
    credential.delete()
    used = code_of(device)
    olivia.delete()
    log = entire_log()
    assert len(LogEntry.objects.all()) > 5
    secrets = [SECRET, "1a2b", sealed.hex(), str(sealed), PASSWORD, olivia.password]
    secrets += [device.key, used, *codes, *(code.replace("-", "") for code in codes)]
    assert not [secret for secret in secrets if secret in log]


@pytest.mark.parametrize("together", [False, True])
def test_who_deletes_themselves_is_named_and_not_pointed_at(
    olivia, olivia_client, account_of, bob, together
):
    account_of(olivia)
    url = "/admin/accounts/user/"
    if together:
        chosen = {"action": "delete_selected", "_selected_action": [olivia.pk, bob.pk]}
        olivia_client.post(url, chosen | {"post": "yes"})
    else:
        olivia_client.post(f"{url}{olivia.pk}/delete/", {"post": "yes"})
    connection.check_constraints()
    entries = LogEntry.objects.filter(action=LogEntry.Action.DELETE)
    assert {(entry.actor, entry.additional_data["by"]) for entry in entries} == {(None, "olivia")}
    assert len(entries) == (3 if together else 2)
