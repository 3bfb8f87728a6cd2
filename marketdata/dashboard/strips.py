"""Coverage of a feed as a strip: what each stretch of a window is, and how it is drawn.

`pieces` is exact to the millisecond; `runs` is what fits on a screen. There each column is as bad
as the worst in it, so that an outage of a second in a day is still a column wide.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime
from enum import StrEnum
from itertools import pairwise
from typing import NamedTuple

from marketdata.coverage.spans import TICK, Span, clipped
from marketdata.models import CaptureGap, CoverageInterval, Stream

COLUMNS = 240


class State(StrEnum):
    """What is known of a stretch."""

    OPEN = "open"
    LOST = "lost"
    FILLED = "filled"
    COVERED = "covered"
    # Between the first and the last thing known of a feed, and nothing vouches for it.
    UNVOUCHED = "unvouched"
    UNKNOWN = "unknown"


WORDS = {
    State.OPEN: "open gap",
    State.LOST: "gap that cannot be filled",
    State.FILLED: "filled afterwards",
    State.COVERED: "covered live",
    State.UNVOUCHED: "not vouched for",
    State.UNKNOWN: "nothing known",
}
# Where several claims speak of an instant, the first of these counts.
PRECEDENCE = (
    State.OPEN,
    State.LOST,
    State.FILLED,
    State.COVERED,
    State.UNKNOWN,
    State.UNVOUCHED,
)
# What a column shows of all that lies in it.
WORST_FIRST = (
    State.OPEN,
    State.LOST,
    State.UNVOUCHED,
    State.FILLED,
    State.COVERED,
    State.UNKNOWN,
)
BADNESS = {state: place for place, state in enumerate(WORST_FIRST)}
# Bars in a strip that is 24 high: from where, and how high.
SHAPES = {
    State.OPEN: ((0, 24),),
    State.LOST: ((0, 6), (18, 6)),
    State.UNVOUCHED: ((9, 6),),
    State.FILLED: ((6, 4), (14, 4)),
    State.COVERED: ((6, 12),),
}
MISSING = frozenset(WORST_FIRST[:3])
OF_SOURCE = {
    CoverageInterval.Source.LIVE: State.COVERED,
    CoverageInterval.Source.REST: State.FILLED,
    CoverageInterval.Source.ARCHIVE: State.FILLED,
}


def of_gap(stream: str, state: str) -> State:
    """What a gap that is not filled is shown as; what a filled one held is an interval by now.

    Of orders REST has given the last states, and those in between are gone: nothing is left to do.
    Of what was pruned nothing is known any more.
    """
    if state == CaptureGap.State.PRUNED:
        return State.UNKNOWN
    gone = state == CaptureGap.State.PARTIAL and stream == Stream.ORDERS
    return State.LOST if gone or state == CaptureGap.State.UNFILLABLE else State.OPEN


class Piece(NamedTuple):
    """A stretch of one state, from `start` to just before `end`."""

    state: State
    start: datetime
    end: datetime

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start).total_seconds()


class Run(NamedTuple):
    """Columns of one state beside each other, from `first` to just before `end_column`."""

    state: State
    first: int
    end_column: int
    start: datetime
    end: datetime

    @property
    def path(self) -> str:
        """Its outline, in columns across and 24 units down: each state has a shape of its own."""
        width = self.end_column - self.first
        return "".join(f"M{self.first} {y}h{width}v{h}h-{width}z" for y, h in SHAPES[self.state])

    @property
    def words(self) -> str:
        """What it says to whoever points at it."""
        return f"{self.start:%m-%d %H:%M:%S} to {self.end:%m-%d %H:%M:%S}: {WORDS[self.state]}"


def pieces(window: Span, claims: Iterable[tuple[State, Span]]) -> list[Piece]:
    """The whole of `window` in order, each stretch in the state that counts; neighbours differ."""
    edges: list[tuple[datetime, int, State]] = []
    for state, claimed in claims:
        for span in clipped([claimed], window):
            edges += [(span.start, 1, state), (span.end + TICK, -1, state)]
    end = window.end + TICK
    edges += [(window.start, 0, State.UNKNOWN), (end, 0, State.UNKNOWN)]
    edges.sort(key=lambda edge: edge[0])
    active: Counter[State] = Counter()
    found: list[Piece] = []
    for (at, step, state), (until, *_) in pairwise(edges):
        active[state] += step
        if until > at:
            now = next((each for each in PRECEDENCE if active[each]), State.UNKNOWN)
            if found and found[-1].state == now:
                found[-1] = found[-1]._replace(end=until)
            else:
                found.append(Piece(now, at, until))
    return found


def share(found: Sequence[Piece]) -> float | None:
    """The complete part of what is known, from 0 to 1; None where nothing is known."""
    known = sum(piece.seconds for piece in found if piece.state != State.UNKNOWN)
    missing = sum(piece.seconds for piece in found if piece.state in MISSING)
    return 1 - missing / known if known else None


def runs(found: Sequence[Piece], columns: int = COLUMNS) -> list[Run]:
    """What is drawn: runs of columns; what is not known leaves the strip empty."""
    if not found:
        return []
    start, whole = found[0].start, found[-1].end - found[0].start
    worst = [State.UNKNOWN] * columns
    for piece in found:
        first = int((piece.start - start) / whole * columns)
        # The last column that holds an instant of it.
        last = max(first, -int((start - piece.end) / whole * columns // 1) - 1)
        for column in range(first, min(last + 1, columns)):
            worst[column] = min(worst[column], piece.state, key=BADNESS.__getitem__)
    drawn: list[Run] = []
    edges = [0, *(n for n in range(1, columns) if worst[n] != worst[n - 1]), columns]
    for left, right in pairwise(edges):
        if worst[left] != State.UNKNOWN:
            bounds = (start + whole * left / columns, start + whole * right / columns)
            drawn.append(Run(worst[left], left, right, *bounds))
    return drawn


def in_words(found: Sequence[Piece]) -> str:
    """The strip as a sentence, for whoever does not see it."""
    if not any(piece.state != State.UNKNOWN for piece in found):
        return "Nothing is known of this time."
    parts = []
    for state in WORST_FIRST[:-1]:
        those = [piece for piece in found if piece.state == state]
        if those:
            many = f" in {len(those)} pieces" if len(those) > 1 else ""
            parts.append(f"{WORDS[state]} {duration(sum(each.seconds for each in those))}{many}")
    if found[-1].state == State.UNKNOWN:
        parts.append(f"nothing since {found[-1].start:%m-%d %H:%M:%S}")
    return f"{', '.join(parts).capitalize()}."


def duration(seconds: float) -> str:
    """A time span for a person: two units at most."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{hours // 24} d {hours % 24} h"
