"""What all reconciliations have in common: a client, the way into the tables, and the counting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.bybit.records import Parsed, Reject
from marketdata.bybit.rest_client import BybitRestClient
from marketdata.capture.accounts import AccountContext
from marketdata.capture.books import Books
from marketdata.capture.feeds import Feed
from marketdata.capture.startup import exact_digits
from marketdata.capture.storing import CONFLICT
from marketdata.capture.tally import StreamKey
from marketdata.capture.writers import Writer
from marketdata.coverage.archive_twins import without_twins
from marketdata.coverage.findings import Finding
from marketdata.coverage.pruned import without_pruned
from marketdata.coverage.spans import Span
from marketdata.models import Stream

# How long a whole reconciliation may wait for the database.
PATIENCE_SECONDS = 60.0
# How long a row may be on its way into the answers of REST: none is complete of what is younger.
LAG_SECONDS = 5.0


class Unwanted(Exception):
    """Nobody wants the answer any more: capture stops, or the account is another's business."""


def _keep_waiting() -> bool:
    return True


def _nothing_waits(stream: Stream) -> Sequence[Span]:
    return ()


class ReconcilerBase:
    """Asks and stores; one for a whole reconciliation, from one thread.

    `patience` is how many seconds the database may be away, `lag` for how many seconds a row may
    be missing from what the exchange answers. Where a capture runs, `settle` has it
    store what its stream has brought so far, and tells for which spans that is everything: called
    when an answer is there, before it is compared with the tables. `is_wanted` is asked before rows are stored, and ends the
    reconciliation with Unwanted.
    """

    def __init__(
        self,
        environment: Environment,
        endpoints: Endpoints,
        *,
        patience: float | None = None,
        lag: float | None = None,
        settle: Callable[[Stream], Sequence[Span]] = _nothing_waits,
        is_wanted: Callable[[], bool] = _keep_waiting,
    ) -> None:
        self.books = Books()
        self._environment, self._endpoints = environment, endpoints
        self._settle, self._is_wanted = settle, is_wanted
        self._lag = timedelta(seconds=LAG_SECONDS if lag is None else lag)
        self._writer_options: dict[str, Any] = {
            "tally": self.books.tally,
            "quarantine": self.books.quarantine,
            "patience": PATIENCE_SECONDS if patience is None else patience,
        }

    def exchange_time(self, context: AccountContext | None = None) -> datetime:
        """The exchange's clock. What is asked from now on is complete up to a lag before it."""
        with closing(self._client(context)) as client:
            return client.get_server_time()

    def _client(self, context: AccountContext | None = None) -> BybitRestClient:
        return BybitRestClient(
            context.api_key if context else None,
            context.api_secret if context else None,
            environment=context.environment if context else self._environment,
            endpoints=self._endpoints,
            digits=exact_digits(),
            hedge_mode=context.hedge_mode if context else True,
        )

    def _store(
        self,
        finding: Finding,
        key: StreamKey,
        writer: Writer[Any],
        write: Callable[[Sequence[Any]], None],
        parsed: Parsed[Any],
    ) -> list[Any]:
        """Write and flush, and count; those of the rows that were not there before."""
        if not self._is_wanted():
            raise Unwanted
        rows: Sequence[Any] = _wanted(key, parsed.records)
        conflicts: Sequence[Any] = ()
        if key.stream == Stream.TRADES:
            rows, conflicts = without_twins(rows)
        known = stored_keys(writer, key, rows)
        before = self._counted(key)
        for reject in parsed.rejects:
            self.books.quarantine.add(key, reject)
        for row in conflicts:
            self.books.quarantine.add(key, Reject(writer.topic, CONFLICT, repr(row)))
        write(rows)
        writer.flush()
        after = self._counted(key)
        finding.stored += after["stored"] - before["stored"]
        finding.updated += after["updated"] - before["updated"]
        finding.refused += after["quarantined"] - before["quarantined"]
        return [row for row in rows if identity(writer, row) not in known]

    def _counted(self, key: StreamKey) -> dict[str, int]:
        nothing = {"stored": 0, "updated": 0, "quarantined": 0}
        return nothing | self.books.tally.snapshot().get(key, {})

    def _finished(self, finding: Finding) -> Finding:
        """A row that is in quarantine is not where it belongs."""
        self.books.persist()
        if finding.refused:
            finding.missing = finding.missing or finding.asked
            finding.note = f"{finding.refused} rows are in quarantine; {finding.note}".rstrip("; ")
        return finding


def _wanted(key: StreamKey, rows: Sequence[Any]) -> Sequence[Any]:
    """Those of `rows` that retention has not deleted. The present states of orders, positions
    and balances are wanted however long they have not changed."""
    if not rows or key.stream not in (Stream.TRADES, Stream.EXECUTIONS):
        return rows
    symbol = "" if key.account_id else rows[0].symbol
    return without_pruned(Feed(key.stream, symbol, key.account_id), rows)


def identity(writer: Writer[Any], row: Any) -> tuple[Any, ...]:
    """What makes two rows of a writer's table the same row, within an account."""
    return tuple(getattr(row, name) for name in writer.key_fields)


def stored_keys(writer: Writer[Any], key: StreamKey, rows: Sequence[Any]) -> set[tuple[Any, ...]]:
    """The identities of those of `rows`, and perhaps of some others, that the table has."""
    if not rows:
        return set()
    wanted: dict[str, Any] = {
        f"{name}__in": {getattr(row, name) for row in rows} for name in writer.lookup_fields
    }
    if key.account_id is not None:
        wanted["account"] = key.account_id
    return set(writer.table.filter(**wanted).values_list(*writer.key_fields))


def times_within(rows: Sequence[Any], start: datetime, end: datetime | None) -> int:
    """How many of `rows` lie from `start` to `end`, which may be open."""
    return sum(start <= row.exchange_ts and (end is None or row.exchange_ts <= end) for row in rows)
