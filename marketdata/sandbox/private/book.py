"""What an account has: orders, legs of positions, and money.

One matching book for each symbol decides what is filled, and what that makes of a position; here
are the figures that the exchange keeps beside it, and the modes of position:

    balance = start + profit of all fills (before fees) - fees - funding
    size of a leg = opened - closed, never less than nothing

Everything that happens is an `Outcome`, whoever brought it about: a client's request, a trade of
the market, or the account's story.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal

from gridcore.matching import Cancelled, Fill, Happening, MarketTrade, MatchingBook, strict_cross
from gridcore.matching import Order as Resting
from marketdata.sandbox.instruments import Instrument
from marketdata.sandbox.private.legs import DIRECTIONS, LONG, ONE_WAY, OPENS, SHORT, Leg
from marketdata.sandbox.private.orders import BUY, NOTHING, Execution, Order, money

START_BALANCE = Decimal(500_000)
MAKER_FEE, TAKER_FEE = Decimal("0.0002"), Decimal("0.00055")
FIRST_SEQ = 227_170_000_000
SEQ_STEP = 17
# What happens was a little earlier than it is told.
LOOK_BACK_MS = 3
CANCEL_TYPES = ("CancelByUser", "CancelByReduceOnly")


class Rule:
    """When a resting order is filled: by a trade through its limit, or because it is told so."""

    def __init__(self) -> None:
        self.told: tuple[str, Decimal] | None = None

    def __call__(self, order: Resting, trade: MarketTrade, previous: Decimal | None) -> Decimal:
        """How much of the order is filled."""
        if self.told is None:
            return strict_cross(order, trade, previous)
        order_id, qty = self.told
        return qty if order.order_id == order_id else NOTHING


@dataclass(slots=True)
class Funding:
    """What one leg paid, or received when `fee` is negative."""

    leg: Leg
    fee: Decimal
    rate: Decimal
    mark: Decimal


@dataclass(slots=True)
class Outcome:
    """What one event made of an account's orders of a symbol, in the order of happening."""

    symbol: str
    seq: int
    executed_ms: int
    executions: list[Execution] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)
    funding: list[Funding] = field(default_factory=list)

    @property
    def updated_ms(self) -> int:
        """When the orders knew of it."""
        return self.executed_ms + 1


