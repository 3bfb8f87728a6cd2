"""The orders that rest, sorted so that those which a trade has reached are found by bisection.

Each is a `BookSide`: its prices in whole ticks, best first, and at each price the ids of its
orders in time priority. The orders themselves are in one place, by id; an order is a value and
is replaced, never changed, so that it may be handed out.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

from gridcore._fill_models import Order
from gridcore._reading import HIGHEST, LOWEST
from gridcore.instrument import EXACT, Scale
from gridcore.intents import DIRECTIONS


class Nearest(NamedTuple):
    """The highest resting Buy and the lowest resting Sell; None where none rests."""

    buy: Decimal | None
    sell: Decimal | None


class BookSide:
    """One side of the book.

    `best` is its best price; while the side is empty, one that no market price is beyond. A key
    is the price in ticks, negated for Buys: on both sides, the lower the better.
    """

    def __init__(self, scale: Scale, sign: int, nobody: Decimal) -> None:
        self.best = self._nobody = nobody
        self._scale = scale
        self._sign = sign
        self._keys: list[int] = []
        self._queues: dict[int, dict[str, None]] = {}

    def add(self, ticks: int, order_id: str) -> None:
        """Queue an order behind those at its price."""
        key = self._sign * ticks
        if key not in self._queues:
            insort(self._keys, key)
            self._queues[key] = {}
            self._note_best()
        self._queues[key][order_id] = None

    def remove(self, ticks: int, order_id: str) -> None:
        """Take an order out of its queue."""
        key = self._sign * ticks
        queue = self._queues[key]
        del queue[order_id]
        if not queue:
            del self._queues[key], self._keys[bisect_left(self._keys, key)]
            self._note_best()

    def reached(self, numerator: int, denominator: int) -> list[str]:
        """Return the orders at the price, given in ticks as a quotient, or beyond: best first."""
        last = bisect_right(self._keys, self._sign * numerator // denominator)
        return [order_id for key in self._keys[:last] for order_id in self._queues[key]]

    def queued(self) -> list[str]:
        """Return all orders, best first."""
        return [order_id for key in self._keys for order_id in self._queues[key]]

    def nearest(self) -> Decimal | None:
        """Return the best price, if there is one."""
        return self.best if self._keys else None

    def _note_best(self) -> None:
        self.best = self._scale.value(self._sign * self._keys[0]) if self._keys else self._nobody


class Resting:
    """All resting orders of a book."""

    def __init__(self, scale: Scale) -> None:
        self.buys = BookSide(scale, -1, LOWEST)
        self.sells = BookSide(scale, 1, HIGHEST)
        self._scale = scale
        self._orders: dict[str, Order] = {}
        # Of the hedge legs, in the order in which they came.
        self._rows: dict[str, dict[str, dict[str, str]]] = {name: {} for name in DIRECTIONS}
        self._answer: dict[str, list[dict[str, str]]] | None = None

    def get(self, order_id: str) -> Order | None:
        """Return the order, if it rests."""
        return self._orders.get(order_id)

    def all(self) -> list[Order]:
        """Return all orders in the order in which they came."""
        return list(self._orders.values())

    def by_priority(self) -> list[Order]:
        """Return the Buys, then the Sells, each best price first and then by time."""
        return self._look_up([*self.buys.queued(), *self.sells.queued()])

    def reached(self, price: Decimal) -> list[Order]:
        """Return the Buys at the price or above and the Sells at it or below, by priority."""
        numerator, denominator = self._scale.ratio(price)
        ids = self.buys.reached(numerator, denominator)
        return self._look_up(ids + self.sells.reached(numerator, denominator))

    def nearest(self) -> Nearest:
        """Return the best price of each side."""
        return Nearest(self.buys.nearest(), self.sells.nearest())

    def add(self, order: Order) -> None:
        """Have an order rest, behind those at its price."""
        self._side_of(order).add(order.ticks, order.order_id)
        self._note(order)

    def replace(self, order: Order) -> None:
        """Change an order's quantities; it keeps its place in the queue."""
        self._note(order)

    def remove(self, order: Order) -> None:
        """Have an order rest no longer."""
        self._side_of(order).remove(order.ticks, order.order_id)
        del self._orders[order.order_id]
        if order.direction in self._rows:
            del self._rows[order.direction][order.order_id]
        self._answer = None

    def as_limit_orders(self) -> Mapping[str, list[dict[str, str]]]:
        """Return the orders of hedge legs as texts; the same object until one of them changes."""
        if self._answer is None:
            self._answer = {
                name: [row.copy() for row in rows.values()] for name, rows in self._rows.items()
            }
        return self._answer

    def _note(self, order: Order) -> None:
        self._orders[order.order_id] = order
        if order.direction in self._rows:
            self._rows[order.direction][order.order_id] = {
                "orderId": order.order_id,
                "price": format(order.price, "f"),
                "side": order.side,
                "qty": format(order.qty, "f"),
                "cumExecQty": format(EXACT.subtract(order.qty, order.leaves_qty), "f"),
            }
        self._answer = None

    def _look_up(self, ids: list[str]) -> list[Order]:
        return [self._orders[order_id] for order_id in ids]

    def _side_of(self, order: Order) -> BookSide:
        return self.buys if order.side == "Buy" else self.sells
