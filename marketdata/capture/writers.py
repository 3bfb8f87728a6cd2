"""Writers: each keeps one table, on a thread of its own, and knows what became of every row.

A batch that the database refuses for now (it is away, or locked) is kept and tried again. A
batch that it refuses for good is cut in two until the bad row stands alone, and that row goes
to quarantine. When fewer rows were stored than sent, the batch is read back: a row whose key
was there with the same figures is a duplicate, with others a conflict, which is quarantined.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import InvalidOperation
from typing import Any, ClassVar, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db import (
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    connection,
    models,
)

from marketdata.bybit.records import Reject, TickerRecord, TradeRecord
from marketdata.capture.buffer import Buffer
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.tally import StreamKey, Tally
from marketdata.models import PublicTrade, Stream, TickerSnapshot

logger = logging.getLogger(__name__)

Record = TypeVar("Record", bound=tuple[Any, ...])

# The database is away or busy: the same batch may pass later.
TRANSIENT = (OperationalError, InterfaceError)
# The batch holds a row that will never pass.
PERMANENT = (
    DataError, IntegrityError, ValidationError, InvalidOperation, UnicodeError, ValueError, TypeError,
    OverflowError,
)  # fmt: skip
MAX_BATCH_ROWS = 5000
CAPACITY_ROWS = 500_000
RETRY_SECONDS = (0.2, 5.0)


class DatabaseUnavailable(Exception):
    """The database stayed away until the writer had to stop."""


@dataclass
class Outcome:
    """What became of a batch, in rows."""

    stored: int = 0
    duplicate: int = 0
    conflated: int = 0
    rejects: list[Reject] = field(default_factory=list)


class Writer(Generic[Record]):
    """Keeps one table: `write` from any thread, the rest happens on the writer's own.

    Subclasses name the stream and the model, whose columns follow the record's fields.
    """

    stream: ClassVar[Stream]
    model: ClassVar[type[models.Model]]
    topic: ClassVar[str]
    # The record's fields that are the row's identity, and those the exchange vouches for.
    key_fields: ClassVar[tuple[str, ...]]
    figure_fields: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        tally: Tally,
        quarantine: Quarantine,
        *,
        batch_size: int = 100,
        flush_interval: float = 5.0,
        capacity: int = CAPACITY_ROWS,
    ) -> None:
        self.key = StreamKey(self.stream)
        self.buffer: Buffer[Record] = Buffer(capacity)
        self.lag_seconds: float | None = None
        self.error: BaseException | None = None
        self._tally, self._quarantine = tally, quarantine
        self._batch_size, self._flush_interval = batch_size, flush_interval
        self._in_flight = 0
        self._stopping, self._never = threading.Event(), threading.Event()
        self._give_up_at = float("inf")
        self._flushing = threading.Lock()
        self._thread: threading.Thread | None = None
        tally.watch(self.pending)

    def write(self, records: Sequence[Record]) -> None:
        """Take `records`; they are stored later, in order."""
        if not records:
            return
        with self._tally.lock:
            self._tally.add(self.key, received=len(records))
            self.buffer.put(records)

    def pending(self) -> dict[StreamKey, int]:
        """Rows taken and not settled."""
        return {self.key: len(self.buffer) + self._in_flight}

    def flush(self) -> None:
        """Store everything that waits. Raises DatabaseUnavailable when told to stop meanwhile."""
        with self._flushing:
            self._ripen(everything=True)
            while self._store_next():
                pass

    def start_auto_flush(self) -> None:
        """Start the writer's thread."""
        name = f"{self.stream}-writer"
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the writer's thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def stop(self, timeout: float = 30.0) -> None:
        """Store what waits and end the thread; after `timeout` seconds rows stay behind.

        Raises DatabaseUnavailable when rows stayed behind.
        """
        self._give_up_at = time.monotonic() + timeout
        self._stopping.set()
        self.buffer.wake()
        if self._thread is not None:
            self._thread.join(timeout + 5)
        left = sum(self.pending().values())
        if left:
            raise DatabaseUnavailable(f"{left} rows of {self.stream} could not be stored")

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.buffer.wait(self._batch_size, self._flush_interval)
                with self._flushing:
                    self._ripen(everything=False)
                    while self._store_next() and not self._stopping.is_set():
                        pass
            self.flush()
        except DatabaseUnavailable as error:
            logger.error("%s writer: %s", self.stream, error)
        except BaseException as error:
            self.error = error
            logger.exception("the %s writer died", self.stream)
        finally:
            connection.close()

    def _ripen(self, *, everything: bool) -> None:
        """Move rows that were held back into the buffer; nothing is, unless a subclass does."""

    def _store_next(self) -> bool:
        with self._tally.lock:
            batch = self.buffer.take(MAX_BATCH_ROWS)
            self._in_flight = len(batch)
        if not batch:
            return False
        outcome = self._store(batch)
        with self._tally.lock:
            self._in_flight = 0
            self._tally.add(
                self.key,
                stored=outcome.stored,
                duplicate=outcome.duplicate,
                conflated=outcome.conflated,
            )
            for reject in outcome.rejects:
                self._quarantine.add(self.key, reject, received=False)
        # The row that waited longest: from the exchange's clock to the commit.
        oldest: datetime = batch[0].exchange_ts  # type: ignore[attr-defined]
        self.lag_seconds = (datetime.now(UTC) - oldest).total_seconds()
        return True

    def _store(self, batch: list[Record]) -> Outcome:
        """Store `batch`, however long the database is away."""
        pause, longest = RETRY_SECONDS
        away_since: float | None = None
        while True:
            try:
                outcome = self._store_or_split(batch)
            except TRANSIENT as error:
                connection.close()
                if away_since is None:
                    away_since = time.monotonic()
                    logger.warning(
                        "%s writer waits for the database: %s", self.stream, _first_line(error)
                    )
                if time.monotonic() + pause > self._give_up_at:
                    raise DatabaseUnavailable(f"{len(batch)} rows in hand") from None
                # Told to stop, it still waits between attempts, for the time that it was given.
                (self._never if self._stopping.is_set() else self._stopping).wait(pause)
                pause = min(pause * 2, longest)
                continue
            if away_since is not None:
                logger.warning(
                    "%s writer: the database is back after %.1f s",
                    self.stream,
                    time.monotonic() - away_since,
                )
            return outcome

    def _store_or_split(self, batch: list[Record]) -> Outcome:
        try:
            return self._insert(batch)
        except PERMANENT as error:
            if len(batch) == 1:
                return Outcome(
                    rejects=[
                        self._reject(batch[0], f"the database refused it: {_first_line(error)}")
                    ]
                )
        middle = len(batch) // 2
        first, second = self._store_or_split(batch[:middle]), self._store_or_split(batch[middle:])
        return Outcome(
            first.stored + second.stored,
            first.duplicate + second.duplicate,
            first.conflated + second.conflated,
            first.rejects + second.rejects,
        )

    def _insert(self, batch: list[Record]) -> Outcome:
        # The leading None is the primary key: positional construction is the fast one.
        stored = self.model._default_manager.bulk_insert([self.model(None, *row) for row in batch])  # type: ignore[attr-defined]
        if stored == len(batch):
            return Outcome(stored=stored)
        return self._settle(batch, stored)

    def _settle(self, batch: list[Record], stored: int) -> Outcome:
        """Tell duplicates from conflicts by what the table now holds."""
        table = self._read_back(batch)
        conflicts = [row for row in batch if not self._agrees(row, table.get(self._identity(row)))]
        duplicate = len(batch) - stored - len(conflicts)
        rejects = [
            self._reject(row, "conflict: its key is stored with other content") for row in conflicts
        ]
        return Outcome(stored=stored, duplicate=duplicate, rejects=rejects)

    def _read_back(self, batch: list[Record]) -> dict[tuple[Any, ...], dict[str, Any]]:
        key_filter = {
            f"{name}__in": {getattr(row, name) for row in batch} for name in self.key_fields
        }
        rows = self.model._default_manager.filter(**key_filter).values(
            *self.key_fields, *self.figure_fields
        )
        return {tuple(row[name] for name in self.key_fields): row for row in rows}

    def _identity(self, row: Record) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in self.key_fields)

    def _agrees(self, row: Record, stored: dict[str, Any] | None) -> bool:
        if stored is None:
            return False
        pairs = ((getattr(row, name), stored[name]) for name in self.figure_fields)
        # A figure that one of two sources does not carry is not a difference.
        return all(ours == theirs or ours is None or theirs is None for ours, theirs in pairs)

    def _reject(self, row: Record, reason: str) -> Reject:
        return Reject(self.topic, reason, repr(row))


