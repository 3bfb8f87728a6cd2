"""`manage.py capture`: store public trades and tickers until told to stop."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand

from marketdata.capture.display import live_status, report_text
from marketdata.capture.service import CaptureConfig, CaptureService
from marketdata.capture.signals import stop_on_signals
from marketdata.capture.startup import (
    check_database,
    check_endpoints,
    check_stamp,
    resolve_symbols,
)

HELP = """\
Store every public trade, and the last ticker of each interval, of some symbols.

  manage.py capture --symbols BTCUSDT,ETHUSDT
  manage.py capture --symbols ALL --duration 3600 --json

Runs until Ctrl-C or SIGTERM, then stores what it holds and exits with 0; a second signal ends
it at once with 130. Connections are rebuilt for ever; each outage becomes a capture gap.
Exit codes: 0 ok, 1 error, 2 usage, 4 configuration, 75 exchange or database unavailable."""


class Command(BaseCommand):
    """Capture."""

    help = HELP

    def create_parser(self, *args: Any, **kwargs: Any) -> Any:
        """Keep the line breaks of the help text."""
        return super().create_parser(*args, formatter_class=RawDescriptionHelpFormatter, **kwargs)

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--symbols",
            metavar="A,B",
            help="comma separated, or ALL; the default is EVENTSAVER_SYMBOLS",
        )
        parser.add_argument("--duration", type=float, metavar="S", help="stop after S seconds")
        parser.add_argument(
            "--json",
            action="store_true",
            help="end with one machine-readable line and nothing else",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Check, run, report."""
        check_database()
        wanted = (
            options["symbols"].split(",") if options["symbols"] else settings.EVENTSAVER_SYMBOLS
        )
        environment, endpoints = settings.EVENTSAVER_ENVIRONMENT, settings.BYBIT_ENDPOINTS
        check_endpoints(environment, endpoints)
        check_stamp(environment)
        symbols = resolve_symbols(wanted, environment, endpoints)
        service = CaptureService(CaptureConfig(symbols=tuple(symbols)))
        quiet = options["json"]
        if not quiet:
            self.stdout.write(f"Capturing {len(symbols)} symbols from {environment}; Ctrl-C stops.")
        with stop_on_signals() as stop, live_status(sys.stdout, quiet=quiet) as show:
            report = service.run(stop, duration=options["duration"], on_tick=show)
        if options["json"]:
            self.stdout.write(json.dumps(report.as_json()))
        else:
            self.stdout.write(report_text(report))
        if report.exit_code:
            sys.exit(report.exit_code)
