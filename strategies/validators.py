"""What a strategy's configuration may hold."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from django.core.exceptions import ValidationError

from gridcore import GridConfig

NO_OBJECT = 'The configuration is a JSON object, like {"grid_count": 50}.'


def validate_strategy_config(value: Any) -> None:
    """Refuse what GridConfig would refuse, naming the key and the value."""
    if not isinstance(value, dict):
        raise ValidationError(NO_OBJECT)
    known = [field.name for field in fields(GridConfig)]
    if unknown := sorted(map(str, set(value) - set(known))):
        raise ValidationError(f"Unknown key {unknown[0]!r}; the keys are {', '.join(known)}.")
    try:
        GridConfig(**value)
    except ValueError as error:
        raise ValidationError(f"{error}.") from None
