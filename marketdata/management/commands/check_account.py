"""`manage.py check_account`: what may the keys of accounts do?"""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any, TextIO

from django.conf import settings
from rich.console import Console
from rich.table import Table
from rich.text import Text

from accounts.management.teaching import TeachingCommand
from accounts.models import BybitAccount
from marketdata.capture.accounts import NO_CREDENTIAL
from marketdata.capture.startup import check_database
from marketdata.exits import ConfigurationError
from marketdata.key_check import Checked, check_accounts, gravest
from marketdata.management.arguments import accounts_in_scope, add_scope

HELP = """\
Ask the exchange what the keys of accounts may do.

  manage.py check_account --account alice/main
  manage.py check_account --user alice --json
  manage.py check_account --all                every account that is not disabled

A key that may withdraw or transfer is refused, also one that the exchange calls read-only: its
account is set to "error" with the reason, and capture leaves it alone until a key without these
permissions is entered, or they are taken from this one and it is checked again. The key stays
stored. Warned of: keys that expire within 14, 7 and 1 days, that are bound to no IP address, and
accounts that are not unified.
Exit codes: 0 all may be used, 8 a key is refused, 1 the exchange does not accept a key, 2 usage,
4 configuration, or an account without a key that opens (--all minds none that has no key yet), 75
the exchange or the database cannot be reached. Of several accounts the gravest counts, in this
order: 8, 1, 4, 75."""
NOBODY = "There is no account to check that is not disabled."


class Command(TeachingCommand):
    """Check accounts."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        add_scope(parser)
        parser.add_argument(
            "--json", action="store_true", help="one machine-readable line and nothing else"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Ask, report."""
        check_database()
        checked = check_accounts(_chosen(options), settings.BYBIT_ENDPOINTS)
        # Of all of them, one whose owner has not entered a key yet is nobody's fault.
        code = gravest(
            each for each in checked if not (options["all"] and each.reason == NO_CREDENTIAL)
        )
        if options["json"]:
            accounts = [as_json(each) for each in checked]
            self.stdout.write(json.dumps({"accounts": accounts, "exit_code": code}))
        elif checked:
            table_of(sys.stdout, checked)
        else:
            self.stdout.write(NOBODY)
        if code:
            sys.exit(code)


def _chosen(options: dict[str, Any]) -> list[BybitAccount]:
    """The accounts that are meant; disabled ones by their name alone."""
    chosen = accounts_in_scope(options)
    if not options["account"]:
        chosen = [one for one in chosen if one.status != BybitAccount.Status.DISABLED]
    # A timer asks for all of them before there is any.
    if not (chosen or options["all"]):
        raise ConfigurationError(NOBODY)
    return chosen


def as_json(checked: Checked) -> dict[str, Any]:
    """An outcome as plain values; times are ISO 8601 in UTC."""
    told: dict[str, Any] = {
        "account": checked.account,
        "outcome": checked.outcome.words,
        "exit_code": checked.outcome.exit_code,
        "reason": checked.reason,
        "warnings": list(checked.warnings),
    }
    if (known := checked.information) is not None:
        told |= {
            "uid": known.uid,
            "read_only": known.read_only,
            "permissions": known.permissions,
            "addresses": known.addresses,
            "expires_at": known.expires_at and known.expires_at.isoformat(),
            "unified": known.is_unified,
        }
    return told


def table_of(out: TextIO, checked: Sequence[Checked]) -> None:
    """Print one line for each account, and below it what is to be said of one."""
    console = Console(file=out)
    # A file or a pipe has no width: no line is cut there.
    if not console.is_terminal:
        console.width = 200
    table = Table(
        "account", "outcome", "uid", "rights", "permissions", "addresses", "expires (UTC)"
    )
    for each in checked:
        row = [each.account, each.outcome.words]
        if (known := each.information) is not None:
            names = [name for names in known.permissions.values() for name in names]
            row += [
                str(known.uid),
                "reads only" if known.read_only else "reads and trades",
                ", ".join(names) or "none",
                ", ".join(known.addresses) or "any",
                f"{known.expires_at:%F %H:%M}" if known.expires_at else "never",
            ]
        table.add_row(*map(Text, row))
    console.print(table)
    for each in checked:
        notes = [each.reason] * bool(each.reason) + [f"warning: {note}" for note in each.warnings]
        for note in notes:
            console.print(f"{each.account}: {note}", highlight=False, markup=False, soft_wrap=True)
