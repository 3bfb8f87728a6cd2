"""Figures in templates, as the lists show them."""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Any

from django import template

from accounts.display import coloured_amount, coloured_side, readable

register = template.Library()

# What an average price is known to, and a glance takes in.
SIGNIFICANT = Context(prec=7)


@register.filter
def figure(value: Any) -> Any:
    """A number in plain notation without trailing zeros; a dash for None."""
    return readable(value)


@register.filter
def short(value: Decimal | None) -> Decimal | None:
    """A number rounded to seven significant digits."""
    return None if value is None else SIGNIFICANT.plus(value)


@register.filter
def amount(value: Any) -> Any:
    """A profit or loss with its sign and colour; a dash for None."""
    return coloured_amount(value)


@register.filter
def side(value: str) -> str:
    """Buy or Sell in its colour."""
    return coloured_side(value)
