"""Saved levels, read back: whatever cannot have been a grid is refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from itertools import pairwise
from typing import Any, NamedTuple

from gridcore._levels import GridSideType
from gridcore.errors import GridcoreError, InvalidGrid
from gridcore.instrument import Scale, to_price


class Saved(NamedTuple):
    """Levels as sides, prices in ticks and numbers; the anchor in ticks, if it is known."""

    sides: list[GridSideType]
    ticks: list[int]
    numbers: list[int]
    anchor: int | None


def read_saved(
    levels: Sequence[Mapping[str, Any]], anchor_price: Decimal | None, scale: Scale
) -> Saved:
    """Read levels; raises KeyError, TypeError or ValueError when they are no grid."""
    sides = [GridSideType(level["side"]) for level in levels]
    ticks = [_read_ticks(level["price"], scale) for level in levels]
    _check_restored(sides, ticks)
    anchor = None
    if anchor_price is not None:
        anchor = scale.nearest(to_price(anchor_price, "anchor_price"))
        if anchor < 1:
            raise InvalidGrid(f"anchor_price {anchor_price} is less than half a tick")
    numbers = _read_numbers([level.get("level") for level in levels])
    if numbers is None:
        zero = _zero_index(sides, ticks, anchor)
        numbers = [index - zero for index in range(len(ticks))]
    if anchor is None and 0 in numbers:
        anchor = ticks[numbers.index(0)]
    return Saved(sides, ticks, numbers, anchor)


def _read_ticks(price: object, scale: Scale) -> int:
    number = to_price(price)
    ticks = scale.nearest(number)
    if scale.value(ticks) != number:
        raise InvalidGrid(f"{number} is no whole number of ticks")
    return ticks


def _check_restored(sides: list[GridSideType], ticks: list[int]) -> None:
    # Waiting levels may lie anywhere: a gap in the price leaves one inside a run.
    buys = [count for side, count in zip(sides, ticks, strict=True) if side == GridSideType.BUY]
    sells = [count for side, count in zip(sides, ticks, strict=True) if side == GridSideType.SELL]
    ascending = all(low < high for low, high in pairwise(ticks))
    if not (ascending and buys and sells and buys[-1] < sells[0]):
        raise InvalidGrid("the levels are no grid")


def _read_numbers(numbers: list[Any]) -> list[int] | None:
    if all(number is None for number in numbers):
        return None
    if any(type(number) is not int for number in numbers) or any(
        high - low != 1 for low, high in pairwise(numbers)
    ):
        raise GridcoreError("level numbers must rise by one")
    return numbers


def _zero_index(sides: list[GridSideType], ticks: list[int], anchor: int | None) -> int:
    if anchor in ticks:
        return ticks.index(anchor)
    waiting = [count for side, count in zip(sides, ticks, strict=True) if side == GridSideType.WAIT]
    last = len(ticks) - 1
    low, high = (waiting[0], waiting[-1]) if waiting else (ticks[last // 2], ticks[(last + 1) // 2])
    # Twice the distance from the middle; min takes the first, which is the lower, on a tie.
    return min(range(len(ticks)), key=lambda index: abs(2 * ticks[index] - low - high))
