"""New orders for a story, drawn from its random numbers at the market's prices.

A leg grows until it is full and then shrinks until it is flat, so that every kind of leg is seen.
Prices wander a little around the market's own: an account lives on a quiet market, too.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from decimal import Decimal

from marketdata.sandbox.instruments import Instrument
from marketdata.sandbox.private.book import Account
from marketdata.sandbox.private.legs import OPENS, Leg
from marketdata.sandbox.private.orders import BUY, NOTHING, SELL, Order

Quote = Callable[[str], Decimal]

MAX_STEPS, FULL_STEPS = 12, 60
# In ticks; the last is how low a price may be that all of these can be taken from.
MAX_WANDER, FURTHEST, LOWEST = 100, 50, 200
NO_LINK_SHARE = 0.1
# How many orders close: of a leg that grows, and of one that was full and is to become flat.
CLOSING_SHARE, UNWINDING_SHARE = 0.35, 0.95
# Orders that reach the other side of the book as soon as they come.
CROSSING = ("taker", "refused")


class Drafts:
    """Draws orders that an account has room for."""

    def __init__(
        self,
        account: Account,
        instruments: Iterable[Instrument],
        quote: Quote,
        new_id: Callable[[], str],
        draw: random.Random,
        *,
        uid: int,
    ) -> None:
        self._account = account
        self._instruments = {one.symbol: one for one in instruments}
        self._quote = quote
        self._new_id = new_id
        self._draw = draw
        self._uid = uid
        self._wander = dict.fromkeys(self._instruments, 0)
        self._unwinding: set[tuple[str, int]] = set()
        self._orders = 0

    def order(self, kind: str, created_ms: int) -> Order:
        """A new order, on a leg that has room for it; it closes or opens."""
        one = self._draw.choice(list(self._instruments.values()))
        leg = self._draw.choice(self._account.legs_of(one.symbol))
        drawn, closing_draw = self._draw.choice((BUY, SELL)), self._draw.random()
        steps, free = self._draw.randint(1, MAX_STEPS), int(self._free(leg) / one.qty_step)
        closing = closing_draw < self._closing_share(leg, one) and free > 0
        side = self._opening_side(leg, drawn)
        if closing:
            steps, side = min(steps, free), SELL if leg.side == BUY else BUY
        self._orders += 1
        linked = self._draw.random() >= NO_LINK_SHARE
        last = self._price(one)
        away = one.tick_size * (FURTHEST if kind == "taker" else self._draw.randint(1, 5))
        market = kind == "taker" and self._draw.random() < 0.5
        return Order(
            symbol=one.symbol,
            order_id=self._new_id(),
            link_id=f"sb-{self._uid}-{self._orders:08d}" if linked else "",
            side=side,
            position_idx=leg.index,
            qty=one.qty_step * steps,
            price=last + away if (side == BUY) == (kind in CROSSING) else last - away,
            order_type="Market" if market else "Limit",
            time_in_force="IOC" if kind == "taker" else self._time_in_force(kind),
            reduce_only=closing,
            last_price=last,
            created_ms=created_ms,
            updated_ms=created_ms,
        )

    def parts(self, order: Order) -> list[Decimal]:
        """The order's quantity in one to four pieces, as many as it has steps at most."""
        step = self._instruments[order.symbol].qty_step
        left, parts = int(order.qty / step), []
        for _ in range(self._draw.randint(0, 3)):
            if left > 1:
                parts.append(self._draw.randint(1, left - 1))
                left -= parts[-1]
        return [step * part for part in (*parts, left)]

    def _free(self, leg: Leg) -> Decimal:
        """What could still be closed, when all that is to close it has done so."""
        closing = (
            order.leaves
            for order in self._account.orders_in(leg.symbol)
            if order.position_idx == leg.index and not self._account.opens(order)
        )
        return max(NOTHING, leg.size - sum(closing, NOTHING))

    def _opening_side(self, leg: Leg, drawn: str) -> str:
        """The side that opens: of a one-way leg what is open or waits, else the one drawn."""
        waiting = (
            order.side
            for order in self._account.orders_in(leg.symbol)
            if not order.reduce_only and order.position_idx == leg.index
        )
        return OPENS.get(leg.index) or leg.side or next(waiting, drawn)

    def _closing_share(self, leg: Leg, one: Instrument) -> float:
        """A leg grows until it is full, and shrinks until it is flat."""
        key = (leg.symbol, leg.index)
        if leg.size >= one.qty_step * FULL_STEPS:
            self._unwinding.add(key)
        elif not leg.size:
            self._unwinding.discard(key)
        return UNWINDING_SHARE if key in self._unwinding else CLOSING_SHARE

    def _time_in_force(self, kind: str) -> str:
        return "PostOnly" if kind == "refused" else self._draw.choice(("GTC", "PostOnly"))

    def _price(self, one: Instrument) -> Decimal:
        """The market's price and a little, which wanders; on the grid."""
        wander = self._wander[one.symbol] + self._draw.randint(-8, 8)
        self._wander[one.symbol] = max(-MAX_WANDER, min(MAX_WANDER, wander))
        ticks = max(int(self._quote(one.symbol) / one.tick_size), LOWEST)
        return one.tick_size * (ticks + self._wander[one.symbol] + self._draw.randint(-1, 1))
