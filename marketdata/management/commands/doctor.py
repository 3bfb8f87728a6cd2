"""`manage.py doctor`: is everything as it should be, and what is to be done?"""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import connection

from accounts.management.teaching import TeachingCommand
from accounts.models import BybitAccount
from marketdata.doctor.database import check_database, is_there
from marketdata.doctor.display import as_json, table_of
from marketdata.doctor.exchange import accounts_in_use, check_exchange
from marketdata.doctor.findings import gravest
from marketdata.doctor.machine import check_machine

HELP = """\
Look at this machine, the database and the exchange, and say what to do about each finding.

  manage.py doctor
  manage.py doctor --offline      without the exchange
  manage.py doctor --json         one machine-readable line and nothing else

  settings     every system check, those for production too unless GRIDBOT_DEBUG is on
  files        secrets and data are their owner's alone; how many credential keys there are
  disk, spool  what is free for database and spool; rows and pieces that captures left there
  time zone    of this machine, and of the database's session
  database     answers, version, and the settings that decide what a crash may take
  migrations, environment, capture   nothing is missing, whose data it is, who captures
  clock        against the exchange's and the database server's
  endpoints    REST, public streams, and the private streams of every account in use
  keys         of every account in use, as `manage.py check_account` judges them: what it says of
               a key is written down here, too, and a key that may move money is set aside

Nothing else is changed. Run it as the user that capture runs as. Warnings are to be looked into
and leave the exit code alone.
Exit codes: 0 no error, 8 a key is refused, 1 error, 4 configuration, 6 rows were set aside, 75 the
exchange or the database cannot be reached. Of several the gravest counts, in this order: 8, 1, 4,
6, 75."""


class Command(TeachingCommand):
    """Look and tell."""

    help = HELP
    # They are among what is looked at.
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--offline", action="store_true", help="ask no exchange")
        parser.add_argument(
            "--json", action="store_true", help="one machine-readable line and nothing else"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Look, report."""
        findings = check_machine(os.environ) + check_database()
        if not options["offline"]:
            findings += check_exchange(_accounts())
        if options["json"]:
            self.stdout.write(json.dumps(as_json(findings)))
        else:
            table_of(sys.stdout, findings)
        if code := gravest(findings):
            sys.exit(code)


def _accounts() -> list[BybitAccount]:
    """The accounts in use; none while the database, of which that is said already, is away."""
    try:
        return accounts_in_use() if is_there() else []
    except AnyDatabaseError:
        connection.close()
        return []
