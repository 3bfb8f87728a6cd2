"""What the ledger says of a span, feed by feed: the share that is complete, and each hole.

An interval is a proof, a gap row a lack of one: where both speak of an instant, the interval
counts. What neither speaks of is not complete.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models

from accounts.models import BybitAccount
from marketdata.capture.accounts import full_name
from marketdata.capture.feeds import Feed
from marketdata.coverage.ledger import gaps_of, intervals_of
from marketdata.coverage.pruned import pruned_until
from marketdata.coverage.spans import TICK, Span, clipped, minus, union
from marketdata.models import (
    CaptureGap,
    CoverageInterval,
    Order,
    PositionSnapshot,
    PrivateExecution,
    PublicTrade,
    Stream,
    TickerSnapshot,
    WalletSnapshot,
)

TABLES: dict[str, Any] = {
    Stream.TRADES: PublicTrade,
    Stream.TICKERS: TickerSnapshot,
    Stream.EXECUTIONS: PrivateExecution,
    Stream.ORDERS: Order,
    Stream.POSITIONS: PositionSnapshot,
    Stream.WALLET: WalletSnapshot,
}
PUBLIC_STREAMS = (Stream.TRADES, Stream.TICKERS)
UNVOUCHED = "unvouched"
NOTHING_KNOWN = "nothing vouches for it"


@dataclass(frozen=True)
class Hole:
    """A span that is not complete: a gap row's part of it, or `unvouched` without a row.

    `source` is what filled the rest of a gap that is filled in part.
    """

    span: Span
    state: str
    reason: str
    source: str = ""


@dataclass
class FeedReport:
    """One feed within `asked`; `pruned` is the last instant of it that retention has deleted."""

    feed: Feed
    subject: str
    asked: Span
    covered: list[Span] = field(default_factory=list)
    by_source: dict[str, float] = field(default_factory=dict)
    holes: list[Hole] = field(default_factory=list)
    pruned: datetime | None = None

    @property
    def share(self) -> float:
        """The part of the span that is complete, from 0 to 1."""
        if not self.holes:
            return 1.0
        whole = _length([self.asked])
        return min(_length(self.covered) / whole, 1.0)

    @property
    def missing_seconds(self) -> float:
        """How much of the span is not complete."""
        return _length(minus([self.asked], self.covered))


def report_on(feed: Feed, subject: str, since: datetime | None, until: datetime | None,
              now: datetime) -> FeedReport | None:  # fmt: skip
    """What is known of a feed from `since` to `until`; None when that is nothing at all.

    Without `since` from the first thing known of it, behind what was pruned; without `until` to
    the last: an instant that is vouched for, or the end of a gap, which for one that lasts is
    `now`.
    """
    life, pruned = _life(feed, now), pruned_until(feed)
    if life is None:
        return None
    kept_from = max(life.start, pruned + TICK) if pruned else life.start
    asked = Span(since or kept_from, until or life.end)
    if asked.start > asked.end:
        return None
    rows = intervals_of(feed, asked)
    pieces = [(row.source, clipped([Span(row.started_at, row.ended_at)], asked))
              for row in rows if row.ended_at is not None]  # fmt: skip
    vouched = union(span for _, spans in pieces for span in spans)
    gaps = [
        (Span(gap.started_at, gap.ended_at or max(now, gap.started_at)), gap)
        for gap in gaps_of(feed, asked)
    ]
    # A row that was found missing within an interval is a gap, whatever the interval says.
    covered = minus(vouched, [span for span, _ in gaps])
    report = FeedReport(feed, subject, asked, covered, pruned=pruned)
    for source, spans in pieces:
        report.by_source[source] = report.by_source.get(source, 0.0) + _length(spans)
    report.holes = list(_holes(asked, report.covered, gaps))
    return report


def _holes(asked: Span, covered: list[Span], gaps: list[tuple[Span, CaptureGap]]) -> Iterator[Hole]:
    missing = minus([asked], covered)
    explained: list[Span] = []
    found: list[Hole] = []
    for whole, gap in gaps:
        # Gap rows may overlap: each instant is told of once, by the first of them.
        for part in minus(clipped(missing, whole), explained):
            found.append(Hole(part, gap.state, gap.reason, gap.source))
        explained.append(whole)
    found += [Hole(part, UNVOUCHED, NOTHING_KNOWN) for part in minus(missing, explained)]
    yield from sorted(found, key=lambda hole: hole.span.start)


def _life(feed: Feed, now: datetime) -> Span | None:
    """From the first thing known of a feed to the last."""
    of = {"stream": feed.stream, "symbol": feed.symbol, "account": feed.account_id}
    bounds = {"first": models.Min("started_at"), "last": models.Max("ended_at")}
    vouched = CoverageInterval.objects.filter(**of).aggregate(**bounds)
    gaps = CaptureGap.objects.filter(**of)
    missed = gaps.aggregate(**bounds)
    lasting = gaps.filter(ended_at=None).exists()
    starts = [at for at in (vouched["first"], missed["first"]) if at is not None]
    ends = [at for at in (vouched["last"], missed["last"], now if lasting else None) if at]
    rows = rows_of(feed).aggregate(first=models.Min("exchange_ts"), last=models.Max("exchange_ts"))
    if rows["first"] is not None and not (starts and rows["first"] >= min(starts) - TICK):
        starts.append(rows["first"])
    if not ends and rows["last"] is not None:
        ends.append(rows["last"])
    return Span(min(starts), max(ends)) if starts and ends else None


def rows_of(feed: Feed) -> models.QuerySet[Any]:
    """The stored rows of a feed."""
    rows: models.QuerySet[Any] = TABLES[feed.stream]._default_manager.all()
    if feed.account_id is None:
        return rows.filter(symbol=feed.symbol)
    return rows.filter(account=feed.account_id)


def known_feeds(
    streams: Collection[str],
    symbols: Collection[str] | None,
    accounts: Collection[BybitAccount],
) -> list[tuple[Feed, str]]:
    """The feeds that anything is known of, with their subject's name, in order.

    Public ones of `symbols`, of all with None, and private ones of `accounts`.
    """
    named = {account.pk: full_name(account) for account in accounts}
    found = {
        Feed(*row)
        for model in (CoverageInterval, CaptureGap)
        for row in model.objects.values_list("stream", "symbol", "account").distinct()
    } | set(_feeds_of_rows(streams, named))
    wanted = []
    for feed in (feed for feed in found if feed.stream in streams):
        if feed.account_id is None:
            if symbols is None or feed.symbol in symbols:
                wanted.append((feed, feed.symbol))
        elif feed.account_id in named:
            wanted.append((feed, named[feed.account_id]))
    order = list(TABLES)
    return sorted(wanted, key=lambda each: (each[1], order.index(Stream(each[0].stream))))


def _feeds_of_rows(streams: Collection[str], accounts: Collection[Any]) -> Iterator[Feed]:
    """Feeds that have rows, whether or not anything vouches for them."""
    for stream in streams:
        rows = TABLES[stream]._default_manager
        if stream not in PUBLIC_STREAMS:
            yield from (Feed(stream, "", pk) for pk in accounts if rows.filter(account=pk).exists())
            continue
        symbol = ""
        # One step in the index for each symbol, whatever the size of the table.
        while symbol := rows.filter(symbol__gt=symbol).aggregate(n=models.Min("symbol"))["n"]:
            yield Feed(stream, symbol)


def _length(spans: list[Span]) -> float:
    """Seconds in closed spans of whole milliseconds."""
    return sum((span.end - span.start + TICK).total_seconds() for span in spans)
