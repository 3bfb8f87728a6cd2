"""The reconciler: asks the exchange for what a gap may hide, and stores it like everything else.

Rows go through capture's own writers, so a row that is there already is a duplicate and nothing
more. Trades: the exchange shows the last 1000 of a symbol, so a longer gap is filled in part and
its rest stays open, with its bounds. Executions: two years back, in windows of seven days, all
pages. Orders: the last state of each; the states in between cannot be asked for again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID

from django.db import models
from django.utils import timezone

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.bybit.errors import BybitError, ExchangeUnavailable
from marketdata.bybit.records import Parsed, TradeRecord
from marketdata.bybit.rest_client import BybitRestClient
from marketdata.capture.accounts import AccountContext
from marketdata.capture.books import Books
from marketdata.capture.private_writers import ExecutionWriter, OrderWriter, PrivateWriter
from marketdata.capture.public_writers import TradeWriter
from marketdata.capture.startup import exact_digits
from marketdata.capture.tally import StreamKey
from marketdata.capture.writers import Writer
from marketdata.models import CaptureGap, CoverageInterval, PublicTrade, Stream

logger = logging.getLogger(__name__)

# What the exchange shows of a linear symbol (V5 docs, "Get Recent Public Trades").
MOST_RECENT_TRADES = 1000
# The exchange does not say whether it finds an order by when it was made or by when it changed.
ORDER_LOOKBACK = timedelta(days=7)
BEYOND_REACH = "more trades than the exchange shows of its latest"
UNFINISHED = (CaptureGap.State.OPEN, CaptureGap.State.PARTIAL)


@dataclass(frozen=True)
class Span:
    """From `start` to `end`, both included; aware UTC."""

    start: datetime
    end: datetime


@dataclass
class Finding:
    """What was asked of one stream of one symbol or account, and what came of it."""

    stream: Stream
    subject: str
    asked: Span
    account_id: UUID | None = None
    found: int = 0
    new: int = 0
    missing: Span | None = None
    note: str = ""
    unreachable: bool = False


class GapReconciler:
    """Fills gaps; one for a whole reconciliation, from one thread."""

    def __init__(self, environment: Environment, endpoints: Endpoints) -> None:
        self.books = Books()
        self._environment, self._endpoints = environment, endpoints
        options: dict[str, Any] = {"tally": self.books.tally, "quarantine": self.books.quarantine}
        self._trades = TradeWriter(**options)
        self._executions = ExecutionWriter(**options)
        self._orders = OrderWriter(**options)

    def reconcile_public_trades(self, symbol: str, gap_start: datetime, gap_end: datetime) -> int:
        """Ask for the trades of a span; how many were new."""
        return self.trades(symbol, Span(gap_start, gap_end)).new

    def reconcile_executions(
        self, context: AccountContext, gap_start: datetime, gap_end: datetime
    ) -> int:
        """Ask for the executions of a span; how many were new."""
        return self.executions(context, Span(gap_start, gap_end)).new

    # --- trades ------------------------------------------------------------------------------

    def trades(self, symbol: str, asked: Span) -> Finding:
        """Fill what the exchange still shows of a symbol's gaps within `asked`."""
        finding = Finding(Stream.TRADES, symbol, asked)
        spans = self._trade_spans(symbol, asked)
        try:
            with closing(self._client(self._environment)) as client:
                parsed = client.get_recent_trades(symbol, MOST_RECENT_TRADES)
        except BybitError as error:
            finding.missing = _hull(span for span, _ in spans)
            return _unanswered(finding, error)
        known = self._known_ids(parsed.records)
        wanted = [row for row in parsed.records if asked.start <= row.exchange_ts <= asked.end]
        fresh = [row.exchange_ts for row in wanted if row.trade_id not in known]
        finding.found = len(wanted)
        sound = Parsed(wanted, parsed.rejects)
        finding.new = self._store(self._trades.key(), self._trades, self._trades.write, sound)
        reach = _Reach(parsed, known)
        missing = [self._settle_trades(span, gap, reach, fresh, symbol) for span, gap in spans]
        finding.missing = _hull(span for span in missing if span is not None)
        if finding.missing:
            finding.note = BEYOND_REACH
        self.books.persist()
        return finding

    def _trade_spans(self, symbol: str, asked: Span) -> list[tuple[Span, CaptureGap | None]]:
        """The gaps within `asked`, and what lies behind the newest stored row."""
        gaps = _gaps_within(asked, stream=Stream.TRADES, symbol=symbol)
        spans: list[tuple[Span, CaptureGap | None]] = [
            (Span(max(gap.started_at, asked.start), gap.ended_at or asked.end), gap) for gap in gaps
        ]
        last = PublicTrade.objects.last_trade_ts(symbol)
        if last is None or asked.start <= last < asked.end:
            spans.append((Span(last or asked.start, asked.end), None))
        return spans

    def _known_ids(self, records: list[TradeRecord]) -> set[str]:
        """Those of `records` that the stream had brought already, by their ids."""
        if not records:
            return set()
        stored = PublicTrade.objects.filter(
            symbol=records[0].symbol,
            exchange_ts__range=(records[0].exchange_ts, records[-1].exchange_ts),
            trade_id__in=[row.trade_id for row in records],
        )
        return set(stored.values_list("trade_id", flat=True))

    def _settle_trades(
        self,
        span: Span,
        gap: CaptureGap | None,
        reach: _Reach,
        fresh: list[datetime],
        symbol: str,
    ) -> Span | None:
        """Write down what became of a gap; the part of it that is still missing."""
        rest = reach.missing_of(span)
        if gap is None:
            if rest is None:
                return None
            gap = CaptureGap(
                stream=Stream.TRADES,
                symbol=symbol,
                started_at=span.start,
                ended_at=span.end,
                reason=BEYOND_REACH,
            )
        gap.attempts += 1
        gap.rows_added += sum(span.start <= at <= span.end for at in fresh)
        gap.source = CoverageInterval.Source.REST
        if rest is None and gap.ended_at is not None:
            # One that has no end yet is capture's, and goes on after this.
            gap.state = CaptureGap.State.FILLED
        elif rest is not None and rest.end < span.end:
            # What is left of the gap ends where the exchange's answer begins.
            gap.evidence = {**gap.evidence, "ended_at_first": span.end.isoformat()}
            gap.state, gap.ended_at = CaptureGap.State.PARTIAL, rest.end
        gap.save()
        return rest

    # --- accounts ----------------------------------------------------------------------------

    def executions(self, context: AccountContext, asked: Span) -> Finding:
        """Fill the executions of an account within `asked`."""
        began = timezone.now()
        finding = Finding(Stream.EXECUTIONS, context.name, asked, account_id=context.account_id)
        self._ask_account(
            context,
            finding,
            self._executions,
            lambda client: client.executions_pages(start=asked.start, end=asked.end),
        )
        self._settle_account(finding, self._executions, CaptureGap.State.FILLED, began)
        return finding

    def orders(self, context: AccountContext, asked: Span) -> Finding:
        """Fetch the last state of each order of an account within `asked`, open ones included."""
        began = timezone.now()
        finding = Finding(Stream.ORDERS, context.name, asked, account_id=context.account_id)

        def pages(client: BybitRestClient) -> Iterator[Parsed[Any]]:
            yield from client.order_history_pages(start=asked.start - ORDER_LOOKBACK, end=asked.end)
            yield client.get_open_orders()

        self._ask_account(context, finding, self._orders, pages)
        if finding.missing is None:
            finding.note = "the last state of each order; earlier ones cannot be asked for again"
        self._settle_account(finding, self._orders, CaptureGap.State.PARTIAL, began)
        return finding

    def _ask_account(
        self,
        context: AccountContext,
        finding: Finding,
        writer: PrivateWriter[Any],
        pages: Callable[[BybitRestClient], Iterable[Parsed[Any]]],
    ) -> None:
        """Store page by page, so that what arrived stays if a later page fails."""
        key, write = writer.key(context.account_id), partial(writer.write_for, context)
        try:
            with closing(self._client(context.environment, context)) as client:
                for parsed in pages(client):
                    finding.found += len(parsed.records) + len(parsed.rejects)
                    finding.new += self._store(key, writer, write, parsed)
        except BybitError as error:
            finding.missing = finding.asked
            _unanswered(finding, error)

    def _settle_account(
        self, finding: Finding, writer: PrivateWriter[Any], state: CaptureGap.State, began: datetime
    ) -> None:
        for gap in _gaps_within(finding.asked, stream=finding.stream, account=finding.account_id):
            gap.attempts += 1
            if gap.started_at < finding.asked.start:
                finding.note = finding.note or f"a gap begins before that, at {gap.started_at}"
            elif finding.missing is None and gap.ended_at is not None:
                gap.state, gap.source = state, CoverageInterval.Source.REST
                gap.rows_added += writer.table.filter(
                    account=finding.account_id,
                    exchange_ts__range=(gap.started_at, gap.ended_at),
                    local_ts__gte=began,
                ).count()
            gap.save()
        self.books.persist()

    # --- both --------------------------------------------------------------------------------

    def _client(
        self, environment: Environment, context: AccountContext | None = None
    ) -> BybitRestClient:
        return BybitRestClient(
            context.api_key if context else None,
            context.api_secret if context else None,
            environment=environment,
            endpoints=self._endpoints,
            digits=exact_digits(),
            hedge_mode=context.hedge_mode if context else True,
        )

    def _store(
        self,
        key: StreamKey,
        writer: Writer[Any],
        write: Callable[[Sequence[Any]], None],
        parsed: Parsed[Any],
    ) -> int:
        """Write and flush; how many rows were new, changed states of orders included."""
        before = self._new(key)
        for reject in parsed.rejects:
            self.books.quarantine.add(key, reject)
        write(parsed.records)
        writer.flush()
        return self._new(key) - before

    def _new(self, key: StreamKey) -> int:
        counts = self.books.tally.snapshot().get(key, {})
        return int(counts.get("stored", 0)) + int(counts.get("updated", 0))


