"""How much comes, and how late: of the last minute, which is as much as is ever read."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db import models
from django.db.models import Avg, CharField, Count, F, Value
from django.db.models.functions import Cast

from marketdata.capture.feeds import Feed
from marketdata.coverage.report import PUBLIC_STREAMS

Rows = models.QuerySet[Any]
MINUTE = timedelta(minutes=1)


class Rate(NamedTuple):
    """Rows with an exchange time in the minute, and how much later they arrived on average."""

    rows: int
    lag: timedelta


def rates(tables: Mapping[str, Rows], end: datetime) -> dict[Feed, Rate]:
    """What came in the minute up to `end`, by feed, from each stream's table: one query."""
    parts = [_of_minute(rows, stream, end) for stream, rows in tables.items()]
    if not parts:
        return {}
    found = parts[0].union(*parts[1:], all=True)
    return {
        Feed(stream, of) if stream in PUBLIC_STREAMS else Feed(stream, "", UUID(of)): Rate(n, lag)
        for stream, of, n, lag in found
    }


def _of_minute(rows: Rows, stream: str, end: datetime) -> Rows:
    subject = "symbol" if stream in PUBLIC_STREAMS else "account_id"
    lag = Avg(F("local_ts") - F("exchange_ts"), output_field=models.DurationField())
    minute = rows.filter(exchange_ts__gt=end - MINUTE, exchange_ts__lte=end).order_by()
    by = minute.annotate(of=Cast(subject, CharField())).values("of")
    counted: Rows = by.annotate(stream=Value(stream), count=Count("pk"), late=lag)
    return counted.values_list("stream", "of", "count", "late")
