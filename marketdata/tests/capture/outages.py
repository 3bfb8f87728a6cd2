"""A database that is really away: its file locked by another process, its server refusing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import connection

HOLDER = """
import sqlite3, sys
holder = sqlite3.connect(sys.argv[1], isolation_level=None)
holder.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def database_away() -> Iterator[None]:
    """While it lasts nobody can write to the test database, and on PostgreSQL nobody connect."""
    away: Callable[..., Any] = _locked if connection.vendor == "sqlite" else _refusing
    with away(connection.settings_dict):
        yield


@contextmanager
def _locked(settings: dict[str, Any]) -> Iterator[None]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(settings["NAME"])],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    try:
        yield
    finally:
        holder.communicate()


@contextmanager
def _refusing(settings: dict[str, Any]) -> Iterator[None]:
    import psycopg

    name = settings["NAME"]
    connection.close()
    known = connection.get_connection_params()
    where = {key: known[key] for key in ("host", "port", "user", "password") if key in known}
    with psycopg.connect(dbname="postgres", autocommit=True, **where) as server:
        server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        server.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        try:
            yield
        finally:
            server.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
