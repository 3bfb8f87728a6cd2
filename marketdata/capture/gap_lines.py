"""Gaps in the log: one line for those of a stream that begin, or end, together."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Final

from marketdata.log_events import GAP_CLOSED, GAP_OPENED

if TYPE_CHECKING:
    from marketdata.capture.open_gaps import OpenGap

logger = logging.getLogger(__name__)

MOST_NAMES: Final = 5


def tell_of_gaps(stored: Iterable[tuple[OpenGap, bool, datetime | None]]) -> None:
    """Log gaps that were stored just now, each with whether it is a new one, and its end."""
    opened: dict[tuple[object, ...], list[OpenGap]] = {}
    closed: dict[tuple[object, ...], dict[datetime, list[OpenGap]]] = {}
    for gap, is_new, ended_at in stored:
        key = (gap.feed.stream, gap.feed.account_id, gap.reason)
        if is_new:
            opened.setdefault(key, []).append(gap)
        if ended_at is not None:
            closed.setdefault(key, {}).setdefault(ended_at, []).append(gap)
    for (stream, _, reason), gaps in opened.items():
        GAP_OPENED.log(
            logger,
            "%s is not captured: %s",
            *(stream, reason),
            **_of(gaps),
            stream=stream,
            reason=reason,
        )
    for (stream, _, _), ends in closed.items():
        gaps = [gap for ended in ends.values() for gap in ended]
        longest = max(end - gap.started_at for end, ended in ends.items() for gap in ended)
        GAP_CLOSED.log(
            logger,
            "%s is captured again",
            stream,
            **_of(gaps),
            stream=stream,
            until=max(ends),
            seconds=longest.total_seconds(),
        )


def _of(gaps: list[OpenGap]) -> dict[str, object]:
    names = sorted({gap.feed.symbol for gap in gaps} - {""})
    more = [f"and {len(names) - MOST_NAMES} more"] * (len(names) > MOST_NAMES)
    return {
        "symbol": ",".join([*names[:MOST_NAMES], *more]),
        # All of them are of one account, or of none.
        "account": gaps[0].account,
        "gaps": len(gaps),
        "since": min(gap.started_at for gap in gaps),
    }
