"""What the ledger says of every feed in a window, in two queries however many feeds there are."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import Count, Max, Min, Q, Value

from marketdata.capture.feeds import Feed
from marketdata.coverage.ledger import NOT_FILLED
from marketdata.coverage.spans import Span, union
from marketdata.dashboard.strips import OF_SOURCE, Piece, State, of_gap, pieces
from marketdata.dashboard.window import Window
from marketdata.models import CaptureGap, Stream

Rows = models.QuerySet[Any]
FEED = ("stream", "symbol", "account")
# Gaps that somebody can still do something about: those that `of_gap` shows as open.
UNSETTLED = Q(state=CaptureGap.State.OPEN) | (
    Q(state=CaptureGap.State.PARTIAL) & ~Q(stream=Stream.ORDERS)
)
GAP = "gap"


@dataclass
class Known:
    """One feed: from the first to the last thing that is known of it, and its strip."""

    feed: Feed
    first: datetime
    # The last instant that has ended; None for a feed of which nothing has, but a gap that lasts.
    last: datetime | None
    open_gaps: int
    pieces: list[Piece] = field(default_factory=list)
    # Where the state of the last piece began, which may be long before the window.
    since: datetime | None = None

    def is_silent(self, window: Window, seconds: float) -> bool:
        """Whether nothing has been known for so long at the window's end."""
        tail = self.pieces[-1]
        return tail.state == State.UNKNOWN and (window.end - tail.start).total_seconds() > seconds


def known_feeds(intervals: Rows, gaps: Rows, window: Window) -> list[Known]:
    """Every feed that these rows speak of up to the window's end, in no order.

    One of which everything was pruned is none of them.
    """
    kept = gaps.exclude(state=CaptureGap.State.PRUNED)
    found = {known.feed: known for known in _lives(intervals, kept, window)}
    claims: dict[Feed, list[tuple[State, Span]]] = {feed: [] for feed in found}
    for feed, state, start, end in _claims(intervals, gaps, window):
        if feed in claims:
            claims[feed].append((state, Span(start, end or window.end)))
    for feed, known in found.items():
        life = Span(known.first, known.last or window.end)
        known.pieces = pieces(window.span, [(State.UNVOUCHED, life), *claims[feed]])
        known.since = _beginning(known.pieces[-1], claims[feed])
    return list(found.values())


def _beginning(piece: Piece, claims: Iterable[tuple[State, Span]]) -> datetime:
    """Where the state of `piece` began, wherever its window does."""
    same = union(span for state, span in claims if state == piece.state)
    reaching = (span.start for span in same if span.start <= piece.start <= span.end)
    return min(reaching, default=piece.start)


def _lives(intervals: Rows, gaps: Rows, window: Window) -> Iterable[Known]:
    """The bounds of each feed, from both tables."""

    def bounds(rows: Rows, **counts: Any) -> Rows:
        ended = {"first": Min("started_at"), "last": Max("ended_at")}
        known = rows.filter(started_at__lt=window.end).order_by().values(*FEED)
        lives: Rows = known.annotate(**ended, **counts)
        return lives.values_list(*FEED, "first", "last", *counts)

    vouched = bounds(intervals, unsettled=Value(0))
    missed = bounds(gaps, unsettled=Count("pk", filter=UNSETTLED))
    merged: dict[Feed, Known] = {}
    for stream, symbol, account, first, last, unsettled in vouched.union(missed, all=True):
        feed = Feed(stream, symbol, account)
        here = merged.setdefault(feed, Known(feed, first, last, 0))
        here.first = min(first, here.first)
        here.last = max((at for at in (last, here.last) if at is not None), default=None)
        here.open_gaps += unsettled
    return merged.values()


def _claims(
    intervals: Rows, gaps: Rows, window: Window
) -> Iterable[tuple[Feed, State, datetime, datetime | None]]:
    """Each interval, unfilled gap and pruned span that reaches into the window."""

    def near(rows: Rows, of: str, table: str) -> Rows:
        lasts = Q(ended_at=None) | Q(ended_at__gte=window.start)
        columns = (*FEED, "started_at", "ended_at", of, "table")
        reaching = rows.filter(lasts, started_at__lt=window.end).order_by()
        named: Rows = reaching.annotate(table=Value(table))
        return named.values_list(*columns)

    vouched = near(intervals, "source", "")
    missed = near(gaps.filter(state__in=NOT_FILLED), "state", GAP)
    for stream, symbol, account, start, end, word, table in vouched.union(missed, all=True):
        state = of_gap(stream, word) if table == GAP else OF_SOURCE[word]
        yield Feed(stream, symbol, account), state, start, end
