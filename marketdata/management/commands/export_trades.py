"""`manage.py export_trades`: stored public trades as Parquet files."""

from __future__ import annotations

import argparse
import importlib
import sys
from argparse import ArgumentParser
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from accounts.management.teaching import TeachingCommand
from marketdata.capture.signals import interrupted_by_sigterm
from marketdata.capture.startup import SYMBOL, check_database
from marketdata.exits import ConfigurationError, ExitCode, Unavailable, first_line, is_away
from marketdata.management.arguments import check_window, time_argument

if TYPE_CHECKING:
    from marketdata.trades.export import Exported
    from marketdata.trades.rows import Part

HELP = """\
Write the stored public trades to Parquet, one file for each symbol and UTC day, for example
BTCUSDT-2026-01-31.parquet, which pandas, polars and DuckDB read.

  manage.py export_trades --symbol BTCUSDT --since 2026-01-01 --until 2026-02-01 --out trades
  manage.py export_trades --symbol BTCUSDT,ETHUSDT --since 7d --out trades --force
  manage.py export_trades --symbol BTCUSDT --since 2h --out trades --json

--since is included and --until is not. A first or last day that they cut is exported in part.
Without --since from the first trade that is known of, without --until as far as anything is.
A file appears when it is whole; one that exists is refused before anything is written, unless
--force replaces it. It needs the packages of requirements-backtest.txt (`make backtest`).
Exit codes: 0 ok, 1 a trade cannot be written exactly or the disk refuses, 2 usage,
4 configuration or a file that exists, 6 written, but something of the span is missing or nothing
vouches for it (`manage.py coverage` says what), 75 the database cannot be reached,
130 interrupted: the files that were done are there."""


class Command(TeachingCommand):
    """Export trades."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        time = time_argument(datetime.now(UTC))
        parser.add_argument(
            "--symbol",
            action="extend",
            type=_symbols,
            required=True,
            help="one, or several with commas; repeatable",
        )
        parser.add_argument("--since", type=time, help="2h, 7d, or an ISO time (UTC)")
        parser.add_argument("--until", type=time, help="the same, not included; 0s is now")
        parser.add_argument(
            "--out", type=Path, required=True, metavar="DIR", help="made where it is not there"
        )
        parser.add_argument("--force", action="store_true", help="replace files that exist")
        parser.add_argument(
            "--json", action="store_true", help="one machine-readable line and nothing else"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Plan, write, report."""
        check_window(options)
        _check_packages()
        check_database()
        from marketdata.trades.arrays import InexactTrade
        from marketdata.trades.export_display import as_json, summary

        try:
            parts = _planned(options)
            with interrupted_by_sigterm():
                exported = _exported(parts, options["out"], quiet=options["json"])
        except (OSError, InexactTrade) as error:
            raise CommandError(str(error)) from None
        except DatabaseError as error:
            if is_away(error):
                raise Unavailable(f"The database is away: {first_line(error)}") from None
            raise
        missing = any(each.holes for each in exported)
        code = ExitCode.DATA_INCOMPLETE if missing else ExitCode.OK
        self.stdout.write(as_json(exported, code) if options["json"] else summary(exported))
        if code:
            sys.exit(code)


def _check_packages() -> None:
    try:
        importlib.import_module("pyarrow.parquet")
    except ImportError:
        raise ConfigurationError(
            "This needs the packages of requirements-backtest.txt: run `make backtest`, or "
            "python -m pip install -r requirements-backtest.txt."
        ) from None


def _planned(options: dict[str, Any]) -> list[Part]:
    from marketdata.trades.export import FileExists, parts_of, refuse_existing

    now, parts = datetime.now(UTC), []
    for symbol in dict.fromkeys(options["symbol"]):
        found = parts_of(symbol, options["since"], options["until"], now)
        if not found:
            raise ConfigurationError(f"Nothing is known of trades of {symbol} in that span.")
        parts += found
    if not options["force"]:
        try:
            refuse_existing(parts, options["out"])
        except FileExists as error:
            raise ConfigurationError(f"{error}: --force replaces it.") from None
    return parts


def _exported(parts: list[Part], folder: Path, *, quiet: bool) -> list[Exported]:
    from marketdata.trades.export import export
    from marketdata.trades.export_display import screen

    folder.mkdir(parents=True, exist_ok=True)
    exported = []
    with screen(sys.stdout, len(parts), quiet=quiet) as shown:
        for part in parts:
            exported.append(export(part, folder, now=datetime.now(UTC), wrote=shown.wrote))
            shown.finished(exported[-1])
    return exported


def _symbols(text: str) -> list[str]:
    symbols = [symbol.strip().upper() for symbol in text.split(",") if symbol.strip()]
    if not symbols or (odd := [each for each in symbols if not SYMBOL.fullmatch(each)]):
        raise argparse.ArgumentTypeError(f"{(odd[0] if symbols else text)!r} is no symbol")
    return symbols
