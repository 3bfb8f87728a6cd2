"""What the normaliser makes of a message: one record a row, its fields the row's columns.

Money is Decimal, times are aware UTC. A record's fields stand in the order of its table's
columns, so that a writer can pass them on by position. Whose a private row is, and of which
run, is not on the wire: the writer adds it.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Generic, NamedTuple, TypeVar


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


class ExecutionRecord(NamedTuple):
    """One execution of any type; `raw_json` is the row as the exchange sent it."""

    exchange_ts: datetime
    local_ts: datetime
    raw_json: dict[str, Any]
    symbol: str
    exec_id: str
    order_id: str
    order_link_id: str
    side: str
    exec_type: str
    order_type: str
    exec_price: Decimal
    exec_qty: Decimal
    exec_fee: Decimal
    fee_currency: str
    exec_pnl: Decimal | None
    closed_pnl: Decimal | None
    closed_size: Decimal | None
    leaves_qty: Decimal | None
    is_maker: bool | None
    position_idx: int | None


class OrderRecord(NamedTuple):
    """One state of an order; exchange_ts is its updatedTime."""

    exchange_ts: datetime
    local_ts: datetime
    raw_json: dict[str, Any]
    symbol: str
    order_id: str
    order_link_id: str
    side: str
    status: str
    order_type: str
    time_in_force: str
    price: Decimal
    qty: Decimal
    leaves_qty: Decimal | None
    cum_exec_qty: Decimal
    cum_exec_value: Decimal | None
    cum_exec_fee: Decimal | None
    avg_price: Decimal | None
    closed_pnl: Decimal | None
    reduce_only: bool
    position_idx: int | None
    cancel_type: str
    reject_reason: str
    created_at: datetime | None


class PositionRecord(NamedTuple):
    """One leg of a position as pushed; exchange_ts is the envelope's time."""

    exchange_ts: datetime
    local_ts: datetime
    raw_json: dict[str, Any]
    symbol: str
    position_idx: int
    digest: str
    side: str
    size: Decimal
    entry_price: Decimal | None
    mark_price: Decimal | None
    liq_price: Decimal | None
    leverage: Decimal | None
    position_value: Decimal | None
    initial_margin: Decimal | None
    maintenance_margin: Decimal | None
    unrealised_pnl: Decimal | None
    cur_realised_pnl: Decimal | None
    cum_realised_pnl: Decimal | None


class WalletRecord(NamedTuple):
    """One coin's balance as pushed, with the account's totals; exchange_ts is the envelope's.

    `raw_json` is the account's object with this coin's entry alone in `coin`.
    """

    exchange_ts: datetime
    local_ts: datetime
    raw_json: dict[str, Any]
    coin: str
    digest: str
    wallet_balance: Decimal
    equity: Decimal | None
    unrealised_pnl: Decimal | None
    cum_realised_pnl: Decimal | None
    available_balance: Decimal | None
    total_equity: Decimal | None
    total_wallet_balance: Decimal | None
    total_margin_balance: Decimal | None
    total_initial_margin: Decimal | None
    total_maintenance_margin: Decimal | None


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
