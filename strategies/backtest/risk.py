"""The risk multipliers of a simulated account, and between which prices they stay as they are.

The rules of `gridcore.position` see the price in two places: beside the liquidation price, and
beside the average entry (is the position losing?). As long as the account does not change, each
is one price at which a comparison turns, here a *cut*: the lowest tick of its upper side.
Margins are position value at entry over wallet balance and do not move with the price.
"""

from __future__ import annotations

from decimal import Decimal
from typing import NamedTuple

from gridcore import PositionState, RiskConfig
from gridcore.instrument import EXACT, ZERO, Scale, to_decimal
from gridcore.matching import Leg
from gridcore.pnl import ONE, calc_margin_ratio, calc_position_value
from gridcore.position import (
    CLOSE_TO_LIQUIDATION_LONG,
    CLOSE_TO_LIQUIDATION_SHORT,
    Position,
)
from strategies.backtest.account import Account, State
from strategies.backtest.lines import HIGHEST, ceil_ratio, floor_ratio

Multipliers = dict[tuple[str, str], Decimal]


class Sizing(NamedTuple):
    """Multipliers by direction and side, and the ticks from `low` to `high` where they hold."""

    multipliers: Multipliers
    low: int
    high: int

    def holds(self, ticks: int) -> bool:
        """Whether the price is in it."""
        return self.low <= ticks <= self.high

    def joined(self, other: Sizing) -> Sizing:
        """Return the other on both stretches, or as it is if there is a gap between them."""
        if other.low > self.high + 1 or other.high < self.low - 1:
            return other
        return Sizing(other.multipliers, min(self.low, other.low), max(self.high, other.high))


class Risk:
    """Asks the rules about an account."""

    def __init__(self, config: RiskConfig, account: Account, scale: Scale) -> None:
        self._pair = Position.create_linked_pair(config)
        self._account = account
        self._scale = scale
        self._min_ratio = to_decimal(config.min_liq_ratio)
        self._max_ratio = to_decimal(config.max_liq_ratio)

    def evaluate(self, state: State, ticks: int) -> Sizing:
        """Return the multipliers at a price, and how far they reach."""
        price = self._scale.value(ticks)
        wallet = self._account.wallet_balance()
        long = self._position(self._account.long, wallet, state.liquidated_below)
        short = self._position(self._account.short, wallet, state.liquidated_above)
        found = self._pair.evaluate_pair(long, short, price)
        multipliers = {
            (direction, str(side)): Decimal(str(factor))
            for direction, factors in zip(("long", "short"), found, strict=True)
            for side, factor in factors.items()
        }
        cuts = [*self._long_cuts(long), *self._short_cuts(short)]
        low = max((cut for cut in cuts if cut <= ticks), default=1)
        high = min((cut for cut in cuts if cut > ticks), default=HIGHEST + 1) - 1
        return Sizing(multipliers, low, high)

    def _position(self, leg: Leg, wallet: Decimal, liquidated_at: int | None) -> PositionState:
        value = calc_position_value(leg.size, leg.entry_price)
        exists = leg.size and liquidated_at is not None
        return PositionState(
            direction=leg.direction,
            size=leg.size,
            entry_price=leg.entry_price or None,
            margin=calc_margin_ratio(value, wallet),
            position_value=value,
            liquidation_price=self._scale.value(liquidated_at or 0) if exists else ZERO,
            cum_realized_pnl=leg.realised_pnl,
        )

    def _long_cuts(self, position: PositionState) -> list[int]:
        """Where a long begins to be far from liquidation (liq < ratio * price), and to gain."""
        cuts = [] if not position.entry_price else [self._ceil(position.entry_price)]
        for factor in (CLOSE_TO_LIQUIDATION_LONG, ONE):
            ratio = EXACT.multiply(factor, self._min_ratio)
            if position.liquidation_price and ratio:
                cuts.append(self._ceil(position.liquidation_price, ratio))
        return cuts

    def _short_cuts(self, position: PositionState) -> list[int]:
        """Where a short begins to be close to liquidation (liq < ratio * price), and to lose."""
        cuts = [] if not position.entry_price else [self._above(position.entry_price)]
        for factor in (CLOSE_TO_LIQUIDATION_SHORT, ONE):
            ratio = EXACT.multiply(factor, self._max_ratio)
            if position.liquidation_price:
                cuts.append(self._above(position.liquidation_price, ratio))
        return cuts

    def _ceil(self, number: Decimal, ratio: Decimal = ONE) -> int:
        return ceil_ratio(number, EXACT.multiply(ratio, self._scale.step))

    def _above(self, number: Decimal, ratio: Decimal = ONE) -> int:
        return floor_ratio(number, EXACT.multiply(ratio, self._scale.step)) + 1
