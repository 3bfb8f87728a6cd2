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
from marketdata.coverage.gap_rows import Span, hull, note_attempt, unfinished_gaps
from marketdata.models import CaptureGap, PublicTrade, Stream

logger = logging.getLogger(__name__)

# What the exchange shows of a linear symbol (V5 docs, "Get Recent Public Trades").
MOST_RECENT_TRADES = 1000
# The exchange does not say whether it finds an order by when it was made or by when it changed.
ORDER_LOOKBACK = timedelta(days=7)
# How long a whole reconciliation may wait for the database.
PATIENCE_SECONDS = 60.0
BEYOND_REACH = "more trades than the exchange shows of its latest"


@dataclass
class Finding:
    """What was asked of one stream of one symbol or account, and what came of it."""

    stream: Stream
    subject: str
    asked: Span
    found: int = 0
    new: int = 0
    refused: int = 0
    missing: Span | None = None
    note: str = ""
    unreachable: bool = False


class GapReconciler:
    """Fills gaps; one for a whole reconciliation, from one thread."""

    def __init__(self, environment: Environment, endpoints: Endpoints) -> None:
        self.books = Books()
        self._environment, self._endpoints = environment, endpoints
        options: dict[str, Any] = {
            "tally": self.books.tally,
            "quarantine": self.books.quarantine,
            "patience": PATIENCE_SECONDS,
        }
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
        gaps = unfinished_gaps(asked, stream=Stream.TRADES, symbol=symbol)
        tail = self._tail(symbol, asked, gaps)
        spans = [asked.within(gap.started_at, gap.ended_at) for gap in gaps]
        try:
            with closing(self._client(self._environment)) as client:
                parsed = client.get_recent_trades(symbol, MOST_RECENT_TRADES)
        except (BybitError, ValueError) as error:
            finding.missing = hull([*spans, *([tail] if tail else [])])
            return _unanswered(finding, error)
        known = self._known_ids(parsed.records)
        reach = _Reach(symbol, parsed, known)
        wanted = [row for row in parsed.records if asked.start <= row.exchange_ts <= asked.end]
        fresh = [row.exchange_ts for row in wanted if row.trade_id not in known]
        finding.found = len(wanted)
        key, sound = self._trades.key(), Parsed(wanted, parsed.rejects)
        # Before anything is stored: what is stored proves how far the answer reaches.
        missing = [reach.missing_of(span) for span in spans]
        rest = reach.missing_of(tail) if tail else None
        self._store(finding, key, self._trades, self._trades.write, sound)
        for gap, span, left in zip(gaps, spans, missing, strict=True):
            complete = span if left is None else Span(left.end, span.end)
            added = sum(span.start <= at <= span.end for at in fresh)
            is_any = not finding.refused and complete.start < complete.end
            note_attempt(gap.pk, complete if is_any else None, rows_added=added)
        if rest is not None:
            CaptureGap.objects.create(
                stream=Stream.TRADES, symbol=symbol, started_at=rest.start, ended_at=rest.end,
                reason=BEYOND_REACH, attempts=1,
            )  # fmt: skip
        finding.missing = hull(left for left in [*missing, rest] if left is not None)
        finding.note = BEYOND_REACH if finding.missing else ""
        return self._finished(finding)

    def _tail(self, symbol: str, asked: Span, gaps: list[CaptureGap]) -> Span | None:
        """What lies behind the newest stored row, where no gap row says so already."""
        last = PublicTrade.objects.last_trade_ts(symbol)
        if last is None:
            return asked
        if last >= asked.end or any(gap.started_at >= last for gap in gaps):
            return None
        return Span(max(last, asked.start), asked.end)

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

    # --- accounts ----------------------------------------------------------------------------

    def executions(self, context: AccountContext, asked: Span) -> Finding:
        """Fill the executions of an account within `asked`."""
        finding = Finding(Stream.EXECUTIONS, context.name, asked)
        return self._ask_account(
            context,
            finding,
            self._executions,
            lambda client: client.executions_pages(start=asked.start, end=asked.end),
            CaptureGap.State.FILLED,
        )

    def orders(self, context: AccountContext, asked: Span) -> Finding:
        """Fetch the last state of each order of an account within `asked`, open ones included."""
        finding = Finding(Stream.ORDERS, context.name, asked)
        finding.note = "the last state of each order; earlier ones cannot be asked for again"

        def pages(client: BybitRestClient) -> Iterator[Parsed[Any]]:
            yield from client.order_history_pages(start=asked.start - ORDER_LOOKBACK, end=asked.end)
            yield client.get_open_orders()

        return self._ask_account(context, finding, self._orders, pages, CaptureGap.State.PARTIAL)

    def _ask_account(
        self,
        context: AccountContext,
        finding: Finding,
        writer: PrivateWriter[Any],
        pages: Callable[[BybitRestClient], Iterable[Parsed[Any]]],
        done: CaptureGap.State,
    ) -> Finding:
        """Store page by page, so that what arrived stays if a later page fails."""
        began, asked = timezone.now(), finding.asked
        of = {"stream": finding.stream, "account": context.account_id}
        gaps = unfinished_gaps(asked, **of)
        key, write = writer.key(context.account_id), partial(writer.write_for, context)
        try:
            with closing(self._client(context.environment, context)) as client:
                for parsed in pages(client):
                    finding.found += len(parsed.records) + len(parsed.rejects)
                    self._store(finding, key, writer, write, parsed)
        except (BybitError, ValueError) as error:
            _unanswered(finding, error)
        for gap in gaps:
            added = writer.table.filter(
                account=context.account_id,
                exchange_ts__range=(gap.started_at, gap.ended_at or asked.end),
                local_ts__gte=began,
            ).count()
            complete = None if finding.missing or finding.refused else asked
            note_attempt(gap.pk, complete, rows_added=added, done=done)
        return self._finished(finding)

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
        finding: Finding,
        key: StreamKey,
        writer: Writer[Any],
        write: Callable[[Sequence[Any]], None],
        parsed: Parsed[Any],
    ) -> None:
        """Write and flush, and count what was new, changed states of orders included."""
        new, refused = self._counted(key)
        for reject in parsed.rejects:
            self.books.quarantine.add(key, reject)
        write(parsed.records)
        writer.flush()
        new_now, refused_now = self._counted(key)
        finding.new += new_now - new
        finding.refused += refused_now - refused

    def _counted(self, key: StreamKey) -> tuple[int, int]:
        counts = self.books.tally.snapshot().get(key, {})
        new = int(counts.get("stored", 0)) + int(counts.get("updated", 0))
        return new, int(counts.get("quarantined", 0))

    def _finished(self, finding: Finding) -> Finding:
        """A row that is in quarantine is not where it belongs."""
        self.books.persist()
        if finding.refused:
            finding.missing = finding.missing or finding.asked
            finding.note = f"{finding.refused} rows are in quarantine; {finding.note}".rstrip("; ")
        return finding


