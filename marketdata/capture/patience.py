"""How long a thread's database connection waits for another's lock, and for an answer."""

from __future__ import annotations

import threading

from django.db import connection

# How long one attempt may wait for another's lock.
LOCK_SECONDS = 3.0
# How long a server may work on one statement of capture: far more than any of them needs.
STATEMENT_SECONDS = 60.0

# The session of each thread that has been told; held, so that a later one cannot pass for it.
_told = threading.local()


def be_impatient() -> None:
    """Wait for a lock for a short time only, and for no statement of a server without end.

    Capture tries again by itself, and may have to stop. It holds for this thread's connection,
    until that is closed. Whoever wants patience on the same connection closes it first: a new
    one has the patience of the settings.
    """
    connection.ensure_connection()
    if getattr(_told, "session", None) is connection.connection:
        return
    milliseconds = int(LOCK_SECONDS * 1000)
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute(f"PRAGMA busy_timeout = {milliseconds}")
        else:
            cursor.execute(
                f"SET lock_timeout = {milliseconds}; "
                f"SET statement_timeout = {int(STATEMENT_SECONDS * 1000)}"
            )
    # Within a transaction PostgreSQL takes the setting back when that is rolled back.
    if not connection.in_atomic_block:
        _told.session = connection.connection
