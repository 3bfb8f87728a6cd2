"""Times as users type them: `2h` for two hours ago, or ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
AGE = re.compile(r"([0-9]{1,6})([smhdw])")


def age(text: str) -> timedelta:
    """The age that `text` means: `90d`, `12h`. Raises ValueError."""
    if ago := AGE.fullmatch(text.strip()):
        return timedelta(**{UNITS[ago[2]]: int(ago[1])})
    raise ValueError(f"{text!r} is no age: write 12h, 7d, or 4w.")


def moment(text: str, now: datetime) -> datetime:
    """The time that `text` means; without a zone it is UTC. Raises ValueError."""
    try:
        if AGE.fullmatch(text.strip()):
            return now - age(text)
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no time: write 30s, 15m, 2h, 7d, 1w, or 2026-01-31T12:00 (UTC)."
        ) from None
