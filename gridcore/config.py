"""The configuration of a grid."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class GridConfig:
    """How many levels, how far apart, and when a lopsided grid is shifted.

    `grid_step` is in percent. An odd `grid_count` is accepted: half of it, rounded down, lies
    on each side of the centre. Raises ValueError when a value makes no grid.
    """

    grid_count: int = 50
    grid_step: float = 0.2
    rebalance_threshold: float = 0.3

    def __post_init__(self) -> None:
        if self.grid_count <= 0:
            raise ValueError(f"grid_count must be positive, not {self.grid_count}")
        if not (math.isfinite(self.grid_step) and self.grid_step > 0):
            raise ValueError(f"grid_step must be positive, not {self.grid_step}")
        if not 0 < self.rebalance_threshold < 1:
            raise ValueError(
                f"rebalance_threshold must be between 0 and 1, not {self.rebalance_threshold}"
            )
