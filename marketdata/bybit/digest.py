"""A short hash of what the exchange said, however it wrote it down."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, Final

DIGEST_BYTES: Final = 16
_is_number = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,18})?").fullmatch


def digest_of(row: dict[str, Any]) -> str:
    """32 hex digits: equal for rows that say the same, whatever their keys' order.

    Numbers count by value: "1.50", "1.5" and, among integers, 7 and "7" are each one state.
    """
    text = json.dumps(_normal(row), sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def _normal(value: Any) -> Any:
    if isinstance(value, str):
        return _plain(value) if _is_number(value) else value
    if isinstance(value, bool) or value is None:
        return value
    if isinstance(value, int | float):
        return str(value)
    if isinstance(value, dict):
        return {key: _normal(inner) for key, inner in value.items()}
    return [_normal(inner) for inner in value]


def _plain(text: str) -> str:
    """The number without zeros that say nothing, and zero without a sign."""
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    sign = "-" if text.startswith("-") else ""
    whole, point, decimals = text.removeprefix("-").partition(".")
    whole = whole.lstrip("0") or "0"
    return "0" if (whole, decimals) == ("0", "") else f"{sign}{whole}{point}{decimals}"
