"""What a grid is made of: levels, and the ladder of their prices."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import TypedDict

from gridcore.instrument import round_half_even


class GridSideType(StrEnum):
    """What a level is for."""

    BUY = "Buy"
    SELL = "Sell"
    WAIT = "Wait"


# Looking a member up in its enum takes longer than all else that is done for a level.
BUY, SELL, WAIT = GridSideType.BUY, GridSideType.SELL, GridSideType.WAIT


class GridLevel(TypedDict):
    """A level: its side, its price in quote coin, and its number counted from the anchor."""

    side: GridSideType
    price: Decimal
    level: int


class Ladder:
    """The prices of all levels around one centre, in ticks, worked out as far as was asked."""

    def __init__(self, centre: int, step: Decimal) -> None:
        # 1 ± step/100 over one denominator.
        numerator, denominator = step.as_integer_ratio()
        self._whole = 100 * denominator
        self._factors = (self._whole + numerator, self._whole - numerator)
        self._rungs = ([centre], [centre])

    def price(self, number: int) -> int:
        """Return the ticks of a level; what no longer is a price is not above 0."""
        below = number < 0
        rungs = self._rungs[below]
        while len(rungs) <= abs(number):
            rungs.append(self.step_from(rungs[-1], down=below))
        return rungs[abs(number)]

    def step_from(self, ticks: int, *, down: bool) -> int:
        """Return the ticks that lie one step from these."""
        return round_half_even(ticks * self._factors[down], self._whole)
