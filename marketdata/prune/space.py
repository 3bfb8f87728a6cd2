"""The room that tables take, and giving back what deleted rows leave.

SQLite's file shrinks by PRAGMA incremental_vacuum, a few pages in each transaction, where the
database was made with auto_vacuum=INCREMENTAL (https://www.sqlite.org/pragma.html#pragma_auto_vacuum).
PostgreSQL's VACUUM keeps the room for new rows (https://www.postgresql.org/docs/current/routine-vacuuming.html);
only VACUUM FULL, which locks the table for as long as it takes, would give it back.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.db import OperationalError, connection, connections, models

from marketdata.exits import ConfigurationError

INCREMENTAL = 2
PAGES_AT_ONCE = 500
# How often, and how many seconds apart, it is tried to empty the log between readers.
EMPTYINGS, REST_SECONDS = 50, 0.05
IS_READ = "somebody reads what its log holds: the file gets shorter once they have done"
# What a VACUUM of SQLite writes: the database anew, and that once more through its log.
VACUUM_ROOM = 2


@dataclass
class GivenBack:
    """What was measured around it: bytes of the database and its log, seconds, and a word on it."""

    before: int
    after: int = 0
    seconds: float = 0.0
    longest_seconds: float = 0.0
    note: str = ""


def make_shrinkable(using: str, **_: Any) -> None:
    """Have a SQLite file that has no table yet be one that can shrink.

    Not when connecting: the PRAGMA takes the write lock, so that even a reader would wait for
    whoever writes. After the first table it takes a rewrite.
    """
    made = connections[using]
    if made.vendor == "sqlite" and not made.introspection.table_names():
        with made.cursor() as cursor:
            cursor.execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
            cursor.execute("VACUUM")


def database_bytes() -> int:
    """What the database takes on disk: by PostgreSQL's word, or SQLite's file with its log."""
    if connection.vendor == "postgresql":
        return _number("SELECT pg_database_size(current_database())")
    files = (Path(f"{_file()}{end}") for end in ("", "-wal"))
    return sum(file.stat().st_size for file in files if file.exists())


def table_bytes(table: str) -> int | None:
    """What a table takes with its indexes; None where this SQLite was built without a count."""
    if connection.vendor == "postgresql":
        return _number("SELECT pg_total_relation_size(%s::regclass)", table)
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM sqlite_schema WHERE tbl_name = %s AND rootpage", [table])
        names = [name for (name,) in cursor.fetchall()]
    size = "SELECT COALESCE(SUM(pgsize), 0) FROM dbstat WHERE aggregate = 1 AND name = %s"
    try:
        return sum(_number(size, name) for name in names)
    except OperationalError:
        return None


def give_back(
    tables: Collection[type[models.Model]], stop: threading.Event, *, before: int
) -> GivenBack:
    """Give back what was deleted from `tables`; between two steps `stop` ends it.

    `before` is what the database took before that, in bytes: deleting fills its log.
    """
    result, began = GivenBack(before), time.monotonic()
    if connection.vendor == "postgresql":
        for table in sorted(model._meta.db_table for model in tables):
            if not stop.is_set():
                _execute(f"VACUUM (ANALYZE) {connection.ops.quote_name(table)}")
        result.note = "PostgreSQL keeps the room for new rows"
    elif is_incremental():
        result.longest_seconds = _shrink(stop)
        result.note = "" if _empty_log(stop) else IS_READ
    else:
        result.note = (
            "the room is kept for new rows: this database was made without incremental vacuum; "
            "`manage.py prune --vacuum`, once, rewrites it"
        )
    result.after, result.seconds = database_bytes(), time.monotonic() - began
    return result


def rewrite() -> GivenBack:
    """Rewrite a SQLite database so that it can shrink from now on; nobody can write meanwhile.

    Raises ConfigurationError on PostgreSQL, or without the room for it.
    """
    if connection.vendor != "sqlite":
        raise ConfigurationError("--vacuum rewrites a SQLite database; PostgreSQL needs none.")
    result, began = GivenBack(database_bytes()), time.monotonic()
    free, needed = shutil.disk_usage(_file().parent).free, VACUUM_ROOM * result.before
    if free < needed:
        raise ConfigurationError(
            f"Rewriting takes up to {needed / 1e6:,.0f} MB beside the database for a while, and "
            f"{free / 1e6:,.0f} MB are free."
        )
    _execute(f"PRAGMA auto_vacuum = {INCREMENTAL}")
    _execute("VACUUM")
    result.note = "" if _empty_log(threading.Event()) else IS_READ
    result.after, result.seconds = database_bytes(), time.monotonic() - began
    return result


def is_incremental() -> bool:
    """Whether this SQLite database can give pages back."""
    return _number("PRAGMA auto_vacuum") == INCREMENTAL


def _shrink(stop: threading.Event) -> float:
    longest, free = 0.0, _number("PRAGMA freelist_count")
    while free and not stop.is_set():
        began = time.monotonic()
        _execute(f"PRAGMA incremental_vacuum({PAGES_AT_ONCE})")
        took, before = time.monotonic() - began, free
        longest, free = max(longest, took), _number("PRAGMA freelist_count")
        if free >= before:
            break
        stop.wait(took)
    return longest


def _empty_log(stop: threading.Event) -> bool:
    """Write the log into the file, which gets shorter by that; False while somebody reads it.

    Nobody is waited for: SQLite would do so with the write lock in its hand, and all who write
    would wait as long (https://www.sqlite.org/pragma.html#pragma_wal_checkpoint).
    """
    patience = _number("PRAGMA busy_timeout")
    # Most of it without any lock, so that the one beneath is held for a moment.
    _execute("PRAGMA wal_checkpoint(PASSIVE)")
    _execute("PRAGMA busy_timeout = 0")
    try:
        for _ in range(EMPTYINGS):
            if not _number("PRAGMA wal_checkpoint(TRUNCATE)"):
                return True
            if stop.wait(REST_SECONDS):
                break
    finally:
        _execute(f"PRAGMA busy_timeout = {patience}")
    return False


def _file() -> Path:
    return Path(str(connection.settings_dict["NAME"]))


def _number(statement: str, *values: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(statement, list(values))
        return int(cursor.fetchone()[0])


def _execute(statement: str) -> None:
    with connection.cursor() as cursor, connection.wrap_database_errors:
        if connection.vendor == "sqlite":
            # A plain `execute` takes the first step alone, which frees a single page.
            cursor.executescript(statement)
        else:
            cursor.execute(statement)
