"""Our resting orders of one symbol against the market's trades: one fill model for every use.

Backtest, shadow trading and sandbox drive the same book, so that they differ in their data and
in nothing else. The book is told orders, quotes and public trades, and returns what happened.

Theory
------
*We are not in the market.* Trades and quotes happened without our orders; a fill moves neither.
Whether a trade would have filled a resting order is the fill model's answer (`_fill_models`).
A fill is at the order's limit. Quotes fill nothing that rests.

*Arrival.* A limit order that reaches the opposite touch, and a market order, are filled at once,
as taker, at the touch: the quote, or where that side has none, the last trade's price. The depth
there is taken to be without limit, so that what is left of such an order is always more than its
position allows. A bid above the ask is accepted: the two may come in separate messages, each
order looks at one of them, and a live run must not stop at a moment's disorder.

*Size.* A trade whose size is given fills at most that much, shared by priority: Buys before
Sells (both are reached only if our own orders cross), the best price first, then the oldest
order. The model is asked about every order that the trade has reached, though the size be used
up before, so that a model which keeps queues sees every trade that concerns them.

*Reduce-only.* The closing side of a hedge leg (long Sell, short Buy) reduces only, said or not:
a leg cannot flip. Such an order is refused when there is nothing to reduce, filled up to the
leg's size, and cancelled with all others of its leg once nothing is left for it to reduce. While
there is, all of them rest, though they add up to more than the leg.

*Whole or not at all.* All input is read, and the model asked, before anything changes: what
raises has changed nothing. Orders, legs and happenings are values. What `limit_orders` gives is
kept for the next time it is asked, but never read by the book.
Order prices are whole ticks; the market's may lie between and are compared exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from gridcore._account import IMMEDIATE, Account
from gridcore._fill_models import (
    FILL_MODELS,
    FillModel,
    MarketTrade,
    Order,
    last_cross,
    strict_cross,
    trade_through_at_limit,
)
from gridcore._happenings import BY_USER, Cancelled, Fill, Happening
from gridcore._legs import LEGS, Leg
from gridcore._reading import is_plain, read_limit, read_member, read_text
from gridcore._resting import Nearest
from gridcore.errors import (
    DuplicateOrder,
    InvalidNumber,
    InvalidOrder,
    NothingToReduce,
    UnknownOrder,
)
from gridcore.instrument import EXACT, ZERO, Scale, to_decimal, to_price
from gridcore.intents import REDUCES, SIDES

__all__ = [
    "FILL_MODELS",
    "Cancelled",
    "DuplicateOrder",
    "Fill",
    "FillModel",
    "Happening",
    "InvalidNumber",
    "InvalidOrder",
    "Leg",
    "MarketTrade",
    "MatchingBook",
    "Nearest",
    "NothingToReduce",
    "Order",
    "UnknownOrder",
    "last_cross",
    "strict_cross",
    "trade_through_at_limit",
]

TIMES_IN_FORCE = ("GTC", "PostOnly", *IMMEDIATE)


class MatchingBook:
    """The orders and positions of one symbol; fees are fractions of the value, rebates negative.

    Nothing is known of quantity steps, margin or the position mode: `long` and `short` are the
    legs of hedge mode, `net` is that of one-way mode, and who drives the book keeps to one mode.
    Everything refused is a GridcoreError, a ValueError, that names field and value.
    """

    def __init__(
        self,
        tick_size: Decimal,
        *,
        maker_fee: Decimal,
        taker_fee: Decimal,
        fill_model: FillModel = strict_cross,
    ) -> None:
        if not callable(fill_model):
            raise InvalidOrder(f"fill_model must be a function, not {fill_model!r}")
        self._scale = Scale(tick_size, "tick_size")
        self._account = Account(
            self._scale,
            maker_fee=to_decimal(maker_fee, "maker_fee"),
            taker_fee=to_decimal(taker_fee, "taker_fee"),
            model=fill_model,
        )
        self._resting = self._account.resting
        self._buys, self._sells = self._resting.buys, self._resting.sells
        self._bid: Decimal | None = None
        self._ask: Decimal | None = None
        self._last: Decimal | None = None

    # --- The market -----------------------------------------------------------------------

    def on_quote(self, bid: Decimal | None, ask: Decimal | None) -> None:
        """Note the best bid and ask, crossed or not; None: not known."""
        best_bid = None if bid is None else to_price(bid, "bid")
        self._ask = None if ask is None else to_price(ask, "ask")
        self._bid = best_bid

    def on_trade(
        self, price: Decimal, size: Decimal | None = None, trade_id: str = ""
    ) -> list[Happening]:
        """Take a public trade, in the order of the market, and return what it has filled.

        `size`, in coins, is the most that the trade may fill; None means no limit.
        """
        # The common case, for speed alone: input that needs no reading, and no order reached.
        if (
            type(price) is Decimal
            and price.is_finite()
            and self._buys.best < price < self._sells.best
            and (size is None or is_plain(size))
            and type(trade_id) is str
        ):
            self._last = price
            return []
        trade = MarketTrade(
            to_price(price),
            None if size is None else to_price(size, "size"),
            read_text("trade_id", trade_id),
        )
        happened = self._account.match(trade, self._last)
        self._last = trade.price
        return happened

    # --- Orders ---------------------------------------------------------------------------

    def place(
        self,
        order_id: str,
        *,
        side: str,
        price: Decimal | None,
        qty: Decimal,
        direction: str,
        reduce_only: bool = False,
        time_in_force: str = "GTC",
    ) -> list[Happening]:
        """Take an order (`price` None: a market order) and return what became of it at once.

        Nothing means that it rests. An id may be used again once its order is over.
        Raises DuplicateOrder, NothingToReduce, InvalidOrder and InvalidNumber.
        """
        number, ticks = (ZERO, 0) if price is None else read_limit(self._scale, price)
        coins = to_price(qty, "qty")
        order = Order(
            order_id=read_text("order_id", order_id),
            side=read_member("side", side, SIDES),
            price=number,
            ticks=ticks,
            qty=coins,
            leaves_qty=coins,
            direction=read_member("direction", direction, LEGS),
            reduce_only=read_member("reduce_only", reduce_only, (False, True)),
            time_in_force=read_member("time_in_force", time_in_force, TIMES_IN_FORCE),
        )
        if (order.direction, order.side) in REDUCES:
            order = order._replace(reduce_only=True)
        self._check_placeable(order)
        return self._arrive(order)

    def amend(
        self, order_id: str, *, price: Decimal | None = None, qty: Decimal | None = None
    ) -> list[Happening]:
        """Change an order's limit, or its whole quantity, and return what follows at once.

        It goes behind the others at its price unless only its quantity has become less. At a new
        limit it arrives anew. A quantity equal to what is filled cancels the rest; one below
        that is refused. Raises UnknownOrder, InvalidOrder and InvalidNumber.
        """
        order = self._known(order_id)
        if price is None and qty is None:
            raise InvalidOrder(f"amend {order_id}: neither price nor qty is given")
        number, ticks = (
            (order.price, order.ticks) if price is None else read_limit(self._scale, price)
        )
        coins = order.qty if qty is None else to_price(qty, "qty")
        filled = EXACT.subtract(order.qty, order.leaves_qty)
        if coins < filled:
            raise InvalidOrder(f"qty must not be below the filled {filled}, not {coins}")
        if coins == filled:
            return [self._account.cancel(order, BY_USER)]
        amended = order._replace(
            price=number, ticks=ticks, qty=coins, leaves_qty=EXACT.subtract(coins, filled)
        )
        if ticks == order.ticks and coins <= order.qty:
            self._resting.replace(amended)
            return []
        self._resting.remove(order)
        if ticks != order.ticks:
            return self._arrive(amended)
        self._resting.add(amended)
        return []

    def cancel(self, order_id: str) -> list[Happening]:
        """Cancel an order; raises UnknownOrder unless it rests."""
        return [self._account.cancel(self._known(order_id), BY_USER)]

    def cancel_all(
        self, *, direction: str | None = None, side: str | None = None
    ) -> list[Happening]:
        """Cancel all orders, of a direction or side only where these are given."""
        directions = LEGS if direction is None else (read_member("direction", direction, LEGS),)
        sides = SIDES if side is None else (read_member("side", side, SIDES),)
        return [
            self._account.cancel(order, BY_USER)
            for order in self._resting.all()
            if order.direction in directions and order.side in sides
        ]

    # --- Looking --------------------------------------------------------------------------

    def nearest(self) -> Nearest:
        """Return the prices that the next trades must reach to fill anything, in any model.

        A driver may skip trades strictly between them, provided that it hands over the last that
        it has skipped before a trade that it does not skip, and before an order that arrives
        while there are no quotes. The answer holds until the orders change.
        """
        return self._resting.nearest()

    def order(self, order_id: str) -> Order:
        """Return a resting order; raises UnknownOrder."""
        return self._known(order_id)

    def orders(self) -> list[Order]:
        """Return the Buys, then the Sells, each by price-time priority."""
        return self._resting.by_priority()

    def leg(self, direction: str) -> Leg:
        """Return the position of `long`, `short` or `net`."""
        return self._account.legs[read_member("direction", direction, LEGS)]

    def limit_orders(self) -> Mapping[str, list[dict[str, str]]]:
        """Return the orders of the hedge legs as `GridEngine.on_event` reads them.

        The same object until an order changes: to be read. The book itself never reads it.
        """
        return self._resting.as_limit_orders()

    def snapshot(self) -> dict[str, Any]:
        """Return the whole state as a copy, to be compared; a fill model's memory is not in it."""
        return {
            "orders": self.orders(),
            "arrival": [order.order_id for order in self._resting.all()],
            "legs": dict(self._account.legs),
            "bid": self._bid,
            "ask": self._ask,
            "last_price": self._last,
        }

    # --- Reading input --------------------------------------------------------------------

    def _arrive(self, order: Order) -> list[Happening]:
        quote = self._ask if order.side == "Buy" else self._bid
        return self._account.arrive(order, self._last if quote is None else quote)

    def _known(self, order_id: str) -> Order:
        order = self._resting.get(read_text("order_id", order_id))
        if order is None:
            raise UnknownOrder(f"order_id {order_id!r} does not rest")
        return order

    def _check_placeable(self, order: Order) -> None:
        if not order.order_id:
            raise InvalidOrder("order_id must not be empty, not ''")
        if self._resting.get(order.order_id) is not None:
            raise DuplicateOrder(f"order_id {order.order_id!r} rests already")
        if not order.price and order.time_in_force == "PostOnly":
            raise InvalidOrder("time_in_force of a market order must not be 'PostOnly'")
        if not self._account.allowed(order):
            raise NothingToReduce(
                f"reduce_only {order.side} finds no {order.direction} position to reduce"
            )
