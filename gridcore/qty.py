"""How much to order at a grid level.

An amount is configured as text: "50" is 50 USDT an order, "x0.01" a hundredth of the wallet.
Divided by the price it is a quantity in the base coin. Bybit refuses orders worth less than
5 USDT, so smaller ones are raised to that; only then is the quantity rounded, and upwards, for
rounding first could fall below the floor again.
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Protocol, TypeAlias

from gridcore.errors import InvalidNumber
from gridcore.instrument import ZERO, to_amount, to_decimal, to_price
from gridcore.position import Position

MIN_NOTIONAL = Decimal(5)  # USDT, of one order

# Between these ratios of long to short, both excluded, an early imbalance is corrected.
IMBALANCED_ABOVE = Fraction(11, 10)
IMBALANCED_BELOW = 10


class RoundsQty(Protocol):
    """What is needed of an InstrumentInfo."""

    def round_qty(self, qty: Decimal) -> Decimal:
        """The quantity that the exchange accepts; 0 to skip the order."""
        ...


class HasPrice(Protocol):
    """What is needed of a PlaceLimitIntent."""

    @property
    def price(self) -> Decimal: ...


QtyCalculator: TypeAlias = Callable[[HasPrice, Decimal], Decimal]


def create_qty_calculator(
    amount_str: str, instrument_info: RoundsQty | None = None
) -> QtyCalculator:
    """A function of an intent and the wallet balance (USDT) that gives the order quantity.

    It gives 0, which means no order, without a price or, if the amount is a share of the
    wallet, without a balance. ValueError for an amount that is not a positive number.
    """
    if not isinstance(amount_str, str):
        raise ValueError(f"invalid amount string {amount_str!r}: it must be a text")
    if not amount_str:
        raise ValueError("amount string must not be empty")
    is_share = amount_str.startswith("x")
    amount = _amount(amount_str, amount_str.removeprefix("x"))

    def calculate(intent: HasPrice, wallet_balance: Decimal) -> Decimal:
        price = to_decimal(intent.price, "price")
        money = amount
        if is_share:
            money *= to_decimal(wallet_balance, "wallet_balance")
        if price <= 0 or money <= 0:
            return ZERO
        qty = apply_notional_floor(money / price, price)
        return qty if instrument_info is None else instrument_info.round_qty(qty)

    return calculate


def _amount(amount_str: str, number: str) -> Decimal:
    try:
        return to_price(number, "amount")
    except InvalidNumber:
        raise ValueError(f"invalid amount string {amount_str!r}: use e.g. 50 or x0.01") from None


def apply_notional_floor(qty: Decimal, price: Decimal) -> Decimal:
    """The quantity, raised to what is worth 5 USDT; a quantity of 0 stays no order."""
    number, unit_price = to_decimal(qty, "qty"), to_decimal(price, "price")
    if number <= 0 or unit_price <= 0:
        return ZERO
    if Fraction(number) * Fraction(unit_price) < MIN_NOTIONAL:
        return MIN_NOTIONAL / unit_price
    return number


def apply_early_imbalance(
    qty: Decimal, long_position: Position, short_position: Position, multiplier: float
) -> Decimal:
    """Multiply the quantity while the long outgrows the short and neither can be liquidated.

    One-sided on purpose: there is no counterpart for a dominant short. Comes after the risk
    multiplier and before rounding.
    """
    amount = to_decimal(qty, "qty")
    factor = to_amount(multiplier, "multiplier")
    if factor == 1 or not _is_early_imbalance(long_position, short_position):
        return qty
    return amount * factor


def _is_early_imbalance(long_position: Position, short_position: Position) -> bool:
    # Products, not a quotient: without a short the ratio is infinite, without both it is 1,
    # and neither is between the limits.
    long = Fraction(to_decimal(long_position.size, "size"))
    short = Fraction(to_decimal(short_position.size, "size"))
    return (
        IMBALANCED_ABOVE * short < long < IMBALANCED_BELOW * short
        and long_position.liquidation_price == 0
        and short_position.liquidation_price == 0
    )
