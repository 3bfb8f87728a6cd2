"""What becomes of a result: rows of the database, and a page."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from strategies.backtest.runs.records import save
from strategies.backtest.runs.session import Traded
from strategies.backtest.terms import time_of
from strategies.models import Run
from strategies.report.page import render


@dataclass(frozen=True)
class Kept:
    """A result, its run unless it was not to be stored, and its page if one was written."""

    traded: Traded
    run: Run | None
    report: Path | None
    # Why there is no page, though one was wanted.
    unwritten: str = ""


def keep(traded: Traded, *, store: bool, report: Path | None) -> Kept:
    """Store a result under its account, if it has one, and write its page."""
    run = None
    if store and traded.job.account is not None:
        run = save(
            traded.records,
            traded.job,
            started_at=traded.started_at,
            ended_at=traded.ended_at,
        )
    if report is not None:
        try:
            write_whole(report, _page(traded))
        except OSError as error:
            return Kept(traded, run, None, f"{report} cannot be written: {error.strerror}.")
    return Kept(traded, run, report)


def write_whole(path: Path, text: str) -> None:
    """Write a file that has its name only when it is whole, in place of one that was there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _page(traded: Traded) -> str:
    result = traded.records.result
    points = ((time_of(at), equity, low, high) for at, equity, low, high in result.curve)
    return render(traded.job.name, traded.records.summary, result.fills, result.funding, points)
