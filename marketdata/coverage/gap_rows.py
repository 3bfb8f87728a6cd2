"""What becomes of a gap row when a part of its span has been fetched."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import models, transaction

from marketdata.bybit.errors import RateLimited
from marketdata.coverage.ledger import vouch
from marketdata.coverage.spans import TICK, on_ticks
from marketdata.coverage.spans import Span as Span
from marketdata.coverage.spans import hull as hull
from marketdata.models import CaptureGap, CoverageInterval

UNFINISHED = (CaptureGap.State.OPEN, CaptureGap.State.PARTIAL)
# Said of a gap that REST has answered for and will never show: only archives have it.
BEYOND_REACH = "more trades than the exchange shows of its latest"
# Said of a gap that is younger than rows may be that REST does not show yet.
TOO_EARLY = "asked too soon after its end: rows may still be missing from the answer"
LONGEST_DELAY_SECONDS = 3600.0


def unfinished_gaps(asked: Span, **of: Any) -> list[CaptureGap]:
    """The gaps that reach into `asked` and are not filled."""
    return list(
        CaptureGap.objects.filter(state__in=UNFINISHED, started_at__lte=asked.end, **of)
        .filter(models.Q(ended_at=None) | models.Q(ended_at__gte=asked.start))
        .order_by("started_at")
    )


def open_gaps(**of: Any) -> list[CaptureGap]:
    """The gaps that have ended and that nobody has filled or given up, the oldest first.

    Those that REST can never show are left out.
    """
    rows = CaptureGap.objects.filter(state=CaptureGap.State.OPEN, ended_at__isnull=False, **of)
    return [gap for gap in rows.order_by("started_at") if gap.evidence.get("note") != BEYOND_REACH]


def locked_gap(pk: int) -> CaptureGap | None:
    """The gap as it is now, for this transaction alone; None where it is gone, or pruned."""
    rows = CaptureGap.objects.select_for_update().exclude(state=CaptureGap.State.PRUNED)
    return rows.filter(pk=pk).first()


def give_up_gaps(note: str, **of: Any) -> None:
    """Say of the gaps that have ended and can be filled by nobody that it is so."""
    for gap in open_gaps(**of):
        gap.state = CaptureGap.State.UNFILLABLE
        gap.evidence = {**gap.evidence, "note": note}
        gap.save(update_fields=["state", "evidence", "updated_at"])


def is_due(gap: CaptureGap, now: datetime, first_delay: float) -> bool:
    """Whether to ask for a gap again: delays double from `first_delay` s to an hour."""
    if not gap.attempts:
        return True
    delay = min(first_delay * 2.0 ** min(gap.attempts - 1, 32), LONGEST_DELAY_SECONDS)
    return now >= gap.updated_at + timedelta(seconds=delay)


def note_attempt(
    pk: int,
    complete: Span | None,
    *,
    rows_added: int = 0,
    done: CaptureGap.State = CaptureGap.State.FILLED,
    note: str = "",
    error: Exception | None = None,
) -> dict[int, CaptureGap.State]:
    """Write down that a gap was asked for, and that `complete` of it is there now; its new state.

    A gap that is complete gets the state `done`; one that is complete at its beginning or its
    end shrinks to what is left. One without an end is capture's, and goes on after this. The row
    is read anew: capture may have written its end meanwhile. What is FILLED of it is vouched for.
    What was never asked, because of too many requests, is no attempt. One that was pruned
    meanwhile stays so.
    """
    with transaction.atomic():
        gap = locked_gap(pk)
        if gap is None:
            return {}
        if not isinstance(error, RateLimited):
            gap.attempts += 1
        gap.rows_added += rows_added
        before = {name: value for name, value in gap.evidence.items() if name != "note"}
        gap.evidence = before | ({"note": note} if note else {})
        if complete is not None and gap.ended_at is not None:
            gap.source = CoverageInterval.Source.REST
            filled = _shrink(gap, Span(gap.started_at, gap.ended_at), complete, done)
            if filled is not None and done == CaptureGap.State.FILLED:
                vouch(
                    gap.stream, gap.symbol, gap.account_id, filled.start, filled.end,
                    CoverageInterval.Source.REST,
                )  # fmt: skip
        gap.save(
            update_fields=[
                "attempts", "rows_added", "source", "state", "started_at", "ended_at", "evidence",
                "updated_at",
            ]
        )  # fmt: skip
        return {gap.pk: CaptureGap.State(gap.state)}


def note_early(
    pk: int, *, rows_added: int = 0, until: datetime | None = None, lost: Span | None = None
) -> dict[int, CaptureGap.State]:
    """Write down that a gap was asked for too soon to judge its end; its state, which stays.

    That is no attempt, and delays none. Its beginning leaves the gap, where something is known
    of it: `lost` can never be shown, and is a gap of its own; from there on everything is there
    `until` then, which lies before the gap's end.
    """
    with transaction.atomic():
        gap = locked_gap(pk)
        if gap is None or gap.ended_at is None:
            return {}
        gap.rows_added += rows_added
        start, states = gap.started_at, {}
        if lost is not None:
            beyond = CaptureGap.objects.create(
                stream=gap.stream, symbol=gap.symbol, account_id=gap.account_id,
                started_at=start, ended_at=lost.end, reason=gap.reason, attempts=1,
                evidence={**gap.evidence, "note": BEYOND_REACH},
            )  # fmt: skip
            states[beyond.pk] = CaptureGap.State(beyond.state)
            start = lost.end + TICK
        if until is not None and (sure := on_ticks(start, until)) is not None:
            source = CoverageInterval.Source.REST
            vouch(gap.stream, gap.symbol, gap.account_id, sure.start, sure.end, source)
            start = sure.end + TICK
        if start != gap.started_at:
            gap.evidence = with_first_bounds(gap)
            gap.started_at = start
        gap.save(update_fields=["rows_added", "started_at", "evidence"])
        return states | {gap.pk: CaptureGap.State(gap.state)}


def with_first_bounds(gap: CaptureGap) -> dict[str, Any]:
    """The evidence of a gap that is about to shrink for the first time: it names its bounds."""
    ended_at = gap.ended_at and gap.ended_at.isoformat()
    return {
        "first": {"started_at": gap.started_at.isoformat(), "ended_at": ended_at},
        **gap.evidence,
    }


def _shrink(gap: CaptureGap, whole: Span, complete: Span, done: CaptureGap.State) -> Span | None:
    """Take `complete` out of a gap; the part of it that is no longer missing.

    Where it is cut the gap keeps the instant itself: not all of its rows need be there.
    """
    begins, ends = complete.start <= whole.start, complete.end >= whole.end
    if begins and ends:
        gap.state = done
        return whole
    gap.state = CaptureGap.State.PARTIAL
    gap.evidence = with_first_bounds(gap)
    if begins:
        gap.started_at = max(whole.start, complete.end)
        return Span(whole.start, gap.started_at - TICK)
    if ends:
        gap.ended_at = min(whole.end, complete.start)
        return Span(gap.ended_at + TICK, whole.end)
    return None
