"""The reads that facts offer."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marketdata.models import PrivateExecution, PublicTrade
from marketdata.tests.factories import PrivateExecutionFactory
from marketdata.tests.records import START, trade

pytestmark = pytest.mark.django_db


def test_a_range_is_one_symbol_from_start_to_before_end_in_order_of_time():
    PublicTrade.objects.bulk_insert(
        [PublicTrade(None, *trade(number)) for number in (30, 10, 20, 40)]
        + [PublicTrade(None, *trade(20, symbol="ETHUSDT"))]
    )
    end = START + timedelta(milliseconds=40)
    found = PublicTrade.objects.in_range("BTCUSDT", START + timedelta(milliseconds=10), end)
    assert [row.trade_id for row in found] == [trade(number).trade_id for number in (10, 20, 30)]


def test_the_last_trade_of_a_symbol_is_its_newest_by_exchange_time():
    PublicTrade.objects.bulk_insert([PublicTrade(None, *trade(number)) for number in (30, 10)])
    assert PublicTrade.objects.last_trade_ts("BTCUSDT") == trade(30).exchange_ts
    assert PublicTrade.objects.last_trade_ts("ETHUSDT") is None


def test_executions_are_found_by_run_account_and_symbol():
    older = PrivateExecutionFactory(symbol="BTCUSDT", exchange_ts=START)
    newer = PrivateExecutionFactory(
        symbol="BTCUSDT",
        exchange_ts=START + timedelta(seconds=1),
        run=older.run,
        account=older.account,
    )
    PrivateExecutionFactory(symbol="BTCUSDT", exchange_ts=START + timedelta(seconds=2))
    facts = PrivateExecution.objects
    end = START + timedelta(seconds=1)
    assert list(facts.for_run(older.run, START, end)) == [older]
    assert facts.latest_for(older.account, "BTCUSDT") == newer
    assert facts.last_execution_ts(older.account) == newer.exchange_ts
    assert set(facts.for_user(older.user)) == {older, newer}
