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

READABLE = (models.DecimalField, models.DateTimeField, models.JSONField, models.BooleanField)


@cache
def shown(options: Options[Any], name: str) -> str | Callable[[Any], Any]:
    """How the admin displays a column: Django's way, or a readable one under the same name."""
    field = options.get_field(name)
    if not isinstance(field, READABLE):
        return name

    @admin.display(description=str(field.verbose_name))
    def display(row: Any) -> Any:
        return readable(getattr(row, name))

    # The admin finds the help text of a read-only field by this name.
    display.__name__ = name
    return display


def readable(value: Any) -> Any:
    """A value as a person reads it: no trailing zeros, milliseconds, indented JSON."""
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
        return format_html("<pre>{}</pre>", json.dumps(value, indent=1, ensure_ascii=False))
    return value
