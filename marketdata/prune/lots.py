"""Lots: the rows of one kind that have one claim or one owner, and how they are deleted.

Each chunk is one short transaction, found by an index, so that a capture at work waits for
none of them for long. What a lot still needs is in no chunk: of every feed the newest row, and
all from the end of its last live interval on, where the next capture takes up and whose trades
prove how far an answer of REST reaches; of orders that may be open, positions and balances the
last state, however old.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, ClassVar, NamedTuple, Protocol

from django.db import models, transaction
from django.db.models import Exists, Max, Min, OuterRef, Q

from marketdata.bybit.constants import EPOCH
from marketdata.capture.feeds import Feed, whole
from marketdata.capture.private_writers import FINAL_STATUSES
from marketdata.coverage.frontier import vouched_until
from marketdata.coverage.pruned import declare_pruned, pruned_spans
from marketdata.coverage.report import TABLES, rows_of
from marketdata.coverage.spans import TICK, Span
from marketdata.models import QuarantinedMessage, Stream
from strategies.models import BacktestSummary, EquityPoint, FundingPayment, Run, SimulatedFill

# What tells one thing that has states from another, within an account.
STATES: dict[str, tuple[str, ...]] = {
    Stream.ORDERS: ("order_id",),
    Stream.POSITIONS: ("symbol", "position_idx"),
    Stream.WALLET: ("coin",),
}
# The summary first: a run that is broken off in the middle shows no results that lack their fills.
RESULTS: tuple[Any, ...] = (BacktestSummary, SimulatedFill, FundingPayment, EquityPoint)

Model = type[models.Model]
# How many rows the next chunk may have.
Size = Callable[[], int]


class Chunk(NamedTuple):
    """One transaction: how many rows it has deleted, and for how many seconds it had others wait,
    which on SQLite begins when it has got the lock that it waited for itself."""

    rows: int
    seconds: float


class Lot(Protocol):
    """Rows of one `kind`, named for people by `subject`."""

    @property
    def kind(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def tables(self) -> tuple[Model, ...]: ...

    def until(self, cutoff: datetime) -> datetime:
        """Before which time rows may go, where those before `cutoff` are to."""

    def counts(self, since: datetime, until: datetime | None) -> dict[Model, int]:
        """How many rows there are from `since` to before `until`; of all without it."""

    def due(self, until: datetime) -> dict[Model, int]:
        """How many rows would go."""

    def span(self, until: datetime | None) -> tuple[datetime | None, datetime | None]:
        """The times of the first and the last row before `until`; of all without it."""

    def declare(self, until: datetime) -> None:
        """Take back what is claimed of them, before the first of them goes."""

    def chunks(self, until: datetime, size: Size) -> Iterator[Chunk]:
        """Delete; each step is one transaction."""


@dataclass(frozen=True)
class Facts:
    """The rows of a feed, for which the ledger may vouch."""

    feed: Feed
    subject: str

    @property
    def kind(self) -> str:
        return self.feed.stream

    @property
    def tables(self) -> tuple[Model, ...]:
        return (TABLES[self.feed.stream],)

    def until(self, cutoff: datetime) -> datetime:
        newest = rows_of(self.feed).aggregate(at=Max("exchange_ts"))["at"]
        kept = [at for at in (newest, vouched_until(self.feed)) if at is not None]
        return whole(min([cutoff, *kept]))

    def counts(self, since: datetime, until: datetime | None) -> dict[Model, int]:
        rows = rows_of(self.feed).filter(exchange_ts__gte=since)
        return {TABLES[self.feed.stream]: _before(rows, "exchange_ts", until).count()}

    def due(self, until: datetime) -> dict[Model, int]:
        return {TABLES[self.feed.stream]: self._due(until).count()}

    def span(self, until: datetime | None) -> tuple[datetime | None, datetime | None]:
        return _span_of(rows_of(self.feed) if until is None else self._due(until), "exchange_ts")

    def declare(self, until: datetime) -> None:
        first, _ = self.span(until)
        if first is not None:
            declare_pruned(self.feed, Span(whole(first), until - TICK))

    def chunks(self, until: datetime, size: Size) -> Iterator[Chunk]:
        start = EPOCH
        while start < until:
            times = self._due(until).filter(exchange_ts__gte=start).order_by("exchange_ts")
            times = times.values_list("exchange_ts", flat=True)
            first = times.first()
            if first is None:
                return
            beyond = next(iter(times[(n := size()) : n + 1]), until)
            span = Span(first, max(beyond, first + TICK) - TICK)
            yield self._delete(span)
            start = span.end + TICK

    def _delete(self, span: Span) -> Chunk:
        with transaction.atomic():
            began = time.monotonic()
            # An archive may have been imported to have them back since they were declared.
            declared = pruned_spans(self.feed, span, lock=True)
            # One upper bound: of two SQLite may take the later one, and read on as far as that.
            rows = sum(
                self._due(part.end + TICK).filter(exchange_ts__gte=part.start).delete()[0]
                for part in declared
            )
        return Chunk(rows, time.monotonic() - began)

    def _due(self, until: datetime) -> models.QuerySet[Any]:
        rows = rows_of(self.feed).filter(exchange_ts__lt=until)
        identity = STATES.get(self.feed.stream)
        if identity is None:
            return rows
        newer = TABLES[self.feed.stream]._default_manager.filter(
            account=OuterRef("account"),
            exchange_ts__gt=OuterRef("exchange_ts"),
            **{name: OuterRef(name) for name in identity},
        )
        is_over = Q(Exists(newer))
        if self.feed.stream == Stream.ORDERS:
            is_over |= Q(status__in=FINAL_STATUSES)
        return rows.filter(is_over)


@dataclass(frozen=True)
class Quarantine:
    """What could not be stored: of one account, or of the market. The gaps that it has made stay."""

    account_id: Any
    subject: str
    kind: ClassVar[str] = "quarantine"
    tables: ClassVar[tuple[Model, ...]] = (QuarantinedMessage,)

    def until(self, cutoff: datetime) -> datetime:
        return cutoff

    def counts(self, since: datetime, until: datetime | None) -> dict[Model, int]:
        rows = self._rows().filter(last_seen__gte=since)
        return {QuarantinedMessage: _before(rows, "last_seen", until).count()}

    def due(self, until: datetime) -> dict[Model, int]:
        return self.counts(EPOCH, until)

    def span(self, until: datetime | None) -> tuple[datetime | None, datetime | None]:
        return _span_of(_before(self._rows(), "last_seen", until), "last_seen")

    def declare(self, until: datetime) -> None:
        """Nothing rests on them."""

    def chunks(self, until: datetime, size: Size) -> Iterator[Chunk]:
        rows = _before(self._rows(), "last_seen", until)
        while (chunk := _delete_some(rows.order_by("last_seen"), size())).rows:
            yield chunk

    def _rows(self) -> models.QuerySet[Any]:
        return QuarantinedMessage.objects.filter(account=self.account_id)


@dataclass(frozen=True)
class Backtests:
    """The backtests of an account that have ended, each with its results."""

    account_id: Any
    subject: str
    kind: ClassVar[str] = "backtests"
    tables: ClassVar[tuple[Model, ...]] = (Run, *RESULTS)

    def until(self, cutoff: datetime) -> datetime:
        return cutoff

    def counts(self, since: datetime, until: datetime | None) -> dict[Model, int]:
        runs = self._runs(until).filter(ended_at__gte=since)
        results = {model: model._default_manager.filter(run__in=runs).count() for model in RESULTS}
        return {Run: runs.count(), **results}

    def due(self, until: datetime) -> dict[Model, int]:
        return self.counts(EPOCH, until)

    def span(self, until: datetime | None) -> tuple[datetime | None, datetime | None]:
        return _span_of(self._runs(until), "ended_at")

    def declare(self, until: datetime) -> None:
        """Nothing rests on them."""

    def chunks(self, until: datetime, size: Size) -> Iterator[Chunk]:
        for run in self._runs(until).order_by("ended_at", "pk"):
            for model in RESULTS:
                rows = model._default_manager.filter(run=run)
                while (chunk := _delete_some(rows.order_by("pk"), size())).rows:
                    yield chunk
            began = time.monotonic()
            run.delete()
            yield Chunk(1, time.monotonic() - began)

    def _runs(self, until: datetime | None) -> models.QuerySet[Any]:
        ended = Run.objects.unscoped().filter(
            account=self.account_id, run_type=Run.RunType.BACKTEST, ended_at__isnull=False
        )
        return _before(ended.exclude(status=Run.Status.RUNNING), "ended_at", until)


def _before(rows: models.QuerySet[Any], name: str, until: datetime | None) -> models.QuerySet[Any]:
    return rows if until is None else rows.filter(**{f"{name}__lt": until})


def _span_of(rows: models.QuerySet[Any], name: str) -> tuple[datetime | None, datetime | None]:
    bounds = rows.aggregate(first=Min(name), last=Max(name))
    return bounds["first"], bounds["last"]


def _delete_some(rows: models.QuerySet[Any], count: int) -> Chunk:
    with transaction.atomic():
        began = time.monotonic()
        # Chosen in the same statement: one that lists them may have too many variables for SQLite.
        gone, _ = rows.filter(pk__in=rows.values("pk")[:count]).order_by().delete()
    return Chunk(gone, time.monotonic() - began)
