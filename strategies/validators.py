"""What a strategy's configuration may hold."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError

from strategies.config import StrategyConfig

NO_OBJECT = 'The configuration is a JSON object, like {"grid_count": 50}.'


def validate_strategy_config(value: Any) -> None:
    """Refuse what the core would refuse, naming the key and the value."""
    if not isinstance(value, dict):
        raise ValidationError(NO_OBJECT)
    try:
        StrategyConfig.from_json(value)
    except ValueError as error:
        raise ValidationError(f"{error}.") from None
