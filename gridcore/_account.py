"""Our side of the book: resting orders, positions, and what a fill does to both.

Orders and trades that come here have been read and accepted; a fill model's answer is read here.
"""

from __future__ import annotations

from decimal import Decimal

from gridcore._fill_models import FillModel, MarketTrade, Order, is_reached
from gridcore._happenings import (
    BY_REDUCE_ONLY,
    NO_MARKET,
    NOT_AT_ONCE,
    NOT_IN_FULL,
    WOULD_TAKE,
    Cancelled,
    Fill,
    Happening,
)
from gridcore._legs import LEGS, Leg, settle
from gridcore._reading import read_share
from gridcore._resting import Resting
from gridcore.instrument import EXACT, Scale

TAKER = "taker"
# What is done with an order that cannot be filled at once; the others rest.
IMMEDIATE = {"IOC": NOT_AT_ONCE, "FOK": NOT_IN_FULL}


class Account:
    """Orders and legs of one symbol; fee rates are fractions of the value."""

    def __init__(
        self, scale: Scale, *, maker_fee: Decimal, taker_fee: Decimal, model: FillModel
    ) -> None:
        self.resting = Resting(scale)
        self.legs = {name: Leg(name) for name in LEGS}
        self._maker_fee = maker_fee
        self._taker_fee = taker_fee
        self._model = model
        self._rule = getattr(model, "__name__", type(model).__name__)

    def match(self, trade: MarketTrade, previous: Decimal | None) -> list[Happening]:
        """Fill resting orders from a trade; `previous` is the price of the trade before."""
        # All are asked before anything changes, for the model may raise.
        wanted = [
            (order, self._wanted(order, trade, previous))
            for order in self.resting.reached(trade.price)
        ]
        happened: list[Happening] = []
        left = trade.size
        for order, most in wanted:
            # Cancelled, if the fill before has left nothing for it to reduce.
            if self.resting.get(order.order_id) is None:
                continue
            qty = min(most, self.allowed(order))
            if left is not None:
                qty = min(qty, left)
                left = EXACT.subtract(left, qty)
            if not qty:
                continue
            rest = order._replace(leaves_qty=EXACT.subtract(order.leaves_qty, qty))
            if rest.leaves_qty:
                self.resting.replace(rest)
            else:
                self.resting.remove(order)
            happened += self._settle(rest, qty, order.price, trade, previous)
        return happened

    def _wanted(self, order: Order, trade: MarketTrade, previous: Decimal | None) -> Decimal:
        return read_share(self._rule, self._model(order, trade, previous), order.leaves_qty)

    def arrive(self, order: Order, touch: Decimal | None) -> list[Happening]:
        """Fill an order at the opposite touch, or have it rest, or cancel it."""
        if touch is None or (order.price and not is_reached(order.side, order.price, touch)):
            return self._wait(order)
        if order.time_in_force == "PostOnly":
            return [Cancelled.of(order, WOULD_TAKE)]
        qty = self.allowed(order)
        if order.time_in_force == "FOK" and qty < order.leaves_qty:
            return [Cancelled.of(order, NOT_IN_FULL)]
        rest = order._replace(leaves_qty=EXACT.subtract(order.leaves_qty, qty))
        happened = self._settle(rest, qty, touch, MarketTrade(touch), None, is_maker=False)
        if rest.leaves_qty:
            happened.append(Cancelled.of(rest, BY_REDUCE_ONLY))
        return happened

    def _wait(self, order: Order) -> list[Happening]:
        reason = IMMEDIATE.get(order.time_in_force) if order.price else NO_MARKET
        if reason is not None:
            return [Cancelled.of(order, reason)]
        self.resting.add(order)
        return []

    def allowed(self, order: Order) -> Decimal:
        """Return how much of the order the position allows to be filled."""
        if not order.reduce_only:
            return order.leaves_qty
        return min(order.leaves_qty, self.legs[order.direction].reducible(order.side))

    def _settle(
        self,
        rest: Order,
        qty: Decimal,
        price: Decimal,
        trade: MarketTrade,
        previous: Decimal | None,
        *,
        is_maker: bool = True,
    ) -> list[Happening]:
        """Account for a fill that has left `rest`, and cancel what can no longer reduce."""
        before = self.legs[rest.direction]
        rate = self._maker_fee if is_maker else self._taker_fee
        settled = settle(before, rest.side, qty, price=price, fee_rate=rate)
        self.legs[rest.direction] = settled.leg
        fill = Fill(
            order_id=rest.order_id,
            side=rest.side,
            direction=rest.direction,
            price=price,
            qty=qty,
            leaves_qty=rest.leaves_qty,
            fee=settled.fee,
            is_maker=is_maker,
            closed_size=settled.closed_size,
            closed_pnl=settled.closed_pnl,
            reduce_only=rest.reduce_only,
            rule=self._rule if is_maker else TAKER,
            trade_price=trade.price,
            previous_price=previous,
            trade_id=trade.trade_id,
        )
        if before.side in ("", settled.leg.side):
            return [fill]
        return [fill, *self._cancel_idle(settled.leg)]

    def _cancel_idle(self, leg: Leg) -> list[Happening]:
        return [
            self.cancel(order, BY_REDUCE_ONLY)
            for order in self.resting.all()
            if order.direction == leg.direction
            and order.reduce_only
            and not leg.reducible(order.side)
        ]

    def cancel(self, order: Order, reason: str) -> Cancelled:
        """Take a resting order off the book."""
        self.resting.remove(order)
        return Cancelled.of(order, reason)
