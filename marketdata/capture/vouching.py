"""Vouching: from rows that arrived to spans for which all of them are stored.

Every few seconds a mark is taken: of each life how far it reaches, and how many rows have gone
into the lane of its stream by then. Lanes are first in, first out, so once that many rows of the
lane are settled, none of them on disk only, everything up to there is stored. Rows in no lane
(ticker states that are held back) hold the mark itself back.

A row in quarantine is not stored, and its time may not even be known. From the last span before
it was noticed up to the first row after, its feed is cut: that is a gap with a reason.

What an audit finds missing, and REST does not show any more, is taken back.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, NamedTuple

from marketdata.bybit.constants import EPOCH
from marketdata.capture.feeds import TICK, Feed, Life
from marketdata.capture.gaps import GapBook
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.tally import UNKNOWN, StreamKey, Tally
from marketdata.capture.writers import Writer
from marketdata.coverage.ledger import Grown, Source, gaps_of, grow, vouch_all, withdraw
from marketdata.coverage.spans import Span, minus

EVERY_SECONDS = 2.0
# Marks that wait for their rows, of one lane; the newest gives way when there are more.
MOST_MARKS = 8
IN_QUARANTINE = "rows of it are in quarantine"


class Claim(NamedTuple):
    """A part of a feed's life that is complete once the mark's rows are settled."""

    feed: Feed
    started_at: datetime
    until: datetime
    newest: datetime | None
    is_last: bool


class Mark(NamedTuple):
    """Claims of one lane, and how many of its rows they rest on."""

    position: int
    claims: list[Claim]


class _Told(NamedTuple):
    """What the ledger has of a feed's present life: from where, in which row."""

    started_at: datetime
    row: Grown


@dataclass
class _Cut:
    """A feed with rows in quarantine: nothing is vouched for up to a row after `newest`.

    `is_fresh` until the next look: the frame that held the row may still be in hand.
    """

    newest: datetime | None = None
    start: datetime | None = None
    is_fresh: bool = True


