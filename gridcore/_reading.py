"""Reading what the book is given: values as they are kept, or an error naming field and value."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import TypeVar

from gridcore.errors import InvalidNumber, InvalidOrder
from gridcore.instrument import MAX_MAGNITUDE, ZERO, Scale, to_price

T = TypeVar("T")
# Every price and quantity that `to_price` accepts is at LOWEST or above it, and below HIGHEST.
LOWEST = Decimal(f"1E-{MAX_MAGNITUDE}")
HIGHEST = Decimal(f"1E+{MAX_MAGNITUDE + 1}")


def is_plain(value: object) -> bool:
    """Whether the value is a Decimal that `to_price` would accept; a cheap question."""
    return type(value) is Decimal and value.is_finite() and LOWEST < value < HIGHEST


def read_text(name: str, value: object) -> str:
    """Return a text."""
    if not isinstance(value, str):
        raise InvalidOrder(f"{name} must be a text, not {value!r}")
    return value


def read_member(name: str, value: T, known: Sequence[T]) -> T:
    """Return the one that equals the value: of an enum's member, its plain text."""
    if value not in known:
        raise InvalidOrder(f"{name} must be one of {', '.join(map(str, known))}, not {value!r}")
    return known[known.index(value)]


def read_limit(scale: Scale, price: object) -> tuple[Decimal, int]:
    """Return an order's price, as the tick spells it, and its ticks."""
    number = to_price(price)
    numerator, denominator = scale.ratio(number)
    if numerator % denominator:
        raise InvalidOrder(f"price must be whole ticks of {scale.step}, not {number}")
    ticks = numerator // denominator
    return scale.value(ticks), ticks


def read_share(name: str, value: object, most: Decimal) -> Decimal:
    """Return a fill model's answer: how much of an order is filled."""
    if not (isinstance(value, Decimal) and value.is_finite() and ZERO <= value <= most):
        raise InvalidNumber(f"{name} must answer a Decimal from 0 to {most}, not {value!r}")
    return value
