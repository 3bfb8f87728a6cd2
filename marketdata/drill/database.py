"""The database of a drill: a new file that goes with it, or what the process environment says."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection, connections

# What manage.py names where the process environment names no database.
PLACEHOLDER = "drill.sqlite3"


@contextmanager
def own_database() -> Iterator[None]:
    """Have this process use a new file in a temporary folder, unless it was given a database."""
    named = connection.settings_dict["NAME"]
    with tempfile.TemporaryDirectory(prefix="gridbot-drill-db-") as folder:
        if named == str(settings.BASE_DIR / PLACEHOLDER):
            connections.close_all()
            connection.settings_dict["NAME"] = str(Path(folder) / PLACEHOLDER)
        try:
            yield
        finally:
            connections.close_all()
            connection.settings_dict["NAME"] = named
