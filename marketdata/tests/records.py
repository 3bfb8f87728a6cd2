"""Records by hand, for tests that need a few."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from marketdata.bybit.records import ExecutionRecord, OrderRecord, TickerRecord, TradeRecord

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


def execution(number: int = 0, **changes: Any) -> ExecutionRecord:
    """The fill `number` of one order."""
    at = START + timedelta(milliseconds=number)
    record = ExecutionRecord(
        exchange_ts=at, local_ts=at, raw_json={"execId": f"e{number}"}, symbol="BTCUSDT",
        exec_id=f"e{number}", order_id="o1", order_link_id="", side="Buy", exec_type="Trade",
        order_type="Limit", exec_price=Decimal("60000.1"), exec_qty=Decimal("0.01"),
        exec_fee=Decimal("0.12"), fee_currency="USDT", exec_pnl=Decimal(0), closed_pnl=None,
        closed_size=Decimal(0), leaves_qty=Decimal(0), is_maker=True, position_idx=1,
    )  # fmt: skip
    return record._replace(**changes)


def order(milliseconds: int = 0, **changes: Any) -> OrderRecord:
    """A state of order o1, `milliseconds` after the start."""
    at = START + timedelta(milliseconds=milliseconds)
    record = OrderRecord(
        exchange_ts=at, local_ts=at, raw_json={"orderId": "o1"}, symbol="BTCUSDT", order_id="o1",
        order_link_id="", side="Buy", status="New", order_type="Limit", time_in_force="PostOnly",
        price=Decimal(60000), qty=Decimal("0.03"), leaves_qty=Decimal("0.03"),
        cum_exec_qty=Decimal(0), cum_exec_value=Decimal(0), cum_exec_fee=Decimal(0), avg_price=None,
        closed_pnl=Decimal(0), reduce_only=False, position_idx=1, cancel_type="UNKNOWN",
        reject_reason="EC_NoError", created_at=START,
    )  # fmt: skip
    return record._replace(**changes)
