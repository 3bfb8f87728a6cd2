"""The grid: a ladder of prices around a centre, and how a fill moves it.

Theory
------
*The ladder.* A grid is a window on a ladder. Its level 0 is the centre, rounded to the tick; level
n above it is level n-1 times (1 + step), level -n below it is level -(n-1) times (1 - step), each
rounded to the tick, halves to even, before the next is taken from it. The price of level n thus
follows from (centre, n) alone: a restart with the same anchor makes the same prices, hence the
same orders. Upwards and downwards are different factors, and so a window that returns from above
asks the ladder for its prices; a step down from the lowest would invent new ones.

*Sides.* Below the market a level buys, above it sells. A level too close to the last fill waits:
to trade it again at once would pay fees for nothing.

*Centring.* When buys outweigh sells by more than the threshold, the window moves one level up,
and the other way round: at most one level for each fill. References are the whole grid's highest
and lowest prices. (Taken from the highest SELL they would be nothing at all once no SELL is left:
that is a level at price 0.)

*Numbers.* A level keeps its number while it lives. An index would change with every shift, and
with it the identity of every resting order.

*Units.* Prices are Decimals in quote coin at the surface and whole ticks inside; steps are
percent. The list `grid` is the one truth; the ticks beside it are a cache of its prices.
Everything is decided before the first change: what raises has changed nothing.
"""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from operator import itemgetter
from typing import Any, NamedTuple

from gridcore._levels import BUY, SELL, WAIT, GridLevel, GridSideType, Ladder
from gridcore._restoring import read_saved
from gridcore.config import GridConfig
from gridcore.errors import InvalidGrid
from gridcore.instrument import EXACT, Scale, to_decimal, to_price

__all__ = ["Grid", "GridLevel", "GridSideType", "GridState"]

logger = logging.getLogger(__name__)

HALF = Decimal("0.5")
_price_of_level = itemgetter("price")
_side_of_level = itemgetter("side")


class GridState(NamedTuple):
    """A grid as it was; the levels are the living ones, their sides are kept beside them."""

    levels: list[GridLevel]
    sides: list[GridSideType]
    anchor: Decimal | None
    ladder: Ladder | None
    version: int