class _Reach:
    """How far back an answer of recent trades is complete.

    Fewer trades than the exchange ever shows are all there are. Else the answer reaches behind a
    span's start only if it is older, and, where the stream had stored trades of that time, shares
    ids with them.
    """

    def __init__(self, symbol: str, parsed: Parsed[TradeRecord], known: set[str]) -> None:
        self._symbol = symbol
        self._whole = len(parsed.records) + len(parsed.rejects) < MOST_RECENT_TRADES
        self._oldest = parsed.records[0].exchange_ts if parsed.records else None
        self._shares_ids = bool(known)

    def missing_of(self, span: Span) -> Span | None:
        """The part of `span` that the answer does not show."""
        if self._whole:
            return None
        if self._oldest is None:
            return span
        if self._oldest < span.start:
            return None if self._shares_ids or not self._has_stored(span.start) else span
        return Span(span.start, min(self._oldest, span.end))

    def _has_stored(self, until: datetime) -> bool:
        trades = PublicTrade.objects.filter(symbol=self._symbol)
        return bool(trades.filter(exchange_ts__range=(self._oldest, until)).exists())


def _unanswered(finding: Finding, error: BybitError | ValueError) -> Finding:
    finding.note = str(error)
    finding.unreachable = isinstance(error, ExchangeUnavailable)
    finding.missing = finding.missing or finding.asked
    return finding
