"""Accounts: executions come back whole; of all else the present state.

Executions: two years back, in windows of seven days, all pages. Orders: the last state of each,
cancelled ones for a day. Positions and balances: as they are now. The states in between cannot
be asked for again: they are declared, with what is known at the gap's end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.db import models

from marketdata.bybit.errors import BybitError
from marketdata.bybit.records import OrderRecord, Parsed
from marketdata.bybit.rest_client import BybitRestClient
from marketdata.capture.accounts import AccountContext
from marketdata.capture.feeds import Feed
from marketdata.capture.private_writers import (
    FINAL_STATUSES,
    ExecutionWriter,
    OrderWriter,
    PositionWriter,
    PrivateWriter,
    WalletWriter,
)
from marketdata.coverage.audit import claims_on, declare_unheard
from marketdata.coverage.findings import Finding
from marketdata.coverage.gap_rows import (
    TOO_EARLY,
    Span,
    hull,
    note_attempt,
    note_early,
    unfinished_gaps,
)
from marketdata.coverage.reconciler_base import ReconcilerBase, times_within
from marketdata.models import CaptureGap, Order, PrivateExecution, Stream

# The exchange does not say whether it finds an order by when it was made or by when it changed.
ORDER_LOOKBACK = timedelta(days=7)
# Older orders are asked for one by one: so many, as the exchange may have forgotten some for good.
MOST_OLD_ORDERS = 100
# Rows may come to the exchange's lists out of order, and bear times a little ahead of its clock.
OVERLAP = timedelta(seconds=60)
AHEAD = timedelta(seconds=1)
LAST_STATES = "the last state of each order; earlier ones cannot be asked for again"
PRESENT_STATE = (
    "the states in between cannot be asked for again; stored as they were at {:%F %T} UTC"
)

Pages = Callable[[BybitRestClient], Iterable[Parsed[Any]]]


class AccountReconciler(ReconcilerBase):
    """Fills gaps of accounts."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._executions = ExecutionWriter(**self._writer_options)
        self._orders = OrderWriter(**self._writer_options)
        self._positions = PositionWriter(**self._writer_options)
        self._wallet = WalletWriter(**self._writer_options)

    # --- by hand: a span of any length -------------------------------------------------------

    def executions(self, context: AccountContext, asked: Span) -> Finding:
        """Fill the executions of an account within `asked`."""
        gaps = _gaps_within(asked, Stream.EXECUTIONS, context)
        return self._fill_executions(context, asked, gaps, None)

    def orders(self, context: AccountContext, asked: Span) -> Finding:
        """Fetch the last state of each order of an account within `asked`, open ones included."""
        gaps = _gaps_within(asked, Stream.ORDERS, context)
        return self._fill_orders(context, asked, gaps, None)

    # --- beside a capture: up to a moment when the stream was subscribed ---------------------

    def repair(
        self, stream: Stream, context: AccountContext, gaps: Sequence[CaptureGap], now: datetime
    ) -> list[Finding]:
        """Fill these gaps of a stream, which have ended; without any, look at the last minute.

        `now` is the exchange's time, read before this; gaps that end less than a lag before it
        stay as they are, and are to be asked for again.
        """
        spans = [Span(gap.started_at, gap.ended_at or now) for gap in gaps]
        around = hull(spans) or Span(now, now)
        asked = Span(around.start - OVERLAP, max(around.end, now) + AHEAD)
        if stream == Stream.EXECUTIONS:
            if not gaps:
                return [self._fill_executions(context, asked, [], now)]
            return [self._repair_executions(context, gap, now) for gap in gaps]
        if stream == Stream.ORDERS:
            return [self._fill_orders(context, asked, gaps, now)]
        if stream == Stream.POSITIONS:
            return [self._take_positions(context, asked, gaps, now)]
        return [self._take_wallet(context, asked, gaps, now)]

    def audit_executions(self, context: AccountContext, asked: Span) -> Finding:
        """Look whether the stream brought what REST shows of `asked`."""
        return self._fill_executions(context, asked, [], asked.end)

    def _repair_executions(
        self, context: AccountContext, gap: CaptureGap, now: datetime
    ) -> Finding:
        start = min(gap.started_at, known_until(context, gap)) - OVERLAP
        asked = Span(start, (gap.ended_at or gap.started_at) + AHEAD)
        return self._fill_executions(context, asked, [gap], now)

    # --- the four streams --------------------------------------------------------------------

    def _fill_executions(
        self,
        context: AccountContext,
        asked: Span,
        gaps: Sequence[CaptureGap],
        now: datetime | None,
    ) -> Finding:
        finding = Finding(Stream.EXECUTIONS, context.name, asked)

        def pages(client: BybitRestClient) -> Iterable[Parsed[Any]]:
            return client.executions_pages(start=asked.start, end=asked.end)

        now, fresh = self._ask(context, finding, self._executions, pages, now)
        feed = Feed(finding.stream, account_id=context.account_id)
        declare_unheard(finding, feed, fresh, self._claims)
        return self._judged(finding, gaps, fresh, CaptureGap.State.FILLED, now)

    def _fill_orders(
        self,
        context: AccountContext,
        asked: Span,
        gaps: Sequence[CaptureGap],
        now: datetime | None,
    ) -> Finding:
        finding = Finding(Stream.ORDERS, context.name, asked, note=LAST_STATES)

        def pages(client: BybitRestClient) -> Iterator[Parsed[Any]]:
            first = asked.start - ORDER_LOOKBACK
            # In this order: an order that ends between the two answers is in both, not in neither.
            yield (still_open := client.get_open_orders())
            yield from client.order_history_pages(start=first, end=asked.end)
            for order_id in _left_open(context, first, still_open.records) if gaps else ():
                yield client.get_ended_order(order_id)

        now, fresh = self._ask(context, finding, self._orders, pages, now)
        return self._judged(finding, gaps, fresh, CaptureGap.State.PARTIAL, now)

    def _take_positions(
        self, context: AccountContext, asked: Span, gaps: Sequence[CaptureGap], now: datetime
    ) -> Finding:
        finding = Finding(Stream.POSITIONS, context.name, asked, note=PRESENT_STATE.format(now))
        # Asked for all symbols the exchange leaves flat legs out: those that were closed meanwhile.
        traded = PrivateExecution.objects.filter(
            account=context.account_id, exchange_ts__gte=asked.start
        )
        symbols = set(traded.order_by().values_list("symbol", flat=True).distinct())

        def pages(client: BybitRestClient) -> Iterator[Parsed[Any]]:
            held = client.get_positions()
            others = [row for row in held.records if row.symbol not in symbols]
            yield Parsed(others, held.rejects)
            for symbol in sorted(symbols):
                yield client.get_positions(symbol)

        _, fresh = self._ask(context, finding, self._positions, pages, now)
        return self._judged(finding, gaps, fresh, CaptureGap.State.UNFILLABLE, now)

    def _take_wallet(
        self, context: AccountContext, asked: Span, gaps: Sequence[CaptureGap], now: datetime
    ) -> Finding:
        finding = Finding(Stream.WALLET, context.name, asked, note=PRESENT_STATE.format(now))
        _, fresh = self._ask(
            context, finding, self._wallet, lambda client: [client.get_wallet_balance()], now
        )
        return self._judged(finding, gaps, fresh, CaptureGap.State.UNFILLABLE, now)

    def _ask(
        self,
        context: AccountContext,
        finding: Finding,
        writer: PrivateWriter[Any],
        pages: Pages,
        now: datetime | None,
    ) -> tuple[datetime | None, list[Any]]:
        """Store page by page, so that what arrived stays if a later page fails.

        The exchange's time before anything was asked, read here unless it is known, and the rows
        that were not there before.
        """
        key, write = writer.key(context.account_id), partial(writer.write_for, context)
        fresh: list[Any] = []
        feed = Feed(finding.stream, account_id=context.account_id)
        self._claims: Sequence[Span] = ()
        try:
            with closing(self._client(context)) as client:
                now = now or client.get_server_time()
                for parsed in pages(client):
                    if not finding.found:
                        heard = self._settle(finding.stream)
                        self._claims = claims_on(feed, finding.asked, heard)
                    finding.found += len(parsed.records) + len(parsed.rejects)
                    fresh += self._store(finding, key, writer, write, parsed)
        except (BybitError, ValueError) as error:
            finding.fail(error)
        return now, fresh

    def _judged(
        self,
        finding: Finding,
        gaps: Sequence[CaptureGap],
        fresh: Sequence[Any],
        done: CaptureGap.State,
        now: datetime | None,
    ) -> Finding:
        """Say what became of gaps; of those that end within a lag before `now` nothing yet."""
        self._finished(finding)
        asked = finding.asked
        complete = None if finding.missing else asked
        early: list[Span] = []
        for gap in gaps:
            added = times_within(fresh, gap.started_at, gap.ended_at or asked.end)
            span = asked.within(gap.started_at, gap.ended_at)
            if complete and now and gap.ended_at and span.end > now - self._lag:
                early.append(span)
                finding.gaps |= note_early(gap.pk, rows_added=added)
                continue
            finding.gaps |= note_attempt(
                gap.pk,
                complete,
                rows_added=added,
                done=done,
                note=finding.note,
                error=finding.error,
            )
        if early:
            finding.missing, finding.note = hull(early), TOO_EARLY
        return finding


