"""What retention has deleted: declared before the first row goes, and asked for by nobody.

A gap of the state `pruned` says so, one row for a stretch. It is neither open, so that no sweep
asks for it, nor filled, so that nothing vouches for it. The law: a row is deleted only in a
transaction that holds a declaration over its time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import models, transaction

from marketdata.bybit.constants import EPOCH
from marketdata.capture.feeds import Feed
from marketdata.coverage.gap_rows import UNFINISHED, with_first_bounds
from marketdata.coverage.ledger import intervals_of, lock_writers
from marketdata.coverage.spans import TICK, Span, clipped, hull, minus
from marketdata.models import CaptureGap, CoverageInterval

PRUNED = CaptureGap.State.PRUNED
REASON = "older than retention keeps"
WANTED_AGAIN = "pruned, and wanted again"


def pruned_spans(feed: Feed, bounds: Span, *, lock: bool = False) -> list[Span]:
    """What is declared of a feed within `bounds`; with `lock` nobody takes it back before the
    end of this transaction."""
    rows = _pruned(feed, bounds)
    if lock:
        rows = rows.select_for_update()
    return clipped((_span(row) for row in rows.order_by("started_at", "pk")), bounds)


def pruned_until(feed: Feed) -> datetime | None:
    """The last instant of a feed that is declared; None where nothing is."""
    last: datetime | None = (
        _of(feed).filter(state=PRUNED).aggregate(last=models.Max("ended_at"))["last"]
    )
    return last


def without_pruned(feed: Feed, rows: Sequence[Any]) -> list[Any]:
    """Those of `rows`, which the exchange shows, that retention has not deleted."""
    shown = hull(Span(row.exchange_ts, row.exchange_ts) for row in rows)
    spans = pruned_spans(feed, shown) if shown else []
    return [
        row for row in rows if not any(span.start <= row.exchange_ts <= span.end for span in spans)
    ]


def declare_pruned(feed: Feed, span: Span) -> Span:
    """Take back what is claimed of a feed up to the end of `span`, for its rows will go; the
    span that is declared, which begins with the first thing known of the feed.

    Gaps in it that somebody would still ask for end as pruned; one that reaches beyond it begins
    after it. One without an end is capture's, and stays.
    """
    with transaction.atomic():
        # Gaps before intervals: who fills one takes its locks in this order.
        gaps = list(_of(feed).select_for_update().filter(started_at__lte=span.end).order_by("pk"))
        lock_writers()
        intervals = intervals_of(feed, Span(EPOCH, span.end))
        first = min([span.start, *(row.started_at for row in (*gaps, *intervals))])
        whole = Span(first, span.end)
        _take_back(intervals, whole.end)
        for gap in gaps:
            _close(gap, whole.end)
        return _join([gap for gap in gaps if gap.reason == REASON], feed, whole)


def reopen(feed: Feed, span: Span) -> bool:
    """Have what is declared within `span` be an open gap again, which may be filled; whether
    there was anything."""
    with transaction.atomic():
        rows = list(_pruned(feed, span).select_for_update().order_by("pk"))
        for row in rows:
            whole = _span(row)
            row.delete()
            reason = WANTED_AGAIN if row.reason == REASON else row.reason
            CaptureGap.objects.bulk_create(
                [
                    *(_model(feed, part, row.reason, PRUNED) for part in minus([whole], [span])),
                    *(
                        _model(feed, part, reason, CaptureGap.State.OPEN)
                        for part in clipped([whole], span)
                    ),
                ]
            )
    return bool(rows)


def _take_back(intervals: Sequence[CoverageInterval], until: datetime) -> None:
    for row in intervals:
        if row.ended_at is not None and row.ended_at <= until:
            row.delete()
        else:
            # In its place: a capture that goes on lengthens this row by its key.
            CoverageInterval.objects.filter(pk=row.pk).update(started_at=until + TICK)


def _close(gap: CaptureGap, until: datetime) -> None:
    if gap.state not in UNFINISHED or gap.ended_at is None:
        return
    if gap.ended_at <= until:
        gap.state = PRUNED
    else:
        gap.evidence = with_first_bounds(gap)
        gap.started_at = until + TICK
    gap.save(update_fields=["state", "started_at", "evidence", "updated_at"])


def _join(rows: Sequence[CaptureGap], feed: Feed, whole: Span) -> Span:
    """One row for `whole` and what was declared before, which reaches into it."""
    declared = hull([whole, *(_span(row) for row in rows)]) or whole
    if not rows:
        _model(feed, declared, REASON, PRUNED).save()
        return declared
    CaptureGap.objects.filter(pk__in=[row.pk for row in rows[1:]]).delete()
    rows[0].started_at, rows[0].ended_at = declared.start, declared.end
    rows[0].save(update_fields=["started_at", "ended_at", "updated_at"])
    return declared


def _model(feed: Feed, span: Span, reason: str, state: CaptureGap.State) -> CaptureGap:
    return CaptureGap(
        **feed._asdict(), started_at=span.start, ended_at=span.end, reason=reason, state=state
    )


def _pruned(feed: Feed, bounds: Span) -> models.QuerySet[CaptureGap]:
    return _of(feed).filter(state=PRUNED, started_at__lte=bounds.end, ended_at__gte=bounds.start)


def _of(feed: Feed) -> models.QuerySet[CaptureGap]:
    return CaptureGap.objects.filter(
        stream=feed.stream, symbol=feed.symbol, account=feed.account_id
    )


def _span(row: CaptureGap) -> Span:
    """The span of a row that has an end, as every pruned one does."""
    return Span(row.started_at, row.ended_at or row.started_at)
