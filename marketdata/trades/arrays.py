"""Trades as columns of numpy: times in milliseconds, prices in whole ticks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Booleans = NDArray[np.bool_]

# A price of so many units of its tick's last decimal still has 15 significant digits, which is
# what a double, and so SQLite, keeps of any decimal.
MOST_UNITS = 10**15


class InexactTrade(ValueError):
    """A trade that whole ticks and milliseconds cannot say exactly."""


@dataclass(frozen=True)
class Trades:
    """Trades of one symbol in order of (exchange time, row); 17 bytes each."""

    symbol: str
    tick_size: Decimal
    exchange_ts: Integers  # milliseconds since 1970, UTC
    price: Integers  # whole ticks
    is_block_trade: Booleans

    def __len__(self) -> int:
        return len(self.exchange_ts)


@dataclass(frozen=True)
class Tick:
    """A price step as `units` of 10 ** -`decimals`: 0.5 is 5 units of one decimal."""

    size: Decimal
    units: int
    decimals: int

    @classmethod
    def of(cls, size: Decimal) -> Tick:
        """The step `size`. Raises ValueError where it is not above zero."""
        if not (size.is_finite() and size > 0):
            raise ValueError(f"{size} is no tick size.")
        decimals = max(0, -int(size.normalize().as_tuple().exponent))
        return cls(size, int(size.scaleb(decimals)), decimals)

    def holds(self, price: Decimal) -> bool:
        """Whether `price` is a whole number of ticks, and not too many."""
        return 0 <= price < Decimal(MOST_UNITS).scaleb(-self.decimals) and not price % self.size

    def count(self, units: Integers) -> tuple[Integers, Booleans]:
        """Whole ticks of prices in units of the last decimal, and which of them are exact."""
        ticks, rest = np.divmod(units, self.units)
        return ticks, (rest == 0) & (units >= 0) & (units < MOST_UNITS)

    def count_doubles(self, prices: NDArray[np.float64]) -> tuple[Integers, Booleans]:
        """The same of doubles, each the nearest one to a decimal of up to 15 digits.

        Within MOST_UNITS the double of a whole number of ticks is nobody else's: the quotient of
        two exact doubles is the one nearest to the true value.
        """
        scale = 10.0**self.decimals
        fits = (prices >= 0) & (prices < MOST_UNITS / scale)
        ticks = np.rint(np.where(fits, prices, 0) * scale / self.units).astype(np.int64)
        return ticks, fits & ((ticks * self.units) / scale == prices)


def milliseconds(microseconds: Integers) -> tuple[Integers, Booleans]:
    """Whole milliseconds, and which of them are exact."""
    times, rest = np.divmod(microseconds, 1000)
    return times, rest == 0


def joined(symbol: str, tick_size: Decimal, pieces: Iterable[Trades]) -> Trades:
    """One after the other; needs room for one column twice, not for all of them."""
    columns: list[list[NDArray[np.generic]]] = [[], [], []]
    for piece in pieces:
        for column, part in zip(
            columns, (piece.exchange_ts, piece.price, piece.is_block_trade), strict=True
        ):
            column.append(part)
    types = (np.int64, np.int64, np.bool_)
    # Each column's parts are given back as soon as they are one array.
    whole = [
        np.concatenate([np.empty(0, kind), *columns.pop(0)])  # an empty list has no type
        for kind in types
    ]
    return Trades(symbol, tick_size, *whole)
