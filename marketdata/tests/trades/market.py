"""Stored trades and what arrays of them must be, told by the ORM and Decimals alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from marketdata.models import PublicTrade
from marketdata.tests.records import trade

NEEDS = "make backtest installs the packages of requirements-backtest.txt"
np = pytest.importorskip("numpy", reason=NEEDS)
pa = pytest.importorskip("pyarrow", reason=NEEDS)

DAY = datetime(2026, 1, 2, tzinfo=UTC)
NEXT_DAY = DAY + timedelta(days=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TICK = Decimal("0.1")


def store(*rows):
    """Trades of BTCUSDT: `ms` after DAY, and whatever else is not a usual trade's."""
    records = []
    for number, row in enumerate(rows, start=PublicTrade.objects.count()):
        at = DAY + timedelta(milliseconds=row.get("ms", number))
        changes = {name: value for name, value in row.items() if name != "ms"}
        records.append(trade(number, **{"exchange_ts": at} | changes))
    assert PublicTrade.objects.bulk_insert([PublicTrade(None, *row) for row in records]) == len(
        rows
    )


def expected(since=DAY, until=NEXT_DAY, tick=TICK) -> list[tuple]:
    """(milliseconds, whole ticks, block trade) of each stored trade."""
    return [
        ((row.exchange_ts - EPOCH) // timedelta(milliseconds=1), row.price / tick,
         row.is_block_trade)
        for row in PublicTrade.objects.in_range("BTCUSDT", since, until)
    ]  # fmt: skip


def told(trades) -> list[tuple]:
    """The same of arrays."""
    assert trades.exchange_ts.dtype == trades.price.dtype == np.int64
    assert trades.is_block_trade.dtype == np.bool_
    return list(
        zip(
            trades.exchange_ts.tolist(), trades.price.tolist(), trades.is_block_trade.tolist(),
            strict=True,
        )
    )  # fmt: skip
