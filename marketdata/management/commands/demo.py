"""`manage.py demo`: see gridbot capture a minute of market, and prove that it lost nothing."""

from __future__ import annotations

import json
import secrets
import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from accounts.management.teaching import TeachingCommand
from marketdata.capture.display import live_status, report_text
from marketdata.capture.public_writers import TradeWriter
from marketdata.capture.signals import stop_on_signals
from marketdata.demo.database import (
    DEMO_USER,
    make_operator,
    make_tenants,
    prepare_database,
)
from marketdata.demo.display import verdict_text
from marketdata.demo.runner import Demo
from marketdata.demo.sabotage import WAYS, sabotaged_writer
from marketdata.exits import ExitCode
from marketdata.management.arguments import positive

HELP = """\
Capture a minute of a market that a local exchange makes, break the connection once, and
compare the database with what the exchange says it sent.

  manage.py demo
  DEMO_SECONDS=20 manage.py demo --seed 7
  manage.py demo --sabotage drop      (the verdict must turn red)

The verdict is on the streams alone: what REST brings would hide their losses. So nothing is
repaired, as `capture` does by itself, and `coverage` names the start and the break as gaps.

The database is demo.sqlite3, made anew each time, or the DATABASE_URL of the process
environment, which must be empty or hold sandbox data. The last line is JSON.
Exit codes: 0 nothing lost, doubled, altered or quarantined; 1 otherwise; 4 configuration."""


class Command(TeachingCommand):
    """The demo."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--seed", type=int, help="of the market; the default is a new one")
        parser.add_argument(
            "--rate", type=positive, default=500.0, help="trades a second over all symbols (500)"
        )
        parser.add_argument(
            "--sabotage", choices=sorted(WAYS), help="spoil one trade in 10,000 on its way"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, run, judge."""
        seconds = settings.DEMO_SECONDS
        seed = secrets.randbelow(2**31) if options["seed"] is None else options["seed"]
        prepare_database()
        password = make_operator()
        writer = sabotaged_writer(options["sabotage"]) if options["sabotage"] else TradeWriter
        self.stdout.write(f"Capturing a local exchange's market (seed {seed}) for {seconds:g} s.")
        demo = Demo(
            seconds=seconds,
            seed=seed,
            rate=options["rate"],
            accounts=make_tenants(),
            trade_writer_class=writer,
        )
        with stop_on_signals() as stop, live_status(sys.stdout) as show:
            report, verdict = demo.run(stop, show)
        self.stdout.write(report_text(report))
        self.stdout.write(verdict_text(verdict))
        self.stdout.write(
            "\nBrowse it: `make serve`, then http://127.0.0.1:8000/ as user "
            f"{DEMO_USER} with password {password} (shown this once)\n"
        )
        self.stdout.write(json.dumps(verdict.as_json()))
        if not verdict.is_green:
            sys.exit(ExitCode.ERROR)
