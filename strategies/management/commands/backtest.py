"""`manage.py backtest`: trade strategies on public trades, and keep what it came to."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db import DatabaseError

from accounts.management.teaching import TeachingCommand
from gridcore.matching import FILL_MODELS
from marketdata.exits import ConfigurationError, ExitCode, Unavailable, first_line, is_away
from marketdata.management.arguments import check_window, time_argument, worded

HELP = """\
Trade a strategy on public trades as they happened: the engine that trades live, an order book of
its own, fees, recorded fundings, margin by risk tier, and liquidation.

  manage.py backtest --strategy alice/main/grid --since 2026-01-01 --until 2026-02-01
  manage.py backtest --config grid.json --symbol BTCUSDT --since 7d --until 0s --report grid.html
  manage.py backtest --config narrow.json --config wide.json --symbol BTCUSDT --since 7d \\
      --until 0s --jobs 2
  manage.py backtest --config grid.json --symbol BTCUSDT --source BTCUSDT-2026-01-*.parquet \\
      --since 2026-01-01 --until 2026-02-01 --allow-gaps --json

A --config file holds what a strategy's configuration does, and must have an amount:

  {"grid_count": 50, "grid_step": 0.2, "amount": "x0.01"}

The result of a --strategy is stored as a run of its account; that of a --config under the account
that --account names, and without one it is only printed. docs/backtest.md says what is assumed,
what each figure means and how the report is read.

Nothing is traded on a window that was not captured whole, unless --allow-gaps is given: a price
that nobody saw fills no order. A run without fills is a result, and says why there are none.

Exit codes: 0 done, 1 a report cannot be written or a process was killed, 2 usage, 4 configuration or
a grid that cannot be built at the price, 6 the window is not covered, 75 the database cannot be
reached, 130 interrupted: what was done before is stored."""


class Command(TeachingCommand):
    """Backtest."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        time = time_argument(datetime.now(UTC))
        add = parser.add_argument
        add(
            "--strategy",
            action="append",
            default=[],
            metavar="ACCOUNT/NAME",
            help="a strategy, also user/account/name or its id; repeatable",
        )
        add(
            "--config",
            action="append",
            default=[],
            type=Path,
            metavar="FILE.json",
            help="a configuration; repeatable",
        )
        add("--symbol", default="", help="what is traded; default: the strategy's")
        add("--since", type=time, required=True, help="2h, 7d, or an ISO time (UTC)")
        add("--until", type=time, required=True, help="the same, not part of it; 0s is now")
        add(
            "--balance",
            type=worded(_amount),
            default=Decimal(10_000),
            metavar="USDT",
            help="at the start; default 10000",
        )
        add("--leverage", type=int, default=10, help="default 10")
        add(
            "--maker-fee",
            type=worded(_number),
            default=Decimal("0.02"),
            metavar="PERCENT",
            help="default 0.02; negative is a rebate",
        )
        add(
            "--taker-fee",
            type=worded(_number),
            default=Decimal("0.055"),
            metavar="PERCENT",
            help="default 0.055",
        )
        add(
            "--fill-model",
            choices=sorted(FILL_MODELS),
            default="strict_cross",
            help="when a resting order is filled; default strict_cross, the most cautious",
        )
        add(
            "--source",
            nargs="+",
            default=["db"],
            metavar="db|FILE.parquet",
            help="where the trades come from; default the database",
        )
        add(
            "--jobs",
            type=int,
            default=1,
            metavar="N",
            help="processes, for several strategies or configurations; default 1",
        )
        add("--allow-gaps", action="store_true", help="trade on an incomplete window, and say so")
        add(
            "--every-trade",
            action="store_true",
            help="look at each trade instead of skipping those that change nothing: the same "
            "result, slowly",
        )
        add("--account", default="", metavar="NAME", help="store the results of --config under it")
        add("--no-save", action="store_true", help="store nothing")
        add(
            "--report",
            type=Path,
            metavar="FILE.html",
            help="write a page that needs no network; with several results FILE-1.html and so on",
        )
        add("--json", action="store_true", help="one machine-readable line and nothing else")  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        """Check, load, trade, keep, report."""
        if not (options["strategy"] or options["config"]):
            raise CommandError("Name a --strategy or a --config.", returncode=ExitCode.USAGE)
        check_window(options)
        if missing := [name for name in ("numpy", "plotly", "pyarrow") if not find_spec(name)]:
            raise ConfigurationError(
                f"Backtests need {' and '.join(missing)}: pip install -r requirements-backtest.txt"
            )
        # Not before it is known that they are there.
        from strategies.backtest.runs.command import run

        try:
            run(options, self.stdout)
        except DatabaseError as error:
            if not is_away(error):
                raise
            raise Unavailable(f"The database cannot be reached: {first_line(error)}") from None


def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is no number.") from None
    if not number.is_finite():
        raise ValueError(f"{text!r} is no finite number.")
    return number


def _amount(text: str) -> Decimal:
    number = _number(text)
    if number <= 0:
        raise ValueError(f"{text} is not positive.")
    return number
