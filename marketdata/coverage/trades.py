"""Public trades: the exchange shows the last 1000 of a symbol, and never more.

So a longer gap is filled in part, and its rest stays open with its bounds. Every answer is an
audit of all that it shows, too: where its oldest trade was missing, those before it may be.
Source: https://bybit-exchange.github.io/docs/v5/market/recent-trade.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime
from typing import Any

from django.db import transaction

from marketdata.bybit.constants import EPOCH
from marketdata.bybit.errors import BybitError
from marketdata.bybit.records import Parsed, TradeRecord
from marketdata.capture.feeds import Feed
from marketdata.capture.public_writers import TradeWriter
from marketdata.coverage.audit import claims_on, declare_unheard
from marketdata.coverage.findings import Finding
from marketdata.coverage.gap_rows import (
    BEYOND_REACH,
    TOO_EARLY,
    Span,
    hull,
    note_attempt,
    note_early,
    unfinished_gaps,
)
from marketdata.coverage.ledger import Source, withdraw
from marketdata.coverage.pruned import pruned_spans
from marketdata.coverage.reconciler_base import ReconcilerBase, identity, stored_keys, times_within
from marketdata.coverage.spans import TICK, clipped
from marketdata.models import CaptureGap, PublicTrade, Stream

MOST_RECENT_TRADES = 1000


def _ignore(begins_at: datetime | None) -> None:
    """Nobody wants to know."""


class TradeReconciler(ReconcilerBase):
    """Fills gaps of public trades."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._trades = TradeWriter(**self._writer_options)

    def trades(self, symbol: str, asked: Span) -> Finding:
        """Fill what the exchange still shows of a symbol's gaps within `asked`.

        Where no capture runs: what lies behind the newest stored row is a gap, too.
        """
        gaps = unfinished_gaps(asked, stream=Stream.TRADES, symbol=symbol)
        return self._fill(symbol, asked, gaps, self._tail(symbol, asked, gaps), None)

    def trades_of(self, symbol: str, gaps: Sequence[CaptureGap], now: datetime) -> Finding:
        """Fill what the exchange still shows of these gaps, which have ended.

        `now` is the exchange's time, read before this; what is younger than a lag by then stays
        in its gap, and is to be asked for again.
        """
        spans = [Span(gap.started_at, gap.ended_at) for gap in gaps if gap.ended_at]
        asked = hull(spans)
        if asked is None:
            raise ValueError("There is no gap with an end to ask for.")
        return self._fill(symbol, asked, gaps, None, now)

    def audit_trades(
        self, symbol: str, asked: Span, on_answer: Callable[[datetime | None], None] = _ignore
    ) -> Finding:
        """Look whether the stream brought what REST shows; `asked` is since the last audit.

        `on_answer` is told where the answer begins, if more was before: before anything is stored,
        which may fail.
        """
        finding = Finding(Stream.TRADES, symbol, asked)
        try:
            parsed, heard = self._recent(symbol)
        except (BybitError, ValueError) as error:
            finding.fail(error)
            return finding
        reach = _Reach(symbol, parsed, self._stored_times(parsed.records))
        on_answer(reach.begins_at)
        self._keep(finding, parsed, reach, heard)
        return self._finished(finding)

    def _fill(
        self,
        symbol: str,
        asked: Span,
        gaps: Sequence[CaptureGap],
        tail: Span | None,
        now: datetime | None,
    ) -> Finding:
        finding = Finding(Stream.TRADES, symbol, asked)
        spans = [asked.within(gap.started_at, gap.ended_at) for gap in gaps]
        try:
            until = (now or self.exchange_time()) - self._lag
            parsed, heard = self._recent(symbol)
        except (BybitError, ValueError) as error:
            finding.missing = hull([*spans, *([tail] if tail else [])])
            finding.fail(error)
            for gap in gaps:
                finding.gaps |= note_attempt(gap.pk, None, note=finding.note, error=error)
            return finding
        # Before anything is stored: what is stored proves how far the answer reaches.
        reach = _Reach(symbol, parsed, self._stored_times(parsed.records))
        missing = [reach.missing_of(span) for span in spans]
        rest = reach.missing_of(tail) if tail else None
        unproven = [
            span
            for gap, left in zip(gaps, missing, strict=True)
            if left and left.start == gap.started_at
            for span in _unproven_before(symbol, left, heard)
        ]
        fresh = self._keep(finding, parsed, reach, heard)
        for span in unproven:
            self._declare_lost(finding, span)
        early: list[Span] = []
        for gap, span, left in zip(gaps, spans, missing, strict=True):
            added = times_within(fresh, span.start, span.end)
            if _is_early(gap, span, left, until) and not finding.refused:
                early.append(Span(max(span.start, until), span.end))
                finding.gaps |= _note_early(gap, span, left, until, added)
                continue
            complete = None if finding.refused else _complete(span, left)
            note = BEYOND_REACH if left else ""
            finding.gaps |= note_attempt(gap.pk, complete, rows_added=added, note=note)
        if rest is not None:
            self._declare_lost(finding, rest)
        lost = [*finding.unseen, *(left for left in missing if left is not None)]
        finding.missing = hull([*lost, *early])
        finding.note = BEYOND_REACH if lost else TOO_EARLY if early else ""
        return self._finished(finding)

    def _recent(self, symbol: str) -> tuple[Parsed[TradeRecord], Sequence[Span]]:
        """The latest trades, and of which spans the stream has brought all that it will."""
        with closing(self._client()) as client:
            parsed = client.get_recent_trades(symbol, MOST_RECENT_TRADES)
        return parsed, self._settle(Stream.TRADES)

    def _keep(
        self,
        finding: Finding,
        parsed: Parsed[TradeRecord],
        reach: _Reach,
        heard: Sequence[Span],
    ) -> list[TradeRecord]:
        """Store and audit all that was shown, asked for or not; the rows that were not there."""
        finding.found = len(parsed.records)
        finding.shown = hull(Span(row.exchange_ts, row.exchange_ts) for row in parsed.records)
        finding.begins_at = reach.begins_at
        feed, before = Feed(Stream.TRADES, finding.subject), reach.last_before()
        bounds = hull(span for span in (before, finding.shown) if span)
        claims = claims_on(feed, bounds, heard) if bounds else []
        fresh = self._store(finding, self._trades.key(), self._trades, self._trades.write, parsed)
        declare_unheard(finding, feed, fresh, claims)
        if before is not None and finding.unheard and finding.unheard.start == before.end:
            self._declare_unseen(finding, before, claims)
        return fresh

    def _declare_unseen(self, finding: Finding, unseen: Span, claims: Sequence[Span]) -> None:
        """Declare what was claimed of the time from the last trade that came to the first shown.

        Of all claims: a topic that is silent now may have been so on earlier connections, too.
        """
        if claimed := clipped(claims, unseen):
            left = unseen.within(claimed[0].start, None)
            finding.missing, finding.note = left, BEYOND_REACH
            self._declare_lost(finding, left)

    def _declare_lost(self, finding: Finding, lost: Span) -> None:
        """Declare a span that REST will never show, and take back what was claimed of it."""
        with transaction.atomic():
            gap = CaptureGap.objects.create(
                stream=Stream.TRADES, symbol=finding.subject, started_at=lost.start,
                ended_at=lost.end, reason=BEYOND_REACH, attempts=1,
                evidence={"note": BEYOND_REACH},
            )  # fmt: skip
            withdraw(Feed(Stream.TRADES, finding.subject), lost)
        finding.gaps[gap.pk] = CaptureGap.State.OPEN
        finding.unseen.append(lost)

    def _tail(self, symbol: str, asked: Span, gaps: list[CaptureGap]) -> Span | None:
        """What lies behind the newest stored row, where no gap row says so already."""
        last = PublicTrade.objects.last_trade_ts(symbol)
        if last is None:
            return asked
        if last >= asked.end or any(gap.started_at >= last for gap in gaps):
            return None
        return Span(max(last, asked.start), asked.end)

    def _stored_times(self, records: list[TradeRecord]) -> list[datetime]:
        """The times of those of `records` that are stored."""
        known = stored_keys(self._trades, self._trades.key(), records)
        return [row.exchange_ts for row in records if identity(self._trades, row) in known]


