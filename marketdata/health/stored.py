"""What the database says of the health of capture: for the site's probes and metrics.

Figures are of kinds of streams; whose a row is plays no part.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import connection, models
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.db.models.fields.json import KT
from django.db.models.functions import Coalesce, Now
from django.utils import timezone

from accounts.models import BybitAccount, User
from marketdata.capture.feeds import Feed
from marketdata.coverage.gap_rows import BEYOND_REACH
from marketdata.coverage.report import PUBLIC_STREAMS, TABLES
from marketdata.coverage.spans import Span, clipped, minus, union
from marketdata.models import CaptureGap, CaptureLease, CoverageInterval

WINDOW = timedelta(hours=24)
# Prometheus waits for ten seconds, unless it is told otherwise.
PATIENCE_SECONDS = 5.0
# How much the clock of capture, which dates gaps, may be behind the database's, which dates the lease.
CLOCKS_APART = timedelta(seconds=5)
# In these rows are missing, or may be; what was pruned was there, and nobody wants it back.
MISSING = (CaptureGap.State.OPEN, CaptureGap.State.PARTIAL, CaptureGap.State.UNFILLABLE)


@dataclass
class StreamFigures:
    """One kind of stream; the seconds are of the last 24 hours, over all symbols or accounts."""

    feeds: int = 0
    covered_seconds: float = 0.0
    missing_seconds: float = 0.0


@dataclass(frozen=True)
class Freshness:
    """Of each stream that has any: the time of its newest row, and how far it is vouched for."""

    rows: dict[str, datetime] = field(default_factory=dict)
    vouched: dict[str, datetime] = field(default_factory=dict)

    def ages(self, now: datetime) -> dict[str, float]:
        """Seconds since anything at all was known of each stream."""
        newest = self.rows | {
            stream: max(at, self.rows.get(stream, at)) for stream, at in self.vouched.items()
        }
        return {stream: (now - at).total_seconds() for stream, at in newest.items()}


@contextmanager
def in_a_hurry() -> Iterator[None]:
    """No statement of the block takes longer than PATIENCE_SECONDS: who asks for health waits for
    no lock, and a site whose probes wait has nobody left to answer. Raises DatabaseError.

    SQLite's readers wait for nobody.
    """
    if connection.vendor != "postgresql":
        yield
        return
    with connection.cursor() as cursor:
        cursor.execute(f"SET statement_timeout = {int(PATIENCE_SECONDS * 1000)}")
    try:
        yield
    finally:
        # Others may go on with this connection; one that broke is closed, and its settings with it.
        with suppress(AnyDatabaseError), connection.cursor() as cursor:
            cursor.execute("RESET statement_timeout")


def only_reads() -> bool:
    """Whether PostgreSQL takes no row, as a standby, or because it is told so. Raises DatabaseError.

    SQLite says so to nobody before they write.
    """
    if connection.vendor != "postgresql":
        return False
    with connection.cursor() as cursor:
        cursor.execute("SHOW transaction_read_only")
        return bool(cursor.fetchone()[0] == "on")


@cache
def _known_migrations() -> frozenset[tuple[str, str]]:
    # Of the code, which does not change while it runs; reading it costs more than a request may.
    return frozenset(MigrationLoader(None).disk_migrations)


def pending_migrations() -> int:
    """How many migrations of the code the database lacks. Raises DatabaseError."""
    recorder = MigrationRecorder(connection)
    applied = set(recorder.applied_migrations()) if recorder.has_table() else set()
    return len(_known_migrations() - applied)


def freshness() -> Freshness:
    """How recent each stream is; one index or a small table is asked for each."""
    rows = {}
    for stream, table in TABLES.items():
        newest = table._default_manager.aggregate(newest=models.Max("exchange_ts"))["newest"]
        if newest is not None:
            rows[str(stream)] = newest
    vouched = CoverageInterval.objects.values_list("stream").annotate(models.Max("ended_at"))
    return Freshness(rows, {stream: at for stream, at in vouched if at is not None})


def served_accounts() -> models.QuerySet[BybitAccount]:
    """The accounts that capture should have: one that a tenant's wrong key has set aside, or that
    is switched off, says nothing of the health of the site."""
    return BybitAccount.objects.unscoped().filter(
        status=BybitAccount.Status.ENABLED, user__status=User.Status.ACTIVE, user__is_active=True
    )


def expected_streams(known: Freshness) -> set[str]:
    """The streams of which news is to be expected: those that ever had any, private ones as long
    as there is an account to serve."""
    streams = known.rows.keys() | known.vouched.keys()
    if served_accounts().exists():
        return set(streams)
    return streams & {str(stream) for stream in PUBLIC_STREAMS}


def stale_streams(known: Freshness, ages: dict[str, float], seconds: float) -> list[str]:
    """Those of the expected streams that had nothing new for so long; of what is captured no
    longer nothing is to be expected."""
    stale = {stream for stream in expected_streams(known) if ages[stream] > seconds}
    if stale and (captured := captured_feeds()):
        stale &= {feed.stream for feed in captured}
    return sorted(stale)


def captured_feeds() -> set[Feed]:
    """What the capture at work serves, or the last one did; nothing where that is not known.

    Since it took the lease it has written of each: up to where it is vouched for, or the gap with
    which it begins, be that a new one or one that was left without an end.
    """
    began = CaptureLease.objects.values_list("acquired_at", flat=True).first()
    if began is None:
        return set()
    since = began - CLOCKS_APART
    gaps = CaptureGap.objects.filter(
        models.Q(created_at__gte=since) | models.Q(ended_at=None, updated_at__gte=since)
    )
    vouched = CoverageInterval.objects.filter(
        source=CoverageInterval.Source.LIVE, ended_at__gte=began
    )
    columns = ("stream", "symbol", "account")
    return {Feed(*row) for rows in (gaps, vouched) for row in rows.values_list(*columns).distinct()}


def lasting_gaps(older_than: timedelta) -> dict[str, int]:
    """How many gaps of each stream go on, or wait for REST, for longer than that.

    Those that wait for an archive, because REST shows no more, are not counted, nor are those of
    symbols and accounts that are captured no longer: nobody repairs them without being asked to.
    """
    latest = timezone.now() - older_than
    gaps = CaptureGap.objects.filter(
        models.Q(ended_at=None, started_at__lt=latest) | models.Q(ended_at__lt=latest),
        models.Q(account=None) | models.Q(account__in=served_accounts()),
        state=CaptureGap.State.OPEN,
    )
    # Most rows have no note, and a comparison with nothing excludes nothing and includes nothing.
    noted = gaps.annotate(
        note=Coalesce(KT("evidence__note"), models.Value(""), output_field=models.TextField())
    )
    gaps = noted.exclude(note=BEYOND_REACH)
    feeds = [Feed(*row) for row in gaps.values_list("stream", "symbol", "account")]
    captured = captured_feeds() if feeds else set()
    return dict(sorted(Counter(f.stream for f in feeds if f in captured or not captured).items()))


def gap_totals(now: datetime) -> Iterator[tuple[str, str, int, float]]:
    """Stream, state, how many gaps, and their length together in seconds."""
    length = models.ExpressionWrapper(
        Coalesce("ended_at", models.Value(now)) - models.F("started_at"),
        output_field=models.DurationField(),
    )
    rows = CaptureGap.objects.values_list("stream", "state").annotate(
        count=models.Count("pk"), total=models.Sum(length)
    )
    for stream, state, count, total in rows:
        yield stream, state, count, total.total_seconds()


def figures(now: datetime) -> dict[str, StreamFigures]:
    """What is covered and what is missing of the last 24 hours, by stream.

    A gap without an end goes on as long as its symbol or account is captured.
    """
    window, captured = Span(now - WINDOW, now), captured_feeds()
    covered = _spans(CoverageInterval, window)
    gaps = _spans(CaptureGap, window, state__in=MISSING, ended_at__isnull=False)
    for feed, spans in _spans(CaptureGap, window, state__in=MISSING, ended_at=None).items():
        if feed in captured or not captured:
            gaps.setdefault(feed, []).extend(spans)
    found: dict[str, StreamFigures] = {}
    for feed in covered.keys() | gaps.keys():
        told = found.setdefault(feed.stream, StreamFigures())
        vouched = union(covered.get(feed, ()))
        missing = union(gaps.get(feed, ()))
        told.feeds += bool(vouched)
        told.missing_seconds += _length(missing)
        told.covered_seconds += _length(minus(vouched, missing))
    return found


def _spans(model: Any, window: Span, **of: Any) -> dict[Feed, list[Span]]:
    lasting = models.Q(ended_at=None) | models.Q(ended_at__gte=window.start)
    rows = model.objects.filter(lasting, started_at__lte=window.end, **of)
    spans: dict[Feed, list[Span]] = {}
    for *feed, start, end in rows.values_list(
        "stream", "symbol", "account", "started_at", "ended_at"
    ):
        whole = Span(start, end or max(window.end, start))
        spans.setdefault(Feed(*feed), []).extend(clipped([whole], window))
    return spans


def _length(spans: list[Span]) -> float:
    return sum((span.end - span.start).total_seconds() for span in spans)


def capture_is_running() -> bool:
    """Whether a capture holds the lease, by the database's clock."""
    return CaptureLease.objects.filter(expires_at__gt=Now()).exists()


def accounts_by_status() -> dict[str, int]:
    """How many exchange accounts there are of each status."""
    rows = BybitAccount.objects.unscoped().order_by().values_list("status")
    return dict.fromkeys(map(str, BybitAccount.Status), 0) | dict(rows.annotate(models.Count("pk")))


def database_bytes() -> int | None:
    """The size of the database; None where it is nowhere to be measured."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_database_size(current_database())")
            return int(cursor.fetchone()[0])
    name, size = str(connection.settings_dict["NAME"]), None
    for path in (name, f"{name}-wal"):
        with suppress(OSError):
            size = (size or 0) + os.stat(path).st_size
    return size