class Grid:
    """Levels of ascending price around an anchor.

    `grid_step` is in percent. `version` increases with every change of levels or anchor.
    """

    def __init__(
        self,
        tick_size: Decimal,
        grid_count: int = 50,
        grid_step: float = 0.2,
        rebalance_threshold: float = 0.3,
    ) -> None:
        GridConfig(grid_count, grid_step, rebalance_threshold)
        self.scale = Scale(tick_size, "tick_size")
        self.grid: list[GridLevel] = []
        self.tick_size = to_price(tick_size, "tick_size")
        self.grid_count = grid_count
        self.grid_step = grid_step
        self.rebalance_threshold = rebalance_threshold
        self.version = 0
        self.step = to_decimal(grid_step, "grid_step")
        self._threshold = to_decimal(rebalance_threshold, "rebalance_threshold")
        self._ladder: Ladder | None = None
        self._anchor: Decimal | None = None
        self._prices: list[Decimal] = []
        self._ticks: list[int] = []
        self._low = self._high = 0

    @property
    def anchor_price(self) -> Decimal | None:
        """The rounded centre of the build; fills never move it."""
        return self._anchor

    # --- Building -------------------------------------------------------------------------

    def build_grid(self, last_close: Decimal | None) -> None:
        """Replace the grid by a new one around this price; None changes nothing."""
        if last_close is None:
            return
        centre = self.scale.nearest(to_price(last_close, "last_close"))
        ladder = Ladder(centre, self.step)
        levels = self._plan(ladder)
        self._commit(levels, self.scale.value(centre), ladder)
        logger.info("Grid built: centre=%s levels=%d", self._anchor, len(levels))

    def _plan(self, ladder: Ladder) -> list[GridLevel]:
        half = self.grid_count // 2
        numbers = range(-half, half + 1)
        ticks = [ladder.price(number) for number in numbers]
        self._check(ticks)
        return [
            self._level(_side_of(number), count, number)
            for number, count in zip(numbers, ticks, strict=True)
        ]

    def _check(self, ticks: list[int]) -> None:
        if min(ticks) >= 1 and len(set(ticks)) == len(ticks):
            return
        figures = f"tick_size={self.tick_size} grid_step={self.grid_step}"
        if min(ticks) < 1:
            raise InvalidGrid(f"non-positive price in the grid: {figures}")
        twice = [str(self.scale.value(count)) for count, n in Counter(ticks).items() if n > 1]
        raise InvalidGrid(f"duplicate prices in the grid: {', '.join(twice)} with {figures}")

    def _commit(
        self, levels: list[GridLevel], anchor: Decimal | None, ladder: Ladder | None
    ) -> None:
        if (levels, anchor) != (self.grid, self._anchor):
            self.version += 1
        self.grid, self._anchor, self._ladder = levels, anchor, ladder

    def _level(self, side: GridSideType, ticks: int, number: int) -> GridLevel:
        return {"side": side, "price": self.scale.value(ticks), "level": number}

    # --- A fill ---------------------------------------------------------------------------

    def update_grid(self, last_filled_price: Decimal | None, last_close: Decimal | None) -> None:
        """Give the levels their sides after a fill at this price, and shift by one if lopsided."""
        if last_filled_price is None or last_close is None:
            return
        fill = to_price(last_filled_price, "last_filled_price")
        close = to_price(last_close, "last_close")
        if not self._is_inside(close):
            logger.info("Grid does not hold the price: last_close=%s, rebuilding", close)
            self.build_grid(close)
        self._assign_sides(close, fill_price=fill)
        self._centre()

    def _is_inside(self, price: Decimal) -> bool:
        if not self.grid:
            return False
        self.ticks()
        numerator, denominator = self.scale.ratio(price)
        return self._low * denominator < numerator < self._high * denominator

    def _assign_sides(self, last_close: Decimal, *, fill_price: Decimal) -> None:
        close, parts = self.scale.ratio(to_price(last_close, "last_close"))
        buy, sell = -(-close // parts) - 1, close // parts + 1
        first, last = self._too_close(to_price(fill_price, "fill_price"))
        changed = False
        for level, ticks in zip(self.grid, self.ticks(), strict=True):
            if first <= ticks <= last:
                side = WAIT
            elif ticks >= sell:
                side = SELL
            elif ticks <= buy:
                side = BUY
            else:
                continue
            if level["side"] != side:
                level["side"] = side
                changed = True
        self.version += changed

    def _too_close(self, fill: Decimal) -> tuple[int, float]:
        """Return the first and the last tick L with `400*abs(L - fill) < grid_step*L`."""
        numerator, denominator = self.scale.ratio(fill)
        step, step_parts = self.step.as_integer_ratio()
        whole = 400 * step_parts
        product = numerator * whole
        first = product // (denominator * (whole + step)) + 1
        # From a step of 400 % on, no level is far enough above.
        last = -(-product // (denominator * (whole - step))) - 1 if whole > step else math.inf
        return first, last

    def _centre(self) -> None:
        sides = list(map(_side_of_level, self.grid))
        buys, sells = sides.count(BUY), sides.count(SELL)
        numerator, denominator = self._threshold.as_integer_ratio()
        excess = numerator * (buys + sells)
        if (buys - sells) * denominator > excess:
            self._shift_up()
        elif (sells - buys) * denominator > excess:
            self._shift_down()

    def _shift_up(self) -> None:
        top = self.ticks()[-1]
        number = self.grid[-1]["level"] + 1
        ticks = self._next_ticks(number, top, down=False)
        if ticks > top:
            self.grid = [*self.grid[1:], self._level(GridSideType.SELL, ticks, number)]
            self.version += 1

    def _shift_down(self) -> None:
        bottom = self.ticks()[0]
        number = self.grid[0]["level"] - 1
        ticks = self._next_ticks(number, bottom, down=True)
        if 0 < ticks < bottom:
            self.grid = [self._level(GridSideType.BUY, ticks, number), *self.grid[:-1]]
            self.version += 1

    def _next_ticks(self, number: int, edge: int, *, down: bool) -> int:
        # A restored grid may have come from another ladder; then there is only its own edge.
        ladder = self._ladder
        if ladder and ladder.price(number + 1 if down else number - 1) == edge:
            return ladder.price(number)
        return Ladder(edge, self.step).step_from(edge, down=down)

    # --- Taking back ----------------------------------------------------------------------

    def state(self) -> GridState:
        """Return what `put_back` needs."""
        sides = [level["side"] for level in self.grid]
        return GridState(self.grid, sides, self._anchor, self._ladder, self.version)

    def put_back(self, state: GridState) -> None:
        """Undo changes that a later failure made void."""
        for level, side in zip(state.levels, state.sides, strict=True):
            level["side"] = side
        self.grid, self._anchor = state.levels, state.anchor
        self._ladder, self.version = state.ladder, state.version

    # --- Looking at it --------------------------------------------------------------------

    def ticks(self) -> list[int]:
        """Return the levels' prices in ticks."""
        prices = list(map(_price_of_level, self.grid))
        if prices != self._prices:
            self._ticks = [self.scale.nearest(to_decimal(price)) for price in prices]
            self._prices = prices
            self._low, self._high = min(self._ticks, default=0), max(self._ticks, default=0)
        return self._ticks

    @property
    def bounds(self) -> tuple[Decimal, Decimal]:
        """The lowest and the highest price."""
        if not self.grid:
            raise InvalidGrid("an empty grid has no bounds")
        prices = [level["price"] for level in self.grid]
        return min(prices), max(prices)

    @property
    def min_grid(self) -> Decimal:
        """The lowest price."""
        return self.bounds[0]

    @property
    def max_grid(self) -> Decimal:
        """The highest price."""
        return self.bounds[1]

    def is_price_sorted(self) -> bool:
        """Say whether prices ascend strictly."""
        return all(low["price"] < high["price"] for low, high in pairwise(self.grid))

    def is_grid_correct(self) -> bool:
        """Say whether prices ascend and sides read BUY…, perhaps WAIT…, SELL…."""
        sides = [level["side"] for level in self.grid]
        order = [GridSideType.BUY, GridSideType.WAIT, GridSideType.SELL]
        return (
            self.is_price_sorted()
            and GridSideType.BUY in sides
            and GridSideType.SELL in sides
            and sides == sorted(sides, key=order.index)
        )

    def wait_center(self) -> Decimal:
        """Return the middle of the waiting levels, or of all prices when none waits."""
        if not self.grid:
            raise InvalidGrid("an empty grid has no centre")
        prices = [level["price"] for level in self.grid]
        waiting = [level["price"] for level in self.grid if level["side"] == GridSideType.WAIT]
        if waiting:
            return _middle(min(waiting), max(waiting))
        return _middle(prices[(len(prices) - 1) // 2], prices[len(prices) // 2])

    # --- Restoring ------------------------------------------------------------------------

    def restore_grid(
        self, levels: Sequence[Mapping[str, Any]], anchor_price: Decimal | None = None
    ) -> bool:
        """Take over saved levels; what cannot be one of our grids empties this one: False."""
        try:
            saved = read_saved(levels, anchor_price, self.scale)
        except (KeyError, TypeError, ValueError):
            self._commit([], None, None)
            return False
        rows = zip(saved.sides, saved.ticks, saved.numbers, strict=True)
        restored = [self._level(*row) for row in rows]
        if saved.anchor is None:
            self._commit(restored, None, None)
        else:
            ladder = Ladder(saved.anchor, self.step)
            self._commit(restored, self.scale.value(saved.anchor), ladder)
        return True


def _side_of(number: int) -> GridSideType:
    if number == 0:
        return GridSideType.WAIT
    return GridSideType.BUY if number < 0 else GridSideType.SELL


def _middle(low: Decimal, high: Decimal) -> Decimal:
    return EXACT.multiply(EXACT.add(low, high), HALF)
