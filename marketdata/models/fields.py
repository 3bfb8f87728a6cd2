"""The columns that facts share."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models


def decimal_field(**kwargs: Any) -> models.DecimalField[Any, Any]:
    """A price, a size or an amount: 18 digits before the point, 12 after it."""
    return models.DecimalField(max_digits=30, decimal_places=12, **kwargs)


def symbol_field(**kwargs: Any) -> models.CharField[Any, Any]:
    """A contract's name, for example BTCUSDT."""
    return models.CharField(max_length=32, **kwargs)


def plain(number: Decimal) -> str:
    """A number as a row's name shows it: no exponent, no trailing zeros."""
    return f"{Decimal(number).normalize():f}"


class Side(models.TextChoices):
    """Bybit's words for the two sides."""

    BUY = "Buy"
    SELL = "Sell"
