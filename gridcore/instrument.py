"""The one place where prices and quantities are rounded.

An exchange trades in whole multiples of a step: prices in ticks, quantities in quantity steps.
Inside gridcore a price is the `int` that counts its ticks; a `Scale` turns a Decimal into that
count and back. All of it is done in integers:

- `ratio(x)` is x/step as an exact quotient of two integers, so that a price between two ticks
  can be compared as it was given;
- `nearest(x)` rounds that quotient, halves to the even count, and `up(x)` rounds it up;
- `value(n)` is n steps as a Decimal with the decimals of the normalised step: 0.10 counts as 0.1,
  and a step of 1 or more has none. One price has thereby one spelling, and one order one id.

`to_decimal` is the one way in for numbers. NaN and the infinities compare as nobody expects, so
they are refused; a float becomes a Decimal through its text alone: 0.1 is meant, not the binary
fraction nearby.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import MAX_EMAX, MAX_PREC, MIN_EMIN, Context, Decimal, DecimalException
from functools import cached_property
from typing import Any

from gridcore.errors import InvalidNumber

logger = logging.getLogger(__name__)

ZERO = Decimal(0)
NOT_PLAIN = frozenset("_ \t\n\r\f\v")
# No float is larger; beyond it "1E+999999999" would be a number of a billion digits.
MAX_MAGNITUDE = 400
# The decimal module's context for exact arithmetic: a sum, a product or a shift takes the digits
# that it needs, however many. Never divide in it: a third would take all the memory there is.
EXACT = Context(prec=MAX_PREC, Emax=MAX_EMAX, Emin=MIN_EMIN)


def parse_decimal(value: object) -> Decimal | None:
    """Read a Decimal, an int, a float or a text; None for what is none or spells no number."""
    if isinstance(value, Decimal):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    # Decimal itself also reads "9_9", " 9 " and the digits of every script.
    if isinstance(value, str) and not (value.isascii() and NOT_PLAIN.isdisjoint(value)):
        return None
    try:
        return Decimal(str(value))
    except DecimalException:
        return None


def to_decimal(value: object, name: str = "number") -> Decimal:
    """Read a finite number from a Decimal, an int, a float or a text."""
    number = parse_decimal(value)
    if number is None or not number.is_finite() or abs(number.adjusted()) > MAX_MAGNITUDE:
        raise InvalidNumber(f"{name} must be a finite number, not {value!r}")
    return number


def to_amount(value: object, name: str = "amount") -> Decimal:
    """Read a number that is not below zero."""
    amount = to_decimal(value, name)
    if amount < ZERO:
        raise InvalidNumber(f"{name} must not be negative, not {value!r}")
    return amount


def to_price(value: object, name: str = "price") -> Decimal:
    """Read a number above zero."""
    price = to_decimal(value, name)
    if price <= ZERO:
        raise InvalidNumber(f"{name} must be positive, not {value!r}")
    return price


def round_half_even(numerator: int, denominator: int) -> int:
    """Return the whole number nearest to the quotient; a half goes to the even one."""
    whole, rest = divmod(numerator, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and whole % 2):
        return whole + 1
    return whole


class Scale:
    """Numbers as whole multiples of a step; `step` is normalised."""

    def __init__(self, step: object, name: str = "step") -> None:
        self.step = to_price(step, name).normalize(EXACT)
        self._numerator, self._denominator = self.step.as_integer_ratio()
        exponent = min(int(self.step.as_tuple().exponent), 0)
        self._exponent = Decimal(exponent)
        self._units = int(EXACT.scaleb(self.step, -exponent))

    def ratio(self, number: Decimal) -> tuple[int, int]:
        """Return number/step, exactly, as numerator and positive denominator."""
        numerator, denominator = number.as_integer_ratio()
        return numerator * self._denominator, denominator * self._numerator

    def nearest(self, number: Decimal) -> int:
        """Return the nearest count of steps, halves to even."""
        return round_half_even(*self.ratio(number))

    def up(self, number: Decimal) -> int:
        """Return the lowest count of steps that is not below the number."""
        numerator, denominator = self.ratio(number)
        return -(-numerator // denominator)

    def value(self, count: int) -> Decimal:
        """Return that many steps, with the decimals of the step."""
        return EXACT.scaleb(Decimal(count * self._units), self._exponent)


@dataclass(frozen=True)
class InstrumentInfo:
    """What the exchange accepts: steps and limits, in coins (`*qty*`) and in quote coin (tick)."""

    symbol: str
    qty_step: Decimal
    tick_size: Decimal
    min_qty: Decimal
    max_qty: Decimal

    def __post_init__(self) -> None:
        for name in ("qty_step", "tick_size"):
            object.__setattr__(self, name, to_price(getattr(self, name), name))
        for name in ("min_qty", "max_qty"):
            object.__setattr__(self, name, to_amount(getattr(self, name), name))
        if self.max_qty < self.min_qty:
            raise InvalidNumber(f"max_qty {self.max_qty} is below min_qty {self.min_qty}")

    @cached_property
    def _qty_scale(self) -> Scale:
        return Scale(self.qty_step, "qty_step")

    @cached_property
    def _price_scale(self) -> Scale:
        return Scale(self.tick_size, "tick_size")

    def round_qty(self, qty: Decimal) -> Decimal:
        """Return the quantity to order: rounded up, 0 if below the minimum, at most the maximum."""
        number = to_decimal(qty, "qty")
        if number <= ZERO:
            return ZERO
        rounded = self._qty_scale.value(self._qty_scale.up(number))
        if rounded < self.min_qty:
            return ZERO
        return min(rounded, self.max_qty)

    def round_price(self, price: Decimal) -> Decimal:
        """Return the price at the nearest tick, halves to the even tick."""
        return self._price_scale.value(self._price_scale.nearest(to_decimal(price, "price")))

    def to_dict(self) -> dict[str, str]:
        """Return all values as texts."""
        return {
            "symbol": self.symbol,
            "qty_step": str(self.qty_step),
            "tick_size": str(self.tick_size),
            "min_qty": str(self.min_qty),
            "max_qty": str(self.max_qty),
        }

    @classmethod
    def from_dict(cls, d: Mapping[str, Any]) -> InstrumentInfo:
        """Read what `to_dict` wrote."""
        return cls(
            symbol=d["symbol"],
            qty_step=to_decimal(d["qty_step"], "qty_step"),
            tick_size=to_decimal(d["tick_size"], "tick_size"),
            min_qty=to_decimal(d["min_qty"], "min_qty"),
            max_qty=to_decimal(d["max_qty"], "max_qty"),
        )

    @classmethod
    def from_bybit_response(
        cls, symbol: str, instrument: Mapping[str, Any]
    ) -> InstrumentInfo | None:
        """Read an item of Bybit's instruments-info; None, with a warning, when it is incomplete."""
        try:
            lot, price = instrument["lotSizeFilter"], instrument["priceFilter"]
            return cls(
                symbol, lot["qtyStep"], price["tickSize"], lot["minOrderQty"], lot["maxOrderQty"]
            )
        except (KeyError, TypeError, InvalidNumber) as error:
            # A tick that was made up would make prices that the exchange refuses, or worse, takes.
            logger.warning("Instrument %s cannot be read: %r", symbol, error)
            return None
