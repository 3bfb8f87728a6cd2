"""The ledger of what is vouched complete: who writes into it, and what it says of a span.

An interval says that every row of a feed with an exchange time from its start to its end, both
included, is stored. Intervals of a feed never overlap. Those of one source that touch are one
row; those of two sources stay two, and what overlaps keeps the source that vouched first: so
each instant names the source that made it complete.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, models, transaction

from accounts.models import BybitAccount
from marketdata.capture.feeds import Feed
from marketdata.coverage.spans import TICK, Span, minus, on_ticks, union
from marketdata.models import CaptureGap, CoverageInterval

Source = CoverageInterval.Source
# Gaps in which rows are still missing, or may be.
NOT_FILLED = (
    CaptureGap.State.OPEN,
    CaptureGap.State.PARTIAL,
    CaptureGap.State.UNFILLABLE,
    CaptureGap.State.PRUNED,
)
# One writer of intervals at a time; any number that nobody else uses would do.
WRITERS_LOCK = 0x67726964
FEEDS_AT_ONCE = 200


class Grown(NamedTuple):
    """An interval's row, and how far it reaches."""

    pk: int
    end: datetime


def vouch(
    stream: str,
    symbol: str,
    account_id: UUID | None,
    start: datetime,
    end: datetime,
    source: Source,
) -> None:
    """Note that everything of a feed from `start` to `end`, both included, is stored.

    Of what `source` is: live, rest or archive. Nothing happens when no whole millisecond lies
    between them, or when the account is gone. What was pruned of it is not vouched for.
    """
    span = on_ticks(start, end)
    if span is not None:
        vouch_all({Feed(stream, symbol, account_id): [span]}, source)


def vouch_all(claims: Mapping[Feed, Iterable[Span]], source: Source) -> dict[Feed, Grown]:
    """Note many claims in one transaction; of each feed the row that holds its last instant."""
    last: dict[Feed, Grown] = {}
    with transaction.atomic():
        lock_writers()
        wanted = _of_living_accounts(claims)
        for start in range(0, len(wanted), FEEDS_AT_ONCE):
            chunk = _not_pruned(dict(list(wanted.items())[start : start + FEEDS_AT_ONCE]))
            rows = _rows_near(chunk)
            for feed, spans in chunk.items():
                for span in spans:
                    _add(feed, span, source, rows[feed])
            last |= _stored(chunk, rows, source)
    return last


def withdraw(feed: Feed, span: Span) -> None:
    """Note that something of `span` was found missing: no interval speaks of it any more."""
    with transaction.atomic():
        lock_writers()
        for row in intervals_of(feed, span):
            if row.ended_at is None:
                continue
            whole = Span(row.started_at, row.ended_at)
            row.delete()
            CoverageInterval.objects.bulk_create(
                _model(feed, _Row(part, row.source)) for part in minus([whole], [span])
            )


def grow(ends: Mapping[int, datetime]) -> int:
    """Move the ends of live intervals, by primary key; how many rows there were.

    In a transaction of the caller's.
    """
    if not ends:
        return 0
    # Before any row: who withdraws has the lock when it comes to rows.
    lock_writers()
    table = connection.ops.quote_name(CoverageInterval._meta.db_table)
    pks, moments = list(ends), list(ends.values())
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                f"UPDATE {table} SET ended_at = new.ended_at FROM "  # noqa: S608
                "unnest(%s::bigint[], %s::timestamptz[]) AS new (id, ended_at) "
                f"WHERE {table}.id = new.id",
                [pks, moments],
            )
        else:
            adapt = connection.ops.adapt_datetimefield_value
            cursor.executemany(
                f"UPDATE {table} SET ended_at = %s WHERE id = %s",  # noqa: S608
                [(adapt(moment), pk) for pk, moment in zip(pks, moments, strict=True)],
            )
        return int(cursor.rowcount)


def intervals_of(feed: Feed, bounds: Span | None = None) -> list[CoverageInterval]:
    """What is vouched of a feed, in order, where it reaches into `bounds`."""
    rows = _intervals(feed)
    if bounds is not None:
        rows = rows.filter(started_at__lte=bounds.end, ended_at__gte=bounds.start)
    return list(rows.order_by("started_at"))


def gaps_of(feed: Feed, bounds: Span | None = None) -> list[CaptureGap]:
    """The gaps of a feed that are not filled, in order, where they reach into `bounds`."""
    rows = _gaps(feed)
    if bounds is not None:
        rows = rows.filter(started_at__lte=bounds.end).filter(
            models.Q(ended_at=None) | models.Q(ended_at__gte=bounds.start)
        )
    return list(rows.order_by("started_at", "pk"))


def lock_writers() -> None:
    """Have all other writers of intervals wait for the end of this transaction."""
    # SQLite's transactions have the whole file; PostgreSQL's would merge past each other.
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [WRITERS_LOCK])


# --- how it is written ---------------------------------------------------------------------------


@dataclass
class _Row:
    """An interval in hand; `pk` is None until it is stored."""

    span: Span
    source: str
    pk: int | None = None
    changed: bool = False
    gone: bool = False


