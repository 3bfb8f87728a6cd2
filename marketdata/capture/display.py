"""Capture on the screen: a live table on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table

from marketdata.capture.report import CaptureReport, StreamStatus
from marketdata.capture.service import CaptureService

PLAIN_SECONDS = 10.0
REPLAY_SECONDS = 2.0
COLUMNS = (
    "received", "stored", "duplicate", "conflated", "quarantined", "dropped", "spooled", "buffered",
)  # fmt: skip


@contextmanager
def live_status(out: TextIO, *, quiet: bool = False) -> Iterator[Callable[[CaptureService], None]]:
    """A function that shows a service's status; nothing is shown when `quiet`."""
    console = Console(file=out)
    if quiet:
        yield lambda service: None
    elif console.is_terminal:
        with Live(console=console, refresh_per_second=2, transient=True) as live, _logs_above():
            yield lambda service: live.update(status_table(service.status()))
    else:
        yield _every(PLAIN_SECONDS, lambda service: _print_lines(console, service.status()))


@contextmanager
def _logs_above() -> Iterator[None]:
    """Send log lines through the standard error that Live has put its hand on."""
    handlers = [h for h in logging.getLogger().handlers if isinstance(h, logging.StreamHandler)]
    before = [(handler, handler.setStream(sys.stderr)) for handler in handlers]
    try:
        yield
    finally:
        for handler, stream in before:
            handler.setStream(stream or sys.__stderr__)


def replay_progress(
    write: Callable[[str], object], *, quiet: bool = False
) -> Callable[[int], None]:
    """A function that is told how many rows on disk are left, and says so now and then."""
    last = float("-inf")

    def show(rows: int) -> None:
        nonlocal last
        if not quiet and time.monotonic() - last >= REPLAY_SECONDS:
            last = time.monotonic()
            write(f"Replaying the spool: {rows:,} rows are left.")

    return show


def status_table(streams: list[StreamStatus]) -> Table:
    """The streams as a table."""
    table = Table("stream", *COLUMNS, "lag s", "last message s ago")
    for column in table.columns[1:]:
        column.justify = "right"
    for status in streams:
        counts = [f"{status.counts[name]:,}" for name in COLUMNS]
        table.add_row(
            status.name, *counts, _seconds(status.lag_seconds), _seconds(status.silent_seconds)
        )
    return table


def report_text(report: CaptureReport) -> str:
    """The end of a capture in words: each stream, the law, and what went wrong."""
    lines = [f"Captured for {report.seconds:.1f} s."]
    for status in report.streams:
        counts = ", ".join(f"{name} {status.counts[name]:,}" for name in COLUMNS)
        lines.append(f"  {status.name}: {counts}")
    lines.append(f"  gaps {report.gaps}, reconnects {report.reconnects}")
    if any(report.spool.values()):
        counts = ", ".join(f"{name} {rows:,}" for name, rows in report.spool.items())
        lines.append(f"  spool: {counts}")
    for repair in report.repairs:
        done = repair.counts
        lines.append(
            f"  repaired {repair.name}: {done.stored + done.updated:,} rows, gaps filled "
            f"{done.filled}, in part or not at all {done.partial}, open {done.open}"
            + (
                f"; {done.not_streamed:,} rows the stream never brought"
                if done.not_streamed
                else ""
            )
        )
    lines += [f"  account {name} is set aside: {why}" for name, why in report.set_aside.items()]
    if not report.violations:
        lines.append("Every row that arrived is accounted for.")
    lines += [f"PROBLEM: {problem}" for problem in (*report.violations, *report.problems)]
    return "\n".join(lines)


def _print_lines(console: Console, streams: list[StreamStatus]) -> None:
    for status in streams:
        counts = " ".join(f"{name}={status.counts[name]}" for name in COLUMNS)
        lag, silent = _seconds(status.lag_seconds), _seconds(status.silent_seconds)
        console.print(
            f"{status.name} {counts} lag={lag} silent={silent}", highlight=False, soft_wrap=True
        )


def _every(
    seconds: float, show: Callable[[CaptureService], None]
) -> Callable[[CaptureService], None]:
    last = time.monotonic()

    def maybe(service: CaptureService) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds:
            last = time.monotonic()
            show(service)

    return maybe


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
