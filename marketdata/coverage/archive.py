"""The import of daily trade archives: stores what is missing, compares what is there.

Each file is read twice: `check` reads it to its end before anything is stored, the importer
then takes it in batches, so that memory stays flat. Rows go through capture's own writer. A row
whose trade is stored already, near its time, is held against it; the others are stored with the
archive's time. What the file proves complete is vouched for, and closes gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial

from django.db import transaction

from marketdata.bybit.records import Reject
from marketdata.capture.books import Books
from marketdata.capture.public_writers import TradeWriter
from marketdata.capture.startup import exact_digits
from marketdata.coverage.archive_format import (
    DAY,
    Archive,
    ArchiveReader,
    BadRow,
    Batch,
    Moved,
)
from marketdata.coverage.archive_gaps import (
    claimed_span,
    covered_of,
    declare_missed,
    judge_gap,
    minute_of,
    without_minutes,
)
from marketdata.coverage.archive_matches import Matcher, Stored
from marketdata.coverage.gap_rows import Span, unfinished_gaps
from marketdata.coverage.ledger import Source, vouch
from marketdata.models import CaptureGap, PublicTrade, Stream

# How long a batch may wait for the database.
PATIENCE_SECONDS = 60.0
TOPIC = "archive"


class ChangedFile(Exception):
    """The file was not the same when it was read again."""


@dataclass
class Moments:
    """How many trades there are of a kind, and from when to when."""

    count: int = 0
    first: datetime | None = None
    last: datetime | None = None

    def add(self, at: datetime) -> None:
        """Count one."""
        self.count += 1
        self.first = at if self.first is None else min(self.first, at)
        self.last = at if self.last is None else max(self.last, at)


@dataclass
class ImportReport:
    """What became of each row of a file, and of the gaps in its span.

    rows = new + known + repeated + conflicts + bad; `known` rows are stored already, `repeated`
    ones came before in the same file, `conflicts` are stored with another price, size or side.
    """

    archive: Archive
    span: Span
    new: int = 0
    known: int = 0
    repeated: int = 0
    conflicts: int = 0
    bad: int = 0
    only_stored: Moments = field(default_factory=Moments)
    # Those of `new` that lie in what was vouched complete before.
    missed: Moments = field(default_factory=Moments)
    vouched: list[Span] = field(default_factory=list)
    gaps: list[CaptureGap] = field(default_factory=list)
    # Those of them that are filled now, and to which nobody has added a row.
    filled_empty: list[CaptureGap] = field(default_factory=list)
    # Minutes in which something is amiss, and whether something is amiss nobody knows when.
    doubtful: set[datetime] = field(default_factory=set)
    is_adrift: bool = False

    @property
    def is_accounted(self) -> bool:
        """Whether every row of the file went somewhere."""
        settled = self.new + self.known + self.repeated + self.conflicts + self.bad
        return settled == self.archive.rows

    @property
    def unclaimed(self) -> list[Span]:
        """What the file does not speak for of its day: before its rows, and after them."""
        day = self.archive.day
        ends = Span(day, self.span.start), Span(self.span.end, day + DAY)
        return [span for span in ends if span.start < span.end]

    def gaps_in(self, state: CaptureGap.State) -> int:
        """How many of the gaps in the file's span have this state now."""
        return sum(gap.state == state for gap in self.gaps)

    def doubt(self, at: datetime | None) -> None:
        """Vouch for nothing in the minute of `at`, or for nothing at all where it is unknown."""
        if at is None:
            self.is_adrift = True
        else:
            self.doubtful.add(minute_of(at))


