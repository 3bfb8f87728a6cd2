"""The metrics of the site: what the database says, asked at each scrape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from django.db import Error as AnyDatabaseError
from django.db import connection
from django.utils import timezone
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from marketdata.health import metrics, stored
from marketdata.models import QuarantinedMessage


class StoredMetrics(Collector):
    """The metrics of the database; of one that does not answer only that it does not, and of one
    that lacks migrations perhaps only that."""

    def describe(self) -> Iterable[Metric]:
        """All of them, without values: so that registering asks no database."""
        return [each.family([]) for each in metrics.WEB]

    def collect(self) -> Iterator[Metric]:
        """All of them as they are now."""
        pending, families = 0, []
        try:
            with stored.in_a_hurry():
                pending = stored.pending_migrations()
                families = list(self._families())
        except AnyDatabaseError:
            connection.close()
            # One that lacks migrations lacks tables or columns, and answers all the same.
            yield metrics.STORE_UP.single(pending > 0)
            yield metrics.MIGRATIONS.single(pending or None)
        else:
            yield metrics.STORE_UP.single(1)
            yield metrics.MIGRATIONS.single(pending)
            yield from families

    def _families(self) -> Iterator[Metric]:
        now, known = timezone.now(), stored.freshness()
        yield metrics.STORE_BYTES.single(stored.database_bytes())
        yield metrics.RUNNING.single(stored.capture_is_running())
        for described, times in (
            (metrics.ROW_AGE, known.rows),
            (metrics.VOUCHED_AGE, known.vouched),
        ):
            yield described.family(
                ((stream,), (now - at).total_seconds()) for stream, at in times.items()
            )
        figures = stored.figures(now).items()
        yield metrics.FEEDS.family(((stream,), told.feeds) for stream, told in figures)
        yield metrics.COVERED.family(((stream,), told.covered_seconds) for stream, told in figures)
        yield metrics.MISSING.family(((stream,), told.missing_seconds) for stream, told in figures)
        gaps = list(stored.gap_totals(now))
        yield metrics.STORED_GAPS.family(
            ((stream, state), count) for stream, state, count, _ in gaps
        )
        yield metrics.GAP_SECONDS.family(
            ((stream, state), length) for stream, state, _, length in gaps
        )
        yield metrics.QUARANTINE.single(QuarantinedMessage.objects.count())
        accounts = stored.accounts_by_status().items()
        yield metrics.STORED_ACCOUNTS.family(((status,), count) for status, count in accounts)
