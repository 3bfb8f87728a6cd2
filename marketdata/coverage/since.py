"""Times as users type them: `2h` for two hours ago, or ISO 8601."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def moment(text: str, now: datetime) -> datetime:
    """The time that `text` means; without a zone it is UTC. Raises ValueError."""
    try:
        if ago := re.fullmatch(r"([0-9]{1,6})([smhdw])", text.strip()):
            return now - timedelta(**{UNITS[ago[2]]: int(ago[1])})
        at = datetime.fromisoformat(text.strip())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no time: write 30s, 15m, 2h, 7d, 1w, or 2026-01-31T12:00 (UTC)."
        ) from None
