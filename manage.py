#!/usr/bin/env python
"""Run gridbot's commands; what goes wrong outside them is one sentence and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from gridbot_site.make_env import fresh_secrets

HELP = frozenset({"-h", "--help"})


def asks_for_help(arguments: Sequence[str]) -> bool:
    """Whether the command line can end in nothing but a help text or a usage error.

    Behind "--" even "--help" is an argument of a command that runs.
    """
    is_overview = not arguments or arguments[0] == "help"
    return is_overview or ("--" not in arguments and not HELP.isdisjoint(arguments))


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gridbot_site.settings")
    if sys.argv[1:2] in (["demo"], ["drill"]):
        # These never touch the database of .env: a file of their own, or what the process says.
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{sys.argv[1]}.sqlite3")
    if asks_for_help(sys.argv[1:]):
        # Help comes before configuration: keys of this process alone, which sign and seal nothing.
        os.environ.pop("CREDENTIALS_DIRECTORY", None)
        os.environ.update(fresh_secrets(), GRIDBOT_CREDENTIAL_KEYS_FILE="")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db.utils import Error as AnyDatabaseError

    from marketdata.exits import first_line, is_away, is_bare

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"Configuration error: {error}\n")
        sys.exit(4)
    except AnyDatabaseError as error:
        if is_bare(error):
            lacks = f"The database lacks what this needs ({first_line(error)})"
            sys.stderr.write(f"{lacks}: run `manage.py migrate` first.\n")
            sys.exit(4)
        if not is_away(error):
            raise
        sys.stderr.write(f"The database cannot be reached or written to: {first_line(error)}\n")
        sys.exit(75)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
