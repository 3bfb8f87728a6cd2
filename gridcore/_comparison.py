"""The levels beside the orders: what is missing, doubled, strayed or on the wrong side.

A ticker's answer depends on its price through two numbers only: the highest level that may be
bought at and the lowest that may be sold at. All else follows from the levels and the orders; it
is worked out here when one of these has changed, and looked up on every other ticker.

A level L is eligible at the price p, exactly, if `200*abs(p - L) > grid_step*p`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import lru_cache
from operator import itemgetter
from typing import Any, NamedTuple

from gridcore._levels import WAIT
from gridcore._orders import MEMORY, Order, Reading, one_per_price
from gridcore.grid import Grid, GridSideType
from gridcore.intents import PlaceLimitIntent

_facts_of = itemgetter("price", "side", "level")


class Row(NamedTuple):
    """A level that trades; at prices beyond `edge`, in ticks, it is eligible, at `edge` not yet.

    Beyond means above for a BUY and below for a SELL. None: no price is far enough.
    """

    ticks: int
    side: str
    level: int
    edge: int | None


class Plan(NamedTuple):
    """What follows from the levels alone; `rows` in the order in which they are placed."""

    facts: list[tuple[Decimal, GridSideType, int]]
    rows: list[Row]
    side_at: dict[int, str]
    low: int
    high: int


class Reach(NamedTuple):
    """In ticks: a BUY level up to `buy` may be placed, a SELL level from `sell` on."""

    buy: int
    sell: int


class Wish(NamedTuple):
    """A level without its order, and what to place there.

    `mismatched` is the place of the order that rests there on the wrong side.
    """

    ticks: int
    buys: bool
    edge: int | None
    intent: PlaceLimitIntent
    mismatched: int | None = None

    def is_eligible(self, reach: Reach) -> bool:
        return self.ticks <= reach.buy if self.buys else self.ticks >= reach.sell

    def narrow(self, low: int, high: int) -> tuple[int, int]:
        """Return the part of low to high in which the level is not eligible."""
        if self.edge is None:
            return low, high
        return (low, min(high, self.edge)) if self.buys else (max(low, self.edge), high)


class Comparison(NamedTuple):
    """One direction's orders, named by their places, beside the levels."""

    plan: Plan
    reading: Reading
    wishes: list[Wish]
    doubled: list[int]
    strays: list[int]
    cancels: bool


class Planner:
    """Plans a grid, anew when a level differs from those of the last plan."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._last: Plan | None = None
        self._step, parts = grid.step.as_integer_ratio()
        self._whole = 200 * parts
        self._rows: dict[tuple[int, str, int], Row] = {}

    def plan(self) -> Plan:
        """Return the plan of the grid as it is; the same object while nothing changed."""
        facts = list(map(_facts_of, self._grid.grid))
        if self._last is None or facts != self._last.facts:
            self._last = self._make(facts)
        return self._last

    def _make(self, facts: list[Any]) -> Plan:
        ticks = self._grid.ticks()
        sides = [str(side) for _, side, _ in facts]
        rows = [
            self._row(ticks[index], sides[index], facts[index][2])
            for index in _nearest_first(len(sides), _centre_index(sides))
            if sides[index] != WAIT
        ]
        return Plan(facts, rows, dict(zip(ticks, sides, strict=True)), min(ticks), max(ticks))

    def _row(self, ticks: int, side: str, level: int) -> Row:
        row = self._rows.get((ticks, side, level))
        if row is None:
            if len(self._rows) >= MEMORY:
                self._rows.clear()
            row = self._rows[ticks, side, level] = self._made_row(ticks, side, level)
        return row

    def _made_row(self, ticks: int, side: str, level: int) -> Row:
        whole, step = self._whole, self._step
        if side == GridSideType.SELL:
            return Row(ticks, side, level, -(-ticks * whole // (whole + step)))
        # From a step of 200 % on, no price is so high that a BUY were far enough below.
        return Row(ticks, side, level, ticks * whole // (whole - step) if whole > step else None)

    def reach(self, price: Decimal) -> Reach:
        """Return which levels are far enough from the price."""
        numerator, denominator = self._grid.scale.ratio(price)
        parts = self._whole * denominator
        below = numerator * (self._whole - self._step)
        above = numerator * (self._whole + self._step)
        return Reach(buy=-(-below // parts) - 1, sell=above // parts + 1)


class Comparer:
    """Compares one direction, anew when the plan or the orders are others than last time."""

    def __init__(self, intend: Callable[[Row], PlaceLimitIntent]) -> None:
        self._intend = intend
        self._wishes: dict[Row, Wish] = {}
        self._last: Comparison | None = None

    def compare(self, plan: Plan, reading: Reading, orders: Sequence[Order]) -> Comparison:
        """Return what differs between the levels and the orders."""
        last = self._last
        if last is not None and last.plan is plan and last.reading is reading:
            return last
        survivors, doubled = one_per_price(reading, orders, plan.side_at)
        wishes: list[Wish] = []
        wrong = False
        for row in plan.rows:
            place = survivors.get(row.ticks)
            if place is None:
                wishes.append(self._wish(row))
            elif reading.facts[place][1] != row.side:
                wishes.append(self._wish(row)._replace(mismatched=place))
                wrong = True
        strays = [survivors[ticks] for ticks in sorted(survivors.keys() - plan.side_at.keys())]
        found = Comparison(plan, reading, wishes, doubled, strays, bool(doubled or strays or wrong))
        # Which of doubled orders stays depends on its fills, which the reading does not hold.
        self._last = None if doubled else found
        return found

    def _wish(self, row: Row) -> Wish:
        wish = self._wishes.get(row)
        if wish is None:
            if len(self._wishes) >= MEMORY:
                self._wishes.clear()
            wish = Wish(row.ticks, row.side == "Buy", row.edge, self._intend(row))
            self._wishes[row] = wish
        return wish


def _centre_index(sides: list[str]) -> int:
    waiting = [index for index, side in enumerate(sides) if side == WAIT]
    return (waiting[0] + waiting[-1]) // 2 if waiting else len(sides) // 2


@lru_cache(maxsize=256)
def _nearest_first(count: int, centre: int) -> list[int]:
    return sorted(range(count), key=lambda index: (abs(index - centre), index))
