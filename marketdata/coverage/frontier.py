"""Where capture of a feed has to go on after a run that ended, in whatever way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from django.db import models

from marketdata.capture.feeds import Feed
from marketdata.coverage.ledger import NOT_FILLED, Source, rows_of_feeds
from marketdata.coverage.spans import TICK, Span, minus
from marketdata.models import CaptureGap, CoverageInterval


class Frontier(NamedTuple):
    """Where capture of a feed has to go on, and what is unaccounted for before."""

    start: datetime
    holes: list[Span]


def vouched_until(feed: Feed) -> datetime | None:
    """The last instant that live capture has vouched for; None when it never did."""
    live = rows_of_feeds(CoverageInterval, [feed], source=Source.LIVE)
    live = live.filter(symbol=feed.symbol)
    last: datetime | None = live.aggregate(last=models.Max("ended_at"))["last"]
    return last


def frontiers(feeds: Iterable[Feed]) -> dict[Feed, Frontier]:
    """Where what is known of each feed ends; of a feed of which nothing is known, nothing.

    Known is what is vouched for, from the last live interval on, and what is missing. A capture
    that was killed leaves holes where it had ended a gap and not yet vouched for what came
    before or after it. A gap without an end goes on where it began.
    """
    wanted = set(feeds)
    live = {
        Feed(*row[:3]): row[3]
        for row in rows_of_feeds(CoverageInterval, wanted)
        .filter(source=Source.LIVE)
        .values_list("stream", "symbol", "account")
        .annotate(end=models.Max("ended_at"))
        if Feed(*row[:3]) in wanted and row[3] is not None
    }
    known: dict[Feed, list[Span]] = defaultdict(list)
    lasting: dict[Feed, datetime] = {}
    for some, since in ((set(live), min(live.values(), default=None)), (wanted - set(live), None)):
        for feed, start, end in _spans_since(some, since):
            if end is None:
                lasting[feed] = min(start, lasting.get(feed, start))
            elif feed not in live or end >= live[feed]:
                known[feed].append(Span(start, end))
    return {feed: _frontier(known[feed], lasting.get(feed)) for feed in {*known, *lasting}}


def _frontier(known: list[Span], lasting: datetime | None) -> Frontier:
    if lasting is None:
        whole = Span(min(span.start for span in known), max(span.end for span in known))
        return Frontier(whole.end + TICK, minus([whole], known))
    whole = Span(min([lasting, *(span.start for span in known)]), lasting)
    return Frontier(lasting, minus([whole], [*known, Span(lasting, lasting)]))


def _spans_since(
    feeds: set[Feed], since: datetime | None
) -> Iterator[tuple[Feed, datetime, datetime | None]]:
    """Intervals and unfilled gaps of `feeds` that end at `since` or later, or not yet."""
    if not feeds:
        return
    later = models.Q() if since is None else models.Q(ended_at=None) | models.Q(ended_at__gte=since)
    for rows in (
        rows_of_feeds(CoverageInterval, feeds),
        rows_of_feeds(CaptureGap, feeds, state__in=NOT_FILLED),
    ):
        for row in rows.filter(later).values_list(
            "stream", "symbol", "account", "started_at", "ended_at"
        ):
            if (feed := Feed(*row[:3])) in feeds:
                yield feed, row[3], row[4]
