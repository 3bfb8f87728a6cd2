"""The made-up market of `benchmarks.backtest`: a walk around 100,000 with a tick of 0.1."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

START_MS = 1_767_225_600_000  # 2026-01-01 00:00 UTC
# In ticks.
START = 1_000_000
# From one level of the grid to the next, as a share of the price.
STEP = 0.002
# USDT: an order's, and the wallet's at the start.
AMOUNT = 1_000
BALANCE = 1_000_000


class Walk(NamedTuple):
    """Trades as columns: ms since 1970 and whole ticks."""

    times: npt.NDArray[np.int64]
    prices: npt.NDArray[np.int64]


def walk(trades: int, sd: float, seed: int) -> Walk:
    """A geometric walk of so many percent a trade; a trade every 200 ms on average."""
    chance = np.random.default_rng(seed)
    logarithms = np.cumsum(chance.normal(0, sd / 100, trades))
    times = START_MS + np.cumsum(chance.integers(0, 400, trades))
    return Walk(times, np.rint(START * np.exp(logarithms)).astype(np.int64))


def save(market: Walk, path: Path) -> None:
    """Write the columns as they are in memory."""
    np.save(path, np.stack(market))


def load(path: Path) -> Walk:
    """Read what `save` wrote."""
    return Walk(*np.load(path))
