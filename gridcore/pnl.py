"""Profit, margin and liquidation of a linear (USDT) position, in Decimal.

Amounts of money are in the quote coin, sizes in the base coin, prices in quote per base; a rate
is a fraction (0.01 is one percent), what ends in `_pct` is in percent. The formulas are those of
Bybit's help pages for USDT perpetuals:

    unrealised profit    (current - entry) * size, negated for a short
    initial margin       position value * initial margin rate of the tier
    maintenance margin   position value * maintenance margin rate of the tier - its deduction

A deduction makes the maintenance margin continuous: at the boundary of two tiers both give the
same amount, so that a position never jumps into liquidation by growing.

No number is trusted: what `to_decimal` cannot read is a ValueError that names it.
"""

from __future__ import annotations

import logging
from decimal import Decimal
from itertools import pairwise
from typing import TypeAlias

from gridcore.instrument import ZERO, parse_decimal, to_decimal

logger = logging.getLogger(__name__)

ONE = Decimal(1)
HUNDRED = Decimal(100)
INFINITY = Decimal("Infinity")

# The highest position value of the tier, maintenance rate, deduction, initial rate.
MMTier: TypeAlias = tuple[Decimal, Decimal, Decimal, Decimal]
MMTiers: TypeAlias = list[MMTier]

# A price move counts for a long as it is, for a short negated.
SIGNS = {"long": 1, "short": -1}


def _tiers(*rows: tuple[str, str, str, str]) -> MMTiers:
    return [(Decimal(a), Decimal(b), Decimal(c), Decimal(d)) for a, b, c, d in rows]


# Bybit's risk limits as of 2026-02-27; parse_risk_limit_tiers reads newer ones.
MM_TIERS: dict[str, MMTiers] = {
    "BTCUSDT": _tiers(
        ("2000000", "0.005", "0", "0.01"),
        ("10000000", "0.01", "10000", "0.02"),
        ("20000000", "0.025", "160000", "0.05"),
        ("40000000", "0.05", "660000", "0.1"),
        ("80000000", "0.1", "2660000", "0.2"),
        ("160000000", "0.125", "4660000", "0.25"),
        ("Infinity", "0.15", "8660000", "0.3"),
    ),
    "ETHUSDT": _tiers(
        ("1000000", "0.005", "0", "0.01"),
        ("5000000", "0.01", "5000", "0.02"),
        ("10000000", "0.025", "80000", "0.05"),
        ("20000000", "0.05", "330000", "0.1"),
        ("40000000", "0.1", "1330000", "0.2"),
        ("80000000", "0.125", "2330000", "0.25"),
        ("Infinity", "0.15", "4330000", "0.3"),
    ),
}
# For symbols that are not listed: less leverage than the majors have.
MM_TIERS_DEFAULT: MMTiers = _tiers(
    ("1000000", "0.01", "0", "0.02"),
    ("5000000", "0.025", "15000", "0.05"),
    ("10000000", "0.05", "140000", "0.1"),
    ("20000000", "0.1", "640000", "0.2"),
    ("Infinity", "0.15", "1640000", "0.3"),
)


def price_move(direction: str, entry_price: Decimal, current_price: Decimal) -> Decimal:
    """How far the price has moved in favour of the position; negative is a loss."""
    sign = SIGNS.get(direction)
    if sign is None:
        raise ValueError(f"direction must be long or short, not {direction!r}")
    move = to_decimal(current_price, "current_price")
    return sign * (move - to_decimal(entry_price, "entry_price"))


def calc_unrealised_pnl(
    direction: str, entry_price: Decimal, current_price: Decimal, size: Decimal
) -> Decimal:
    """The profit that closing `size` at `current_price` would bring, fees aside."""
    return price_move(direction, entry_price, current_price) * to_decimal(size, "size")


def calc_unrealised_pnl_pct(
    direction: str,
    entry_price: Decimal,
    current_price: Decimal,
    leverage: Decimal | int,
    symbol: str = "",
) -> Decimal:
    """The profit in percent of the initial margin (Bybit's ROI); 0 without both prices."""
    move = price_move(direction, entry_price, current_price)
    factor = to_decimal(leverage, "leverage")
    entry, current = to_decimal(entry_price), to_decimal(current_price)
    if entry < 0 or current < 0:
        logger.warning("Negative price for %s: entry=%s current=%s", symbol, entry, current)
    if entry <= 0 or current <= 0:
        return ZERO
    return move / entry * factor * HUNDRED


def calc_position_value(size: Decimal, entry_price: Decimal) -> Decimal:
    """What the position cost; Bybit's own positionValue goes by the mark price instead."""
    return to_decimal(size, "size") * to_decimal(entry_price, "entry_price")


def calc_margin_ratio(position_value: Decimal, wallet_balance: Decimal) -> Decimal:
    """The position's value as a multiple of the wallet; 0 for an empty or negative wallet."""
    return _share("position_value", position_value, "wallet_balance", wallet_balance)


def calc_imr_pct(total_im: Decimal, margin_balance: Decimal) -> Decimal:
    """The account's initial margin in percent of its margin balance; 0 without a balance."""
    return _share("total_im", total_im, "margin_balance", margin_balance) * HUNDRED


def calc_mmr_pct(total_mm: Decimal, margin_balance: Decimal) -> Decimal:
    """The account's maintenance margin in percent of its margin balance; 0 without one."""
    return _share("total_mm", total_mm, "margin_balance", margin_balance) * HUNDRED


def _share(part_name: str, part: Decimal, whole_name: str, whole: Decimal) -> Decimal:
    dividend, divisor = to_decimal(part, part_name), to_decimal(whole, whole_name)
    return dividend / divisor if divisor > 0 else ZERO


