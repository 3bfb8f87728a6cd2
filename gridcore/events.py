"""What the engine is told: market data, executions and order updates.

An event is valid once it is built: amounts are finite Decimals, prices are not negative, times
are aware, sides are the exchange's words. Nothing is converted. Zero and the empty string mean
"not given". Consumers order events by `exchange_ts`, ties by `local_ts`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from uuid import UUID

from gridcore.instrument import ZERO

SIDES = ("Buy", "Sell", "")


class EventType(Enum):
    """The kinds of events."""

    TICKER = "ticker"
    PUBLIC_TRADE = "public_trade"
    EXECUTION = "execution"
    ORDER_UPDATE = "order_update"


# The subclasses name this class's check instead of calling super(): a slotted dataclass is a
# second class object, and super() without arguments would still mean the first.
@dataclass(frozen=True, slots=True)
class Event:
    """What all events have; the ids say whose it is, where it is anybody's."""

    event_type: EventType
    symbol: str
    exchange_ts: datetime
    local_ts: datetime
    user_id: UUID | None = None
    account_id: UUID | None = None
    run_id: UUID | None = None

    def __post_init__(self) -> None:
        _check_time("exchange_ts", self.exchange_ts)
        _check_time("local_ts", self.local_ts)


@dataclass(frozen=True, slots=True)
class TickerEvent(Event):
    """The market's state; only `last_price` moves the grid."""

    last_price: Decimal = ZERO
    mark_price: Decimal = ZERO
    bid1_price: Decimal = ZERO
    ask1_price: Decimal = ZERO
    funding_rate: Decimal = ZERO

    def __post_init__(self) -> None:
        _check_type(self, EventType.TICKER)
        Event.__post_init__(self)
        _check_price("last_price", self.last_price)
        _check_price("mark_price", self.mark_price)
        _check_price("bid1_price", self.bid1_price)
        _check_price("ask1_price", self.ask1_price)
        _check_amount("funding_rate", self.funding_rate)


@dataclass(frozen=True, slots=True)
class PublicTradeEvent(Event):
    """A trade between any two parties; `side` is the taker's."""

    trade_id: str = ""
    side: str = ""
    price: Decimal = ZERO
    size: Decimal = ZERO

    def __post_init__(self) -> None:
        _check_type(self, EventType.PUBLIC_TRADE)
        Event.__post_init__(self)
        _check_side(self.side)
        _check_price("price", self.price)
        _check_amount("size", self.size)


@dataclass(frozen=True, slots=True)
class ExecutionEvent(Event):
    """A fill of one of our orders.

    `closed_size` is how much of the fill reduced a position, `leaves_qty` what the order still
    waits for: 0 when it is complete. A negative fee is a rebate.
    """

    exec_id: str = ""
    order_id: str = ""
    order_link_id: str = ""
    side: str = ""
    price: Decimal = ZERO
    qty: Decimal = ZERO
    fee: Decimal = ZERO
    closed_pnl: Decimal = ZERO
    closed_size: Decimal = ZERO
    leaves_qty: Decimal = ZERO

    def __post_init__(self) -> None:
        _check_type(self, EventType.EXECUTION)
        Event.__post_init__(self)
        _check_side(self.side)
        _check_price("price", self.price)
        _check_amount("qty", self.qty)
        _check_amount("fee", self.fee)
        _check_amount("closed_pnl", self.closed_pnl)
        _check_amount("closed_size", self.closed_size)
        _check_amount("leaves_qty", self.leaves_qty)


@dataclass(frozen=True, slots=True)
class OrderUpdateEvent(Event):
    """A new state of one of our orders; `status` is spelt as Bybit V5 does."""

    order_id: str = ""
    order_link_id: str = ""
    status: str = ""
    side: str = ""
    price: Decimal = ZERO
    qty: Decimal = ZERO
    leaves_qty: Decimal = ZERO
    reduce_only: bool = False

    def __post_init__(self) -> None:
        _check_type(self, EventType.ORDER_UPDATE)
        Event.__post_init__(self)
        if not isinstance(self.status, str):
            raise ValueError(f"status must be a text, not {self.status!r}")
        _check_side(self.side)
        _check_price("price", self.price)
        _check_amount("qty", self.qty)
        _check_amount("leaves_qty", self.leaves_qty)


def _check_type(event: Event, expected: EventType) -> None:
    if event.event_type is not expected:
        raise ValueError(f"{type(event).__name__} must have event_type={expected.name}")


def _check_time(name: str, value: object) -> None:
    if not isinstance(value, datetime) or value.utcoffset() is None:
        raise ValueError(f"{name} must be a time with a time zone, not {value!r}")


def _check_side(value: object) -> None:
    if value not in SIDES:
        raise ValueError(f"side must be Buy, Sell or empty, not {value!r}")


def _check_amount(name: str, value: object) -> None:
    if not (isinstance(value, Decimal) and value.is_finite()):
        raise ValueError(f"{name} must be a finite Decimal, not {value!r}")


def _check_price(name: str, value: object) -> None:
    if not (isinstance(value, Decimal) and value.is_finite()):
        raise ValueError(f"{name} must be a finite Decimal, not {value!r}")
    if value < ZERO:
        raise ValueError(f"{name} must not be negative, not {value}")
