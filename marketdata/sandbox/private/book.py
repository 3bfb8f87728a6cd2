"""What an account has: orders, legs of positions, and money.

Not a matching engine: it is told what was filled and keeps the figures consistent.

    balance = start + profit of all fills (before fees) - fees - funding
    size of a leg = opened - closed, never less than nothing
    profit of a fill that closes = (price - entry) x size, the other way round for a short leg
    closed profit of an order = its fills' profits - their fees - the fees of opening what it closed

Figures are rounded to 8 decimals when they come to be, so that sums of what is on the wire are
exact.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

START_BALANCE = Decimal(500_000)
LEVERAGE = Decimal(10)
MAINTENANCE = Decimal("0.005")
EIGHT_PLACES = Decimal("0.00000001")
BUY, SELL = "Buy", "Sell"
ONE_WAY, LONG, SHORT = 0, 1, 2
DIRECTIONS = {LONG: BUY, SHORT: SELL}
NOTHING = Decimal()


class BookError(ValueError):
    """What was told cannot be; nothing has changed."""


def money(value: Decimal) -> Decimal:
    """Rounded as the exchange keeps it."""
    return value.quantize(EIGHT_PLACES)


@dataclass(slots=True)
class Order:
    """An order, open or over."""

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
    status: str = "New"
    cancel_type: str = "UNKNOWN"
    reject_reason: str = "EC_NoError"
    cum_qty: Decimal = NOTHING
    cum_value: Decimal = NOTHING
    cum_fee: Decimal = NOTHING
    closed_pnl: Decimal = NOTHING

    @property
    def leaves(self) -> Decimal:
        """What is still to be filled."""
        return NOTHING if self.status in ("Cancelled", "Rejected") else self.qty - self.cum_qty

    @property
    def margin(self) -> Decimal:
        """What it ties up: closing ties up nothing."""
        return NOTHING if self.reduce_only else self.leaves * self.price / LEVERAGE


@dataclass(slots=True)
class Leg:
    """One leg of a position; `direction` is what its fills that open are."""

    symbol: str
    index: int
    direction: str
    created_ms: int = 0
    updated_ms: int = 0
    opened_ms: int = 0
    seq: int = 0
    size: Decimal = NOTHING
    entry: Decimal = NOTHING
    # Fees of opening what is open now, and what closing orders have been promised.
    opening_fees: Decimal = NOTHING
    promised: Decimal = NOTHING
    cur_realised: Decimal = NOTHING
    cum_realised: Decimal = NOTHING

    @property
    def side(self) -> str:
        """Buy or Sell; nothing when it is flat."""
        return self.direction if self.size else ""

    @property
    def free(self) -> Decimal:
        """What could still be closed."""
        return self.size - self.promised

    @property
    def value(self) -> Decimal:
        """In USDT, at the entry price."""
        return money(self.size * self.entry)

    @property
    def initial_margin(self) -> Decimal:
        """What the leg ties up."""
        return money(self.value / LEVERAGE)

    @property
    def maintenance_margin(self) -> Decimal:
        """What it needs not to be liquidated."""
        return money(self.value * MAINTENANCE)

    @property
    def liquidation(self) -> Decimal:
        """Where it would be liquidated, were it alone."""
        distance = self.entry * (1 / LEVERAGE - MAINTENANCE)
        return money(self.entry - distance * self._sign)

    @property
    def break_even(self) -> Decimal:
        """Where closing would bring back the fees of opening."""
        return money(self.entry + self._sign * self.opening_fees / self.size)

    def unrealised(self, mark: Decimal) -> Decimal:
        """What closing at the mark price would bring."""
        return money((mark - self.entry) * self.size * self._sign)

    def open(self, price: Decimal, qty: Decimal, fee: Decimal, time_ms: int) -> None:
        """Make it larger."""
        if not self.size:
            self.opened_ms, self.cur_realised = time_ms, NOTHING
        self.entry = money((self.entry * self.size + price * qty) / (self.size + qty))
        self.size += qty
        self.opening_fees += fee
        self.realise(-fee)

    def close(self, price: Decimal, qty: Decimal, fee: Decimal) -> tuple[Decimal, Decimal]:
        """Make it smaller: the profit before all fees, and after them."""
        if qty > self.size:
            raise BookError(f"{qty} of {self.symbol} cannot be closed: {self.size} is open.")
        profit = money((price - self.entry) * qty * self._sign)
        share = money(self.opening_fees * qty / self.size)
        self.size -= qty
        self.opening_fees -= share
        self.realise(profit - fee)
        if not self.size:
            self.entry = NOTHING
        return profit, profit - fee - share

    def realise(self, amount: Decimal) -> None:
        """Count money that came or went for this leg."""
        self.cur_realised += amount
        self.cum_realised += amount

    @property
    def _sign(self) -> int:
        return 1 if self.direction == BUY else -1


@dataclass(slots=True)
class Account:
    """Legs, open orders, and the wallet."""

    hedge_mode: bool
    legs: dict[tuple[str, int], Leg] = field(default_factory=dict)
    open: dict[str, Order] = field(default_factory=dict)
    realised: Decimal = NOTHING

    @property
    def balance(self) -> Decimal:
        """The wallet's balance."""
        return START_BALANCE + self.realised

    def add_symbol(self, symbol: str, now_ms: int) -> None:
        """Begin with flat legs."""
        for index in (LONG, SHORT) if self.hedge_mode else (ONE_WAY,):
            leg = Leg(symbol, index, DIRECTIONS.get(index, BUY), now_ms, now_ms)
            self.legs[symbol, index] = leg

    def opening_side(self, leg: Leg, drawn: str) -> str:
        """The side that opens: of a one-way leg the one drawn, when nothing is open or waiting."""
        waiting = any(order.symbol == leg.symbol for order in self.open.values())
        if leg.index == ONE_WAY and not leg.size and not waiting:
            leg.direction = drawn
        return leg.direction

    def legs_of(self, symbol: str) -> list[Leg]:
        """A symbol's legs: both in hedge mode, else one."""
        return [leg for leg in self.legs.values() if leg.symbol == symbol]

    def leg(self, order: Order) -> Leg:
        """The leg that an order is about."""
        return self.legs[order.symbol, order.position_idx]

    def accept(self, order: Order) -> None:
        """Take an order in; one that reduces is promised what it will close."""
        if order.reduce_only:
            leg = self.leg(order)
            if order.qty > leg.free:
                raise BookError(f"{order.qty} of {order.symbol} is more than could be closed.")
            leg.promised += order.qty
        self.open[order.order_id] = order

    def fill(
        self, order: Order, price: Decimal, qty: Decimal, fee: Decimal, *, time_ms: int, seq: int
    ) -> Decimal:
        """Fill a part of an open order or the rest; the profit before fees."""
        if not 0 < qty <= order.leaves:
            raise BookError(f"{qty} cannot be filled: {order.leaves} is left.")
        leg, profit = self.leg(order), NOTHING
        if order.reduce_only:
            profit, net = leg.close(price, qty, fee)
            leg.promised -= qty
            order.closed_pnl += net
        else:
            leg.open(price, qty, fee, time_ms)
        leg.updated_ms, leg.seq = time_ms, seq
        order.cum_qty += qty
        order.cum_value += money(price * qty)
        order.cum_fee += fee
        order.status = "PartiallyFilled" if order.leaves else "Filled"
        if not order.leaves:
            del self.open[order.order_id]
        self.realised += profit - fee
        return profit

    def cancel(self, order: Order) -> None:
        """End an open order with what it has."""
        if order.reduce_only:
            self.leg(order).promised -= order.leaves
        order.status = "Cancelled"
        del self.open[order.order_id]

    def fund(self, leg: Leg, fee: Decimal) -> None:
        """Pay funding, or receive it when it is negative."""
        leg.realise(-fee)
        self.realised -= fee
