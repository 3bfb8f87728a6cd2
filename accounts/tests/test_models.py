"""Users, accounts and credentials: who owns what, and that it stays so."""

from __future__ import annotations

import pickle

import pytest
from django.core import serializers
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from accounts import vault
from accounts.models import ApiCredential, BybitAccount
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
    assert stored.open_secret() == "0123456789abcdef"
    assert stored.secret_hint == "cdef"


def test_a_short_secret_gives_no_hint(alice_account):
    assert ApiCredentialFactory.create(account=alice_account, secret="short").secret_hint == ""


def test_a_sealed_secret_moved_to_another_row_does_not_open(alice_account, charlie_account):
    hers = ApiCredentialFactory.create(account=alice_account)
    his = ApiCredentialFactory.create(account=charlie_account)
    his.sealed_secret = hers.sealed_secret
    with pytest.raises(vault.VaultError):
        his.open_secret()


def test_a_credential_moved_to_another_account_does_not_open(alice_account):
    credential = ApiCredentialFactory.create(account=alice_account)
    credential.account = BybitAccountFactory.create(user=alice_account.user)
    with pytest.raises(vault.VaultError):
        credential.open_secret()


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
