"""How much larger or smaller the next orders of each side are, for a long and a short together.

A strategy holds a long and a short of one symbol at once and trades both on one grid. Each side
of the book of each direction has a multiplier of the order quantity, 1.0 at rest. The rules of
`gridcore._risk_rules` change them on every ticker.

Effects may reach the opposite direction, so both are reset first and only then evaluated, the
long before the short. `LinkedPair.evaluate_pair` does just that and is what callers use. All
input is checked before anything changes.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import NamedTuple

from gridcore._risk_rules import (
    CLOSE_TO_LIQUIDATION_LONG,
    CLOSE_TO_LIQUIDATION_SHORT,
    OPPOSITE,
    SMALLEST_SHORT_MARGIN,
    Case,
    DirectionType,
    Effect,
    SideType,
    first_rule,
)
from gridcore.instrument import EXACT, ZERO, to_amount, to_decimal, to_price
from gridcore.pnl import calc_liq_proximity, calc_unrealised_pnl, calc_unrealised_pnl_pct

__all__ = [
    "CLOSE_TO_LIQUIDATION_LONG",
    "CLOSE_TO_LIQUIDATION_SHORT",
    "DirectionType",
    "LinkedPair",
    "Position",
    "PositionRiskManager",
    "PositionState",
    "RiskConfig",
    "SideType",
]

logger = logging.getLogger(__name__)


@dataclass
class PositionState:
    """What the exchange says about a position.

    `margin` is a ratio, the position's value over the wallet balance; `initial_margin` and
    `maintenance_margin` are money (Bybit's positionIM, positionMM). `cur_realized_pnl` counts
    from the last time the position was flat, `cum_realized_pnl` from the beginning.
    """

    direction: str
    size: Decimal = ZERO
    entry_price: Decimal | None = None
    unrealized_pnl: Decimal = ZERO
    margin: Decimal = ZERO
    liquidation_price: Decimal = ZERO
    leverage: int = 1
    position_value: Decimal = ZERO
    initial_margin: Decimal = ZERO
    maintenance_margin: Decimal = ZERO
    cum_realized_pnl: Decimal = ZERO
    cur_realized_pnl: Decimal = ZERO

    def __post_init__(self) -> None:
        self.direction = DirectionType(self.direction)


@dataclass
class RiskConfig:
    """The limits of the rules.

    `min_liq_ratio` (long) and `max_liq_ratio` (short) are liquidation price over last price;
    `min_total_margin` is the sum of both margins, in wallets. `max_margin` is carried for
    callers; no rule reads it.
    """

    min_liq_ratio: float
    max_liq_ratio: float
    max_margin: float
    min_total_margin: float
    increase_same_position_on_low_margin: bool = False

    def __post_init__(self) -> None:
        to_amount(self.min_liq_ratio, "min_liq_ratio")
        to_price(self.max_liq_ratio, "max_liq_ratio")
        to_decimal(self.max_margin, "max_margin")
        to_decimal(self.min_total_margin, "min_total_margin")
        _check_flag(
            "increase_same_position_on_low_margin", self.increase_same_position_on_low_margin
        )


class Position:
    """The multipliers of one direction; `size` and `liquidation_price` are the caller's notes."""

    SIDE_BUY = SideType.BUY
    SIDE_SELL = SideType.SELL
    DIRECTION_LONG = DirectionType.LONG
    DIRECTION_SHORT = DirectionType.SHORT

    def __init__(self, direction: str, risk_config: RiskConfig) -> None:
        self.direction = DirectionType(direction)
        self.risk_config = risk_config
        self.amount_multiplier: dict[str, float] = {}
        self.position_ratio = 1.0
        self.size = ZERO
        self.liquidation_price = ZERO
        self._opposite: Position | None = None
        self.reset_amount_multiplier()

    @staticmethod
    def create_linked_pair(
        long_config: RiskConfig, short_config: RiskConfig | None = None
    ) -> LinkedPair:
        """A long and a short that know each other; one config serves both by default."""
        long = Position(DirectionType.LONG, long_config)
        short = Position(DirectionType.SHORT, short_config or long_config)
        long.set_opposite(short)
        short.set_opposite(long)
        return LinkedPair(long, short)

    def set_opposite(self, opposite: Position) -> None:
        """Name the position that rule 2 acts on; it must be of the other direction."""
        if opposite.direction is self.direction:
            raise ValueError(f"the opposite of a {self.direction} position is not {self.direction}")
        self._opposite = opposite

    def set_amount_multiplier(self, side: str, mult: float) -> None:
        """Multiply the orders of a side; ValueError for an unknown side or a useless factor."""
        name = SideType(side)
        factor = float(to_decimal(mult, "multiplier"))
        if factor < 0 or not math.isfinite(factor):
            raise ValueError(f"multiplier must be finite and not negative, not {mult!r}")
        self.amount_multiplier[name] = factor

    def get_amount_multiplier(self) -> dict[str, float]:
        """The multipliers by side: a copy."""
        return dict(self.amount_multiplier)

    def reset_amount_multiplier(self) -> None:
        """Back to 1.0 on both sides."""
        self.amount_multiplier = {SideType.BUY: 1.0, SideType.SELL: 1.0}

    def calculate_amount_multiplier(
        self,
        position: PositionState,
        opposite_position: PositionState,
        last_close: Decimal,
        low_balance: bool = False,
    ) -> dict[str, float]:
        """Apply the first rule that holds, and give the multipliers of this direction.

        Nothing is reset, since an effect on the opposite direction must survive its own turn.
        A flat position (no entry price) changes nothing.
        """
        case = self._case(position, opposite_position, last_close, low_balance=low_balance)
        if position.entry_price:
            self._apply(case, position)
        return self.get_amount_multiplier()

    def _case(
        self,
        position: PositionState,
        opposite: PositionState,
        last_close: Decimal,
        *,
        low_balance: bool,
    ) -> Case:
        """Check all that the rules will read; raises before anything has changed."""
        if self._opposite is None:
            raise ValueError(
                f"the {self.direction} position requires opposite position to be linked: "
                "call set_opposite() or use create_linked_pair()"
            )
        _check_direction(position, self.direction)
        _check_direction(opposite, OPPOSITE[self.direction])
        last = to_amount(last_close, "last_close")
        entry = to_amount(position.entry_price or ZERO, "entry_price")
        leverage = to_amount(position.leverage, "leverage")
        own_margin = to_amount(position.margin, "margin")
        opposite_margin = to_amount(opposite.margin, "margin")
        is_long = self.direction is DirectionType.LONG
        long_margin, short_margin = (
            (own_margin, opposite_margin) if is_long else (opposite_margin, own_margin)
        )
        config = self.risk_config
        with localcontext(EXACT):
            return Case(
                direction=self.direction,
                last_close=last,
                profit=calc_unrealised_pnl(self.direction, entry, last, leverage),
                liquidation=to_decimal(position.liquidation_price, "liquidation_price"),
                long_margin=long_margin,
                short_margin=short_margin or SMALLEST_SHORT_MARGIN,
                total_margin=own_margin + opposite_margin,
                min_liq_ratio=to_decimal(config.min_liq_ratio, "min_liq_ratio"),
                max_liq_ratio=to_decimal(config.max_liq_ratio, "max_liq_ratio"),
                min_total_margin=to_decimal(config.min_total_margin, "min_total_margin"),
                open_on_low_margin=config.increase_same_position_on_low_margin,
                low_balance=low_balance,
            )

    def _apply(self, case: Case, position: PositionState) -> None:
        self.position_ratio = case.position_ratio()
        rule = first_rule(case)
        if rule is not None and rule.effect is not None:
            self._take_effect(rule.reason, rule.effect)
        if logger.isEnabledFor(logging.DEBUG):
            self._log(case, position)

    def _take_effect(self, reason: str, effect: Effect) -> None:
        target = self._opposite if effect.on_opposite else self
        assert target is not None, "checked when the case was made"  # noqa: S101
        side = effect.sides[target.direction]
        target.set_amount_multiplier(side, effect.multiplier)
        logger.info(
            "Position adjustment: %s: %s, so %s %s = %s",
            *(self.direction, reason, target.direction, side, effect.multiplier),
        )

    def _log(self, case: Case, position: PositionState) -> None:
        entry = position.entry_price or ZERO
        logger.debug(
            "%s margin=%s liq_ratio=%.4f pnl=%.2f%% upnl_usdt=%.4f realized_usdt=%.4f "
            "cum_realized_usdt=%.4f pos_value_usdt=%.2f im_usdt=%.4f mm_usdt=%.4f "
            "low_balance=%s multiplier=%s position_ratio=%.4f total_margin=%s",
            *(self.direction, position.margin),
            calc_liq_proximity(self.direction, case.liquidation, case.last_close),
            calc_unrealised_pnl_pct(self.direction, entry, case.last_close, position.leverage),
            *(position.unrealized_pnl, position.cur_realized_pnl, position.cum_realized_pnl),
            *(position.position_value, position.initial_margin, position.maintenance_margin),
            case.low_balance,
            {str(side): factor for side, factor in self.amount_multiplier.items()},
            *(self.position_ratio, case.total_margin),
        )


# The name by which the class was known first.
PositionRiskManager = Position


class LinkedPair(NamedTuple):
    """The two positions of a strategy."""

    long: Position
    short: Position

    def evaluate_pair(
        self,
        long_state: PositionState,
        short_state: PositionState,
        last_close: Decimal,
        low_balance: bool = False,
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Reset both, apply the rules to the long, then to the short; the multipliers of both.

        A flat direction has none of its own effects, but keeps those of the other on it.
        """
        long_case = self.long._case(long_state, short_state, last_close, low_balance=low_balance)
        short_case = self.short._case(short_state, long_state, last_close, low_balance=low_balance)
        turns = ((self.long, long_case, long_state), (self.short, short_case, short_state))
        for position, case, _ in turns:
            position.reset_amount_multiplier()
            # Shared by both, and so known for a flat one as well.
            position.position_ratio = case.position_ratio()
        for position, case, state in turns:
            if state.entry_price:
                position._apply(case, state)
        return self.long.get_amount_multiplier(), self.short.get_amount_multiplier()


def _check_direction(position: PositionState, expected: DirectionType) -> None:
    # A PositionState may have been changed since it was made.
    if position.direction != expected:
        raise ValueError(f"direction must be {expected} here, not {position.direction!r}")


def _check_flag(name: str, value: object) -> None:
    # Any text would count as true, "false" as well.
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}")
