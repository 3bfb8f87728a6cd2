"""The hours that are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.utils.dateparse import parse_datetime

from marketdata.coverage.spans import TICK, Span

# What may be asked for, and how it is called.
LENGTHS = {
    "5m": (timedelta(minutes=5), "5 minutes"),
    "15m": (timedelta(minutes=15), "15 minutes"),
    "1h": (timedelta(hours=1), "hour"),
    "6h": (timedelta(hours=6), "6 hours"),
    "24h": (timedelta(hours=24), "24 hours"),
    "3d": (timedelta(days=3), "3 days"),
    "7d": (timedelta(days=7), "7 days"),
}
DEFAULT = "6h"
LONGEST = max(length for length, _ in LENGTHS.values())
# Minutes from one label of the axis to the next.
STEPS = (1, 2, 5, 10, 30, 60, 180, 360, 720, 1440)
MOST_LABELS = 9


@dataclass(frozen=True)
class Window:
    """A length up to `end`, on whole milliseconds; `is_past` where somebody chose the end."""

    last: str
    end: datetime
    is_past: bool = False
    problem: str = ""

    @property
    def length(self) -> timedelta:
        """How long it is."""
        return LENGTHS[self.last][0]

    @property
    def words(self) -> str:
        """Its length in words, without the number one."""
        return LENGTHS[self.last][1]

    @property
    def start(self) -> datetime:
        """Where it begins."""
        return self.end - self.length

    @property
    def span(self) -> Span:
        """Its instants, the end not included."""
        return Span(self.start, self.end - TICK)

    @classmethod
    def asked(cls, query: Mapping[str, str], now: datetime) -> Window:
        """What a query string asks for with `last` and `until` (UTC); what is unreadable is said."""
        last, problem = query.get("last", DEFAULT), ""
        if last not in LENGTHS:
            last, problem = DEFAULT, f"The length is one of {', '.join(LENGTHS)}."
        end, is_past = now, False
        if text := query.get("until", ""):
            try:
                end, is_past = _moment(text), True
            except ValueError:
                problem = "The end is no time: this is what was last."
            if end > now:
                # As of whoever forgot that times are UTC: nothing would seem to come in.
                end, is_past = now, False
                problem = (
                    f"It is {now:%H:%M} UTC, and that end is yet to come: this is what was last."
                )
        end = end.replace(microsecond=end.microsecond // 1000 * 1000)
        return cls(last, end, is_past, problem)

    def moments(self, count: int) -> list[datetime]:
        """`count` instants, evenly spread, the last of them the end."""
        step = (self.end - self.start) / (count - 1)
        return [self.start + step * n for n in range(count)]

    def place(self, at: datetime) -> float:
        """How far into the window `at` is, from 0 to 1; beyond it, its edge."""
        return min(max((at - self.start) / (self.end - self.start), 0.0), 1.0)

    def labels(self) -> list[tuple[str, str]]:
        """The axis of time: places in percent, and what stands there."""
        minutes = next(
            step for step in STEPS if self.length / timedelta(minutes=step) <= MOST_LABELS
        )
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


def _moment(text: str) -> datetime:
    """A time, UTC where it says nothing else; ValueError for none, or one at the calendar's ends."""
    at = parse_datetime(text)
    if at is None:
        raise ValueError("no time")
    try:
        at = at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
        _ = at - 2 * LONGEST, at + LONGEST
    except OverflowError as error:
        raise ValueError("beyond the calendar") from error
    return at
