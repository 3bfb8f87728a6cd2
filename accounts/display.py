"""How the admin shows what programs wrote: figures, times and JSON as a person reads them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models.options import Options
from django.utils.html import format_html

from accounts.redaction import redacted, without_secrets

READABLE = (models.DecimalField, models.DateTimeField, models.JSONField, models.BooleanField)
SIDES = {"Buy": "side-buy", "Sell": "side-sell"}


@cache
def shown(options: Options[Any], name: str) -> str | Callable[[Any], Any]:
    """How the admin displays a column: Django's way, or a readable one under the same name."""
    field: Any = options.get_field(name)
    show = _way_of_showing(field)
    if show is None:
        return name

    @admin.display(description=str(field.verbose_name))
    def display(row: Any) -> Any:
        return show(getattr(row, name))

    # The admin finds the help text of a read-only field by this name.
    display.__name__ = name
    return display


def _way_of_showing(field: Any) -> Callable[[Any], Any] | None:
    if field.name == "side":
        return coloured_side
    if field.name.endswith("pnl"):
        return coloured_amount
    if isinstance(field, models.TextField):
        return redacted_text
    return readable if isinstance(field, READABLE) else None


def readable(value: Any) -> Any:
    """A value as a person reads it: no trailing zeros, milliseconds, indented JSON, no secrets."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        # Django's red cross looks like a fault, and most flags of a fact are off.
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        text = f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}"
        return format_html('<span class="nowrap">{}</span>', text)
    if isinstance(value, dict | list):
        return format_html("<pre>{}</pre>", _indented(value))
    return value


def coloured_side(value: str) -> str:
    """Buy or Sell in its colour; anything else as it is."""
    name = SIDES.get(value)
    return format_html('<span class="{}">{}</span>', name, value) if name else value or "-"


def coloured_amount(value: Decimal | None) -> str:
    """A profit in green and with its plus, a loss in red: the sign is there without the colour."""
    if not value:
        return str(readable(value))
    text = readable(value)
    if value > 0:
        return format_html('<span class="gain">+{}</span>', text)
    return format_html('<span class="loss">{}</span>', text)


def redacted_text(text: str) -> str:
    """A text as received: JSON indented, and anything else with what looks like a secret gone."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict | list):
        return format_html("<pre>{}</pre>", _indented(value))
    return format_html("<pre>{}</pre>", without_secrets(text))


def _indented(value: Any) -> str:
    return json.dumps(redacted(value), indent=1, ensure_ascii=False)