def _of_living_accounts(claims: Mapping[Feed, Iterable[Span]]) -> dict[Feed, list[Span]]:
    named = {feed.account_id for feed in claims if feed.account_id is not None}
    there = set(
        BybitAccount.objects.unscoped().filter(pk__in=named).values_list("pk", flat=True)
        if named
        else ()
    )
    return {
        feed: union(spans)
        for feed, spans in claims.items()
        if feed.account_id is None or feed.account_id in there
    }


def _not_pruned(claims: dict[Feed, list[Span]]) -> dict[Feed, list[Span]]:
    """The claims without what retention has deleted, or is about to: a capture that lives for
    months, or a repair that has asked before, may claim it once more."""
    spans = [span for each in claims.values() for span in each]
    if not spans:
        return claims
    pruned: dict[Feed, list[Span]] = {}
    for row in rows_of_feeds(
        CaptureGap,
        claims,
        state=CaptureGap.State.PRUNED,
        started_at__lte=max(span.end for span in spans),
        ended_at__gte=min(span.start for span in spans),
    ):
        feed = Feed(row.stream, row.symbol, row.account_id)
        pruned.setdefault(feed, []).append(Span(row.started_at, row.ended_at))
    return {feed: minus(each, pruned.get(feed, ())) for feed, each in claims.items()}


def _rows_near(claims: Mapping[Feed, list[Span]]) -> dict[Feed, list[_Row]]:
    """The rows that the claims may meet."""
    rows: dict[Feed, list[_Row]] = {feed: [] for feed in claims}
    spans = [span for each in claims.values() for span in each]
    if not spans:
        return rows
    near = rows_of_feeds(
        CoverageInterval,
        claims,
        started_at__lte=max(span.end for span in spans) + TICK,
        ended_at__gte=min(span.start for span in spans) - TICK,
    )
    for row in near:
        feed = Feed(row.stream, row.symbol, row.account_id)
        if feed in rows and row.ended_at is not None:
            rows[feed].append(_Row(Span(row.started_at, row.ended_at), row.source, row.pk))
    return rows


def _add(feed: Feed, span: Span, source: str, rows: list[_Row]) -> None:
    """Merge `span` into what `source` has vouched before; leave to others what they have."""
    others = [row.span for row in rows if row.source != source and not row.gone]
    for part in minus([span], others):
        mine = [r for r in rows if r.source == source and not r.gone and r.span.meets(part)]
        joined = union([part, *(row.span for row in mine)])[0]
        if any(row.span == joined for row in mine):
            continue
        for row in mine[1:]:
            row.gone = True
        if mine:
            mine[0].span, mine[0].changed = joined, True
        else:
            rows.append(_Row(joined, source))


def _stored(
    claims: Mapping[Feed, list[Span]], rows: Mapping[Feed, list[_Row]], source: str
) -> dict[Feed, Grown]:
    """Write what changed; of each feed the row that holds the end of its last claim."""
    gone = [row.pk for each in rows.values() for row in each if row.gone and row.pk is not None]
    if gone:
        CoverageInterval.objects.filter(pk__in=gone).delete()
    fresh: list[tuple[_Row, CoverageInterval]] = []
    for feed, each in rows.items():
        for row in each:
            if row.gone:
                continue
            if row.pk is None:
                fresh.append((row, _model(feed, row)))
            elif row.changed:
                CoverageInterval.objects.filter(pk=row.pk).update(
                    started_at=row.span.start, ended_at=row.span.end
                )
    for (row, _), stored in zip(
        fresh, CoverageInterval.objects.bulk_create([model for _, model in fresh]), strict=True
    ):
        row.pk = stored.pk
    last = {}
    for feed, spans in claims.items():
        for row in rows[feed]:
            holds = bool(spans) and row.span.start <= spans[-1].end <= row.span.end
            if holds and row.pk is not None and not row.gone and row.source == source:
                last[feed] = Grown(row.pk, row.span.end)
    return last


def _model(feed: Feed, row: _Row) -> CoverageInterval:
    return CoverageInterval(
        stream=feed.stream,
        symbol=feed.symbol,
        account_id=feed.account_id,
        started_at=row.span.start,
        ended_at=row.span.end,
        source=row.source,
    )


def rows_of_feeds(model: Any, feeds: Collection[Feed], **more: Any) -> models.QuerySet[Any]:
    """Rows of these feeds, and perhaps of a few more: of their streams, symbols and accounts."""
    rows: models.QuerySet[Any] = model.objects.filter(
        models.Q(account=None, symbol__in={feed.symbol for feed in feeds if not feed.account_id})
        | models.Q(account__in={feed.account_id for feed in feeds if feed.account_id}),
        stream__in={feed.stream for feed in feeds},
        **more,
    )
    return rows


def _intervals(feed: Feed) -> models.QuerySet[CoverageInterval]:
    return CoverageInterval.objects.filter(
        stream=feed.stream, symbol=feed.symbol, account=feed.account_id
    ).exclude(ended_at=None)


def _gaps(feed: Feed) -> models.QuerySet[CaptureGap]:
    return CaptureGap.objects.filter(
        stream=feed.stream, symbol=feed.symbol, account=feed.account_id, state__in=NOT_FILLED
    )
