"""The orders that rest, as the engine reads them, without keeping what it was given.

Orders arrive anew with every ticker and are mostly those of the ticker before. What identifies
them, price, side and orderId, is copied out in one pass and compared with the copy of last time;
only a difference is read again. An order that was changed in place is thereby noticed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from operator import itemgetter
from typing import Any, NamedTuple

from gridcore.errors import InvalidNumber, InvalidOrder
from gridcore.instrument import ZERO, Scale, to_decimal, to_price
from gridcore.intents import DIRECTIONS, SIDES

Order = Mapping[str, Any]
Orders = Mapping[str, Sequence[Order]]
# A price between two ticks is a Fraction.
Ticks = int | Fraction

# So many orders are remembered.
MEMORY = 4096
_facts_of = itemgetter("price", "side", "orderId")
_price_of_bucket = itemgetter(0)


class Reading(NamedTuple):
    """One direction's orders: what they were read from, and as what.

    An order is named by its place in the list that was given.
    """

    facts: list[tuple[Any, ...]]
    ticks: list[Ticks]
    # The one type of all prices; None when they are of several, or of one that is none.
    kind: type | None = None

    def side(self, place: int) -> str:
        """Return the side of an order."""
        return self.facts[place][1]  # type: ignore[no-any-return]

    def is_of(self, facts: list[tuple[Any, ...]]) -> bool:
        """Whether these facts would be read the same."""
        try:
            if facts != self.facts:
                return False
        except ArithmeticError:  # a signalling NaN compares with nothing
            return False
        # Only a text equals nothing but texts: 1 == True, and a float equals long Decimals.
        return self.kind is str or _kind_of(facts) is self.kind


Readings = dict[str, Reading]


class OrderReader:
    """Reads both directions' orders; what cannot be read raises InvalidOrder."""

    def __init__(self, scale: Scale) -> None:
        self._scale = scale
        # Ticks by price, side and orderId, where the price is a text.
        self._known: dict[tuple[Any, ...], Ticks] = {}
        self._last = {name: Reading([], [], str) for name in DIRECTIONS}

    def read(self, given: Orders) -> Readings:
        """Return the readings by direction; the same object while the orders are the same."""
        if not isinstance(given, Mapping):
            raise InvalidOrder(f"limit_orders must be lists by direction, not {given!r}")
        for name in given:
            if name not in DIRECTIONS:
                raise InvalidOrder(f"direction must be long or short, not {name!r}")
        return {name: self._read(name, given.get(name) or ()) for name in DIRECTIONS}

    def _read(self, direction: str, orders: Sequence[Order]) -> Reading:
        if not isinstance(orders, Sequence):
            raise InvalidOrder(f"the {direction} orders must be a list, not {orders!r}")
        try:
            facts = list(map(_facts_of, orders))
        except (KeyError, TypeError):
            facts = [_facts_or_raise(order) for order in orders]
        last = self._last[direction]
        if last.is_of(facts):
            return last
        ticks = self._look_up(facts)
        # All that is known has a text for its price.
        kind: type | None = str
        if None in ticks:
            ticks = [
                self._read_order(each) if known is None else known
                for each, known in zip(facts, ticks, strict=True)
            ]
            kind = _kind_of(facts)
        reading = Reading(facts, ticks, kind)
        if reading.kind is not None:
            self._last[direction] = reading
        return reading

    def _look_up(self, facts: list[tuple[Any, ...]]) -> list[Any]:
        try:
            return list(map(self._known.get, facts))
        except TypeError:  # what is not hashable is no price, side or orderId
            return [None] * len(facts)

    def _read_order(self, facts: tuple[Any, ...]) -> Ticks:
        price, side, order_id = facts
        named = {"price": price, "side": side, "orderId": order_id}
        if side not in SIDES or not isinstance(order_id, str) or not order_id:
            raise InvalidOrder(f"resting order has no side or no orderId: {named!r}")
        try:
            ratio = Fraction(*self._scale.ratio(to_price(price)))
        except InvalidNumber as error:
            raise InvalidOrder(f"resting order has no price: {error}: {named!r}") from None
        ticks = ratio.numerator if ratio.denominator == 1 else ratio
        # Only a text equals nothing but texts: 1 == True, and a float equals long Decimals.
        if type(price) is str:
            if len(self._known) >= MEMORY:
                self._known.clear()
            self._known[facts] = ticks
        return ticks


def _kind_of(facts: list[tuple[Any, ...]]) -> type | None:
    kinds = {type(price) for price, _, _ in facts} or {str}
    return kinds.pop() if len(kinds) == 1 else None


def _facts_or_raise(order: Order) -> tuple[Any, ...]:
    try:
        return order["price"], order["side"], order["orderId"]
    except (KeyError, TypeError) as error:
        raise InvalidOrder(f"resting order lacks {error}: {order!r}") from None


def one_per_price(
    reading: Reading, orders: Sequence[Order], side_at: Mapping[Any, str]
) -> tuple[dict[Ticks, int], list[int]]:
    """Return one order for each price, and the others by price, then as they came.

    Kept is an order whose side is that of the level there, `side_at`; among these one that has
    been filled in part; among these the first.
    """
    count = len(reading.ticks)
    survivors = dict(zip(reading.ticks, range(count), strict=True))
    if len(survivors) == count:
        return survivors, []
    buckets: dict[Ticks, list[int]] = {}
    for place, ticks in enumerate(reading.ticks):
        buckets.setdefault(ticks, []).append(place)
    doubled: list[int] = []
    for ticks, bucket in sorted(buckets.items(), key=_price_of_bucket):
        # A waiting level has a side that no order has: then all are equal.
        wanted = side_at.get(ticks)
        candidates = [place for place in bucket if reading.side(place) == wanted] or bucket
        filled = (place for place in candidates if _has_fills(orders[place]))
        survivors[ticks] = kept = next(filled, candidates[0])
        doubled += [place for place in bucket if place != kept]
    return survivors, doubled


def _has_fills(order: Order) -> bool:
    try:
        return to_decimal(order.get("cumExecQty")) > ZERO
    except InvalidNumber:
        return False
