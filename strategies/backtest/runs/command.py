"""What `manage.py backtest` does, once its options make sense."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from marketdata.capture.startup import check_database
from marketdata.exits import ConfigurationError, ExitCode
from marketdata.trades.files import RefusedFile
from strategies.backtest.margins import MarginTerms
from strategies.backtest.runs.display import as_json, print_results
from strategies.backtest.runs.jobs import Job, jobs_of
from strategies.backtest.runs.loading import CannotLoad
from strategies.backtest.runs.records import save
from strategies.backtest.runs.session import Market, Terms, Traded, load_market, trade_all
from strategies.backtest.runs.window import coverage_in_files, coverage_of
from strategies.backtest.terms import Fees, time_of
from strategies.report.page import render
from strategies.report.words import holes_in_words

HUNDRED = Decimal(100)


def run(options: dict[str, Any], out: Any) -> None:
    """Trade what is asked for and say what it came to; a CommandError carries the exit code."""
    check_database()
    terms = _terms(options)
    jobs = jobs_of(
        options["strategy"],
        options["config"],
        symbol=options["symbol"].upper(),
        account=options["account"],
    )
    reports = _report_paths(options["report"], len(jobs))
    symbol, since, until = jobs[0].symbol, options["since"], options["until"]
    files = _files(options["source"])
    coverage = _coverage(symbol, since, until, files)
    if not (coverage["complete"] or options["allow_gaps"]):
        raise CommandError(
            "\n".join(
                [
                    f"{symbol} was not captured whole from {since} to {until}; --allow-gaps trades "
                    "on what there is.",
                    *holes_in_words(coverage),
                ]
            ),
            returncode=ExitCode.DATA_INCOMPLETE,
        )
    with _progress(quiet=options["json"]) as tell, _no_news_of("gridcore"):
        done = _traded(jobs, terms, coverage, files, options, tell)
        runs = []
        for each in done:
            wanted = each.job.account is not None and not options["no_save"]
            if wanted:
                tell(f"storing {each.job.name}")
            runs.append(
                save(each.records, each.job, started_at=each.started_at, ended_at=each.ended_at)
                if wanted
                else None
            )
        for each, path in zip(done, reports, strict=True):
            if path is not None:
                tell(f"writing {path}")
                path.write_text(_page(each), encoding="utf-8")
    written = ["" if path is None else str(path) for path in reports]
    if options["json"]:
        out.write(as_json(done, runs, written))
    else:
        print_results(out, done, runs, written)


def _terms(options: dict[str, Any]) -> Terms:
    try:
        MarginTerms(leverage=options["leverage"])
    except ValueError as error:
        raise CommandError(f"--leverage: {error}.", returncode=ExitCode.USAGE) from None
    if options["jobs"] < 1:
        raise CommandError("--jobs must be at least 1.", returncode=ExitCode.USAGE)
    return Terms(
        balance=options["balance"],
        leverage=options["leverage"],
        fees=Fees(options["maker_fee"] / HUNDRED, options["taker_fee"] / HUNDRED),
        fill_model=options["fill_model"],
        every_trade=options["every_trade"],
    )


def _traded(
    jobs: Sequence[Job],
    terms: Terms,
    coverage: dict[str, Any],
    files: Sequence[Path],
    options: dict[str, Any],
    tell: Callable[[str], None],
) -> list[Traded]:
    try:
        market = load_market(
            jobs[0].symbol,
            options["since"],
            options["until"],
            files,
            told=lambda count: tell(f"{count:,} trades read"),
        )
    except CannotLoad as error:
        raise ConfigurationError(str(error)) from None
    return list(_each(jobs, market, terms, coverage, options["jobs"], tell))


def _each(
    jobs: Sequence[Job],
    market: Market,
    terms: Terms,
    coverage: dict[str, Any],
    processes: int,
    tell: Callable[[str], None],
) -> Iterator[Traded]:
    trading = trade_all(jobs, market, terms, coverage, processes=processes)
    for number, job in enumerate(jobs, start=1):
        tell(f"trading {job.name} on {len(market.trades):,} trades ({number} of {len(jobs)})")
        try:
            yield next(trading)
        except ValueError as error:
            raise ConfigurationError(f"{job.name} cannot be traded: {error}.") from None


def _coverage(
    symbol: str, since: datetime, until: datetime, files: Sequence[Path]
) -> dict[str, Any]:
    if not files:
        return coverage_of(symbol, since, until, datetime.now(UTC))
    try:
        return coverage_in_files(files, symbol, since, until)
    except RefusedFile as error:
        raise ConfigurationError(str(error)) from None


def _files(sources: Sequence[str]) -> list[Path]:
    if sources == ["db"]:
        return []
    if "db" in sources:
        raise CommandError(
            "--source is the database or files, not both.", returncode=ExitCode.USAGE
        )
    return [Path(source) for source in sources]


def _report_paths(path: Path | None, count: int) -> Sequence[Path | None]:
    if path is None:
        return [None] * count
    if not path.parent.is_dir():
        raise ConfigurationError(f"There is no folder {path.parent} for the report.")
    if count == 1:
        return [path]
    return [path.with_stem(f"{path.stem}-{number}") for number in range(1, count + 1)]


def _page(each: Traded) -> str:
    result = each.records.result
    points = ((time_of(at), equity, low, high) for at, equity, low, high in result.curve)
    return render(each.job.name, each.records.summary, result.fills, result.funding, points)


@contextmanager
def _progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Say on a terminal what is being done and for how long; elsewhere nothing."""
    console = Console(file=sys.stderr)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    shown = Progress(*columns, console=console, transient=True,
                     disable=quiet or not console.is_terminal)  # fmt: skip
    with shown as progress:
        task = progress.add_task("looking at the window")
        yield lambda words: progress.update(task, description=escape(words))


@contextmanager
def _no_news_of(name: str) -> Iterator[None]:
    """Leave out what a strategy says of every step: a month of it is told in seconds."""
    speaker = logging.getLogger(name)
    level = speaker.level
    speaker.setLevel(logging.WARNING)
    try:
        yield
    finally:
        speaker.setLevel(level)
