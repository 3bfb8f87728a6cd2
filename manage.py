#!/usr/bin/env python
"""Run gridbot's commands; what goes wrong outside them is one sentence and an exit code."""

from __future__ import annotations

import os
import sys


def main() -> None:
    """Run the command line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gridbot_site.settings")
    if sys.argv[1:2] in (["demo"], ["drill"]):
        # These never touch the database of .env: a file of their own, or what the process says.
        os.environ.setdefault("DATABASE_URL", f"sqlite:///{sys.argv[1]}.sqlite3")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db.utils import Error as AnyDatabaseError

    from marketdata.exits import first_line, is_away

    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.stderr.write(f"Configuration error: {error}\n")
        sys.exit(4)
    except AnyDatabaseError as error:
        if not is_away(error):
            raise
        sys.stderr.write(f"The database cannot be reached or written to: {first_line(error)}\n")
        sys.exit(75)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
