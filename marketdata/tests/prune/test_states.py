"""What belongs to accounts: last states stay, and so does what is another's."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

import pytest
from django.db import connection

from accounts.tests.factories import BybitAccountFactory
from marketdata.capture.accounts import full_name
from marketdata.capture.feeds import Feed
from marketdata.coverage.ledger import Source, vouch
from marketdata.coverage.spans import TICK
from marketdata.models import (
    CaptureGap,
    Order,
    PositionSnapshot,
    PrivateExecution,
    QuarantinedMessage,
    WalletSnapshot,
)
from marketdata.prune.choice import chosen_lots
from marketdata.prune.lots import Backtests, Facts, Quarantine
from marketdata.tests.factories import (
    OrderFactory,
    PositionSnapshotFactory,
    PrivateExecutionFactory,
    QuarantinedMessageFactory,
    WalletSnapshotFactory,
)
from marketdata.tests.prune.scene import at, missing, prune, vouched
from strategies.models import BacktestSummary, EquityPoint, Run, SimulatedFill
from strategies.tests.factories import (
    BacktestSummaryFactory,
    EquityPointFactory,
    RunFactory,
    SimulatedFillFactory,
)

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)


@pytest.fixture
def account():
    return BybitAccountFactory()


def feed_of(stream: str, account) -> Facts:
    return Facts(Feed(stream, account_id=account.pk), full_name(account))


def left(model, *names: str) -> list[tuple]:
    rows = model.objects.unscoped().order_by("exchange_ts", "pk")
    return [tuple(getattr(row, name) for name in names) for row in rows]


def test_the_last_state_of_an_order_that_may_be_open_stays(account):
    def state(order_id: str, minute: int, status: str = "New") -> None:
        OrderFactory(account=account, order_id=order_id, exchange_ts=at(minute), status=status)

    state("open", 1)
    state("open", 2, "PartiallyFilled")
    state("done", 1)
    state("done", 3, "Filled")
    state("odd", 4, "SomethingNew")
    state("new", 50)
    assert prune(at(40), feed_of("orders", account)).deleted == 3
    assert left(Order, "order_id", "status") == [
        ("open", "PartiallyFilled"), ("odd", "SomethingNew"), ("new", "New"),
    ]  # fmt: skip
    assert prune(at(40), feed_of("orders", account)).due == 0


def test_the_last_position_of_each_leg_and_the_last_balance_of_each_coin_stay(account):
    for minute in (1, 2, 50):
        PositionSnapshotFactory(account=account, exchange_ts=at(minute), symbol="BTCUSDT")
        WalletSnapshotFactory(account=account, exchange_ts=at(minute), coin="USDT")
    for minute, leg in ((3, 1), (4, 2), (5, 2)):
        PositionSnapshotFactory(
            account=account, exchange_ts=at(minute), symbol="ETHUSDT", position_idx=leg
        )
    for minute in (3, 4):
        WalletSnapshotFactory(account=account, exchange_ts=at(minute), coin="BTC")
    prune(at(40), feed_of("positions", account), feed_of("wallet", account))
    assert left(PositionSnapshot, "symbol", "position_idx", "exchange_ts") == [
        ("ETHUSDT", 1, at(3)), ("ETHUSDT", 2, at(5)), ("BTCUSDT", 1, at(50)),
    ]  # fmt: skip
    assert left(WalletSnapshot, "coin", "exchange_ts") == [("BTC", at(4)), ("USDT", at(50))]


def test_executions_go_by_account_and_the_claims_of_others_stay(account):
    stranger = BybitAccountFactory()
    for owner in (account, stranger):
        for minute in (1, 2, 50):
            PrivateExecutionFactory(account=owner, exchange_ts=at(minute))
        vouch("executions", "", owner.pk, at(0), at(60) - TICK, Source.LIVE)
    lots = [lot for lot, _ in chosen_lots({"executions": DAY}, None, [account])]
    assert [lot.subject for lot in lots] == [full_name(account)]
    prune(at(40), *lots)
    theirs = Feed("executions", account_id=stranger.pk)
    kept = left(PrivateExecution, "account_id", "exchange_ts")
    assert [when for owner, when in kept if owner == account.pk] == [at(50)]
    assert [when for owner, when in kept if owner == stranger.pk] == [at(1), at(2), at(50)]
    assert vouched(Feed("executions", account_id=account.pk)) == [(40, 60)]
    assert (vouched(theirs), missing(theirs)) == ([(0, 60)], [])


def test_quarantine_goes_by_owner_and_its_gaps_stay(account):
    old, new = {"first_seen": at(1), "last_seen": at(2)}, {"first_seen": at(1), "last_seen": at(50)}
    for owner in (None, account):
        QuarantinedMessageFactory(account=owner, **old)
        QuarantinedMessageFactory(account=owner, **new)
    CaptureGap.objects.create(
        stream="trades", symbol="BTCUSDT", started_at=at(1), ended_at=at(2), reason="quarantine"
    )
    prune(at(40), Quarantine(None, "the market"))
    kept = QuarantinedMessage.objects.order_by("account", "last_seen")
    assert sorted((row.account_id is None, row.last_seen) for row in kept) == [
        (False, at(2)), (False, at(50)), (True, at(50)),
    ]  # fmt: skip
    assert CaptureGap.objects.get().state == "open"


@pytest.mark.skipif(connection.vendor != "sqlite", reason="about SQLite's limit")
def test_a_chunk_may_have_more_rows_than_a_statement_has_variables():
    for _ in range(40):
        QuarantinedMessageFactory(first_seen=at(1), last_seen=at(2))
    connection.ensure_connection()
    before = connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, 30)
    try:
        assert prune(at(40), Quarantine(None, "the market")).deleted == 40
    finally:
        connection.connection.setlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER, before)


def test_backtests_go_with_their_results_and_live_runs_stay(account):
    def backtest(ended_at, **changes):
        run = RunFactory(
            account=account, run_type="backtest", status="completed", ended_at=ended_at, **changes
        )
        BacktestSummaryFactory(account=account, run=run)
        for n in range(5):
            SimulatedFillFactory(account=account, run=run, exec_id=f"f{n}")
            EquityPointFactory(account=account, run=run, time=at(n))
        return run

    backtest(at(1))
    new, live = backtest(at(50)), RunFactory(account=account, ended_at=at(1))
    pruning = prune(at(40), Backtests(account.pk, full_name(account)))
    assert (pruning.due, pruning.deleted) == (12, 12)
    assert set(Run.objects.unscoped()) == {new, live}
    counts = [
        model.objects.unscoped().count() for model in (BacktestSummary, SimulatedFill, EquityPoint)
    ]
    assert counts == [1, 5, 5]