class Voucher:
    """Vouches for what one capture has stored; used from the service's thread."""

    def __init__(self, tally: Tally, quarantine: Quarantine, gaps: GapBook) -> None:
        self._tally, self._quarantine, self._gaps = tally, quarantine, gaps
        self._marks: dict[StreamKey, deque[Mark]] = {}
        self._cuts: dict[Feed, _Cut] = {}
        self._rejected: dict[tuple[StreamKey, str], int] = {}
        self._excluded: dict[Feed, list[Span]] = {}
        # Where a feed goes on after a cut, up to where it is vouched for, what is to be written
        # of that, and what is written.
        self._resumed: dict[Feed, datetime] = {}
        self._reached: dict[Feed, datetime] = {}
        self._due: dict[Feed, list[Span]] = {}
        self._told: dict[Feed, _Told] = {}
        self._revoked: list[tuple[Feed, Span]] = []
        self._looked_at = float("-inf")

    # --- what has come true ------------------------------------------------------------------

    def look(self, writers: Iterable[Writer[Any]], *, closing: bool = False) -> None:
        """When it is time, take a mark of each lane, and see which ones have come true."""
        now = time.monotonic()
        if not closing and now - self._looked_at < EVERY_SECONDS:
            return
        self._looked_at = now
        by_stream = {str(writer.stream): writer for writer in writers}
        # No row may move from one column of the books to another meanwhile.
        with self._tally.lock:
            spooled = {key for key, counts in self._tally if counts.spooled}
            self._notice_rejects(by_stream)
            lives: dict[StreamKey, list[Life]] = {}
            for life in self._gaps.lives():
                lives.setdefault(_lane(life.feed), []).append(life)
                self._follow_cut(life)
            self._take_back_disproved()
            for key, each in lives.items():
                position, settled = by_stream[key.stream].progress(key)
                self._mark(key, position, each, by_stream[key.stream])
                if key not in spooled:
                    self._come_true(key, settled)
        if closing:
            self._end_cuts()

    def exclude(self, feed: Feed, reason: str, first: datetime, last: datetime) -> None:
        """Declare that rows from `first` to `last` are given up: from any thread."""
        self._gaps.cut(feed, reason, first, last)
        with self._tally.lock:
            self._excluded.setdefault(feed, []).append(Span(first, last))

    def revoke(self, feed: Feed, span: Span) -> None:
        """Vouch for nothing of `span`, which a gap declares, nor have done so: from any thread."""
        with self._tally.lock:
            self._take_back(feed, span)

    def _take_back_disproved(self) -> None:
        for feed, span in self._gaps.disproved():
            self._take_back(feed, span)

    def _take_back(self, feed: Feed, span: Span) -> None:
        self._excluded.setdefault(feed, []).append(span)
        self._revoked.append((feed, span))

    def _mark(self, key: StreamKey, position: int, lives: list[Life], writer: Writer[Any]) -> None:
        claims = []
        for life in lives:
            held = writer.held_since(life.feed.symbol)
            reach = life.frontier if held is None else min(held, life.frontier)
            is_last = life.is_over and reach == life.frontier
            claims.append(Claim(life.feed, life.started_at, reach - TICK, life.newest, is_last))
        marks = self._marks.setdefault(key, deque())
        if len(marks) == MOST_MARKS:
            # The new one says all that it said.
            marks.pop()
        marks.append(Mark(position, claims))

    def _come_true(self, key: StreamKey, settled: int) -> None:
        marks = self._marks[key]
        while marks and marks[0].position <= settled:
            claims = marks.popleft().claims
            for claim in claims:
                self._take(claim)
            self._gaps.forget((c.feed, c.started_at) for c in claims if c.is_last)

    def _take(self, claim: Claim) -> None:
        feed = claim.feed
        start = max(claim.started_at, self._resumed.get(feed, claim.started_at))
        reached = self._reached.get(feed)
        cut = self._cuts.get(feed)
        if cut is not None:
            if cut.start is None:
                cut.start = start if reached is None else max(start, reached + TICK)
            if not cut.is_fresh and claim.newest and claim.newest > (cut.newest or EPOCH):
                self._end_cut(feed, cut.start, claim.until)
            elif claim.is_last:
                # The gap that ended this life is a row of its own; the cut goes on after it.
                if claim.until >= cut.start:
                    self._gaps.cut(feed, IN_QUARANTINE, cut.start, claim.until)
                    self._reached[feed] = claim.until
                cut.start = None
        elif claim.until >= start and (reached is None or claim.until > reached):
            self._reached[feed] = claim.until
            for span in self._without_excluded(feed, Span(start, claim.until)):
                spans = self._due.setdefault(feed, [])
                if spans and spans[-1].start == span.start:
                    spans.pop()
                spans.append(span)

    def _without_excluded(self, feed: Feed, whole: Span) -> Iterator[Span]:
        """The parts of a span of which nothing was given up; the next begins after them."""
        start = whole.start
        for hole in sorted(self._excluded.pop(feed, []), key=attrgetter("start")):
            if hole.start > whole.end:
                self._excluded.setdefault(feed, []).append(hole)
                continue
            if hole.start > start:
                yield Span(start, hole.start - TICK)
            start = max(start, hole.end + TICK)
            self._resumed[feed] = start
        if start <= whole.end:
            yield Span(start, whole.end)

    # --- rows in quarantine ------------------------------------------------------------------

    def _notice_rejects(self, writers: Mapping[str, Writer[Any]]) -> None:
        rejected = self._quarantine.rejected()
        grown = [each for each, rows in rejected.items() if rows > self._rejected.get(each, 0)]
        self._rejected = rejected
        for key, topic in grown:
            for feed in self._gaps.feeds():
                if _concerns(key, topic, feed, writers[feed.stream].topic):
                    cut = self._cuts.setdefault(feed, _Cut())
                    cut.is_fresh, cut.newest = True, None

    def _follow_cut(self, life: Life) -> None:
        cut = self._cuts.get(life.feed)
        if cut is None or life.is_over:
            return
        if cut.newest is None:
            cut.newest = life.newest
        elif cut.is_fresh:
            cut.newest, cut.is_fresh = life.newest, False

    def _end_cut(self, feed: Feed, start: datetime, end: datetime) -> None:
        del self._cuts[feed]
        self._gaps.cut(feed, IN_QUARANTINE, start, end)
        self._reached[feed] = max(start, end)
        self._resumed[feed] = self._reached[feed] + TICK

    def _end_cuts(self) -> None:
        """Capture stops: what is cut now is missing up to its last row."""
        for life in self._gaps.lives():
            cut = self._cuts.get(life.feed)
            if cut is not None and not life.is_over:
                reached = self._reached.get(life.feed, life.started_at - TICK)
                start = cut.start or max(life.started_at, reached + TICK)
                self._end_cut(life.feed, start, life.newest or life.frontier)

    # --- the ledger --------------------------------------------------------------------------

    def has_changes(self) -> bool:
        """Whether `write` would write anything."""
        return bool(self._due or self._revoked)

    def due(self) -> set[Feed]:
        """The feeds of which `write` would write anything."""
        return set(self._due)

    def write(self) -> Callable[[], None]:
        """Write what came true, in a transaction of the caller's; what is returned is to be
        called when that is committed."""
        due = {feed: list(spans) for feed, spans in self._due.items()}
        growing = {
            told.row.pk: due[feed][0].end
            for feed, told in self._told.items()
            if feed in due and len(due[feed]) == 1 and due[feed][0].start == told.started_at
        }
        are_there = grow(growing) == len(growing)
        # Rows are gone, with their account or withdrawn by another process: all is told anew,
        # but for what is declared.
        growing = growing if are_there else {}
        fresh = {
            feed: spans if are_there else _undeclared(feed, spans)
            for feed, spans in due.items()
            if feed not in self._told or self._told[feed].row.pk not in growing
        }
        stored = vouch_all(fresh, Source.LIVE) if fresh else {}
        with self._tally.lock:
            self._take_back_disproved()
            revoked = list(self._revoked)
        # After what is due, which may have been claimed before.
        for feed, span in revoked:
            withdraw(feed, span)

        def confirm() -> None:
            for feed, spans in due.items():
                if feed in stored:
                    self._told[feed] = _Told(spans[-1].start, stored[feed])
                elif feed in fresh:
                    self._told.pop(feed, None)
            self._due.clear()
            for feed, _ in revoked:
                self._told.pop(feed, None)
            with self._tally.lock:
                del self._revoked[: len(revoked)]

        return confirm


def _undeclared(feed: Feed, spans: Sequence[Span]) -> list[Span]:
    """What of `spans` lies in no gap; not all of it may."""
    end = spans[-1].end
    gaps = gaps_of(feed, Span(spans[0].start, end))
    return minus(spans, [Span(gap.started_at, gap.ended_at or end) for gap in gaps])


def _lane(feed: Feed) -> StreamKey:
    return StreamKey(feed.stream, feed.account_id)


def _concerns(key: StreamKey, topic: str, feed: Feed, stream_topic: str) -> bool:
    """Whether a row that was set aside under `key` and `topic` may be one of `feed`.

    A frame that cannot be read at all may be of any topic of its account, or of the market.
    """
    if key.stream == UNKNOWN:
        return not topic and key.account_id == feed.account_id
    return key == _lane(feed) and topic in (stream_topic, f"{stream_topic}.{feed.symbol}")