def calc_liq_ratio(liq_price: Decimal, current_price: Decimal) -> float:
    """The liquidation price over the current one, for display; 0.0 without a current price."""
    liquidation = float(to_decimal(liq_price, "liq_price"))
    current = float(to_decimal(current_price, "current_price"))
    return liquidation / current if current else 0.0


def calc_liq_proximity(direction: str, liq_price: Decimal, last_price: Decimal) -> Decimal:
    """How close liquidation is: 0 far away, 1 reached, more than 1 beyond it.

    A long is liquidated below the market and a short above it, so the one's quotient is the
    other's turned over. 0 when either price is missing (0) or negative.
    """
    if direction not in SIGNS:
        raise ValueError(f"direction must be long or short, not {direction!r}")
    liquidation = to_decimal(liq_price, "liq_price")
    last = to_decimal(last_price, "last_price")
    if liquidation <= 0 or last <= 0:
        return ZERO
    return liquidation / last if SIGNS[direction] > 0 else last / liquidation


def calc_initial_margin(
    position_value: Decimal,
    leverage: Decimal | int,
    symbol: str = "",
    tiers: MMTiers | None = None,
) -> tuple[Decimal, Decimal]:
    """The margin that opening takes, and its rate.

    The tier decides; `leverage` is asked only where no tier matches.
    """
    value = _position_value(position_value)
    factor = to_decimal(leverage, "leverage")
    if value == 0:
        return ZERO, ZERO
    tier = _find_matching_tier(value, _tiers_of(symbol, tiers))
    if tier is not None:
        return value * tier[3], tier[3]
    logger.warning("No margin tier of %s holds %s: using leverage %s", symbol, value, factor)
    if factor <= 0:
        return ZERO, ZERO
    return value / factor, ONE / factor


def calc_maintenance_margin(
    position_value: Decimal, symbol: str = "BTCUSDT", tiers: MMTiers | None = None
) -> tuple[Decimal, Decimal]:
    """The margin below which the position is liquidated, and its rate.

    Beyond the last tier that tier holds on; an empty list of tiers is a ValueError, since a
    margin of 0 would be a promise that nothing can be liquidated.
    """
    value = _position_value(position_value)
    table = _tiers_of(symbol, tiers)
    if not table:
        raise ValueError("tiers must not be empty")
    if value == 0:
        return ZERO, ZERO
    _, rate, deduction, _ = _find_matching_tier(value, table) or table[-1]
    return max(value * rate - deduction, ZERO), rate


def _position_value(position_value: Decimal) -> Decimal:
    value = to_decimal(position_value, "position_value")
    if value < 0:
        raise ValueError(f"Negative position_value: {value}")
    return value


def _tiers_of(symbol: str, tiers: MMTiers | None) -> MMTiers:
    return MM_TIERS.get(symbol, MM_TIERS_DEFAULT) if tiers is None else tiers


def _find_matching_tier(position_value: Decimal, tiers: MMTiers) -> MMTier | None:
    """The first tier that holds the value; a boundary belongs to the lower tier."""
    return next((tier for tier in tiers if tier[0] >= position_value), None)


def parse_risk_limit_tiers(api_tiers: list[dict[str, object]]) -> MMTiers:
    """The tiers in Bybit's answer to /v5/market/risk-limit, ascending, the last without end."""
    caps = sorted(_checked(api_tiers), key=lambda pair: pair[0])
    for (lower, _), (upper, _) in pairwise(caps):
        if lower == upper:
            raise ValueError(f"Duplicate tier boundary detected: {lower}")
    tiers = [(cap, *_rates(item)) for cap, item in caps]
    # Bybit refuses positions above the last limit; a value up there must still find a tier.
    return [*tiers[:-1], (INFINITY, *tiers[-1][1:])]


def _checked(api_tiers: object) -> list[tuple[Decimal, dict[str, object]]]:
    if not isinstance(api_tiers, list):
        raise ValueError(f"api_tiers must be a list, not {type(api_tiers).__name__}")
    if not api_tiers:
        raise ValueError("api_tiers must not be empty")
    if not all(isinstance(item, dict) for item in api_tiers):
        raise ValueError("api_tiers must contain dict objects")
    return [(_cap(item), item) for item in api_tiers]


def _cap(item: dict[str, object]) -> Decimal:
    cap = _field(item, "riskLimitValue")
    if cap.is_nan() or cap <= 0:
        raise ValueError(f"Invalid riskLimitValue: {cap}")
    return cap


def _rates(item: dict[str, object]) -> tuple[Decimal, Decimal, Decimal]:
    maintenance = _rate("MMR", _field(item, "maintenanceMargin"))
    deduction = _field(item, "mmDeduction", "0")
    if not deduction.is_finite():
        raise ValueError(f"Invalid mmDeduction format: {deduction}")
    if deduction < 0:
        raise ValueError(f"Negative mmDeduction not allowed: {deduction}")
    return maintenance, deduction, _rate("IMR", _field(item, "initialMargin", "0"))


def _field(item: dict[str, object], name: str, default: str | None = None) -> Decimal:
    """The number in a field; what has a default may be absent, null or empty."""
    value = item.get(name)
    if default is not None and (value is None or value == ""):
        value = default
    if value is None:
        raise ValueError(f"Missing required field: {name}")
    number = parse_decimal(value)
    if number is None:
        raise ValueError(f"Invalid {name} format: {value!r}")
    return number


def _rate(name: str, rate: Decimal) -> Decimal:
    # NaN is asked for first: comparing it raises, and not a ValueError.
    if rate.is_nan() or not 0 <= rate <= 1:
        raise ValueError(f"{name} rate {rate} outside valid range [0, 1]")
    if rate == 0:
        logger.info("%s rate is zero", name)
    return rate
