"""A column for numbers whose digits nobody knows beforehand."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.db import models

# Far more than the arithmetic of a backtest makes; validation alone looks at them.
DIGITS, PLACES = 1000, 500


class ExactDecimalField(models.DecimalField):  # type: ignore[type-arg]
    """A decimal kept to its last digit: PostgreSQL's numeric without a scale, SQLite's text.

    An average entry is a quotient of 28 digits, and a profit has more of them: a column with a
    scale would round, and SQLite's own decimals end at 15 digits. Text does not sort by value.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "max_digits": DIGITS, "decimal_places": PLACES})

    def deconstruct(self) -> Any:
        """Leave out what is the same for all."""
        name, path, args, kwargs = super().deconstruct()
        del kwargs["max_digits"], kwargs["decimal_places"]
        return name, path, args, kwargs

    def get_internal_type(self) -> str:
        """Not Django's decimal, which a backend reads in ways of its own."""
        return "ExactDecimalField"

    def db_type(self, connection: Any) -> str:
        """Return the type of the column."""
        return "numeric" if connection.vendor == "postgresql" else "text"

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        """Hand over the number, or its digits."""
        number = self.to_python(value)
        if number is None or connection.vendor == "postgresql":
            return number
        return f"{number:f}"

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        """As for a comparison: there is nothing to round."""
        if hasattr(value, "as_sql"):
            return value
        return self.get_db_prep_value(value, connection)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        """Return the number that was stored."""
        return None if value is None else Decimal(value)
