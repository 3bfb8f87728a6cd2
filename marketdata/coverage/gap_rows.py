"""What becomes of a gap row when a part of its span has been fetched."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import models, transaction

from marketdata.models import CaptureGap, CoverageInterval

UNFINISHED = (CaptureGap.State.OPEN, CaptureGap.State.PARTIAL)


@dataclass(frozen=True)
class Span:
    """From `start` to `end`, both included; aware UTC."""

    start: datetime
    end: datetime

    def within(self, start: datetime, end: datetime | None) -> Span:
        """The part of it that lies from `start` to `end`, which may be open."""
        return Span(max(self.start, start), self.end if end is None else min(self.end, end))


def hull(spans: Iterable[Span]) -> Span | None:
    """The span from the first start to the last end."""
    known = list(spans)
    if not known:
        return None
    return Span(min(span.start for span in known), max(span.end for span in known))


def unfinished_gaps(asked: Span, **of: Any) -> list[CaptureGap]:
    """The gaps that reach into `asked` and are not filled."""
    return list(
        CaptureGap.objects.filter(state__in=UNFINISHED, started_at__lte=asked.end, **of)
        .filter(models.Q(ended_at=None) | models.Q(ended_at__gte=asked.start))
        .order_by("started_at")
    )


def note_attempt(
    pk: int,
    complete: Span | None,
    *,
    rows_added: int,
    done: CaptureGap.State = CaptureGap.State.FILLED,
) -> None:
    """Write down that a gap was asked for, and that `complete` of it is there now.

    A gap that is complete gets the state `done`; one that is complete at its beginning or its
    end shrinks to what is left. One without an end is capture's, and goes on after this. The row
    is read anew: capture may have written its end meanwhile.
    """
    with transaction.atomic():
        gap = CaptureGap.objects.select_for_update().filter(pk=pk).first()
        if gap is None:
            return
        gap.attempts += 1
        gap.rows_added += rows_added
        if complete is not None and gap.ended_at is not None:
            gap.source = CoverageInterval.Source.REST
            _shrink(gap, Span(gap.started_at, gap.ended_at), complete, done)
        gap.save(
            update_fields=[
                "attempts", "rows_added", "source", "state", "started_at", "ended_at", "evidence",
                "updated_at",
            ]
        )  # fmt: skip


def _shrink(gap: CaptureGap, whole: Span, complete: Span, done: CaptureGap.State) -> None:
    begins, ends = complete.start <= whole.start, complete.end >= whole.end
    if begins and ends:
        gap.state = done
        return
    gap.state = CaptureGap.State.PARTIAL
    first = {"started_at": whole.start.isoformat(), "ended_at": whole.end.isoformat()}
    gap.evidence = {"first": first, **gap.evidence}
    if begins:
        gap.started_at = max(whole.start, complete.end)
    elif ends:
        gap.ended_at = min(whole.end, complete.start)
