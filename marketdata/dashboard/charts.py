"""The geometry of charts: numbers and times in, places in percent out; it draws nothing.

A template makes SVG of it on the server, so that a chart needs no script and no library, obeys a
policy that allows neither inline styles nor scripts, and is as accessible as its words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from marketdata.dashboard.window import Window

# The box that a line is drawn in, stretched to its place by the browser.
BOX = 1000
NICE = (Decimal(1), Decimal(2), Decimal("2.5"), Decimal(5), Decimal(10))
Point = tuple[datetime, Decimal]


class Tick(NamedTuple):
    """A line across the chart, `at` percent from the top or left, and its label."""

    at: str
    label: str


@dataclass(frozen=True)
class Scale:
    """From the value at the bottom to the one at the top."""

    low: Decimal
    high: Decimal

    @classmethod
    def around(cls, values: Sequence[Decimal]) -> Scale:
        """A scale with some room beyond the values, of which there is at least one."""
        low, high = min(values), max(values)
        room = (high - low) * Decimal("0.06") or abs(high) * Decimal("0.001") or Decimal(1)
        return cls(low - room, high + room)

    def place(self, value: Decimal) -> float:
        """How far from the top it is, from 0 to 1; beyond the scale, its edge."""
        return min(max(float((self.high - value) / (self.high - self.low)), 0.0), 1.0)

    def holds(self, value: Decimal) -> bool:
        """Whether it lies on the scale."""
        return self.low <= value <= self.high

    def ticks(self, most: int = 5) -> list[Tick]:
        """Round values within, at most so many."""
        rough = (self.high - self.low) / most
        power = Decimal(1).scaleb(rough.adjusted())
        step = next(power * nice for nice in NICE if power * nice >= rough)
        value = (self.low // step) * step
        found = []
        while value <= self.high:
            if value >= self.low:
                decimals = max(-step.normalize().as_tuple().exponent, 0)  # type: ignore[operator]
                found.append(Tick(f"{100 * self.place(value):.2f}%", f"{value:,.{decimals}f}"))
            value += step
        return found


def line(
    points: Sequence[Point], window: Window, scale: Scale, *, longest: timedelta | None = None
) -> str:
    """A path through the points; between two that are further apart than `longest` it breaks."""
    drawn: list[str] = []
    before: datetime | None = None
    for at, value in points:
        breaks = before is None or (longest is not None and at - before > longest)
        drawn.append(f"{'M' if breaks else 'L'}{_at(at, value, window, scale)}")
        before = at
    return " ".join(drawn)


def steps(points: Sequence[Point], window: Window, scale: Scale) -> str:
    """A path on which each value holds until the next, and the last until the window's end."""
    if not points:
        return ""
    drawn = [f"M{_at(*points[0], window, scale)}"]
    for at, value in points[1:]:
        drawn.append(f"H{BOX * window.place(at):.1f} V{BOX * scale.place(value):.1f}")
    return " ".join([*drawn, f"H{BOX}"])


def _at(at: datetime, value: Decimal, window: Window, scale: Scale) -> str:
    return f"{BOX * window.place(at):.1f} {BOX * scale.place(value):.1f}"
