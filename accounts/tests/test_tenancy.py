"""What holds of every row that belongs to a tenant, asked of every such model there is."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import models, transaction

from accounts.checks import belongs_to_a_tenant
from accounts.models import BybitAccount
from accounts.tenancy import TenantOwned
from accounts.tests.factories import BybitAccountFactory

pytestmark = pytest.mark.django_db
TENANT_MODELS = [model for model in apps.get_models() if issubclass(model, TenantOwned)]
# By name: the app that they live in stands above this one.
STRATEGY = apps.get_model("strategies", "Strategy")
RUN = apps.get_model("strategies", "Run")
every_model = pytest.mark.parametrize("model", TENANT_MODELS, ids=lambda model: model.__name__)


def make(model, **values):
    """A row of `model` from the factory of that name beside its app's tests."""
    from importlib import import_module

    factories = import_module(f"{model._meta.app_label}.tests.factories")
    return getattr(factories, f"{model.__name__}Factory").create(**values)


def test_the_tenants_models_are_found():
    names = {model.__name__ for model in TENANT_MODELS}
    assert {"ApiCredential", "Strategy", "Run", "GridState", "PrivateExecution"} <= names


@every_model
def test_for_user_shows_ones_own_rows_only(model, alice_account, bob_account, charlie_account):
    hers = make(model, account=alice_account)
    his = make(model, account=charlie_account)
    assert list(model.objects.for_user(alice_account.user)) == [hers]
    assert not model.objects.for_user(bob_account.user).exists()
    assert list(model.objects.for_account(charlie_account)) == [his]
    assert set(model.objects.unscoped()) == {hers, his}


@every_model
def test_for_user_makes_no_exception_for_superusers(model, alice_account, olivia):
    make(model, account=alice_account)
    assert not model.objects.for_user(olivia).exists()


@every_model
def test_a_row_takes_its_user_from_the_account(model, alice_account, charlie):
    row = make(model, account=alice_account)
    assert row.user == alice_account.user
    row.user = charlie
    row.save()
    row.refresh_from_db()
    assert row.user == alice_account.user


@every_model
def test_a_row_is_not_updated_into_other_hands(model, alice_account, charlie_account):
    row = make(model, account=alice_account)
    for values in ({"user": charlie_account.user}, {"account": charlie_account}):
        with pytest.raises(ValidationError, match="never moves rows"), transaction.atomic():
            model.objects.filter(pk=row.pk).update(**values)
    row.refresh_from_db()
    assert (row.user, row.account) == (alice_account.user, alice_account)


def test_the_user_follows_when_the_account_alone_is_saved(alice_account, charlie_account):
    row = make(STRATEGY, account=alice_account)
    row.account = charlie_account
    row.save(update_fields=["account"])
    row.refresh_from_db()
    assert row.user == charlie_account.user


def test_a_row_without_an_account_is_not_saved():
    with pytest.raises(BybitAccount.DoesNotExist):
        STRATEGY(name="nobody's").save()


@every_model
def test_every_unique_key_but_the_primary_one_begins_with_the_account(model):
    keys = [
        constraint.fields
        for constraint in model._meta.constraints
        if isinstance(constraint, models.UniqueConstraint)
    ]
    assert all(fields[0] == "account" for fields in keys)


@every_model
def test_a_deleted_user_takes_the_rows_along(model, alice_account, charlie_account):
    make(model, account=alice_account)
    his = make(model, account=charlie_account)
    alice_account.user.delete()
    assert list(model.objects.unscoped()) == [his]


@pytest.mark.parametrize(
    "model",
    [model for model in apps.get_models() if belongs_to_a_tenant(model)],
    ids=lambda model: model.__name__,
)
def test_an_account_goes_with_everything_that_hangs_on_it(model):
    fields = [field for field in model._meta.fields if field.related_model is BybitAccount]
    assert {field.remote_field.on_delete for field in fields} <= {models.CASCADE}
    assert fields or model is BybitAccount


def test_two_accounts_of_one_user_are_kept_apart(alice_account):
    other = BybitAccountFactory.create(user=alice_account.user)
    rows = [make(RUN, account=account) for account in (alice_account, other)]
    assert list(RUN.objects.for_account(other)) == rows[1:]
    assert set(RUN.objects.for_user(alice_account.user)) == set(rows)
