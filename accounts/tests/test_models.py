"""Users, accounts and credentials: who owns what, and that it stays so."""

from __future__ import annotations

import pickle
from unittest.mock import Mock

import pytest
from auditlog import get_logentry_model
from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import IntegrityError, InterfaceError, connection, transaction
from django.utils import timezone

from accounts import access_log, vault
from accounts.models import ApiCredential, BybitAccount
from accounts.secret import Secret
from accounts.tests.factories import ApiCredentialFactory, BybitAccountFactory

pytestmark = pytest.mark.django_db
NEVER = "An account never changes its user"
MOVES = "never moves rows"


def owner(account):
    return BybitAccount.objects.unscoped().get(pk=account.pk).user


def test_an_account_does_not_change_its_user(alice_account, charlie):
    alice_account.user = charlie
    with pytest.raises(ValidationError, match=NEVER):
        alice_account.save()


def test_nor_when_one_field_alone_is_saved(alice_account, charlie):
    alice_account.user = charlie
    with pytest.raises(ValidationError, match=NEVER):
        alice_account.save(update_fields=["user"])


def test_nor_through_a_second_instance_with_its_key(alice, alice_account, charlie):
    double = BybitAccount(pk=alice_account.pk, user=charlie, account_name="mine now")
    with pytest.raises(ValidationError, match=NEVER):
        double.save(force_update=True)
    assert owner(alice_account) == alice


def test_nor_through_a_deferred_instance(alice_account, charlie):
    partial = BybitAccount.objects.unscoped().only("account_name").get()
    partial.user_id = charlie.pk
    with pytest.raises(ValidationError, match=NEVER):
        partial.save()


def test_nor_through_update_or_create(alice_account, charlie):
    with pytest.raises(ValidationError, match=NEVER):
        BybitAccount.objects.update_or_create(
            pk=alice_account.pk, defaults={"user": charlie, "account_name": "mine"}
        )


@pytest.mark.parametrize(
    "steal",
    [
        lambda account, thief: thief.bybit_accounts.add(account),
        lambda account, thief: thief.bybit_accounts.set([account]),
        lambda account, thief: BybitAccount.objects.filter(pk=account.pk).update(user=thief),
        lambda account, thief: BybitAccount.objects.all().update(user_id=thief.pk),
        lambda account, thief: bulk_update(account, thief),
    ],
    ids=["add", "set", "update", "update by id", "bulk_update"],
)
def test_nor_through_sets_of_rows(alice, alice_account, charlie, steal):
    with pytest.raises(ValidationError, match=MOVES), transaction.atomic():
        steal(alice_account, charlie)
    assert owner(alice_account) == alice


def bulk_update(account, thief):
    account.user = thief
    BybitAccount.objects.bulk_update([account], ["user"])


def test_everything_else_of_an_account_can_change(alice_account):
    alice_account.account_name = "other"
    alice_account.save()
    BybitAccount.objects.update(status=BybitAccount.Status.DISABLED)
    alice_account.refresh_from_db()
    assert (alice_account.account_name, alice_account.status) == ("other", "disabled")


def test_a_name_is_used_once_by_a_user(alice_account):
    with pytest.raises(IntegrityError), transaction.atomic():
        BybitAccountFactory.create(user=alice_account.user, account_name=alice_account.account_name)
    BybitAccountFactory.create(account_name=alice_account.account_name)


def test_an_account_knows_itself_by_account(alice_account, charlie_account):
    assert list(BybitAccount.objects.for_account(alice_account)) == [alice_account]


def test_an_account_has_one_active_credential(alice_account):
    ApiCredentialFactory.create(account=alice_account)
    ApiCredentialFactory.create_batch(2, account=alice_account, is_active=False)
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiCredentialFactory.create(account=alice_account)


def test_a_credential_opens_after_a_round_trip(alice_account):
    ApiCredentialFactory.create(account=alice_account, secret="0123456789abcdef")
    stored = ApiCredential.objects.for_user(alice_account.user).get()
    assert stored.open_secret("a test") == Secret("0123456789abcdef")
    assert stored.secret_hint == "cdef"


def test_a_short_secret_gives_no_hint(alice_account):
    assert ApiCredentialFactory.create(account=alice_account, secret="short").secret_hint == ""


def test_a_sealed_secret_moved_to_another_row_does_not_open(alice_account, charlie_account):
    hers = ApiCredentialFactory.create(account=alice_account)
    his = ApiCredentialFactory.create(account=charlie_account)
    his.sealed_secret = hers.sealed_secret
    with pytest.raises(vault.VaultError):
        his.open_secret("a test")


def test_a_credential_moved_to_another_account_does_not_open(alice_account):
    credential = ApiCredentialFactory.create(account=alice_account)
    credential.account = BybitAccountFactory.create(user=alice_account.user)
    with pytest.raises(vault.VaultError):
        credential.open_secret("a test")


def test_no_text_of_a_credential_holds_its_secret(alice_account):
    secret = "canary-0123456789-canary"
    credential = ApiCredentialFactory.create(account=alice_account, secret=secret)
    dumped = serializers.serialize("json", [credential])
    for text in (repr(credential), str(credential), dumped, repr(credential.__dict__)):
        assert secret not in text
    assert secret.encode() not in pickle.dumps(credential)


