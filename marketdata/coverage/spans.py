"""Spans of time and what can be done with them: closed at both ends, on whole milliseconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

# The exchange's times are whole milliseconds: spans so far apart leave nothing between them.
TICK = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Span:
    """From `start` to `end`, both included; aware UTC."""

    start: datetime
    end: datetime

    def within(self, start: datetime, end: datetime | None) -> Span:
        """The part of it that lies from `start` to `end`, which may be open."""
        return Span(max(self.start, start), self.end if end is None else min(self.end, end))

    @property
    def seconds(self) -> float:
        """How long it is; an instant is nothing."""
        return (self.end - self.start).total_seconds()

    def meets(self, other: Span) -> bool:
        """Whether they overlap or touch."""
        return self.start <= other.end + TICK and other.start <= self.end + TICK


def hull(spans: Iterable[Span]) -> Span | None:
    """The span from the first start to the last end."""
    known = list(spans)
    if not known:
        return None
    return Span(min(span.start for span in known), max(span.end for span in known))


def union(spans: Iterable[Span]) -> list[Span]:
    """The same time in as few spans as possible, in order; what touches is joined."""
    joined: list[Span] = []
    for span in sorted(spans, key=lambda span: span.start):
        if joined and joined[-1].meets(span):
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return joined


def minus(spans: Iterable[Span], taken: Iterable[Span]) -> list[Span]:
    """What of `spans` lies in none of `taken`, in order."""
    left = []
    holes = union(taken)
    for span in union(spans):
        start = span.start
        for hole in holes:
            if hole.end < start or hole.start > span.end:
                continue
            if hole.start > start:
                left.append(Span(start, hole.start - TICK))
            start = hole.end + TICK
        if start <= span.end:
            left.append(Span(start, span.end))
    return left


def clipped(spans: Iterable[Span], bounds: Span) -> list[Span]:
    """The parts of `spans` within `bounds`."""
    parts = (span.within(bounds.start, bounds.end) for span in spans)
    return [part for part in parts if part.start <= part.end]


def on_ticks(start: datetime, end: datetime) -> Span | None:
    """The whole milliseconds from `start` to `end`, both included; None when there are none."""
    over = timedelta(microseconds=-start.microsecond % 1000)
    under = timedelta(microseconds=end.microsecond % 1000)
    first, last = start + over, end - under
    return Span(first, last) if first <= last else None