class Account:
    """Legs, orders, and the wallet; `hedge_mode` is how all symbols begin.

    `open` has the open orders, `links` every id that a client ever gave to one.
    """

    def __init__(self, instruments: Iterable[Instrument], *, hedge_mode: bool, now_ms: int) -> None:
        self.open: dict[str, Order] = {}
        self.links: set[str] = set()
        self.realised = NOTHING
        self._rule = Rule()
        self._hedged: dict[str, bool] = {}
        self._books: dict[str, MatchingBook] = {}
        self._legs: dict[tuple[str, int], Leg] = {}
        self._open_in: dict[str, int] = {}
        self._seq = FIRST_SEQ
        for one in instruments:
            self._hedged[one.symbol], self._open_in[one.symbol] = hedge_mode, 0
            self._books[one.symbol] = MatchingBook(
                one.tick_size, maker_fee=MAKER_FEE, taker_fee=TAKER_FEE, fill_model=self._rule
            )
            for index in DIRECTIONS:
                self._legs[one.symbol, index] = Leg(one.symbol, index, now_ms, now_ms)

    # --- looking -----------------------------------------------------------------------------

    @property
    def balance(self) -> Decimal:
        """The wallet's balance."""
        return START_BALANCE + self.realised

    def is_hedged(self, symbol: str) -> bool:
        """Whether a symbol is in hedge mode."""
        return self._hedged[symbol]

    def legs_of(self, symbol: str) -> list[Leg]:
        """A symbol's legs: both in hedge mode, else one."""
        indices = (LONG, SHORT) if self._hedged[symbol] else (ONE_WAY,)
        return [self._legs[symbol, index] for index in indices]

    def held(self) -> list[Leg]:
        """The legs that are not flat."""
        return [leg for leg in self._legs.values() if leg.size]

    def leg(self, order: Order) -> Leg:
        """The leg that an order is about."""
        return self._legs[order.symbol, order.position_idx]

    def orders_in(self, symbol: str) -> list[Order]:
        """The open orders of a symbol, oldest first."""
        return [one for one in self.open.values() if one.symbol == symbol]

    def has_orders(self, symbol: str) -> bool:
        """Whether a trade of the symbol could fill anything."""
        return self._open_in[symbol] > 0

    def opens(self, order: Order) -> bool:
        """Whether an order may make a position larger."""
        opening = OPENS.get(order.position_idx, order.side)
        return not order.reduce_only and order.side == opening

    def margin(self, order: Order) -> Decimal:
        """What an order ties up: closing ties up nothing."""
        if not self.opens(order):
            return NOTHING
        return money(order.leaves * order.price / self.leg(order).leverage)

    # --- orders ------------------------------------------------------------------------------

    def place(self, order: Order, touch: tuple[Decimal, Decimal], now_ms: int) -> Outcome:
        """Take an order in, with the market's bid and ask; what became of it at once.

        Raises gridcore.matching.NothingToReduce.
        """
        book = self._books[order.symbol]
        book.on_quote(*touch)
        happened = book.place(
            order.order_id,
            side=order.side,
            price=order.price if order.order_type == "Limit" else None,
            qty=order.qty,
            direction=DIRECTIONS[order.position_idx],
            reduce_only=order.reduce_only,
            time_in_force=order.time_in_force,
        )
        self.open[order.order_id] = order
        self.links |= {order.link_id} - {""}
        self._open_in[order.symbol] += 1
        return self._settle(order.symbol, happened, now_ms, [order])

    def amend(
        self,
        order: Order,
        price: Decimal,
        qty: Decimal,
        touch: tuple[Decimal, Decimal],
        now_ms: int,
    ) -> Outcome:
        """Change an open order. Raises gridcore.matching.InvalidOrder for less than is filled."""
        book = self._books[order.symbol]
        book.on_quote(*touch)
        happened = book.amend(order.order_id, price=price, qty=qty)
        order.price, order.qty = price, qty
        return self._settle(order.symbol, happened, now_ms, [order])

    def cancel(self, symbol: str, orders: Sequence[Order], now_ms: int) -> Outcome:
        """End open orders of a symbol with what they have."""
        book = self._books[symbol]
        happened = [one for order in orders for one in book.cancel(order.order_id)]
        return self._settle(symbol, happened, now_ms, orders)

    def fill(self, order: Order, parts: Iterable[Decimal], now_ms: int) -> Outcome:
        """Fill an open order at its limit, in pieces of one match, whatever the market does."""
        happened: list[Happening] = []
        for part in parts:
            self._rule.told = (order.order_id, part)
            try:
                happened += self._books[order.symbol].on_trade(order.price)
            finally:
                self._rule.told = None
        return self._settle(order.symbol, happened, now_ms, [])

    def trades(
        self, symbol: str, trades: Iterable[tuple[Decimal, Decimal, str]], now_ms: int
    ) -> Outcome | None:
        """Take trades of the market in: price, size, id; nothing when they filled nothing."""
        book = self._books[symbol]
        happened = [one for price, size, i in trades for one in book.on_trade(price, size, i)]
        return self._settle(symbol, happened, now_ms, []) if happened else None

    # --- what else ---------------------------------------------------------------------------

    def fund(self, symbol: str, rate: Decimal, mark: Decimal, now_ms: int) -> Outcome | None:
        """Long legs pay a rate above zero to short ones; nothing when nothing is held."""
        held = [leg for leg in self.legs_of(symbol) if leg.size]
        if not held:
            return None
        outcome = self.event(symbol, now_ms)
        for leg in held:
            fee = money(leg.size * mark * rate) * leg.sign
            leg.realise(-fee)
            leg.updated_ms, leg.seq = outcome.executed_ms, outcome.seq
            self.realised -= fee
            outcome.funding.append(Funding(leg, fee, rate * leg.sign, mark))
        return outcome

    def state(self, order: Order, now_ms: int) -> Outcome:
        """Tell an order's state, which somebody has changed, at a time of its own."""
        return self._settle(order.symbol, [], now_ms, [order])

    def event(self, symbol: str, now_ms: int, orders: Iterable[Order] = ()) -> Outcome:
        """Something of which nothing is known yet, later than all that these orders know."""
        self._seq += SEQ_STEP
        latest = max((order.updated_ms for order in orders), default=0)
        return Outcome(symbol, self._seq, max(now_ms - LOOK_BACK_MS, latest))

    def switch(self, symbol: str, *, hedge: bool) -> None:
        """Choose the mode of a symbol that has neither positions nor orders."""
        self._hedged[symbol] = hedge

    def set_leverage(self, symbol: str, leverage: Decimal) -> None:
        """Choose the leverage of a symbol's legs."""
        for index in DIRECTIONS:
            self._legs[symbol, index].leverage = leverage

    # --- inside ------------------------------------------------------------------------------

    def _settle(
        self, symbol: str, happened: Iterable[Happening], now_ms: int, orders: Iterable[Order]
    ) -> Outcome:
        """Count what happened; `orders` have changed, too."""
        happened = list(happened)
        about = [self.open[one.order_id] for one in happened]
        changed = list({order.order_id: order for order in (*orders, *about)}.values())
        outcome = self.event(symbol, now_ms, changed)
        outcome.orders = changed
        for one, order in zip(happened, about, strict=True):
            if isinstance(one, Fill):
                outcome.executions.append(self._count(order, one, outcome))
            else:
                self._cancelled(order, one)
        for leg in {id(leg): leg for leg in map(self.leg, changed)}.values():
            leg.hold(self._books[symbol].leg(DIRECTIONS[leg.index]))
        for order in changed:
            order.updated_ms = outcome.updated_ms
            if not order.is_open and order.order_id in self.open:
                del self.open[order.order_id]
                self._open_in[symbol] -= 1
        return outcome

    def _count(self, order: Order, fill: Fill, outcome: Outcome) -> Execution:
        """Count one fill: its figures are rounded here, once, and kept so."""
        fee, pnl, leg = money(fill.fee), money(fill.closed_pnl), self.leg(order)
        if leg.size == fill.closed_size < fill.qty:
            leg.opened_ms = outcome.executed_ms
        sign = -1 if order.side == BUY else 1
        moved = sign * fill.closed_pnl / fill.closed_size if fill.closed_size else NOTHING
        execution = Execution(
            order=order,
            price=fill.price,
            qty=fill.qty,
            leaves=fill.leaves_qty,
            closed=fill.closed_size,
            entry=fill.price - moved,
            pnl=pnl,
            fee=fee,
            fee_rate=MAKER_FEE if fill.is_maker else TAKER_FEE,
            opening_fee=leg.count(fill, fee, pnl),
            is_maker=fill.is_maker,
        )
        order.count(execution)
        leg.updated_ms, leg.seq = outcome.executed_ms, outcome.seq
        self.realised += pnl - fee
        return execution

    def _cancelled(self, order: Order, one: Cancelled) -> None:
        if one.reason in CANCEL_TYPES:
            order.cancel(kind=one.reason)
        else:
            order.cancel(reason=one.reason)
