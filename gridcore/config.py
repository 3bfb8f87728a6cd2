"""The configuration of a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True)
class GridConfig:
    """How many levels, how far apart, and when a lopsided grid is shifted.

    `grid_step` is in percent. An odd `grid_count` is accepted: half of it, rounded down, lies
    on each side of the centre. Raises ValueError when a value makes no grid, or is no number.
    """

    grid_count: int = 50
    grid_step: float = 0.2
    rebalance_threshold: float = 0.3

    def __post_init__(self) -> None:
        if isinstance(self.grid_count, bool) or not isinstance(self.grid_count, int):
            raise ValueError(f"grid_count must be a whole number, not {self.grid_count!r}")
        if self.grid_count <= 0:
            raise ValueError(f"grid_count must be positive, not {self.grid_count}")
        _check_number("grid_step", self.grid_step)
        if not (_is_finite(self.grid_step) and self.grid_step > 0):
            raise ValueError(f"grid_step must be positive, not {self.grid_step}")
        _check_number("rebalance_threshold", self.rebalance_threshold)
        if not (_is_finite(self.rebalance_threshold) and 0 < self.rebalance_threshold < 1):
            raise ValueError(
                f"rebalance_threshold must be between 0 and 1, not {self.rebalance_threshold}"
            )


def _check_number(name: str, value: object) -> None:
    # True is an int to Python, and a text that looks like a number is still a text.
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        raise ValueError(f"{name} must be a number, not {value!r}")


def _is_finite(value: float | Decimal) -> bool:
    # math.isfinite fails on an int beyond the floats, a comparison on a Decimal NaN.
    if isinstance(value, Decimal):
        return value.is_finite()
    return isinstance(value, int) or math.isfinite(value)
