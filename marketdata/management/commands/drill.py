"""`manage.py drill`: break everything around a capture, and see that nothing is lost silently."""

from __future__ import annotations

import json
import secrets
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, OutputWrapper

from accounts.management.teaching import TeachingCommand
from marketdata.capture.signals import stop_on_signals
from marketdata.demo.database import make_tenants, prepare_database
from marketdata.drill.database import own_database
from marketdata.drill.display import listing, show, summary
from marketdata.drill.result import Fault
from marketdata.drill.runner import SETTLE_SECONDS, Drill
from marketdata.drill.sabotage import WAYS
from marketdata.drill.scenarios import chosen, in_order
from marketdata.exits import ExitCode
from marketdata.management.arguments import count, positive

HELP = """\
Run `manage.py capture` against a local exchange, break the network, the database, the exchange
and the process at random moments, and compare the database with what the exchange made.

  manage.py drill                               24 faults, one of each kind or nearly so
  manage.py drill --faults 200 --seed 7
  manage.py drill --only F01,F06 --faults 40    kinds by number or by name
  manage.py drill --only quick --faults 60      what is over within a second or two
  manage.py drill --list                        every kind: how it is injected, what is expected
  manage.py drill --sabotage lose_trade         (the verdict must turn red)

A row that the exchange made is stored, or lies in a capture gap that says so; executions and the
last state of each order are stored in any case. Each gap must have a fault as its reason.
The database is a new SQLite file that goes with the drill, or the DATABASE_URL of the process
environment, which must be empty or hold sandbox data. A PostgreSQL is reached through a proxy,
and so can be taken away. Of --faults 200, reckon with a quarter of an hour.
Exit codes: 0 nothing lost silently, doubled, altered or wrongly declared; 1 otherwise; 2 usage;
4 configuration; 75 the exchange, the database or capture did not start."""


class Command(TeachingCommand):
    """The drill."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--faults", type=count, default=24, metavar="N", help="how many (24)")
        parser.add_argument("--seed", type=int, help="the same faults again; default: a new one")
        parser.add_argument("--only", metavar="A,B", help="kinds by number, by name, or quick")
        parser.add_argument(
            "--seconds-between", type=positive, default=1.0, metavar="S",
            help="the most between two faults (1)",
        )  # fmt: skip
        parser.add_argument(
            "--rate", type=positive, default=60.0, help="trades a second over all symbols (60)"
        )
        parser.add_argument(
            "--patience",
            type=positive,
            default=SETTLE_SECONDS,
            metavar="S",
            help=f"the longest wait for repairs at the end ({SETTLE_SECONDS:g})",
        )
        parser.add_argument(
            "--log", type=Path, metavar="FILE", help="keep what capture logs, at the end of a file"
        )
        parser.add_argument("--list", action="store_true", help="say what can be injected, and end")
        parser.add_argument(
            "--sabotage", choices=sorted(WAYS), help="spoil the database before the verdict"
        )
        parser.add_argument(
            "--json",
            action="store_true",
            help="end with one machine-readable line and nothing else",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Prepare, run, judge."""
        try:
            scenarios = chosen(options["only"].split(",")) if options["only"] else in_order()
        except ValueError as error:
            raise CommandError(str(error), returncode=ExitCode.USAGE) from None
        if options["list"]:
            self.stdout.write(listing(scenarios))
            return
        seed = secrets.randbelow(2**31) if options["seed"] is None else options["seed"]
        # The seed must be known whatever happens: in JSON mode it goes where the log goes.
        says = self.stderr if options["json"] else self.stdout
        says.write(f"{options['faults']} faults of {len(scenarios)} kinds, seed {seed}.")
        says.flush()
        with own_database():
            prepare_database()
            drill = Drill(
                accounts=make_tenants(),
                scenarios=scenarios,
                count=options["faults"],
                seed=seed,
                pauses=(options["seconds_between"] / 10, options["seconds_between"]),
                rate=options["rate"],
                patience=options["patience"],
                log=options["log"],
                sabotage=WAYS[options["sabotage"]] if options["sabotage"] else None,
            )
            with stop_on_signals(drill.abandon) as stop:
                verdict = drill.run(stop, lambda fault: _say(says, _line(fault)))
        result = summary(drill.faults, verdict, seed=seed)
        if not options["json"]:
            show(sys.stdout, result)
        self.stdout.write(json.dumps(result))
        if not verdict.is_green:
            sys.exit(ExitCode.ERROR)


def _say(output: OutputWrapper, line: str) -> None:
    """Say it at once, also to a pipe: a drill takes long."""
    output.write(line)
    output.flush()


def _line(fault: Fault) -> str:
    recovered = (
        "not recovered" if fault.recovery is None else f"recovered in {fault.recovery:.2f} s"
    )
    fired = "" if fault.fired else ", did not fire"
    return f"{fault.began:%T} {fault.number} {fault.name}: {fault.note}{fired}, {recovered}"
