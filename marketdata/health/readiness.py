"""Whether what is stored is all there and up to now, as far as the database says."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from django.db import Error as AnyDatabaseError
from django.db import connection
from django.utils import timezone

from marketdata.exits import first_line
from marketdata.health import stored
from marketdata.health.checks import Check

NOT_ASKED = "not known: the database does not answer, or lacks tables"
CHECKS = ("database", "migrations", "streams", "gaps")


def readiness(*, stale_seconds: float, gap_seconds: float) -> list[Check]:
    """Database, migrations, streams, gaps.

    A stream is stale that had nothing new for `stale_seconds`, rows or an instant that is vouched
    for; a gap is open for too long after `gap_seconds`.
    """
    checks: list[Check] = []
    try:
        with stored.in_a_hurry():
            checks.extend(_checks(stale_seconds, gap_seconds))
    except AnyDatabaseError as error:
        connection.close()
        if not checks:
            reason, details = "the database does not answer", (first_line(error)[:200],)
            checks.append(Check(name="database", reason=reason, details=details))
    done = {check.name for check in checks}
    return checks + [Check(name=name, reason=NOT_ASKED) for name in CHECKS if name not in done]


def _checks(stale_seconds: float, gap_seconds: float) -> Iterator[Check]:
    connection.ensure_connection()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    yield Check(name="database")
    pending = stored.pending_migrations()
    yield Check(
        name="migrations",
        reason="the database lacks migrations: manage.py migrate" if pending else "",
        details=(f"{pending} are missing",) if pending else (),
    )
    yield _streams(stale_seconds)
    open_gaps = stored.lasting_gaps(timedelta(seconds=gap_seconds))
    yield Check(
        name="gaps",
        reason="gaps have been open for too long" if open_gaps else "",
        details=tuple(f"{stream}: {count}" for stream, count in open_gaps.items()),
    )


def _streams(stale_seconds: float) -> Check:
    known = stored.freshness()
    expected = stored.expected_streams(known)
    if not expected:
        return Check(name="streams", reason="nothing was captured yet")
    ages = known.ages(timezone.now())
    stale = stored.stale_streams(known, ages, stale_seconds)
    return Check(
        name="streams",
        reason="streams have had nothing new for too long" if stale else "",
        details=tuple(f"{stream}: {ages[stream]:.0f} s" for stream in sorted(expected)),
    )
