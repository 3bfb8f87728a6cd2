"""The database of a drill: a new file that goes with it, or what the process environment says."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, connections

from gridbot_site.databases import database_from_environment
from marketdata.exits import ConfigurationError

# What manage.py puts where no other database is named.
PLACEHOLDER = "drill.sqlite3"
DEFAULT = "default"


@contextmanager
def own_database(wanted: str) -> Iterator[None]:
    """Have this process use the drill's database; `wanted` is "sqlite", a URL, or nothing.

    Raises ConfigurationError for a URL that cannot be read.
    """
    given = connection.settings_dict["NAME"] == str(settings.BASE_DIR / PLACEHOLDER)
    with tempfile.TemporaryDirectory(prefix="gridbot-drill-db-") as folder:
        if wanted == "sqlite" or (given and not wanted):
            _use(f"sqlite:///{Path(folder) / PLACEHOLDER}")
        elif wanted:
            _use(wanted)
        try:
            yield
        finally:
            connections.close_all()


def _use(url: str) -> None:
    try:
        config = database_from_environment({"DATABASE_URL": url}, base_dir=settings.BASE_DIR)
    except ImproperlyConfigured as error:
        raise ConfigurationError(str(error)) from None
    connections.close_all()
    connections.settings[DEFAULT] = connections.configure_settings({DEFAULT: config})[DEFAULT]
    del connections[DEFAULT]