def test_texts_name_the_thing(alice, alice_account):
    assert str(alice_account) == "account of alice (sandbox)"
    credential = ApiCredentialFactory.create(account=alice_account, api_key="abcdefgh")
    assert str(credential) == "API key abcd…"


# --- Opening a secret is written down -------------------------------------------------------


def openings():
    log = get_logentry_model()
    return list(log.objects.filter(action=log.Action.ACCESS, additional_data__has_key="purpose"))


def test_every_opening_is_in_the_audit_log(alice_account, monkeypatch):
    monkeypatch.setattr("sys.argv", ["/opt/gridbot/manage.py", "capture", "--account", "canary"])
    credential = ApiCredentialFactory.create(account=alice_account, secret="canary-of-alice-canary")
    credential.open_secret("capture")
    credential.open_secret("check_account")
    entries = openings()
    assert {entry.object_pk for entry in entries} == {str(credential.pk)}
    told = [entry.additional_data for entry in entries]
    commands = {one["by"] for one in told}
    assert (commands, {one["purpose"] for one in told}) == (
        {"manage.py capture"},
        {"capture", "check_account"},
    )
    assert "canary" not in repr([vars(entry) for entry in entries])


@pytest.mark.parametrize("argv", [["/usr/bin/gunicorn", "canary"], ["-c"], [""]])
def test_what_is_no_command_of_ours_is_named_without_its_arguments(monkeypatch, argv):
    monkeypatch.setattr("sys.argv", argv)
    assert access_log.command() == argv[0].rpartition("/")[2]


def test_what_does_not_open_is_no_use_of_it(alice_account):
    credential = ApiCredentialFactory.create(account=alice_account)
    credential.sealed_secret = b"damaged"
    with pytest.raises(vault.VaultError):
        credential.open_secret("capture")
    assert openings() == []


def test_a_failing_audit_log_keeps_no_secret_shut(alice_account, monkeypatch, caplog):
    def fail(*args, **kwargs):
        # Not merely raised: on PostgreSQL a statement that fails spoils its transaction.
        connection.cursor().execute("SELECT canary FROM nowhere")

    credential = ApiCredentialFactory.create(account=alice_account, secret="canary")
    monkeypatch.setattr(get_logentry_model(), "save", fail)
    assert credential.open_secret("capture") == Secret("canary")
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert str(credential.pk) in record.message
    assert "'capture'" in record.message
    assert "canary" not in record.message
    # The transaction around it is still good.
    assert ApiCredential.objects.unscoped().exists()


def test_a_broken_connection_keeps_no_secret_shut_either(alice_account, monkeypatch):
    credential = ApiCredentialFactory.create(account=alice_account, secret="canary")
    monkeypatch.setattr(get_logentry_model(), "save", Mock(side_effect=InterfaceError("closed")))
    assert credential.open_secret("capture") == Secret("canary")


# --- What a stale page may write -------------------------------------------------------------


def test_a_page_read_before_keeps_its_hands_off_what_was_found_out_since(alice_account):
    credential = ApiCredentialFactory.create(account=alice_account)
    page = ApiCredential.objects.unscoped().get(pk=credential.pk)
    changed = {"refusal": "It may withdraw.", "checked_at": timezone.now()}
    ApiCredential.objects.unscoped().filter(pk=credential.pk).update(**changed)
    page.api_key = "renamed"
    page.save()
    page.refresh_from_db()
    assert (page.api_key, page.refusal) == ("renamed", "It may withdraw.")


@pytest.mark.parametrize("is_stale", [False, True])
@pytest.mark.parametrize("is_new", [False, True])
def test_a_new_key_is_judged_anew_and_a_new_secret_of_the_old_one_is_not(
    alice_account, is_new, is_stale
):
    credential = ApiCredentialFactory.create(account=alice_account)
    now = timezone.now()
    changed = {"refusal": "It may withdraw.", "checked_at": now, "expires_at": now}
    ApiCredential.objects.unscoped().filter(pk=credential.pk).update(**changed)
    if not is_stale:
        credential.refresh_from_db()
    if is_new:
        credential.api_key = "another key"
    credential.seal_secret("another")
    credential.save()
    credential.refresh_from_db()
    known = (credential.refusal, credential.checked_at, credential.expires_at)
    assert known == (("", None, None) if is_new else ("It may withdraw.", now, now))
    assert credential.open_secret("a test") == Secret("another")


def test_an_account_never_changes_its_environment(alice_account):
    alice_account.environment = "mainnet"
    with pytest.raises(ValidationError, match="never changes its environment"):
        alice_account.save()
    alice_account.refresh_from_db()
    assert alice_account.environment == "sandbox"


def test_a_secret_does_not_open_for_another_exchange(alice_account):
    credential = ApiCredentialFactory.create(account=alice_account)
    BybitAccount.objects.unscoped().update(environment="mainnet")
    moved = ApiCredential.objects.unscoped().get(pk=credential.pk)
    with pytest.raises(vault.VaultError, match="altered or belongs to another row"):
        moved.open_secret("a test")
