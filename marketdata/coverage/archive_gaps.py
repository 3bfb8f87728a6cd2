"""What an archive proves: the spans that it vouches for, and what that leaves of the gaps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from marketdata.capture.feeds import Feed
from marketdata.coverage.archive_format import DAY, ROUNDING, Archive
from marketdata.coverage.gap_rows import Span, hull, locked_gap, with_first_bounds
from marketdata.coverage.ledger import gaps_of, intervals_of
from marketdata.coverage.spans import TICK, minus
from marketdata.models import CaptureGap, CoverageInterval, Stream

MINUTE = timedelta(minutes=1)
# How much longer than any within the file the silence at its ends may be, to be believed.
SILENCE_FACTOR = 2
# Where a gap row keeps what archives have proven of it, by the digest of the file.
EVIDENCE = "archives"


def minute_of(at: datetime) -> datetime:
    """The minute that a time lies in."""
    return at.replace(second=0, microsecond=0)


def feed_of(archive: Archive) -> Feed:
    """The feed whose rows the file holds."""
    return Feed(Stream.TRADES, archive.symbol)


def day_of(archive: Archive) -> Span:
    """The whole of the file's day."""
    return Span(archive.day, archive.day + DAY - TICK)


def claimed_span(archive: Archive, now: datetime) -> Span:
    """The span whose trades the file claims to hold, from its start to before its end.

    Its first row to its last one; and beyond them to the bounds of its day, as far as that is
    over, where the silence there is no stranger than those within the file. A file that was cut
    before it was packed has a sound checksum, and only its silence tells. A plain file has none,
    and one of several gzip members may lack the last: they speak for what lies between their rows.
    """
    blur = ROUNDING if archive.whole_seconds else timedelta(0)
    start, end = archive.first + blur, archive.last - blur
    if archive.members == 1:
        usual = max(MINUTE, SILENCE_FACTOR * archive.longest_silence)
        midnight = archive.day + DAY
        if archive.first - archive.day <= usual:
            start = archive.day
        if midnight <= now and midnight - archive.last <= usual:
            end = midnight
    return Span(start, max(start, end))


def without_minutes(span: Span, doubtful: Iterable[datetime]) -> list[Span]:
    """What is left of `span` when minutes are taken out of it."""
    left, start = [], span.start
    for minute in sorted(set(doubtful)):
        if minute > start:
            left.append(Span(start, min(minute, span.end)))
        start = max(start, minute + MINUTE)
    if start < span.end:
        left.append(Span(start, span.end))
    return [piece for piece in left if piece.start < piece.end]


def missing_of(whole: Span, known: Iterable[Span]) -> Span | None:
    """The span from the first to the last moment of `whole` that is in none of `known`."""
    left, at = [], whole.start
    pieces = sorted(_clipped(whole, known), key=lambda span: span.start)
    if not pieces:
        return whole
    for piece in pieces:
        if piece.start > at:
            left.append(Span(at, piece.start))
        at = max(at, piece.end)
    if at < whole.end:
        left.append(Span(at, whole.end))
    return hull(left)


def judge_gap(
    pk: int,
    archive: Archive,
    proven: Sequence[Span],
    rows_added: Callable[[CaptureGap], int],
    *,
    dry_run: bool,
) -> CaptureGap | None:
    """Write down what an archive proves of a gap: it is filled, or shrinks to what is left.

    What other archives have proven of it before counts as well, so that a gap of several days
    closes in whatever order their files come. A gap without an end is capture's, and goes on.
    Returns the gap as it is then, None if it is gone or pruned; a dry run writes nothing.
    """
    with transaction.atomic():
        gap = locked_gap(pk)
        if gap is None:
            return None
        gap.attempts += 1
        added = rows_added(gap)
        gap.rows_added += added
        if gap.ended_at is not None:
            whole = Span(gap.started_at, gap.ended_at)
            _note(gap, archive, _clipped(whole, proven), added)
            _shrink(gap, whole, missing_of(whole, _proven_so_far(gap)))
        if not dry_run:
            gap.save(
                update_fields=[
                    "attempts", "rows_added", "source", "state", "started_at", "ended_at",
                    "evidence", "updated_at",
                ]
            )  # fmt: skip
    return gap


def covered_of(archive: Archive) -> list[Span]:
    """What of the file's day is vouched complete, and in no gap that is known.

    In a file with whole seconds, only what its rounded times are sure to lie in.
    """
    feed = feed_of(archive)
    day = Span(archive.day - ROUNDING, archive.day + DAY + ROUNDING)
    vouched = [Span(row.started_at, row.ended_at or day.end) for row in intervals_of(feed, day)]
    gaps = [Span(row.started_at, row.ended_at or day.end) for row in gaps_of(feed, day)]
    blur = ROUNDING if archive.whole_seconds else timedelta(0)
    sure = [Span(span.start + blur, span.end - blur) for span in minus(vouched, gaps)]
    return [span for span in sure if span.start <= span.end]


def declare_missed(archive: Archive, gap: CaptureGap | None, span: Span, rows: int) -> CaptureGap:
    """Write down that rows were missing in what was vouched complete, and that they are there now.

    `gap` is the row of the same import, to which these rows are added; None is its first.
    """
    if gap is None:
        gap = CaptureGap(
            stream=Stream.TRADES, symbol=archive.symbol, started_at=span.start, ended_at=span.end,
            state=CaptureGap.State.FILLED, source=CoverageInterval.Source.ARCHIVE,
        )  # fmt: skip
    gap.started_at = min(gap.started_at, span.start)
    gap.ended_at = max(gap.ended_at or span.end, span.end)
    gap.rows_added += rows
    gap.reason = f"an archive brought {gap.rows_added} rows that were missing"
    _note(gap, archive, [], rows)
    gap.save()
    return gap


def _note(gap: CaptureGap, archive: Archive, proven: Sequence[Span], added: int) -> None:
    archives = dict(gap.evidence.get(EVIDENCE, {}))
    before = archives.get(archive.sha256, {})
    archives[archive.sha256] = {
        "file": archive.name,
        "rows_added": before.get("rows_added", 0) + added,
        "complete": [[span.start.isoformat(), span.end.isoformat()] for span in proven],
    }
    gap.evidence = {**gap.evidence, EVIDENCE: archives}


def _proven_so_far(gap: CaptureGap) -> list[Span]:
    return [
        Span(datetime.fromisoformat(start), datetime.fromisoformat(end))
        for archive in gap.evidence[EVIDENCE].values()
        for start, end in archive["complete"]
    ]


def _shrink(gap: CaptureGap, whole: Span, missing: Span | None) -> None:
    if missing is None:
        gap.state, gap.source = CaptureGap.State.FILLED, CoverageInterval.Source.ARCHIVE
        return
    if not _proven_so_far(gap):
        return
    gap.state, gap.source = CaptureGap.State.PARTIAL, CoverageInterval.Source.ARCHIVE
    if missing != whole:
        gap.evidence = with_first_bounds(gap)
        gap.started_at, gap.ended_at = missing.start, missing.end


def _clipped(whole: Span, spans: Iterable[Span]) -> list[Span]:
    """The parts of `spans` that lie in `whole`."""
    parts = [span.within(whole.start, whole.end) for span in spans]
    # A gap may be a moment; a part of a longer one may not.
    is_moment = whole.start == whole.end
    return [part for part in parts if part.start < part.end or (is_moment and part == whole)]
