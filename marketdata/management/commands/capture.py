"""`manage.py capture`: store the market and the accounts until told to stop."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from django.conf import settings

from accounts.management.teaching import TeachingCommand
from marketdata.capture.config import CaptureConfig
from marketdata.capture.display import live_status, replay_progress, report_text
from marketdata.capture.journal import Journal
from marketdata.capture.notify import notify
from marketdata.capture.service import CaptureService
from marketdata.capture.signals import stop_on_signals
from marketdata.capture.startup import (
    check_database,
    check_endpoints,
    check_stamp,
    resolve_symbols,
)
from marketdata.capture.watchdog import Watchdog
from marketdata.health.server import checked_address, serving
from marketdata.management.arguments import by_name, positive

HELP = """\
Store every public trade and the last ticker of each interval of some symbols, and every
execution, order, position and balance of the enabled accounts.

  manage.py capture --symbols BTCUSDT,ETHUSDT
  manage.py capture --symbols ALL --no-private --duration 3600 --json
  manage.py capture --no-public --account alice/main --account bob/main
  manage.py capture --symbols BTCUSDT --journal ~/journal
  manage.py capture --wait        (a spare: takes over when the first one is gone)

Runs until Ctrl-C or SIGTERM, then stores what it holds and exits with 0; a second signal ends
it at once with 130. While the database is away rows wait on disk; the next capture stores them
first, and one that stops meanwhile exits with 75. Connections are rebuilt for ever; each outage
becomes a capture gap.
Accounts that are enabled, disabled or given new keys meanwhile are noticed within seconds.
One capture at a time writes to a database: a second one ends with 75, or waits.
Exit codes: 0 ok, 1 error, 2 usage, 4 configuration, 6 rows were set aside, 75 exchange or
database unavailable, or another capture at work."""

# A backlog may take longer than a service has for its start: another minute, each time.
REPLAYING = "EXTEND_TIMEOUT_USEC=60000000"


class Command(TeachingCommand):
    """Capture."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--symbols",
            metavar="A,B",
            help="comma separated, or ALL; the default is EVENTSAVER_SYMBOLS",
        )
        parser.add_argument(
            "--account",
            action="append",
            default=[],
            metavar="NAME",
            help="user/name, its id, or its name where no other user has one of it; repeatable; "
            "the default is every enabled one",
        )
        half = parser.add_mutually_exclusive_group()
        half.add_argument("--no-public", action="store_true", help="accounts only")
        half.add_argument("--no-private", action="store_true", help="public streams only")
        parser.add_argument(
            "--wait",
            action="store_true",
            help="stand by while another capture writes to the database, and take over after it",
        )
        parser.add_argument("--duration", type=positive, metavar="S", help="stop after S seconds")
        parser.add_argument(
            "--journal",
            type=Path,
            metavar="DIR",
            help="also keep the frames as received, in files that `sandbox --market replay` plays",
        )
        parser.add_argument(
            "--metrics-address",
            metavar="HOST:PORT",
            default=settings.GRIDBOT_METRICS_ADDRESS,
            help="serve /metrics, /healthz and /readyz on this address of this machine, for example "
            "127.0.0.1:9464; the default is GRIDBOT_METRICS_ADDRESS, and without it nothing",
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="end with one machine-readable line and nothing else",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Check, run, report."""
        address = options["metrics_address"]
        if address:
            checked_address(address)
        config = _config(options)
        service = CaptureService(config)
        quiet = options["json"]
        if not quiet:
            self.stdout.write(_announcement(config, options["account"]))
        journal = Journal(options["journal"]) if options["journal"] else None
        service.books.journal = journal
        show_replay = replay_progress(self.stdout.write, quiet=quiet)

        def on_replay(rows: int) -> None:
            notify(REPLAYING)
            show_replay(rows)

        with (
            stop_on_signals(service.abandon) as stop,
            Watchdog(lambda: service.pulses).watching(),
            serving(service, address) if address else nullcontext(),
            live_status(sys.stdout, quiet=quiet) as show,
            journal or nullcontext(),
        ):
            report = service.run(
                stop,
                duration=options["duration"],
                on_replay=on_replay,
                on_tick=show,
                on_ready=lambda: notify("READY=1\nSTATUS=capturing"),
                on_stopping=lambda: notify("STOPPING=1"),
            )
        kept = {"journal": journal.summary()} if journal else {}
        if quiet:
            self.stdout.write(json.dumps(report.as_json() | kept))
        else:
            self.stdout.write(report_text(report))
            for summary in kept.values():
                self.stdout.write(
                    "Journal {directory}: {frames:,} frames in {files} files, "
                    "{dropped:,} dropped.".format(**summary)
                )
        if report.exit_code:
            sys.exit(report.exit_code)


def _config(options: dict[str, Any]) -> CaptureConfig:
    check_database()
    symbols: list[str] = []
    if not options["no_public"]:
        wanted = (
            options["symbols"].split(",") if options["symbols"] else settings.EVENTSAVER_SYMBOLS
        )
        environment, endpoints = settings.EVENTSAVER_ENVIRONMENT, settings.BYBIT_ENDPOINTS
        check_endpoints(environment, endpoints)
        check_stamp(environment)
        symbols = resolve_symbols(wanted, environment, endpoints)
    return CaptureConfig(
        symbols=tuple(symbols),
        private=not options["no_private"],
        # By id: what is called so later is another account.
        accounts=tuple(str(account.pk) for account in by_name(options["account"])),
        wait=options["wait"],
    )


def _announcement(config: CaptureConfig, accounts: Sequence[str]) -> str:
    parts = []
    if config.symbols:
        parts.append(f"{len(config.symbols)} symbols from {config.environment}")
    if config.private:
        parts.append("the accounts " + ", ".join(accounts) if accounts else "every enabled account")
    return f"Capturing {' and '.join(parts)}; Ctrl-C stops."