def _gaps_within(asked: Span, **of: Any) -> list[CaptureGap]:
    """Unfinished gaps that reach into `asked`."""
    return list(
        CaptureGap.objects.filter(state__in=UNFINISHED, started_at__lte=asked.end, **of)
        .filter(models.Q(ended_at=None) | models.Q(ended_at__gte=asked.start))
        .order_by("started_at")
    )


class _Reach:
    """How far back an answer of recent trades is complete.

    Fewer trades than the exchange ever shows are all there are. Else the answer reaches behind a
    gap's start only if it is older, and shares ids with what the stream had stored there.
    """

    def __init__(self, parsed: Parsed[TradeRecord], known: set[str]) -> None:
        self._whole = len(parsed.records) + len(parsed.rejects) < MOST_RECENT_TRADES
        self._oldest = parsed.records[0].exchange_ts if parsed.records else None
        self._proven = bool(known)

    def missing_of(self, span: Span) -> Span | None:
        """The part of `span` that the answer does not show."""
        if self._whole:
            return None
        if self._oldest is None:
            return span
        if self._oldest < span.start:
            return None if self._proven else span
        return Span(span.start, min(self._oldest, span.end))


def _hull(spans: Iterable[Span]) -> Span | None:
    """The span from the first start to the last end."""
    known = list(spans)
    if not known:
        return None
    return Span(min(span.start for span in known), max(span.end for span in known))


def _unanswered(finding: Finding, error: BybitError) -> Finding:
    finding.note = str(error)
    finding.unreachable = isinstance(error, ExchangeUnavailable)
    finding.missing = finding.missing or finding.asked
    return finding