class ArchiveImporter:
    """Imports archives that were checked; from one thread. A dry run stores nothing."""

    def __init__(self, *, dry_run: bool = False) -> None:
        self.books = Books()
        self._dry_run = dry_run
        self._writer = TradeWriter(self.books.tally, self.books.quarantine)

    def run(self, archive: Archive, moved: Moved = lambda position: None) -> ImportReport:
        """Compare, store, close gaps.

        Raises ChangedFile when the file is another one than was checked; what was stored of it
        stays, and proves nothing. Raises DatabaseUnavailable and Django's database errors.
        """
        began = datetime.now(UTC)
        report = ImportReport(archive, claimed_span(archive, began))
        matcher = Matcher(archive, began)
        self._covered = covered_of(archive)
        self._declared: CaptureGap | None = None
        reader = ArchiveReader(archive.path, began, exact_digits(), moved)
        for batch in reader:
            self._take(report, matcher, batch)
        if reader.lines.sha256 != archive.sha256:
            raise ChangedFile(f"{archive.name} is another one than was checked")
        matcher.only_stored(report.span, partial(_note_only_stored, report))
        if not report.is_adrift:
            report.vouched = without_minutes(report.span, report.doubtful)
        self._close(report, began)
        return report

    def _take(self, report: ImportReport, matcher: Matcher, batch: Batch) -> None:
        verdict = matcher.match(batch.records)
        report.known += len(verdict.known)
        report.repeated += len(verdict.repeated)
        report.conflicts += len(verdict.conflicts)
        report.bad += len(batch.bad)
        rejects = [_unreadable(report.archive, row) for row in batch.bad]
        for row in batch.bad:
            report.doubt(row.at)
        for position, stored in verdict.conflicts:
            report.doubt(batch.records[position].exchange_ts)
            rejects.append(_conflict(report.archive, batch, position, stored))
        self._store(report, batch, verdict.new, rejects)

    def _store(
        self, report: ImportReport, batch: Batch, new: Sequence[int], rejects: Sequence[Reject]
    ) -> None:
        self._note_missed(report, [batch.records[position].exchange_ts for position in new])
        if self._dry_run:
            report.new += len(new)
            return
        key = self._writer.key()
        for reject in rejects:
            self.books.quarantine.add(key, reject)
        before = self.books.tally.snapshot().get(key, {})
        # A writer's patience counts from here: a long import may wait for each batch anew.
        self._writer.request_stop(PATIENCE_SECONDS)
        self._writer.write([batch.records[position] for position in new])
        self._writer.flush()
        after = self.books.tally.snapshot().get(key, {})

        def grown(column: str) -> int:
            return int(after.get(column, 0)) - int(before.get(column, 0))

        report.new += grown("stored")
        # Capture may have stored it since it was looked for.
        report.known += grown("duplicate")
        if refused := grown("quarantined"):
            report.conflicts += refused
            report.doubt(None)
        self.books.persist()

    def _note_missed(self, report: ImportReport, times: Sequence[datetime]) -> None:
        """Declare new rows where nothing was to be missing.

        Before they are stored: an import that is broken off finds them known the next time.
        """
        within = [at for at in times if any(span.start <= at <= span.end for span in self._covered)]
        for at in within:
            report.missed.add(at)
        if within and not self._dry_run:
            span = Span(min(within), max(within))
            self._declared = declare_missed(report.archive, self._declared, span, len(within))

    def _close(self, report: ImportReport, began: datetime) -> None:
        """Judge the gaps and vouch, in one transaction."""
        archive, symbol = report.archive, report.archive.symbol

        def rows_added(gap: CaptureGap) -> int:
            span = Span(archive.day, archive.day + DAY).within(gap.started_at, gap.ended_at)
            trades = PublicTrade.objects.filter(symbol=symbol, local_ts=began)
            return trades.filter(exchange_ts__range=(span.start, span.end)).count()

        with transaction.atomic():
            for found in unfinished_gaps(report.span, stream=Stream.TRADES, symbol=symbol):
                gap = judge_gap(
                    found.pk, archive, report.vouched, rows_added, dry_run=self._dry_run
                )
                if gap is not None:
                    report.gaps.append(gap)
                    is_filled = gap.state == CaptureGap.State.FILLED
                    if is_filled and not gap.rows_added and not self._dry_run:
                        report.filled_empty.append(gap)
            if not self._dry_run:
                # After the gaps, as a capture has it: the two would wait for each other for ever.
                for span in report.vouched:
                    vouch(Stream.TRADES, symbol, None, span.start, span.end, Source.ARCHIVE)


def _note_only_stored(report: ImportReport, at: datetime) -> None:
    report.only_stored.add(at)
    report.doubt(at)


def _unreadable(archive: Archive, row: BadRow) -> Reject:
    where = f"{archive.name}:{row.line}"
    return Reject(f"{TOPIC}.{archive.symbol}", row.reason, f"{where}: {row.text}")


def _conflict(archive: Archive, batch: Batch, position: int, stored: Stored) -> Reject:
    record = batch.records[position]
    theirs, ours = (record.side, record.price, record.size), stored[2:5]
    names = [
        name
        for name, left, right in zip(("side", "price", "size"), theirs, ours, strict=True)
        if left != right
    ]
    return Reject(
        f"{TOPIC}.{archive.symbol}",
        f"conflict: the trade is stored with another {' and '.join(names)}",
        f"{archive.name}:{batch.lines[position]}: {record.trade_id} at "
        f"{record.exchange_ts.isoformat()}: {_figures(theirs)}; stored at "
        f"{stored.exchange_ts.isoformat()}: {_figures(ours)}",
    )


def _figures(figures: Sequence[object]) -> str:
    side, price, size = figures
    return f"{side} {size} at {price}"
