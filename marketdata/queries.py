"""Querysets of the facts: exact inserts, and the reads that the indexes serve."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from django.db import models

from accounts.tenancy import TenantQuerySet
from marketdata.bulk_insert import insert_new, insert_values

if TYPE_CHECKING:
    from accounts.models import BybitAccount
    from strategies.models import Run


class FactQuerySet(models.QuerySet[Any]):
    """Facts are inserted once and never changed.

    `bulk_create(ignore_conflicts=True)` behaves as Django's and returns what it returns, but a
    row that breaks NOT NULL or CHECK raises on SQLite too (Django's own `INSERT OR IGNORE`
    drops it in silence), and it takes a fraction of the time.
    """

    def bulk_insert(self, rows: Collection[Any]) -> int:
        """Insert what is not there yet; how many rows were really stored."""
        return insert_new(self.model, rows, using=self.db)

    def bulk_insert_values(self, rows: Collection[tuple[Any, ...]]) -> int:
        """The same for tuples of the values of all columns but an automatic key, in order."""
        return insert_values(self.model, rows, using=self.db)

    def bulk_create(self, objs: Iterable[Any], *args: Any, **kwargs: Any) -> list[Any]:
        """Django's bulk_create, with the exact insert where conflicts are ignored."""
        rows = list(objs)
        plain = not args and set(kwargs) <= {"ignore_conflicts", "batch_size"}
        if not (plain and kwargs.get("ignore_conflicts")):
            return super().bulk_create(rows, *args, **kwargs)
        insert_new(self.model, rows, using=self.db, batch_size=kwargs.get("batch_size"))
        return rows

    def in_range(self, symbol: str, start: datetime, end: datetime) -> Self:
        """The rows of `symbol` from `start` (inclusive) to `end` (exclusive), in order of time."""
        return self.filter(symbol=symbol, exchange_ts__gte=start, exchange_ts__lt=end).order_by(
            "exchange_ts", "id"
        )

    def last_ts(self, symbol: str) -> datetime | None:
        """The exchange time of the newest row of `symbol`."""
        newest = self.filter(symbol=symbol).aggregate(newest=models.Max("exchange_ts"))
        return newest["newest"]  # type: ignore[no-any-return]


class PublicTradeQuerySet(FactQuerySet):
    """Public trades."""

    def last_trade_ts(self, symbol: str) -> datetime | None:
        """The exchange time of the newest trade of `symbol`."""
        return self.last_ts(symbol)


class TenantFactQuerySet(FactQuerySet, TenantQuerySet):  # type: ignore[override]
    """Facts that belong to a tenant."""

    def for_run(self, run: Run, start: datetime, end: datetime) -> Self:
        """The rows of `run` from `start` (inclusive) to `end` (exclusive), in order of time."""
        return self.filter(run=run, exchange_ts__gte=start, exchange_ts__lt=end).order_by(
            "exchange_ts", "id"
        )

    def last_ts_of(self, account_id: UUID) -> datetime | None:
        """The exchange time of the newest row of an account."""
        newest = self.filter(account=account_id).aggregate(newest=models.Max("exchange_ts"))
        return newest["newest"]  # type: ignore[no-any-return]

    def latest_for(self, account: BybitAccount, symbol: str) -> Any | None:
        """The newest row of `symbol` in `account`."""
        return self.filter(account=account, symbol=symbol).order_by("exchange_ts", "id").last()


class ExecutionQuerySet(TenantFactQuerySet):  # type: ignore[override]
    """Executions."""

    def last_execution_ts(self, account: BybitAccount) -> datetime | None:
        """The exchange time of the newest execution of `account`."""
        return self.last_ts_of(account.pk)


FactManager = models.Manager.from_queryset(FactQuerySet)
PublicTradeManager = models.Manager.from_queryset(PublicTradeQuerySet)
TenantFactManager = models.Manager.from_queryset(TenantFactQuerySet)
ExecutionManager = models.Manager.from_queryset(ExecutionQuerySet)
