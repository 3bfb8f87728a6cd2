"""What the normaliser makes of a message: one record a row, its fields the row's columns.

Money is Decimal, times are aware UTC. A record's fields stand in the order of its table's
columns, so that a writer can pass them on by position.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Generic, NamedTuple, TypeVar


class TradeRecord(NamedTuple):
    """One public trade (`publicTrade.{symbol}`); side is the taker's."""

    symbol: str
    exchange_ts: datetime
    local_ts: datetime
    trade_id: str
    side: str
    price: Decimal
    size: Decimal
    is_block_trade: bool
    is_rpi: bool
    sequence: int | None


class TickerRecord(NamedTuple):
    """The merged ticker of a symbol (`tickers.{symbol}`); exchange_ts is the envelope's ts."""

    symbol: str
    exchange_ts: datetime
    local_ts: datetime
    last_price: Decimal
    mark_price: Decimal | None
    index_price: Decimal | None
    bid1_price: Decimal | None
    bid1_size: Decimal | None
    ask1_price: Decimal | None
    ask1_size: Decimal | None
    funding_rate: Decimal | None
    next_funding_time: datetime | None
    open_interest: Decimal | None


class InstrumentRecord(NamedTuple):
    """A contract's rules (`/v5/market/instruments-info`)."""

    symbol: str
    status: str
    base_coin: str
    quote_coin: str
    tick_size: Decimal
    qty_step: Decimal
    min_qty: Decimal
    min_notional: Decimal | None
    funding_interval_minutes: int | None


class Reject(NamedTuple):
    """A row, or a whole frame, that cannot be stored: `raw` is what came, `reason` says why."""

    topic: str
    reason: str
    raw: str


Record = TypeVar("Record")


class Parsed(NamedTuple, Generic[Record]):
    """The rows of one frame: those that are sound, and those that are not."""

    records: list[Record]
    rejects: list[Reject]