def _gaps_within(asked: Span, stream: Stream, context: AccountContext) -> list[CaptureGap]:
    return unfinished_gaps(asked, stream=stream, account=context.account_id)


def _left_open(
    context: AccountContext, before: datetime, still_open: Sequence[OrderRecord]
) -> list[str]:
    """The orders of an account that were made `before` then and are stored as open, but are not,
    the latest made first."""
    orders = Order.objects.filter(account=context.account_id)
    ended = orders.filter(order_id=models.OuterRef("order_id"), status__in=FINAL_STATUSES)
    left = orders.filter(~models.Exists(ended), created_at__lt=before)
    made = left.exclude(order_id__in={order.order_id for order in still_open})
    ids = made.order_by("-created_at", "order_id").values_list("order_id", "created_at").distinct()
    return [order_id for order_id, _ in ids[:MOST_OLD_ORDERS]]


def known_until(context: AccountContext, gap: CaptureGap) -> datetime:
    """Up to when an account's executions are known to be there, before a gap: the last row stored
    before it, or the end of a gap that was filled since, or of what was pruned; without any, the
    gap's own start."""
    executions = PrivateExecution.objects.filter(
        account=context.account_id, exchange_ts__lte=gap.started_at
    )
    filled = CaptureGap.objects.filter(
        stream=Stream.EXECUTIONS,
        account=context.account_id,
        state__in=(CaptureGap.State.FILLED, CaptureGap.State.PRUNED),
        ended_at__lte=gap.started_at,
    )
    last_row = executions.order_by("-exchange_ts").values_list("exchange_ts", flat=True).first()
    last_filled = filled.order_by("-ended_at").values_list("ended_at", flat=True).first()
    return max((at for at in (last_row, last_filled) if at is not None), default=gap.started_at)
