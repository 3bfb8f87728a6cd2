"""`manage.py prune`: delete what is older than a policy keeps, and give its room back."""

from __future__ import annotations

import sys
import threading
from argparse import ArgumentParser
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from accounts.management.teaching import TeachingCommand
from marketdata.capture.signals import stop_on_signals
from marketdata.capture.startup import check_database
from marketdata.exits import ConfigurationError, ExitCode
from marketdata.management.arguments import (
    accounts_in_scope,
    add_scope,
    demand_scope,
    has_scope,
    worded,
)
from marketdata.prune.choice import chosen_lots
from marketdata.prune.clock import refuse_clock_ahead
from marketdata.prune.display import (
    print_given_back,
    print_pruning,
    print_survey,
    progress,
    pruning_json,
    survey_json,
)
from marketdata.prune.lots import Lot
from marketdata.prune.policy import KINDS, PRIVATE, Policy, policy_of, retention_age
from marketdata.prune.pruner import Pruning, pruning_of
from marketdata.prune.space import GivenBack, database_bytes, give_back, rewrite
from marketdata.prune.survey import survey

HELP = """\
Delete what is older than is to be kept, in short transactions, while capture goes on. Coverage
says of the time that it was pruned before the first row goes, and nobody fetches it again.

  manage.py prune --older-than 90d --dry-run         what would go, and how the tables will grow
  manage.py prune --older-than 90d --tickers 14d     trades and quarantine 90 days, tickers 14
  manage.py prune --trades 30d --symbol BTCUSDT
  manage.py prune                                    by GRIDBOT_RETENTION_TRADES, _TICKERS, _QUARANTINE
  manage.py prune --orders 365d --account alice/main
  manage.py prune --vacuum                           once, for a SQLite file that cannot shrink yet

--older-than means trades, tickers and what of the market is in quarantine. What belongs to an
account (executions, orders, positions, wallet, backtests, its quarantine) is pruned only when it
is named, and it is said whose: --account, --user or --all. Kept however old: the newest row of
each stream, and the last states of open orders, positions and balances.
A clock that is a day or more ahead of the newest row is not believed: --idle says that it is right,
and that nothing was captured since.
Ages on the command line replace the policy of the settings. The first Ctrl-C or SIGTERM ends it
between two transactions, and the same command goes on with the rest.
Exit codes: 0 done, or nothing is due, 2 usage, 4 configuration, 75 the database cannot be reached
or is busy, 130 stopped by a signal."""


class Command(TeachingCommand):
    """Prune."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add = parser.add_argument
        age = worded(retention_age)
        add("--older-than", type=age, metavar="AGE", help="12h, 90d, 52w; at least 1h")
        for kind in KINDS:
            add(f"--{kind}", type=age, metavar="AGE", help=f"the age of {kind}")
        add("--symbol", action="append", default=[], help="trades and tickers of it; repeatable")
        add_scope(parser, required=False)
        add("--idle", action="store_true", help="though nothing was captured for a day or more")
        add("--dry-run", action="store_true", help="count, and delete nothing")
        add("--vacuum", action="store_true", help="rewrite a SQLite file, which blocks capture")
        add("--json", action="store_true", help="one machine-readable line and nothing else")

    def handle(self, *args: Any, **options: Any) -> None:
        """Check, prune, give back, report."""
        policy = policy_of(options, settings.GRIDBOT_RETENTION)
        _refuse(policy, options)
        check_database()
        now = datetime.now(UTC)
        if policy and not options["idle"]:
            refuse_clock_ahead(now)
        symbols = [symbol.upper() for symbol in options["symbol"]] or None
        accounts, is_named = accounts_in_scope(options), bool(options["quarantine"])
        lots = list(chosen_lots(policy, symbols, accounts, their_quarantine=is_named))
        if options["dry_run"]:
            self._survey(lots, now, quiet=options["json"])
            return
        with stop_on_signals() as stop:
            before, pruning = database_bytes(), pruning_of([(lot, now - age) for lot, age in lots])
            with progress(sys.stdout, pruning.due, quiet=options["json"]) as told:
                pruning.run(stop, told)
            returned = _given_back(pruning, stop, before, is_rewriting=options["vacuum"])
        code = ExitCode.INTERRUPTED if pruning.is_stopped else ExitCode.OK
        if options["json"]:
            self.stdout.write(pruning_json(pruning, returned, code))
        elif returned and not pruning.outcomes:
            print_given_back(sys.stdout, returned)
        else:
            print_pruning(sys.stdout, pruning, returned)
        if code:
            sys.exit(code)

    def _survey(self, lots: list[tuple[Lot, timedelta]], now: datetime, *, quiet: bool) -> None:
        lines, size = survey(lots, now), database_bytes()
        if quiet:
            self.stdout.write(survey_json(lines, size))
        else:
            print_survey(sys.stdout, lines, size)


def _refuse(policy: Policy, options: Mapping[str, Any]) -> None:
    if not (policy or options["vacuum"]):
        raise ConfigurationError(
            "Nothing says what is to be kept: pass --older-than 90d, or set GRIDBOT_RETENTION_TRADES."
        )
    demand_scope(options, [kind for kind in PRIVATE if kind in policy])
    if has_scope(options) and not any(options[kind] for kind in (*PRIVATE, "quarantine")):
        raise CommandError(
            f"Of accounts say what: --{', --'.join((*PRIVATE, 'quarantine'))}.",
            returncode=ExitCode.USAGE,
        )
    if options["symbol"] and policy.keys().isdisjoint(("trades", "tickers")):
        raise CommandError(
            "Of symbols say what: --trades, --tickers, --older-than.", returncode=ExitCode.USAGE
        )


def _given_back(
    pruning: Pruning, stop: threading.Event, before: int, *, is_rewriting: bool
) -> GivenBack | None:
    if pruning.is_stopped:
        return None
    if is_rewriting:
        return rewrite()
    tables = {table for each in pruning.outcomes if each.due for table in each.lot.tables}
    return give_back(tables, stop, before=before) if tables else None
