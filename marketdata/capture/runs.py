"""Which run a row belongs to: the one that traded its symbol then, else the observing one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

from django.db import models
from django.utils import timezone

import gridcore
from strategies.models import Run


class Dated(Protocol):
    """A record of a symbol at a time."""

    @property
    def symbol(self) -> str: ...
    @property
    def exchange_ts(self) -> datetime: ...


def close_orphans(account_ids: Sequence[UUID]) -> int:
    """Close the observing runs that a capture which died has left open; how many."""
    return (
        Run.objects.unscoped()
        .filter(account__in=account_ids, strategy=None, status=Run.Status.RUNNING)
        .update(status=Run.Status.ORPHANED, ended_at=timezone.now())
    )


def open_observing_run(account_id: UUID, user_id: UUID, *, ended: bool = False) -> Run:
    """Begin a run that only observes the account; `ended` makes one for rows fetched later."""
    now = timezone.now()
    run = Run(
        user_id=user_id,
        account_id=account_id,
        run_type=Run.RunType.LIVE,
        status=Run.Status.COMPLETED if ended else Run.Status.RUNNING,
        gridcore_version=gridcore.__version__,
        started_at=now,
        ended_at=now if ended else None,
    )
    run.save(force_insert=True)
    return run


def close_observing_run(account_id: UUID) -> None:
    """End what `open_observing_run` began."""
    Run.objects.unscoped().filter(
        account=account_id, strategy=None, status=Run.Status.RUNNING
    ).update(status=Run.Status.COMPLETED, ended_at=timezone.now())


def runs_for(account_id: UUID, user_id: UUID, records: Sequence[Dated]) -> list[UUID]:
    """The run of each of `records`, in their order."""
    times = [record.exchange_ts for record in records]
    own = (
        Run.objects.unscoped()
        .filter(
            account=account_id,
            run_type=Run.RunType.LIVE,
            strategy__symbol__in={record.symbol for record in records},
            started_at__lte=max(times),
        )
        .filter(models.Q(ended_at=None) | models.Q(ended_at__gte=min(times)))
        .order_by("started_at")
        .values_list("strategy__symbol", "started_at", "ended_at", "pk")
    )
    observing = _observing_run(account_id, user_id)
    found = []
    for record in records:
        run = observing
        for symbol, started_at, ended_at, pk in own:
            over = ended_at is not None and ended_at < record.exchange_ts
            if symbol == record.symbol and started_at <= record.exchange_ts and not over:
                run = pk
        found.append(run)
    return found


def _observing_run(account_id: UUID, user_id: UUID) -> UUID:
    """The newest observing run: no event is dropped for lack of one, so there always is one."""
    newest = (
        Run.objects.unscoped()
        .filter(account=account_id, strategy=None, run_type=Run.RunType.LIVE)
        .order_by("-started_at")
        .values_list("pk", flat=True)
        .first()
    )
    return newest or open_observing_run(account_id, user_id, ended=True).pk