class TradeWriter(Writer[TradeRecord]):
    """Public trades."""

    stream = Stream.TRADES
    model = PublicTrade
    topic = "publicTrade"
    key_fields = ("symbol", "exchange_ts", "trade_id")
    figure_fields = ("side", "price", "size", "is_block_trade", "is_rpi", "sequence")


class TickerWriter(Writer[TickerRecord]):
    """Tickers: the last state of each interval of exchange time; 0 ms keeps every state."""

    stream = Stream.TICKERS
    model = TickerSnapshot
    topic = "tickers"
    key_fields = ("symbol", "exchange_ts")
    figure_fields = (
        "last_price", "mark_price", "index_price", "bid1_price", "bid1_size", "ask1_price",
        "ask1_size", "funding_rate", "next_funding_time", "open_interest",
    )  # fmt: skip

    def __init__(self, *args: Any, interval_ms: int = 1000, **kwargs: Any) -> None:
        self._interval_ms = interval_ms
        self._held: dict[str, TickerRecord] = {}
        super().__init__(*args, **kwargs)

    def write(self, records: Sequence[TickerRecord]) -> None:
        """Take `records`; of each symbol the newest is held back while its interval lasts."""
        if not self._interval_ms:
            super().write(records)
            return
        with self._tally.lock:
            for record in records:
                held = self._held.get(record.symbol)
                self._held[record.symbol] = record
                self._tally.add(self.key, received=1)
                if held is not None and self._interval_of(held) == self._interval_of(record):
                    self._tally.add(self.key, conflated=1)
                elif held is not None:
                    self.buffer.put([held])

    def pending(self) -> dict[StreamKey, int]:
        """Rows taken and not settled, held ones included."""
        return {self.key: super().pending()[self.key] + len(self._held)}

    def _ripen(self, *, everything: bool) -> None:
        """Hand on held states whose interval is over, so that a quiet symbol is stored too."""
        now = datetime.now(UTC)
        with self._tally.lock:
            ripe = [
                symbol
                for symbol, record in self._held.items()
                if everything or (now - record.local_ts).total_seconds() * 1000 >= self._interval_ms
            ]
            self.buffer.put([self._held.pop(symbol) for symbol in ripe])

    def _interval_of(self, record: TickerRecord) -> int:
        return int(record.exchange_ts.timestamp() * 1000) // self._interval_ms

    def _settle(self, batch: list[TickerRecord], stored: int) -> Outcome:
        """Two states of one time are conflated, not in conflict: a ticker has no identity."""
        table = self._read_back(batch)
        absent = [row for row in batch if self._identity(row) not in table]
        agreeing = sum(self._agrees(row, table.get(self._identity(row))) for row in batch)
        return Outcome(
            stored=stored,
            duplicate=agreeing - stored,
            conflated=len(batch) - agreeing - len(absent),
            rejects=[self._reject(row, "conflict: it was not stored") for row in absent],
        )


def _first_line(error: BaseException) -> str:
    # PostgreSQL's further lines repeat the whole row.
    return (str(error).splitlines() or [type(error).__name__])[0][:150]


def stop_all(writers: Iterable[Writer[Any]], timeout: float) -> list[str]:
    """Stop `writers`; what stayed behind, in words."""
    deadline = time.monotonic() + timeout
    problems = []
    for writer in writers:
        try:
            writer.stop(max(1.0, deadline - time.monotonic()))
        except DatabaseUnavailable as error:
            problems.append(str(error))
    return problems
