"""After a test with transactions of its own nothing is left of it."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.test import TransactionTestCase

from accounts.models import BybitAccount, User
from accounts.tests.factories import BybitAccountFactory
from marketdata.models import PublicTrade
from marketdata.tests.factories import PublicTradeFactory

pytestmark = pytest.mark.django_db(transaction=True)


def permissions():
    """What migrating wrote, by words: keys are new each time."""
    kinds = ContentType.objects.values_list("app_label", "model")
    return set(kinds), set(Permission.objects.values_list("codename", "content_type__model"))


@pytest.fixture
def teardown():
    """What is done after each of these tests."""
    return TransactionTestCase()._fixture_teardown


def test_rows_go_with_all_that_hangs_on_them_and_permissions_stay(teardown):
    before = permissions()
    account = BybitAccountFactory.create()
    account.user.user_permissions.add(Permission.objects.first())
    PublicTradeFactory.create()
    teardown()
    assert not User.objects.exists()
    assert not User.user_permissions.through.objects.exists()
    assert not BybitAccount.objects.unscoped().exists()
    assert not PublicTrade.objects.exists()
    assert permissions() == before


@pytest.mark.parametrize(
    "change",
    [
        lambda rows: rows.filter(codename="view_order").delete(),
        lambda rows: rows.filter(codename="view_order").update(codename="view_nothing"),
        lambda rows: rows.create(codename="fly", content_type=ContentType.objects.first()),
    ],
    ids=["deleted", "altered", "added"],
)
def test_permissions_that_a_test_changed_are_written_anew(teardown, change):
    before = permissions()
    change(Permission.objects)
    teardown()
    assert permissions() == before


def test_an_empty_database_has_nothing_to_empty(teardown, django_assert_max_num_queries):
    with django_assert_max_num_queries(3):
        teardown()
