"""Where a line by pieces meets zero, in whole ticks, exactly.

Equity, maintenance margin and initial margin are linear in the price as long as neither position
nor risk tier changes: each is constant + slope * price. What a backtest must not skip are the
prices at which a difference of such lines changes its sign. All is worked out in integers.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import NamedTuple

# No price has more ticks: the search upwards ends here.
HIGHEST = 1 << 62


class Piece(NamedTuple):
    """A line in quote coin, `constant + slope * price`, from one tick to another."""

    low: int
    high: int
    constant: Decimal
    slope: Decimal


def ratio_of(numerator: Decimal, denominator: Decimal) -> tuple[int, int]:
    """Return the exact quotient as two integers, the second positive."""
    top, below_top = numerator.as_integer_ratio()
    bottom, below_bottom = denominator.as_integer_ratio()
    quotient = (top * below_bottom, below_top * bottom)
    return quotient if quotient[1] > 0 else (-quotient[0], -quotient[1])


def floor_ratio(numerator: Decimal, denominator: Decimal) -> int:
    """Return the largest whole number not above the quotient."""
    top, bottom = ratio_of(numerator, denominator)
    return top // bottom


def ceil_ratio(numerator: Decimal, denominator: Decimal) -> int:
    """Return the smallest whole number not below the quotient."""
    top, bottom = ratio_of(numerator, denominator)
    return -(-top // bottom)


def first_not_positive(
    piece_at: Callable[[int], Piece], tick: Decimal, start: int, *, down: bool
) -> int | None:
    """Return the first tick, from `start` down or up, at which the line is not above zero."""
    ticks: int | None = start
    while ticks is not None:
        piece = piece_at(ticks)
        found = _within(piece, tick, ticks, down=down)
        if found is not None:
            return found
        ticks = _beyond(piece, down=down)
    return None


def _within(piece: Piece, tick: Decimal, start: int, *, down: bool) -> int | None:
    top, bottom = (-piece.constant).as_integer_ratio()
    slope_top, slope_bottom = piece.slope.as_integer_ratio()
    step_top, step_bottom = tick.as_integer_ratio()
    # constant + slope * tick * n <= 0, multiplied by what is positive: weight * n <= limit.
    weight = slope_top * step_top * bottom
    limit = top * slope_bottom * step_bottom
    if weight * start <= limit:
        return start
    if down:
        return found if weight > 0 and (found := limit // weight) >= piece.low else None
    return found if weight < 0 and (found := -(limit // -weight)) <= piece.high else None


def _beyond(piece: Piece, *, down: bool) -> int | None:
    if down:
        return piece.low - 1 if piece.low > 1 else None
    return piece.high + 1 if piece.high < HIGHEST else None
