"""An import on the screen: how far it is, and what it found."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from marketdata.coverage.archive import ImportReport
from marketdata.coverage.archive_format import DAY, Moved
from marketdata.coverage.gap_rows import Span
from marketdata.models import CaptureGap

PLAIN_SECONDS = 10.0
COUNTS = ("rows", "new", "known", "repeated", "conflicts", "bad", "only stored", "missed")

# Called with what is done to a file and its size in bytes; the answer hears of the position.
Begin = Callable[[str, int], Moved]


@contextmanager
def progress(out: TextIO, *, quiet: bool = False) -> Iterator[Begin]:
    """A bar for each pass over a file; plain lines where there is no terminal."""
    console = Console(file=out)
    if quiet:
        yield lambda what, size: lambda position: None
    elif console.is_terminal:
        columns = TextColumn("{task.description}", markup=False), BarColumn(), DownloadColumn()
        with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as bars:

            def begin(what: str, size: int) -> Moved:
                task = bars.add_task(what, total=size)
                return lambda position: bars.update(task, completed=position)

            yield begin
    else:
        yield lambda what, size: _lines(console, what, size)


def _lines(console: Console, what: str, size: int) -> Moved:
    """A line at the beginning, and one every ten seconds."""
    console.print(f"{what}: {size / 1e6:,.1f} MB", highlight=False, markup=False, soft_wrap=True)
    last = time.monotonic()

    def moved(position: int) -> None:
        nonlocal last
        if time.monotonic() - last >= PLAIN_SECONDS:
            last = time.monotonic()
            done = f"{position / 1e6:,.1f} of {size / 1e6:,.1f} MB"
            console.print(f"{what}: {done}", highlight=False, markup=False, soft_wrap=True)

    return moved


def imports_table(out: TextIO, reports: Sequence[ImportReport], *, dry_run: bool) -> None:
    """Print one line for each file, and what there is to know besides."""
    console = Console(file=out)
    # A file or a pipe has no width: no line is cut there.
    if not console.is_terminal:
        console.width = 200
    table = Table("file", "symbol", "day", *COUNTS, "gaps filled", "partial", "open")
    for column in table.columns[3:]:
        column.justify = "right"
    for report in reports:
        archive = report.archive
        gaps = CaptureGap.State.FILLED, CaptureGap.State.PARTIAL, CaptureGap.State.OPEN
        table.add_row(
            Text(archive.name), archive.symbol, f"{archive.day:%Y-%m-%d}",
            *(f"{number:,}" for number in _counts(report)),
            *(f"{report.gaps_in(state):,}" for state in gaps),
        )  # fmt: skip
    console.print(table)
    for report in reports:
        for note in _notes(report):
            console.print(
                f"{report.archive.name}: {note}", highlight=False, markup=False, soft_wrap=True
            )
    new = sum(report.new for report in reports)
    console.print(
        f"{new:,} trades would be new; nothing was stored."
        if dry_run
        else f"{new:,} trades are new."
    )


def as_json(report: ImportReport) -> dict[str, Any]:
    """A report as plain values; times are ISO 8601 in UTC."""
    archive, only, missed = report.archive, report.only_stored, report.missed
    return {
        "file": archive.name,
        "sha256": archive.sha256,
        "symbol": archive.symbol,
        "day": archive.day.date().isoformat(),
        "whole_seconds": archive.whole_seconds,
        **dict(zip([name.replace(" ", "_") for name in COUNTS], _counts(report), strict=True)),
        "only_stored_first": only.first and only.first.isoformat(),
        "only_stored_last": only.last and only.last.isoformat(),
        "missed_first": missed.first and missed.first.isoformat(),
        "missed_last": missed.last and missed.last.isoformat(),
        "gzip_members": archive.members,
        "span": _iso(report.span),
        "unclaimed": [_iso(span) for span in report.unclaimed],
        "vouched": [_iso(span) for span in report.vouched],
        "gaps": {str(state): report.gaps_in(state) for state in CaptureGap.State},
        "filled_without_rows": len(report.filled_empty),
    }


def _counts(report: ImportReport) -> tuple[int, ...]:
    return (
        report.archive.rows, report.new, report.known, report.repeated, report.conflicts,
        report.bad, report.only_stored.count, report.missed.count,
    )  # fmt: skip


def _notes(report: ImportReport) -> Iterator[str]:
    if not report.is_accounted:
        yield "PROBLEM: its rows and what became of them do not add up."
    missed = report.missed
    if missed.first and missed.last:
        yield (
            f"WARNING: {missed.count:,} of its new trades, from {missed.first:%H:%M:%S} to "
            f"{missed.last:%H:%M:%S} UTC, are from a time that was vouched complete: the coverage "
            "told until now was false."
        )
    if report.archive.members > 1:
        yield (
            f"WARNING: it is made of {report.archive.members:,} gzip members, as archives are "
            "not; whether its last one is missing, nobody can see."
        )
    for span in report.unclaimed:
        yield f"it has no rows and does not vouch for {_clock(report, span)}: it may be cut there."
    for gap in report.filled_empty:
        yield (
            f"WARNING: the gap from {gap.started_at.isoformat()} to "
            f"{gap.ended_at and gap.ended_at.isoformat()} is filled with 0 rows added."
        )
    only = report.only_stored
    if only.first and only.last:
        yield (
            f"the archive is not complete: {only.count:,} stored trades are not in it, from "
            f"{only.first:%H:%M:%S} to {only.last:%H:%M:%S} UTC."
        )
    if report.conflicts or report.bad:
        yield f"{report.conflicts + report.bad:,} rows are for quarantine."
    if report.is_adrift:
        yield "it vouches for nothing: nobody knows when its bad rows were."
    elif report.doubtful:
        yield f"it does not vouch for {len(report.doubtful):,} minutes, in which rows are amiss."


def _clock(report: ImportReport, span: Span) -> str:
    """The times of a span of the file's day, whose end is 24:00."""
    start, end = (f"{at:%H:%M:%S.%f}"[:-3] for at in (span.start, span.end))
    if span.end == report.archive.day + DAY:
        end = "24:00:00.000"
    return f"{start} to {end} UTC"


def _iso(span: Span) -> list[str]:
    return [span.start.isoformat(), span.end.isoformat()]
