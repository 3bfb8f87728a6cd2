"""What `manage.py backtest` does, once its options make sense."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError

from marketdata.capture.signals import interrupted_by_sigterm
from marketdata.capture.startup import check_database
from marketdata.exits import ConfigurationError, ExitCode
from marketdata.trades.files import RefusedFile
from strategies.backtest.margins import MarginTerms
from strategies.backtest.runs.display import as_json, print_results
from strategies.backtest.runs.jobs import jobs_of
from strategies.backtest.runs.keeping import Kept, keep
from strategies.backtest.runs.loading import CannotLoad, contract_of
from strategies.backtest.runs.progress import bars
from strategies.backtest.runs.session import Market, Terms, Untraded, load_market, trade_all
from strategies.backtest.runs.window import coverage_in_files, coverage_of
from strategies.backtest.terms import Contract, Fees
from strategies.report.words import holes_in_words

HUNDRED = Decimal(100)


def run(options: dict[str, Any], out: Any) -> None:
    """Trade what is asked for and say what it came to; a CommandError carries the exit code.

    A job that cannot be traded, or a page that cannot be written, is told after the others.
    """
    check_database()
    terms = _terms(options)
    jobs = jobs_of(
        options["strategy"],
        options["config"],
        symbol=options["symbol"].upper(),
        account=options["account"],
    )
    reports = _report_paths(options["report"], len(jobs))
    files = _files(options["source"])
    contract = _contract(jobs[0].symbol)
    coverage = _coverage(jobs[0].symbol, options, files)
    kept: list[Kept] = []
    untraded: list[Untraded] = []
    try:
        with (
            interrupted_by_sigterm(),
            bars(sys.stderr, quiet=options["json"]) as shown,
            _quiet_engine(),
            ExitStack() as ended,
        ):
            market = _market(contract, options, files, shown.tell)
            shown.tell("trading")
            positions = shown.begin([job.name for job in jobs], len(market.trades))
            trading = trade_all(
                *(jobs, market, terms, coverage), processes=options["jobs"], positions=positions
            )
            ended.enter_context(closing(trading))
            for each, report in zip(trading, reports, strict=True):
                if isinstance(each, Untraded):
                    untraded.append(each)
                else:
                    shown.tell(f"keeping {each.job.name}")
                    kept.append(keep(each, store=not options["no_save"], report=report))
    except KeyboardInterrupt:
        raise CommandError(
            f"Interrupted: {_so_far(kept, len(jobs))}", returncode=ExitCode.INTERRUPTED
        ) from None
    except BrokenProcessPool:
        raise CommandError(
            "A process that traded was killed, perhaps for want of memory: try fewer --jobs. "
            f"{_so_far(kept, len(jobs))}"
        ) from None
    _say(kept, out, as_line=options["json"])
    _complain(kept, untraded)


def _so_far(kept: Sequence[Kept], wanted: int) -> str:
    runs = [f"{each.traded.job.name} as run {each.run.pk}" for each in kept if each.run is not None]
    stored = f"; stored: {', '.join(runs)}" if runs else ", and nothing is stored"
    return f"{len(kept)} of {wanted} backtests were done{stored}."


def _say(kept: Sequence[Kept], out: Any, *, as_line: bool) -> None:
    if kept and as_line:
        out.write(as_json(kept))
    elif kept:
        print_results(out, kept)


def _complain(kept: Sequence[Kept], untraded: Sequence[Untraded]) -> None:
    words = [f"{each.job.name} cannot be traded: {each.reason}." for each in untraded]
    code = ExitCode.CONFIGURATION if words else ExitCode.ERROR
    words += [each.unwritten for each in kept if each.unwritten]
    if words:
        raise CommandError("\n".join(words), returncode=code)


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


def _contract(symbol: str) -> Contract:
    try:
        return contract_of(symbol)
    except CannotLoad as error:
        raise ConfigurationError(str(error)) from None


def _market(
    contract: Contract,
    options: dict[str, Any],
    files: Sequence[Path],
    tell: Callable[[str], None],
) -> Market:
    try:
        return load_market(
            contract,
            options["since"],
            options["until"],
            files,
            told=lambda count: tell(f"{count:,} trades read"),
        )
    except CannotLoad as error:
        raise ConfigurationError(str(error)) from None


def _coverage(symbol: str, options: dict[str, Any], files: Sequence[Path]) -> dict[str, Any]:
    """What is known of the window; an incomplete one is refused unless it is allowed."""
    since, until = options["since"], options["until"]
    try:
        coverage = (
            coverage_in_files(files, symbol, since, until)
            if files
            else coverage_of(symbol, since, until, datetime.now(UTC))
        )
    except RefusedFile as error:
        raise ConfigurationError(str(error)) from None
    if coverage["complete"] or options["allow_gaps"]:
        return coverage
    raise CommandError(
        "\n".join(
            [
                f"{symbol} was not captured whole from {since} to {until}; --allow-gaps trades on "
                "what there is.",
                *holes_in_words(coverage),
            ]
        ),
        returncode=ExitCode.DATA_INCOMPLETE,
    )


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
    paths = [path]
    if count > 1:
        paths = [path.with_stem(f"{path.stem}-{number}") for number in range(1, count + 1)]
    for each in paths:
        if each.exists() and not each.is_file():
            raise ConfigurationError(f"{each} is no file, which a report could replace.")
    return paths


@contextmanager
def _quiet_engine() -> Iterator[None]:
    """Leave out what a strategy says of every step: a month of it is told in seconds."""
    speaker = logging.getLogger("gridcore")
    level = speaker.level
    speaker.setLevel(logging.WARNING)
    try:
        yield
    finally:
        speaker.setLevel(level)
