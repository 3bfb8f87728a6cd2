"""The hours that are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils.dateparse import parse_datetime

from marketdata.coverage.spans import TICK, Span

HOURS = (1, 6, 24, 72, 168)
DEFAULT_HOURS = 6
# A step of the axis is one of these many minutes: at most a dozen labels.
STEPS = (5, 10, 30, 60, 120, 360, 720, 1440)
MOST_LABELS = 9


@dataclass(frozen=True)
class Window:
    """`hours` up to `end`, on whole milliseconds; `is_past` where somebody chose the end."""

    hours: int
    end: datetime
    is_past: bool = False
    problem: str = ""

    @property
    def start(self) -> datetime:
        """Where it begins."""
        return self.end - timedelta(hours=self.hours)

    @property
    def span(self) -> Span:
        """Its instants, the end not included."""
        return Span(self.start, self.end - TICK)

    @classmethod
    def asked(cls, query: Mapping[str, str], now: datetime) -> Window:
        """What a query string asks for with `hours` and `until` (UTC); what is unreadable is said."""
        given = query.get("hours", str(DEFAULT_HOURS))
        hours = int(given) if given in map(str, HOURS) else DEFAULT_HOURS
        end, is_past, problem = now, False, ""
        if given != str(hours):
            problem = f"Hours are one of {', '.join(map(str, HOURS))}: these are {hours}."
        if text := query.get("until", ""):
            try:
                end, is_past = _moment(text, hours), True
            except ValueError:
                problem = "The end is no time: these are the last hours."
        return cls(hours, end.replace(microsecond=end.microsecond // 1000 * 1000), is_past, problem)

    def moments(self, count: int) -> list[datetime]:
        """`count` instants, evenly spread, the last of them the end."""
        step = (self.end - self.start) / (count - 1)
        return [self.start + step * n for n in range(count)]

    def place(self, at: datetime) -> float:
        """How far into the window `at` is, from 0 to 1; beyond it, its edge."""
        return min(max((at - self.start) / (self.end - self.start), 0.0), 1.0)

    def labels(self) -> list[tuple[str, str]]:
        """The axis of time: places in percent, and what stands there."""
        minutes = next(step for step in STEPS if self.hours * 60 / step <= MOST_LABELS)
        step = timedelta(minutes=minutes)
        midnight = self.start.replace(hour=0, minute=0, second=0, microsecond=0)
        at = midnight + step * ((self.start - midnight) // step + 1)
        found = []
        while at < self.end:
            # A label at the very edge would be cut off.
            if 0.02 < self.place(at) < 0.98:
                days = minutes >= 360 and not at.hour
                found.append(
                    (f"{100 * self.place(at):.2f}%", f"{at:%d %b}" if days else f"{at:%H:%M}")
                )
            at += step
        return found


def _moment(text: str, hours: int) -> datetime:
    """A time, UTC where it says nothing else; ValueError for none, or one too early to look back from."""
    at = parse_datetime(text)
    if at is None:
        raise ValueError("no time")
    try:
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        # The row before the window, and the minute that rates are of.
        _ = at - timedelta(hours=hours + 1), at + timedelta(days=1)
    except OverflowError as error:
        raise ValueError("beyond the calendar") from error
    return at
