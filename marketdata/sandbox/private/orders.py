"""An order, and one fill of it, with the figures that the exchange keeps of them.

    closed profit of an order = its fills' profits - their fees - the fees of opening what it closed

Amounts are rounded to 8 decimals when they come to be, so that sums of what is on the wire are
exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

EIGHT_PLACES = Decimal("0.00000001")
NOTHING = Decimal()
BUY, SELL = "Buy", "Sell"
NEW, PARTLY, FILLED, CANCELLED = "New", "PartiallyFilled", "Filled", "Cancelled"


def money(value: Decimal) -> Decimal:
    """Rounded as the exchange keeps it."""
    return value.quantize(EIGHT_PLACES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One fill: `pnl` before all fees, `fee` its own, `opening_fee` that of opening what it closed.

    `leaves` is what it has left of its order; `entry` the average entry of what it closed. Money in
    USDT, quantities in coins.
    """

    order: Order
    price: Decimal
    qty: Decimal
    leaves: Decimal
    closed: Decimal
    entry: Decimal
    pnl: Decimal
    fee: Decimal
    fee_rate: Decimal
    opening_fee: Decimal
    is_maker: bool

    @property
    def value(self) -> Decimal:
        """What was traded, in USDT."""
        return money(self.price * self.qty)

    @property
    def closing_fee(self) -> Decimal:
        """The part of its fee that belongs to what it closed."""
        return money(self.fee * self.closed / self.qty)


@dataclass(slots=True)
class Closing:
    """What an order has closed: coins, values in USDT, fees, and in how many fills."""

    qty: Decimal = NOTHING
    entry_value: Decimal = NOTHING
    exit_value: Decimal = NOTHING
    open_fee: Decimal = NOTHING
    close_fee: Decimal = NOTHING
    pnl: Decimal = NOTHING
    fills: int = 0

    def count(self, execution: Execution) -> None:
        """Count a fill that closed something."""
        self.qty += execution.closed
        self.entry_value += money(execution.entry * execution.closed)
        self.exit_value += money(execution.price * execution.closed)
        self.open_fee += execution.opening_fee
        self.close_fee += execution.closing_fee
        self.pnl += execution.pnl - execution.opening_fee - execution.closing_fee
        self.fills += 1


@dataclass(slots=True, eq=False)
class Order:
    """An order, open or over; `price` of a market order is the worst that it would have taken."""

    symbol: str
    order_id: str
    link_id: str
    side: str
    position_idx: int
    qty: Decimal
    price: Decimal
    order_type: str
    time_in_force: str
    reduce_only: bool
    last_price: Decimal
    created_ms: int
    updated_ms: int
    smp_type: str = "None"
    status: str = NEW
    cancel_type: str = "UNKNOWN"
    reject_reason: str = "EC_NoError"
    cum_qty: Decimal = NOTHING
    cum_value: Decimal = NOTHING
    cum_fee: Decimal = NOTHING
    closing: Closing | None = None

    @property
    def is_open(self) -> bool:
        """Whether it may still be filled."""
        return self.status in (NEW, PARTLY)

    @property
    def leaves(self) -> Decimal:
        """What is still to be filled."""
        return self.qty - self.cum_qty if self.is_open else NOTHING

    @property
    def closed_pnl(self) -> Decimal:
        """What it has closed with, after all fees."""
        return self.closing.pnl if self.closing else NOTHING

    def count(self, execution: Execution) -> None:
        """Count a fill in."""
        self.cum_qty += execution.qty
        self.cum_value += execution.value
        self.cum_fee += execution.fee
        self.status = PARTLY if execution.leaves else FILLED
        if execution.closed:
            self.closing = self.closing or Closing()
            self.closing.count(execution)

    def cancel(self, *, kind: str = "UNKNOWN", reason: str = "EC_NoError") -> None:
        """End it with what it has; `kind` is the cancelType, `reason` the rejectReason."""
        self.status, self.cancel_type, self.reject_reason = CANCELLED, kind, reason