class _Reach:
    """How far back an answer of recent trades is complete.

    Fewer trades than the exchange ever shows are all there are. Else the answer reaches behind a
    span's start when it begins before it, and a trade from before it, or of the same millisecond,
    is stored with the same id: the answer is one stretch, and the stream had come as far as that
    trade. Where nothing is stored of the time between the answer's oldest trade and the start,
    being older is enough. Of the millisecond in which it begins an answer proves nothing.
    """

    def __init__(
        self, symbol: str, parsed: Parsed[TradeRecord], stored_times: list[datetime]
    ) -> None:
        self._symbol = symbol
        self._whole = len(parsed.records) + len(parsed.rejects) < MOST_RECENT_TRADES
        self._oldest = parsed.records[0].exchange_ts if parsed.records else None
        self._oldest_stored = min(stored_times, default=None)

    @property
    def begins_at(self) -> datetime | None:
        """The oldest trade of the answer; None when it is all there is."""
        return None if self._whole else self._oldest

    def missing_of(self, span: Span) -> Span | None:
        """The part of `span` that the answer does not show."""
        if self._whole:
            return None
        if self._oldest is None:
            return span
        if self._oldest >= span.start:
            return Span(span.start, min(self._oldest, span.end))
        if self._oldest_stored is not None and self._oldest_stored <= span.start:
            return None
        return span if self._has_stored(span.start) else None

    def last_before(self) -> Span | None:
        """From the last trade stored before the answer to its oldest, which is not; None when
        the answer is all there is, or begins with a trade that came on the stream."""
        begins_at = self.begins_at
        if begins_at is None or self._oldest_stored == begins_at:
            return None
        last = _last_trade(self._symbol, begins_at)
        return Span(last, begins_at) if last is not None else None

    def _has_stored(self, until: datetime) -> bool:
        trades = PublicTrade.objects.filter(symbol=self._symbol)
        return bool(trades.filter(exchange_ts__range=(self._oldest, until)).exists())


