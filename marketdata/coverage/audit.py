"""Audits: what was held complete, against what REST shows.

Every answer is one, whatever it was asked for. A row that it holds, that is not stored, and that
lies in what an interval vouches for or what a stream at work is believed to have brought, was
not brought: a topic was silent, on a connection that went on. It is stored, and declared. What
needs no belief, because no claim covers it or a gap has announced it, is stored and no more.

Nothing is younger than an audit may be: a claim ends where rows may still be on their way. And
claims are read from the tables, too, so those of a capture that was killed are audited by the next.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import models

from marketdata.capture.feeds import Feed
from marketdata.coverage.findings import Finding
from marketdata.coverage.ledger import Source, intervals_of
from marketdata.coverage.spans import Span, union
from marketdata.log_events import ROWS_MISSED
from marketdata.models import CaptureGap, CoverageInterval

logger = logging.getLogger(__name__)


def declare_unheard(
    finding: Finding, feed: Feed, fresh: Sequence[Any], claims: Sequence[Span]
) -> None:
    """Declare those of the rows `fresh`, which are stored by now, that had to be there before.

    `claims` are what was held complete before any of them was stored: a stream that is slower than
    REST may have brought them since. `finding.unheard` is from the first such row to the last.
    """
    if not fresh:
        return
    times = [row.exchange_ts for row in fresh]
    gaps = _announced(feed, Span(min(times), max(times)))
    unheard = [at for at in times if _holds(claims, at) and not _holds(gaps, at)]
    if not unheard:
        return
    finding.not_streamed = len(unheard)
    finding.unheard = Span(min(unheard), max(unheard))
    reason = f"the stream did not bring {len(unheard)} rows that REST shows"
    of = {"stream": finding.stream, "subject": finding.subject, "rows": len(unheard)}
    text = "%s of %s: %s"
    ROWS_MISSED.log(logger, text, finding.stream, finding.subject, reason, reason=reason, **of)
    state = CaptureGap.State.OPEN if finding.refused else CaptureGap.State.FILLED
    gap = CaptureGap.objects.create(
        **feed._asdict(), started_at=min(unheard), ended_at=max(unheard), reason=reason,
        state=state, source=CoverageInterval.Source.REST, rows_added=len(unheard), attempts=1,
    )  # fmt: skip
    finding.gaps[gap.pk] = state


def claims_on(
    feed: Feed, bounds: Span, heard: Sequence[Span], *, source: Source | None = None
) -> list[Span]:
    """What of a feed is held complete, where it reaches into `bounds`; by `source`, or by any.

    `heard` are spans that a stream at work is believed to have brought.
    """
    vouched = [
        Span(row.started_at, row.ended_at)
        for row in intervals_of(feed, bounds)
        if row.ended_at and source in (None, row.source)
    ]
    return union([*heard, *vouched])


def _announced(feed: Feed, bounds: Span) -> list[Span]:
    """The gaps of a feed, filled or not, that reach into `bounds`."""
    gaps = CaptureGap.objects.filter(
        models.Q(ended_at=None) | models.Q(ended_at__gte=bounds.start),
        stream=feed.stream, symbol=feed.symbol, account=feed.account_id,
        started_at__lte=bounds.end,
    ).values_list("started_at", "ended_at")  # fmt: skip
    return [Span(start, end or max(start, bounds.end)) for start, end in gaps]


def _holds(spans: Sequence[Span], at: datetime) -> bool:
    return any(span.start <= at <= span.end for span in spans)
