"""Spans of time, both ends included, and whether a moment lies in one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from datetime import UTC, datetime

FOREVER = datetime.max.replace(tzinfo=UTC)


class Spans:
    """A union of spans; one whose end is None goes on for ever."""

    def __init__(self, spans: Iterable[tuple[datetime, datetime | None]]) -> None:
        self._starts: list[datetime] = []
        self._ends: list[datetime] = []
        for start, end in sorted((start, end or FOREVER) for start, end in spans):
            if self._ends and start <= self._ends[-1]:
                self._ends[-1] = max(self._ends[-1], end)
            else:
                self._starts.append(start)
                self._ends.append(end)

    def __contains__(self, at: datetime) -> bool:
        return self.around(at) is not None

    def around(self, at: datetime) -> tuple[datetime, datetime] | None:
        """The span that holds a moment."""
        index = bisect_right(self._starts, at) - 1
        if index < 0 or at > self._ends[index]:
            return None
        return self._starts[index], self._ends[index]

    def seconds_within(self, start: datetime, end: datetime) -> float:
        """How much of a window they fill, in seconds."""
        pieces = zip(self._starts, self._ends, strict=True)
        overlaps = ((min(last, end) - max(first, start)).total_seconds() for first, last in pieces)
        return sum(seconds for seconds in overlaps if seconds > 0)
