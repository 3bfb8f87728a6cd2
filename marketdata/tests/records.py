"""Records by hand, for tests that need a few."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from marketdata.bybit.records import TickerRecord, TradeRecord

START = datetime(2026, 1, 1, tzinfo=UTC)


def trade(number: int = 0, **changes: Any) -> TradeRecord:
    """The trade `number` of BTCUSDT, a millisecond after the one before."""
    at = START + timedelta(milliseconds=number)
    record = TradeRecord(
        "BTCUSDT", at, at + timedelta(milliseconds=40), str(UUID(int=number)), "Buy",
        Decimal("60000.1"), Decimal("0.003"), False, False, 1000 + number,
    )  # fmt: skip
    return record._replace(**changes)


def ticker(milliseconds: int = 0, **changes: Any) -> TickerRecord:
    """A ticker of BTCUSDT, `milliseconds` after the start."""
    at = START + timedelta(milliseconds=milliseconds)
    price = Decimal("60000.1")
    record = TickerRecord(
        "BTCUSDT", at, at + timedelta(milliseconds=40), price, price, price, price, Decimal(1),
        price, Decimal(2), Decimal("0.0001"), START + timedelta(hours=8), Decimal(50000),
    )  # fmt: skip
    return record._replace(**changes)
