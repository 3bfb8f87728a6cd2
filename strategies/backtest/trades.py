"""The market as columns: public trades in numpy arrays, and the search for the next that matters.

A month of trades is some ten million rows: one object for each would take gigabytes and minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Ints: TypeAlias = npt.NDArray[np.signedinteger[Any]]
Flags: TypeAlias = npt.NDArray[np.uint8]

# Bits of a trade's flags.
BLOCK = 1  # printed off the book, at an agreed price
RPI = 2  # against a retail price improvement order

# The search looks at so many trades first, and at four times as many each time it finds nothing.
FIRST_CHUNK = 256
LAST_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True, eq=False)
class Trades:
    """Public trades in the order of the market: times in ms since 1970 (UTC), prices in ticks.

    Raises ValueError unless times never decrease, prices are positive, and the columns are of
    one length.
    """

    times: Ints
    prices: Ints
    flags: Flags | None = None

    def __post_init__(self) -> None:
        for name in ("times", "prices"):
            column = getattr(self, name)
            if not np.issubdtype(column.dtype, np.signedinteger) or column.ndim != 1:
                raise ValueError(f"{name} must be a column of signed integers, not {column.dtype}")
        flags = self.times if self.flags is None else self.flags
        if not len(self.times) == len(self.prices) == len(flags):
            raise ValueError(
                f"columns must be of one length, not {len(self.times)} times, "
                f"{len(self.prices)} prices and {len(flags)} flags"
            )
        if len(self.prices) and self.prices.min() < 1:
            raise ValueError(f"prices must be positive ticks, not {self.prices.min()}")
        if (self.times[1:] < self.times[:-1]).any():
            raise ValueError("times must not decrease")

    def __len__(self) -> int:
        return len(self.times)

    def on_book(self) -> Trades:
        """Return the trades without block trades, which say nothing about the book."""
        if self.flags is None:
            return self
        kept = (self.flags & BLOCK) == 0
        if kept.all():
            return self
        return Trades(self.times[kept], self.prices[kept], self.flags[kept])

    def up_to(self, stop: int) -> Trades:
        """Return the trades before this index."""
        flags = None if self.flags is None else self.flags[:stop]
        return Trades(self.times[:stop], self.prices[:stop], flags)


def next_outside(prices: Ints, start: int, stop: int, low: int, high: int) -> int:
    """Return the first index from `start` on whose price is not in low..high; else `stop`."""
    chunk = FIRST_CHUNK
    while start < stop:
        piece = prices[start : min(start + chunk, stop)]
        outside = (piece < low) | (piece > high)
        first = int(outside.argmax())
        if outside[first]:
            return start + first
        start += len(piece)
        chunk = min(4 * chunk, LAST_CHUNK)
    return stop
