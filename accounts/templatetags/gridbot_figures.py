"""Figures in templates, as the lists show them."""

from __future__ import annotations

from typing import Any

from django import template

from accounts.display import coloured_amount, coloured_side, readable

register = template.Library()


@register.filter
def figure(value: Any) -> Any:
    """A number in plain notation without trailing zeros; a dash for None."""
    return readable(value)


@register.filter
def amount(value: Any) -> Any:
    """A profit or loss with its sign and colour; a dash for None."""
    return coloured_amount(value)


@register.filter
def side(value: str) -> str:
    """Buy or Sell in its colour."""
    return coloured_side(value)
