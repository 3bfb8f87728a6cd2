"""Margin rates by risk tier, and between which prices a position keeps its tier.

By default the tiers are those of `gridcore.pnl`, and the leverage is 10, which a Bybit account has
until it chooses another.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Context, Decimal
from itertools import pairwise
from typing import NamedTuple, TypeAlias

from gridcore import MMTiers
from gridcore.instrument import EXACT, ZERO, Scale
from gridcore.pnl import MM_TIERS, MM_TIERS_DEFAULT
from strategies.backtest.lines import HIGHEST, ratio_of

RATES = Context(prec=28)
# The first and the last tick, the long's stretch and the short's.
PieceOfPair: TypeAlias = "Callable[[int], tuple[int, int, Stretch, Stretch]]"
# The margins of so many position sizes are remembered.
MEMORY = 4096


class Tier(NamedTuple):
    """Position values above `above` and up to `cap` (USDT), their rates and the deduction."""

    above: Decimal
    cap: Decimal
    maintenance: Decimal
    deduction: Decimal
    initial: Decimal


@dataclass(frozen=True)
class MarginTerms:
    """Risk tiers, and the leverage that the account has chosen.

    The initial rate of a tier is the leverage's, or the tier's own where that is higher.
    """

    tiers: MMTiers = field(default_factory=lambda: MM_TIERS_DEFAULT)
    leverage: int = 10

    def __post_init__(self) -> None:
        if self.leverage < 1:
            raise ValueError(f"leverage must be at least 1, not {self.leverage}")
        if not self.tiers or self.tiers[-1][0] != Decimal("Infinity"):
            raise ValueError("the last tier must have no end: its highest value is Infinity")
        for lower, upper in pairwise(self.tiers):
            if lower[0] >= upper[0]:
                raise ValueError(f"tiers must ascend, not {upper[0]} after {lower[0]}")
        for tier in self.table():
            if tier.deduction > tier.above * tier.maintenance:
                raise ValueError(f"the deduction of the tier above {tier.above} exceeds its margin")

    @classmethod
    def of(cls, symbol: str, tiers: MMTiers | None, leverage: int) -> MarginTerms:
        """Return the terms of a symbol: these tiers, or the ones that gridcore knows."""
        return cls(MM_TIERS.get(symbol, MM_TIERS_DEFAULT) if tiers is None else tiers, leverage)

    def table(self) -> list[Tier]:
        """Return the tiers with both their ends."""
        chosen = RATES.divide(Decimal(1), Decimal(self.leverage))
        lowest = [ZERO, *(tier[0] for tier in self.tiers)]
        return [
            Tier(above, cap, maintenance, deduction, max(initial, chosen))
            for above, (cap, maintenance, deduction, initial) in zip(
                lowest, self.tiers, strict=False
            )
        ]


def tier_of(table: Sequence[Tier], value: Decimal) -> Tier:
    """Return the tier of a position value; a boundary belongs to the lower one."""
    return next(tier for tier in table if value <= tier.cap)


def initial_margin(table: Sequence[Tier], sizes: Iterable[Decimal], price: Decimal) -> Decimal:
    """Return what positions of these sizes take at a price, each by its own tier."""
    total = ZERO
    for size in sizes:
        value = EXACT.multiply(size, price)
        total = EXACT.fma(value, tier_of(table, value).initial, total)
    return total


class Stretch(NamedTuple):
    """A position in one tier: the margins that it takes for each unit of the price."""

    tier: Tier
    maintenance: Decimal
    initial: Decimal


class Stretches(NamedTuple):
    """A position in all tiers: number n lasts from the tick after `ends[n]` to `ends[n + 1]`."""

    ends: list[int]
    stretches: list[Stretch]


class Margins:
    """Knows, for each size of a position, the ticks at which its tier changes."""

    def __init__(self, table: Sequence[Tier], scale: Scale) -> None:
        self._table = table
        # In ticks times coins, as quotients.
        self._caps = [ratio_of(tier.cap, scale.step) for tier in table[:-1]]
        self._known: dict[Decimal, Stretches] = {}

    def pieces(self, long_size: Decimal, short_size: Decimal) -> PieceOfPair:
        """Return a function of ticks: where around these both tiers hold, and both stretches."""
        long_ends, long = self._of(long_size)
        short_ends, short = self._of(short_size)

        def at(ticks: int) -> tuple[int, int, Stretch, Stretch]:
            first = bisect_left(long_ends, ticks)
            second = bisect_left(short_ends, ticks)
            return (
                max(long_ends[first - 1], short_ends[second - 1]) + 1,
                min(long_ends[first], short_ends[second]),
                long[first - 1],
                short[second - 1],
            )

        return at

    def _of(self, size: Decimal) -> Stretches:
        known = self._known.get(size)
        if known is None:
            if len(self._known) >= MEMORY:
                self._known.clear()
            known = self._known[size] = Stretches(self._ends(size), self._stretches(size))
        return known

    def _ends(self, size: Decimal) -> list[int]:
        coins, parts = size.as_integer_ratio()
        finite = [top * parts // (bottom * coins) for top, bottom in self._caps] if size else []
        return [0, *finite, HIGHEST]

    def _stretches(self, size: Decimal) -> list[Stretch]:
        return [
            Stretch(
                tier, EXACT.multiply(size, tier.maintenance), EXACT.multiply(size, tier.initial)
            )
            for tier in self._table
        ]
