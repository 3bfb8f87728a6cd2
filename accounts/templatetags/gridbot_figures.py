"""Figures in templates, as the lists show them."""

from __future__ import annotations

from typing import Any

from django import template

from accounts.display import readable

register = template.Library()


@register.filter
def figure(value: Any) -> Any:
    """A number in plain notation without trailing zeros; a dash for None."""
    return readable(value)
