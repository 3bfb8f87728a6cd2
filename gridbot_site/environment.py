"""Settings read from the environment: what is malformed is refused by its name.

Every error is ImproperlyConfigured, which manage.py answers with one sentence and exit code 4.
django-environ alone would take any unknown word for "false", and testnet is a flag.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import environ
from django.core.exceptions import ImproperlyConfigured

TRUE = frozenset({"true", "yes", "on", "1", "y", "t"})
FALSE = frozenset({"false", "no", "off", "0", "n", "f", ""})
TOKEN_LENGTH = 32
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

env = environ.Env()
T = TypeVar("T")


def flag(name: str, *, default: bool) -> bool:
    """A yes or a no."""
    text = env.str(name, default=str(default)).strip().lower()
    if text not in TRUE | FALSE:
        raise ImproperlyConfigured(f"{name} must be true or false, not {text!r}.")
    return text in TRUE


def whole_number(name: str, *, default: int, least: int) -> int:
    """A whole number that is not below `least`."""
    text = env.str(name, default=str(default)).strip()
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise ImproperlyConfigured(f"{name} must be a whole number, {least} or more, not {text!r}.")
    return number


def seconds(name: str, *, default: float, positive: bool = True) -> float:
    """A finite number of seconds, above zero unless `positive` is false."""
    text = env.str(name, default=str(default)).strip()
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number < 0 or (positive and number == 0):
        least = "above 0" if positive else "0 or more"
        raise ImproperlyConfigured(f"{name} must be a number of seconds, {least}, not {text!r}.")
    return number


def words(name: str, *, default: list[str]) -> list[str]:
    """A comma separated list, without the blanks around its items."""
    items: list[str] = env.list(name, default=default)
    return [item.strip() for item in items if item.strip()]


def token(text: str) -> str:
    """A secret that opens something to whoever shows it. Raises ValueError for a short one."""
    if text and len(text) < TOKEN_LENGTH:
        raise ValueError(f"it must have {TOKEN_LENGTH} characters or more, at random.")
    return text


def one_of(name: str, choices: Sequence[str], *, default: str) -> str:
    """One of some words."""
    word: str = env.str(name, default=default).strip().lower()
    if word not in choices:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(choices)}, not {word!r}.")
    return word


def log_level(name: str, *, default: str) -> str:
    """The name of a logging level."""
    level: str = env.str(name, default=default).strip().upper()
    if level not in LOG_LEVELS:
        raise ImproperlyConfigured(f"{name} must be one of {', '.join(LOG_LEVELS)}, not {level!r}.")
    return level


def configured(read: Callable[[], T], *, name: str = "") -> T:
    """What `read` returns; its ValueError becomes a configuration error, led by `name`."""
    try:
        return read()
    except ValueError as error:
        raise ImproperlyConfigured(f"{name}: {error}" if name else str(error)) from None