def _unproven_before(symbol: str, lost: Span, heard: Sequence[Span]) -> list[Span]:
    """What live capture has claimed from the last trade that came to a gap, which begins `lost`.

    The gap begins where all that its connection brought had come, but its own topic may have been
    silent since that trade, and REST does not show that it was not.
    """
    if (before := _last_before(symbol, lost)) is None:
        return []
    live = claims_on(Feed(Stream.TRADES, symbol), before, heard, source=Source.LIVE)
    # Looked up again: what has been claimed since then was stored before.
    before = _last_before(symbol, lost)
    return clipped(live, before) if before else []


def _last_before(symbol: str, lost: Span) -> Span | None:
    """From the last trade that is stored when `lost` begins to just before that; may be nothing."""
    last = _last_trade(symbol, lost.start)
    return Span(last, lost.start - TICK) if last is not None else None


def _last_trade(symbol: str, until: datetime) -> datetime | None:
    """The time of the last trade that is stored by then; where it was pruned, the first instant
    of which trades are kept."""
    trades = PublicTrade.objects.filter(symbol=symbol, exchange_ts__lte=until)
    last = trades.order_by("-exchange_ts").values_list("exchange_ts", flat=True).first()
    pruned = pruned_spans(Feed(Stream.TRADES, symbol), Span(EPOCH, until))
    kept_from = pruned[-1].end + TICK if pruned and pruned[-1].end < until else None
    return max((at for at in (last, kept_from) if at is not None), default=None)


def _is_early(gap: CaptureGap, span: Span, left: Span | None, until: datetime) -> bool:
    """Whether trades of a gap may still be missing from an answer that is complete `until` then,
    behind the part that is `left` beyond its reach."""
    is_lost = left is not None and left.end >= span.end
    return gap.ended_at is not None and until < span.end and not is_lost


def _note_early(
    gap: CaptureGap, span: Span, left: Span | None, until: datetime, added: int
) -> dict[int, CaptureGap.State]:
    """Keep what is known already: a later answer may not reach back so far."""
    if span.start > gap.started_at:
        return note_early(gap.pk, rows_added=added)
    return note_early(gap.pk, rows_added=added, until=until, lost=left)


def _complete(span: Span, left: Span | None) -> Span | None:
    """The end of `span` that is there now, when `left` is not; None when nothing is."""
    if left is None:
        return span
    # An answer that begins in the millisecond of the start leaves that millisecond missing.
    start = max(left.end, span.start + TICK)
    return Span(start, span.end) if start < span.end else None
