"""The facts' tables: keys, texts, and what goes with whom."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, models, transaction

from accounts.deletion import cascade_counts
from accounts.models import User
from accounts.tests.factories import ApiCredentialFactory
from marketdata.models import EnvironmentStamp, Order, PrivateExecution, PublicTrade
from marketdata.tests import factories
from strategies.models import Run
from strategies.tests.factories import RunFactory, StrategyFactory

pytestmark = pytest.mark.django_db

KEYS = {
    factories.PublicTradeFactory: ["symbol", "exchange_ts", "trade_id"],
    factories.TickerSnapshotFactory: ["symbol", "exchange_ts"],
    factories.PrivateExecutionFactory: ["account", "symbol", "exec_id", "order_id"],
    factories.OrderFactory: ["account", "order_id", "exchange_ts"],
    factories.PositionSnapshotFactory: [
        *("account", "symbol", "position_idx", "exchange_ts", "digest"),
    ],
    factories.WalletSnapshotFactory: ["account", "coin", "exchange_ts", "digest"],
    factories.CoverageIntervalFactory: ["stream", "symbol", "started_at"],
    factories.QuarantinedMessageFactory: ["digest"],
}
every_key = pytest.mark.parametrize(("make", "key"), KEYS.items(), ids=lambda value: str(value))


@every_key
def test_a_fact_is_stored_once(make, key):
    row = make.create()
    with pytest.raises(IntegrityError), transaction.atomic():
        make.create(**{name: getattr(row, name) for name in key})


@every_key
def test_a_fact_that_differs_in_its_key_is_another_fact(make, key):
    row = make.create()
    make.create(**{name: getattr(row, name) for name in key[1:]}, **other(row, key[0]))
    assert make._meta.model.objects.count() == 2


def other(row, name):
    """Another value of the first part of a key; a new account comes with the factory."""
    values = {"symbol": "ETHUSDT", "stream": "tickers", "digest": "other"}
    return {} if name == "account" else {name: values[name]}


def test_two_tenants_may_be_the_two_sides_of_one_trade(alice_account, charlie_account):
    ids = {"exec_id": "same", "order_id": "same"}
    for account in (alice_account, charlie_account):
        factories.PrivateExecutionFactory.create(account=account, **ids)
    assert PrivateExecution.objects.for_user(alice_account.user).count() == 1


def test_coverage_of_an_account_is_kept_once(alice_account, charlie_account):
    values = {"stream": "orders", "symbol": "", "started_at": factories.START}
    for account in (alice_account, charlie_account):
        factories.CoverageIntervalFactory.create(account=account, **values)
    with pytest.raises(IntegrityError), transaction.atomic():
        factories.CoverageIntervalFactory.create(account=alice_account, **values)


def test_a_database_holds_one_environment():
    factories.EnvironmentStampFactory.create()
    with pytest.raises(IntegrityError), transaction.atomic():
        EnvironmentStamp.objects.create(id=2, environment="mainnet")


def test_texts_name_the_thing(alice_account):
    made = [
        factories.PublicTradeFactory.create(),
        factories.TickerSnapshotFactory.create(),
        factories.InstrumentFactory.create(),
        factories.EnvironmentStampFactory.create(),
        factories.PrivateExecutionFactory.create(),
        factories.OrderFactory.create(),
        factories.PositionSnapshotFactory.create(),
        factories.WalletSnapshotFactory.create(),
        factories.QuarantinedMessageFactory.create(),
    ]
    assert [str(row) for row in made] == [
        "BTCUSDT Buy 0.001 at 50000.5",
        "BTCUSDT last 50000.5",
        "BTCUSDT",
        "sandbox",
        "BTCUSDT Trade Buy 0.01 at 50000",
        "BTCUSDT Buy 0.01 at 50000: New",
        "BTCUSDT leg 1: 0.01",
        "USDT 10000.25",
        "publicTrade.BTCUSDT: price is not a number",
    ]
    gap = factories.CaptureGapFactory.create(account=alice_account, symbol="", stream="orders")
    assert str(gap).startswith(f"orders {alice_account.pk} from 2026-01-02")


def a_life(account):
    """Something of every kind in `account`: two runs of a strategy, one fill each."""
    ApiCredentialFactory.create(account=account)
    strategy = StrategyFactory.create(account=account)
    for _ in range(2):
        run = RunFactory.create(account=account, strategy=strategy)
        factories.PrivateExecutionFactory.create(account=account, run=run)
        factories.OrderFactory.create_batch(2, account=account, run=run)
    factories.WalletSnapshotFactory.create(account=account)
    factories.CaptureGapFactory.create(account=account)
    return strategy


def test_what_would_go_is_what_goes(alice, alice_account, charlie_account):
    a_life(alice_account)
    a_life(charlie_account)
    factories.PublicTradeFactory.create()
    foretold = cascade_counts(User.objects.filter(pk=alice.pk))
    _, gone = alice.delete()
    assert {model._meta.label: count for model, count in foretold.items()} == gone
    assert gone["marketdata.Order"] == 4
    assert PublicTrade.objects.count() == 1
    assert Order.objects.for_account(charlie_account).count() == 4


def test_a_deleted_strategy_takes_the_facts_of_its_runs_along(alice_account):
    strategy = a_life(alice_account)
    observed = factories.PrivateExecutionFactory.create(account=alice_account)
    foretold = cascade_counts(type(strategy).objects.filter(pk=strategy.pk))
    _, gone = strategy.delete()
    assert {model._meta.label: count for model, count in foretold.items()} == gone
    assert list(PrivateExecution.objects.for_account(alice_account)) == [observed]
    assert list(Run.objects.for_account(alice_account)) == [observed.run]


def test_nothing_hangs_on_a_fact():
    row = factories.PrivateExecutionFactory.create()
    assert cascade_counts(PrivateExecution.objects.filter(pk=row.pk)) == {PrivateExecution: 1}
    assert cascade_counts(PrivateExecution.objects.none()) == {}


@every_key
def test_a_fact_keeps_both_of_its_times(make, key):
    names = {field.name for field in make._meta.model._meta.fields}
    if "exchange_ts" in names:
        assert "local_ts" in names


@every_key
def test_money_keeps_12_decimals_and_18_digits_before_the_point(make, key):
    for field in make._meta.model._meta.fields:
        if isinstance(field, models.DecimalField):
            assert (field.max_digits, field.decimal_places) == (30, 12)
