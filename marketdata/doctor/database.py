"""The database: that it answers, how safely it keeps what it took, and whose it is."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db import Error as AnyDatabaseError
from django.db import connection
from django.utils import timezone

from marketdata.capture.startup import check_stamp
from marketdata.doctor.findings import Finding, Level, error, warning
from marketdata.exits import ConfigurationError, ExitCode, first_line
from marketdata.health.stored import capture_is_running, pending_migrations
from marketdata.models import CaptureLease

# The lease of capture ends by the database's clock, and everything else is by ours.
CLOCK_SECONDS: Final = 1.0
LOSES = "a crash of its machine may take rows that are vouched for as stored"
# PostgreSQL's settings, the values that are sound, how grave others are, and why
# (https://www.postgresql.org/docs/current/runtime-config-wal.html).
SERVER_SETTINGS: Final = (
    ("fsync", {"on"}, Level.ERROR, LOSES),
    ("full_page_writes", {"on"}, Level.ERROR, LOSES),
    ("synchronous_commit", {"on", "remote_apply", "remote_write", "local"}, Level.ERROR, LOSES),
    ("server_encoding", {"UTF8"}, Level.ERROR, "texts of the exchange do not fit"),
    ("transaction_read_only", {"off"}, Level.ERROR, "it only reads, as a standby does"),
)
# PRAGMA synchronous: 2 is FULL (https://www.sqlite.org/pragma.html#pragma_synchronous).
FULL: Final = 2
# What capture does with its tables (https://www.postgresql.org/docs/current/functions-info.html).
RIGHTS: Final = """
    SELECT relname FROM pg_class WHERE relname = ANY(%s) AND pg_table_is_visible(oid) AND NOT (
        has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')
        AND has_table_privilege(oid, 'UPDATE') AND has_table_privilege(oid, 'DELETE')
    ) ORDER BY relname
"""
MIGRATIONS: Final = "django_migrations"


def check_database() -> list[Finding]:
    """Everything about the database; where it does not answer, or not to this user, that alone."""
    if not is_there():
        found = f"There is no {connection.settings_dict['NAME']}."
        advice = "Run `manage.py migrate` as the user that capture runs as, or set DATABASE_URL."
        return [error("database", found, advice)]
    try:
        return _asked_for_all()
    except AnyDatabaseError as problem:
        connection.close()
        advice = "Start it, and see that DATABASE_URL names it and that its password is right."
        return [error("database", first_line(problem), advice, ExitCode.UNAVAILABLE)]


def is_there() -> bool:
    """Whether there is a database to ask: SQLite would make the file that is missing."""
    if connection.vendor != "sqlite" or connection.is_in_memory_db():  # type: ignore[attr-defined]
        return True
    try:
        os.stat(connection.settings_dict["NAME"])
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        # In a folder that this user may not look into: it is there, for others.
        return True
    return True


def _asked_for_all() -> list[Finding]:
    is_server = connection.vendor == "postgresql"
    if not is_server and (refused := _rights_on_file()):
        return [refused]
    connection.ensure_connection()
    findings = list(_server() if is_server else _file())
    if is_server and (refused := _rights_on_tables()):
        return [*findings, refused]
    if pending := pending_migrations():
        found = f"{pending} migrations are missing."
        return [*findings, error("migrations", found, "Run `manage.py migrate`.")]
    return [*findings, Finding("migrations", "All are there."), _stamp(), _lease()]


def _rights_on_file() -> Finding | None:
    if connection.is_in_memory_db():  # type: ignore[attr-defined]
        return None
    file = Path(connection.settings_dict["NAME"])
    # SQLite writes files beside it.
    if os.access(file, os.R_OK | os.W_OK) and os.access(file.parent, os.W_OK):
        return None
    advice = (
        f"Run the doctor as the user that capture runs as; chown {file.parent} and {file}* to it."
    )
    return error("database", f"This user may not write to {file}.", advice)


def _rights_on_tables() -> Finding | None:
    tables = [MIGRATIONS, *connection.introspection.django_table_names()]
    with connection.cursor() as cursor:
        cursor.execute(RIGHTS, [tables])
        refused = [name for (name,) in cursor.fetchall()]
    if not refused:
        return None
    role = connection.settings_dict["USER"]
    found = f"The role {role} may not read and write {len(refused)} tables: {refused[0]}"
    advice = (
        "Have their owner grant SELECT, INSERT, UPDATE and DELETE, or let DATABASE_URL name it."
    )
    return error("database", found, advice)


def _file() -> Iterator[Finding]:
    version = ".".join(map(str, connection.Database.sqlite_version_info))  # type: ignore[attr-defined]
    journal, synchronous = _asked("PRAGMA journal_mode"), int(_asked("PRAGMA synchronous"))
    yield Finding("database", f"SQLite {version} answers, journal mode {journal}.")
    if journal not in ("wal", "memory"):
        advice = (
            "Take journal_mode out of DATABASE_URL, and put the file on a disk of this machine."
        )
        yield warning("database", f"The journal mode is {journal}: readers block capture.", advice)
    if synchronous < FULL:
        advice = "Take synchronous out of DATABASE_URL."
        yield error("database", f"synchronous is {synchronous}: {LOSES}.", advice)


def _server() -> Iterator[Finding]:
    yield Finding("database", f"PostgreSQL {_asked('SHOW server_version')} answers.")
    for name, sound, level, why in SERVER_SETTINGS:
        value = _asked(f"SHOW {name}")
        if value not in sound:
            advice = f"Set {name} to {sorted(sound)[0]} on the server."
            code = ExitCode.CONFIGURATION if level == Level.ERROR else ExitCode.OK
            yield Finding("database", f"{name} is {value}: {why}.", advice, level, code)
    zone = _asked("SHOW TimeZone")
    if zone != "UTC":
        yield warning(
            "time zone",
            f"The database's session is in {zone}.",
            "Take TimeZone out of the options of DATABASE_URL.",
        )
    yield _server_clock()


def _server_clock() -> Finding:
    before = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [theirs] = cursor.fetchone()
    ours = before + (timezone.now() - before) / 2
    apart = (ours - theirs).total_seconds()
    found = f"This machine's clock is {apart:+.3f} s from the database server's."
    if abs(apart) > CLOCK_SECONDS:
        return warning("clock", found, "Have NTP set the clocks of both machines.")
    return Finding("clock", found)


def _stamp() -> Finding:
    environment = settings.EVENTSAVER_ENVIRONMENT
    try:
        check_stamp(environment)
    except ConfigurationError as problem:
        return error("environment", str(problem), "Correct one of the two settings.")
    return Finding("environment", f"Public streams are of {environment}.")


def _lease() -> Finding:
    row = CaptureLease.objects.first()
    if row is not None and capture_is_running():
        since = f"{row.acquired_at:%F %H:%M:%S} UTC"
        return Finding("capture", f"At work since {since}: {row.holder}.")
    found = "No capture is at work." if row else "Nothing was ever captured."
    return warning("capture", found, "Start it: `systemctl start gridbot-capture`.")


def _asked(statement: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute(statement)
        return str(cursor.fetchone()[0])
