"""Gaps, and the lives between them: per stream and symbol, or stream and account.

A life is a time in which nothing can have been missed: from the first row after subscribing to
the frontier, behind which nothing is still to come. A gap is what lies between two lives: from
the frontier of one to the first row of the next, both included. Rows move the frontier, and so
does whatever else the connection brings with the exchange's time (`beat`), as far as that may
be trusted: one topic may be silent while others live. So REST audits what is claimed, and is
asked early of a symbol that is `quiet` for long (audits.py).

Rows are noted on socket threads, in memory; the database is written by `persist`, which
whoever runs capture calls. What is not written when a process dies is covered by the gap that
the next start opens from where the last vouched span ended.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import NamedTuple

from django.db import transaction

from marketdata.capture.feeds import BEAT_MARGIN, CLOCK_MARGIN, TICK, Feed, Life, Quiet, whole
from marketdata.capture.gap_lines import tell_of_gaps
from marketdata.capture.open_gaps import OpenGap, left_open
from marketdata.capture.overlaps import Overlap
from marketdata.coverage.spans import Span

SKIPPED = "the stream did not bring what was before the latest that REST shows"


class _Trial(NamedTuple):
    """A connection that may end a gap without a row: `since` is a time it brought, and from
    `ends_at` on nothing can be missing."""

    connection: datetime
    since: datetime
    ends_at: datetime | None = None


class GapBook:
    """Opens and closes the gaps of streams."""

    def __init__(self, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = now
        self._lock = threading.RLock()
        self._last_row_at: dict[Feed, datetime] = {}
        self._open: dict[Feed, OpenGap] = {}
        self._ended: list[OpenGap] = []
        self._lives: dict[Feed, Life] = {}
        self._over: list[Life] = []
        self._trials: dict[Feed, _Trial] = {}
        self._listened_since: dict[Feed, datetime] = {}
        self._overlaps: dict[Feed, list[Overlap]] = {}
        self._disproved: list[tuple[Feed, Span]] = []
        self.opened = 0

    def resume(self, feeds: Iterable[Feed]) -> None:
        """Take over the gaps of `feeds` that a capture which died has left without an end."""
        gaps = left_open(feeds)
        with self._lock:
            self._open.update((gap.feed, gap) for gap in gaps)

    def note_rows(self, feed: Feed, first_at: datetime, last_at: datetime) -> None:
        """Rows of `feed` arrived: they end its gap, and the next one would begin after them."""
        with self._lock:
            newest = self._last_row_at.get(feed)
            is_newer = newest is None or last_at > newest
            if is_newer:
                self._last_row_at[feed] = last_at
            gap = self._open.get(feed)
            if gap is not None:
                # A row that is sent again says nothing of what was sent meanwhile.
                if not (is_newer and (last_at >= gap.started_at or gap.is_guess)):
                    return
                gap.started_at = min(gap.started_at, first_at) if gap.is_guess else gap.started_at
                is_first = first_at >= gap.started_at and (newest is None or first_at > newest)
                # What was made before anybody listened may be as much newer than a row that is late.
                self._end(gap, (first_at if is_first else last_at) + feed.lateness)
            life = self._lives.get(feed)
            if life is None:
                began = (gap.ended_at if gap is not None else None) or first_at + feed.lateness
                # The gap has its last millisecond; without one nobody has the first.
                frontier = first_at - feed.lateness if gap is None else began + TICK
                frontier = min(frontier, self._latest())
                life = self._lives[feed] = Life(feed, began + TICK, frontier)
            life.newest = max(last_at, life.newest or last_at)
            life.reach(last_at - feed.lateness, self._latest())
            if is_newer:
                for overlap in self._overlaps.get(feed, ()):
                    overlap.note_rows(first_at)
            self._decide_overlaps(feed)

    def beat(self, feeds: Iterable[Feed], at: datetime, connection: datetime) -> None:
        """A connection that is subscribed to `feeds` has brought something of the exchange's
        time `at`: of a quiet feed nothing much older is still to come.

        `connection` tells one connection from the next. A gap, or the time before the first
        row, ends without a row when what came after subscribing is surely later than that.
        """
        at = whole(at)
        with self._lock:
            for feed in feeds:
                life = self._lives.get(feed)
                if life is not None:
                    life.reach(at - BEAT_MARGIN, self._latest())
                    self._decide_overlaps(feed)
                    continue
                trial = self._trials.get(feed)
                if trial is None or trial.connection != connection:
                    self._trials[feed] = _Trial(connection, at)
                elif trial.ends_at is None and at > trial.since:
                    self._trials[feed] = trial._replace(ends_at=at + BEAT_MARGIN)
                elif trial.ends_at is not None and at - BEAT_MARGIN > trial.ends_at:
                    self._begin_without_rows(feed, trial.ends_at, at - BEAT_MARGIN)

    def _begin_without_rows(self, feed: Feed, starts_at: datetime, frontier: datetime) -> None:
        gap = self._open.get(feed)
        if gap is not None:
            if gap.started_at > starts_at and not gap.is_guess:
                return
            gap.started_at = min(gap.started_at, starts_at)
            self._end(gap, starts_at)
        sure = min(frontier, self._latest())
        self._lives[feed] = Life(feed, starts_at + TICK, sure)

    def open(self, feeds: Iterable[Feed], reason: str, since: datetime) -> None:
        """Open a gap for each of `feeds`, from its frontier, or `since` where it had no row.

        A gap that is open already goes on and counts one outage more.
        """
        since = whole(since)
        with self._lock:
            for feed in feeds:
                self._trials.pop(feed, None)
                gap = self._open.get(feed)
                if gap is not None:
                    gap.outages += 1
                    gap.changed = True
                    continue
                if (life := self._end_life(feed)) is not None:
                    self._begin(feed, life.frontier, reason)
                elif (last := self._last_row_at.get(feed)) is not None:
                    sure = min(last, self._latest())
                    self._begin(feed, sure - feed.lateness, reason)
                else:
                    self._begin(feed, since, reason).is_guess = True

    def open_from(self, feed: Feed, reason: str, start: datetime) -> Span | None:
        """Open a gap at `start`, before which everything is accounted for; one that was taken
        over goes on. A life that was believed to reach further ends there: what is returned may
        have been claimed."""
        believed, start = None, whole(start)
        with self._lock:
            gap = self._open.get(feed)
            if gap is None:
                if (life := self._end_life(feed)) is not None:
                    if life.frontier > start:
                        believed = Span(start, life.frontier - TICK)
                    life.frontier = min(life.frontier, start)
                self._begin(feed, start, reason)
            else:
                gap.outages += 1
                gap.changed = True
        return believed

    def cut(self, feed: Feed, reason: str, start: datetime, end: datetime) -> None:
        """Note a gap that is over: a span that is known not to be complete."""
        with self._lock:
            gap = OpenGap(feed, start, reason[:200], ended_at=max(start, end))
            self._ended.append(gap)
            self.opened += 1

    def open_since(self) -> dict[Feed, datetime]:
        """When the gaps that go on have begun."""
        with self._lock:
            return {feed: gap.started_at for feed, gap in self._open.items()}

    def end(self, at: datetime, feeds: Iterable[Feed] | None = None) -> None:
        """End what is open of `feeds`, or all: capture of them stops, and vouches for nothing
        up to `at`."""
        at = whole(at)
        with self._lock:
            for feed in list(self._open) if feeds is None else list(feeds):
                gap = self._open.get(feed)
                if gap is not None:
                    self._end(gap, max(at, gap.started_at))

    def hand_over(self, at: datetime, feeds: Iterable[Feed], still: Callable[[], bool]) -> None:
        """End what is open of `feeds`: REST is asked for what was up to `at`, and all that is
        later comes on the stream, which lives from then on.

        The clock of REST may be behind that of the streams: `at` is as much later than the
        moment of subscribing as it may be, and the gap is judged when that time has passed.

        Nothing ends unless `still` holds, of which it is certain that no gap opens meanwhile.
        """
        at = whole(at)
        with self._lock:
            if not still():
                return
            for feed in feeds:
                gap = self._open.get(feed)
                if gap is not None:
                    until = max(at, gap.started_at)
                    self._end(gap, until)
                    self._lives[feed] = Life(feed, until + TICK, until + TICK)

    def lives(self) -> list[Life]:
        """A copy of every life: those that ended and are not forgotten, then those that go on."""
        with self._lock:
            return [replace(life) for life in (*self._over, *self._lives.values())]

    def claimed(self, feed: Feed) -> list[Span]:
        """What of a feed has come, unless a topic was silent; it need not be stored yet."""
        with self._lock:
            lives = [life for life in self._over if life.feed == feed]
            lives += [self._lives[feed]] if feed in self._lives else []
            spans = [Span(life.started_at, life.frontier - TICK) for life in lives]
            return [span for span in spans if span.start <= span.end]

    def quiet(self, feed: Feed) -> Quiet | None:
        """How long nothing of a feed has come while others on its connection live; None when
        nothing is known of it."""
        with self._lock:
            life = self._lives.get(feed)
            if life is None:
                return None
            began = self._listened_since.setdefault(feed, life.started_at)
            since = self._last_row_at.get(feed, began)
            return Quiet(since, (life.frontier - since).total_seconds())

    @contextmanager
    def overlapping(self, feed: Feed) -> Iterator[Overlap]:
        """Ask REST for the last rows of a feed, and tell what is given where the answer
        begins, if more was before: what neither that nor the stream brings is a gap then."""
        with self._lock:
            overlap = Overlap(self._last_row_at.get(feed))
            if feed in self._lives:
                self._overlaps.setdefault(feed, []).append(overlap)
        try:
            yield overlap
        finally:
            with self._lock:
                if overlap.begins_at is None and overlap in self._overlaps.get(feed, ()):
                    self._overlaps[feed].remove(overlap)
                self._decide_overlaps(feed)

    def disproved(self) -> list[tuple[Feed, Span]]:
        """What has turned out to be lost of what may have been claimed, once."""
        with self._lock:
            disproved, self._disproved = self._disproved, []
            return disproved

    def feeds(self) -> set[Feed]:
        """Every feed that has a life or a gap."""
        with self._lock:
            return {*self._lives, *self._open, *(life.feed for life in self._over)}

    def forget(self, over: Iterable[tuple[Feed, datetime]]) -> None:
        """Let go of the ended lives with these feeds and beginnings: they are vouched for."""
        gone = set(over)
        with self._lock:
            self._over = [life for life in self._over if (life.feed, life.started_at) not in gone]

    def unwritten(self) -> list[OpenGap]:
        """What `persist` would write."""
        with self._lock:
            return [gap for gap in (*self._ended, *self._open.values()) if gap.changed]

    def take_over(self, gaps: Iterable[OpenGap]) -> None:
        """Have `persist` write what an earlier capture could not, where it is not there."""
        fresh = [gap for gap in gaps if gap.pk is not None or not gap.is_stored()]
        with self._lock:
            self._ended += fresh

    def persist(self) -> None:
        """Write what changed. On a database error nothing is forgotten, and it is raised."""
        with transaction.atomic():
            confirm = self.write()
        confirm()

    def write(self) -> Callable[[], None]:
        """Write what changed; what is returned is to be called when that is committed."""
        with self._lock:
            states = [(gap, gap.state) for gap in self.unwritten()]
        written = [(gap, state, gap.write(state)) for gap, state in states]

        def confirm() -> None:
            tell_of_gaps(
                (gap, gap.pk is None, state.ended_at)
                for gap, state, pk in written
                if pk is not None
            )
            with self._lock:
                for gap, state, pk in written:
                    gap.pk = pk
                    gap.changed = gap.state != state
                self._ended = [gap for gap in self._ended if gap.changed]

        return confirm

    def has_changes(self) -> bool:
        """Whether `persist` would write anything."""
        with self._lock:
            return any(gap.changed for gap in (*self._ended, *self._open.values()))

    def _decide_overlaps(self, feed: Feed) -> None:
        """Declare what an answer of REST has shown to be lost, and begin another life after it."""
        for overlap in list(self._overlaps.get(feed, ())):
            life = self._lives[feed]
            if not overlap.is_decided(life):
                continue
            self._overlaps[feed].remove(overlap)
            if (lost := overlap.lost(life)) is None:
                continue
            self.cut(feed, SKIPPED, lost.start, lost.end)
            self._disproved.append((feed, lost))
            after = lost.end + TICK
            self._lives[feed] = replace(life, started_at=after, frontier=max(life.frontier, after))
            life.frontier, life.is_over = lost.start, True
            self._over.append(life)

    def _latest(self) -> datetime:
        """The latest time that may have come by the exchange's clock."""
        return whole(self._clock()) + CLOCK_MARGIN

    def _end_life(self, feed: Feed) -> Life | None:
        # What is not decided by now lies in the gap that begins, or was claimed before it: its
        # repair sees to both.
        self._overlaps.pop(feed, None)
        life = self._lives.pop(feed, None)
        if life is not None:
            life.is_over = True
            self._over.append(life)
        return life

    def _begin(self, feed: Feed, at: datetime, reason: str) -> OpenGap:
        gap = self._open[feed] = OpenGap(feed, at, reason[:200])
        self.opened += 1
        return gap

    def _end(self, gap: OpenGap, at: datetime) -> None:
        del self._open[gap.feed]
        self._trials.pop(gap.feed, None)
        gap.ended_at = at
        gap.changed = True
        self._ended.append(gap)
