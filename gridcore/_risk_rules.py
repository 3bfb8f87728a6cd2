"""The rules by which risk changes the quantity of the next orders: a policy, written as a table.

On every ticker the first rule that applies to a direction changes one multiplier of the order
quantity, one of its own or one of the opposite direction:

1. Liquidation is close: close faster.
2. Liquidation comes closer: the opposite direction closes slower, for it is the hedge. On a low
   balance nothing is done, and the later rules are not asked either.
3. Both directions are equally large and together small: open more, or close less, as configured.
4. Less than half of the opposite, and losing: open more, which improves the average price.
5. Less than a fifth of the opposite: open more.

Long and short are mirror images. For a long, to open is to buy and liquidation lies below the
market; for a short, to open is to sell and liquidation lies above. "How close" therefore reads
`liq > min_liq_ratio * last` for a long and `liq < max_liq_ratio * last` for a short.

Thresholds are compared as products, never as quotients: a product of Decimals is exact, so that
a value at the boundary is at the boundary. Every comparison is strict.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, localcontext
from enum import StrEnum
from typing import NamedTuple

from gridcore.instrument import EXACT

# For what is shown and not compared.
DISPLAY = Context(prec=28, Emax=MAX_EMAX, Emin=MIN_EMIN)

# Stands for a short margin of 0, so that a ratio to it exists.
SMALLEST_SHORT_MARGIN = Decimal("0.0001")

CLOSE_TO_LIQUIDATION_LONG = Decimal("1.05")  # times min_liq_ratio
CLOSE_TO_LIQUIDATION_SHORT = Decimal("0.95")  # times max_liq_ratio
EQUAL_ABOVE = Decimal("0.94")
EQUAL_BELOW = Decimal("1.05")
HALF = Decimal("0.5")
FIFTH = Decimal("0.20")
ONE = Decimal(1)


class DirectionType(StrEnum):
    """Which way a position gains."""

    LONG = "long"
    SHORT = "short"


class SideType(StrEnum):
    """Which way an order trades."""

    BUY = "Buy"
    SELL = "Sell"


OPENING = {DirectionType.LONG: SideType.BUY, DirectionType.SHORT: SideType.SELL}
CLOSING = {DirectionType.LONG: SideType.SELL, DirectionType.SHORT: SideType.BUY}
OPPOSITE = {
    DirectionType.LONG: DirectionType.SHORT,
    DirectionType.SHORT: DirectionType.LONG,
}


@dataclass(frozen=True, slots=True)
class Case:
    """One direction as the rules see it, every number checked; margins are in wallets."""

    direction: DirectionType
    last_close: Decimal
    profit: Decimal  # in percent of the initial margin but for a positive factor: only the sign
    liquidation: Decimal
    long_margin: Decimal
    short_margin: Decimal  # not 0
    total_margin: Decimal
    min_liq_ratio: Decimal
    max_liq_ratio: Decimal
    min_total_margin: Decimal
    open_on_low_margin: bool
    low_balance: bool

    def nears_liquidation(self, *, long_factor: Decimal, short_factor: Decimal) -> bool:
        """Whether the liquidation price is beyond the limit, drawn closer by the factor."""
        if self.liquidation <= 0 or self.last_close == 0:
            return False
        if self.direction is DirectionType.LONG:
            return self.liquidation > long_factor * self.min_liq_ratio * self.last_close
        return self.liquidation < short_factor * self.max_liq_ratio * self.last_close

    def is_smaller_than(self, share: Decimal) -> bool:
        """Whether the own margin is below this share of the opposite one."""
        if self.direction is DirectionType.LONG:
            return self.long_margin < share * self.short_margin
        return self.short_margin < share * self.long_margin

    def position_ratio(self) -> float:
        """The long margin over the short one, for display: the rules use products."""
        return float(DISPLAY.divide(self.long_margin, self.short_margin))


class Effect(NamedTuple):
    """One multiplier of the own or the opposite direction."""

    on_opposite: bool
    sides: dict[DirectionType, SideType]
    multiplier: float


class Rule(NamedTuple):
    """When it applies, and what it does: nothing, if it only ends the chain."""

    reason: str
    applies: Callable[[Case], bool]
    effect: Effect | None


def _liquidation_is_close(case: Case) -> bool:
    return case.nears_liquidation(
        long_factor=CLOSE_TO_LIQUIDATION_LONG, short_factor=CLOSE_TO_LIQUIDATION_SHORT
    )


def _liquidation_comes_closer(case: Case) -> bool:
    return case.nears_liquidation(long_factor=ONE, short_factor=ONE)


def _comes_closer_on_low_balance(case: Case) -> bool:
    return case.low_balance and _liquidation_comes_closer(case)


def _total_is_low(case: Case) -> bool:
    above = case.long_margin > EQUAL_ABOVE * case.short_margin
    below = case.long_margin < EQUAL_BELOW * case.short_margin
    return above and below and case.total_margin < case.min_total_margin


def _total_is_low_and_opening_wanted(case: Case) -> bool:
    return case.open_on_low_margin and _total_is_low(case)


def _is_small_and_losing(case: Case) -> bool:
    return case.profit < 0 and case.is_smaller_than(HALF)


def _is_tiny(case: Case) -> bool:
    return case.is_smaller_than(FIFTH)


# The policy. The first rule that applies ends the chain, even if its effect is nothing.
RULES = (
    Rule("liquidation is close", _liquidation_is_close, Effect(False, CLOSING, 1.5)),
    Rule("liquidation comes closer on a low balance", _comes_closer_on_low_balance, None),
    Rule("liquidation comes closer", _liquidation_comes_closer, Effect(True, CLOSING, 0.5)),
    Rule("low total margin", _total_is_low_and_opening_wanted, Effect(False, OPENING, 2.0)),
    Rule("low total margin", _total_is_low, Effect(False, CLOSING, 0.5)),
    Rule("small and losing", _is_small_and_losing, Effect(False, OPENING, 2.0)),
    Rule("tiny beside the opposite", _is_tiny, Effect(False, OPENING, 2.0)),
)


def first_rule(case: Case) -> Rule | None:
    """The rule that decides the case, if any does."""
    with localcontext(EXACT):
        return next((rule for rule in RULES if rule.applies(case)), None)
