"""What a drill found: faults with their times, and what is wrong, in rows, seconds and words."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from marketdata.demo.result import Verdict

# Of each kind of wrong rows and each fault, so many are shown.
EXAMPLES = 2


@dataclass
class Fault:
    """One fault as it happened; `recovered` is when rows made after its end were stored again."""

    number: str
    name: str
    began: datetime
    note: str = ""
    ended: datetime | None = None
    recovered: datetime | None = None
    fired: bool = True

    @property
    def lasted(self) -> float:
        """Seconds from its beginning to its end."""
        return (self.ended - self.began).total_seconds() if self.ended else 0.0

    @property
    def recovery(self) -> float | None:
        """Seconds from its end until capture was whole again."""
        if self.ended is None or self.recovered is None:
            return None
        return (self.recovered - self.ended).total_seconds()


@dataclass
class DrillVerdict(Verdict):
    """The verdict on a drill; `by_fault` has the figures of each fault, -1 of what came before.

    `excess` are the seconds by which each gap that declares rows is longer than the faults in it,
    `declared_seconds` its length within the run; `vouched` is the share of feeds and time that coverage
    intervals vouch for.
    """

    by_fault: dict[int, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    declared_seconds: list[float] = field(default_factory=list)
    excess: list[float] = field(default_factory=list)
    vouched: float = 0.0
    facts: int = 0

    def blame(self, faults: Sequence[Fault], kind: str, at: datetime, example: Any = None) -> None:
        """Count one row of `kind` under the fault that its time belongs to."""
        index = bisect_right(faults, at, key=lambda fault: fault.began) - 1
        counts = self.by_fault[index]
        counts[kind] += 1
        setattr(self, kind, getattr(self, kind) + 1)
        if kind != "declared" and counts[kind] <= EXAMPLES:
            whose = f" (after {faults[index].number} {faults[index].name})" if index >= 0 else ""
            self.problems.append(f"{kind}: {example}{whose}")


@dataclass
class Window:
    """A span in which capture may have gaps."""

    start: datetime
    end: datetime

    def meets(self, start: datetime, end: datetime | None) -> bool:
        """Whether a span has anything in common with it; one without an end goes on."""
        return start <= self.end and (end is None or end >= self.start)


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value below which `share` of them lie: the nearest rank; None without any."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def windows_of(faults: Sequence[Fault], until: datetime, slack: timedelta) -> list[Window]:
    """When capture had a reason for a gap: from each fault until it had recovered."""
    return [Window(fault.began - slack, (fault.recovered or until) + slack) for fault in faults]
