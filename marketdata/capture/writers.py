"""Writers: each keeps one table, on a thread of its own, and knows what became of every row.

A batch that the database refuses for now (it is away, locked, or read-only) is kept and tried
again. A batch that it refuses for good is cut in two until the bad row stands alone, and that row goes
to quarantine. When fewer rows were stored than sent, the batch is read back: a row whose key
was there with the same figures is a duplicate, with others a conflict, which is quarantined.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import InvalidOperation
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DataError, IntegrityError, connection, models
from django.db import Error as AnyDatabaseError

from marketdata.bybit.records import Reject
from marketdata.capture.buffer import Buffer
from marketdata.capture.overflow import RETRY_SECONDS, Overflow
from marketdata.capture.patience import LOCK_SECONDS, be_impatient
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.tally import StreamKey, Tally
from marketdata.exits import first_line, is_away
from marketdata.models import Stream

logger = logging.getLogger(__name__)

Record = TypeVar("Record", bound=tuple[Any, ...])

# The batch holds a row that will never pass.
PERMANENT = (
    DataError, IntegrityError, ObjectDoesNotExist, ValidationError, InvalidOperation, UnicodeError,
    ValueError, TypeError, OverflowError,
)  # fmt: skip
EMPTY = (None, "")
MAX_BATCH_ROWS = 5000
LAGS_KEPT = 10_000
CONFLICT = "conflict: its key is stored with other content"
CAPACITY_ROWS = 500_000
# What a thread may need beyond its time.
GRACE_SECONDS = LOCK_SECONDS + 1.0
# While rows go to disk: how many, or how old, make a group.
GROUP_ROWS, GROUP_SECONDS = 2000, 1.0


class DatabaseUnavailable(Exception):
    """The database stayed away until the writer had to stop."""


@dataclass
class Outcome:
    """What became of a batch, in rows."""

    stored: int = 0
    updated: int = 0
    duplicate: int = 0
    conflated: int = 0
    spooled: int = 0
    rejects: list[Reject] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, int]:
        """The rows that are settled; rejects are settled by quarantine."""
        return {name: rows for name, rows in vars(self).items() if name != "rejects"}

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(**{name: rows + getattr(other, name) for name, rows in vars(self).items()})


class Writer(Generic[Record]):
    """Keeps one table: `write` from any thread, the rest happens on the writer's own.

    `patience` is how many seconds from now the database may be away at the most. With an
    `overflow` rows go to disk meanwhile, and are stored from there before any newer ones.

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
        patience: float = float("inf"),
        overflow: Callable[[str], Overflow] | None = None,
    ) -> None:
        self.buffer: Buffer[StreamKey, Record] = Buffer(capacity)
        # Of each batch the row that waited longest, from the exchange's clock to the commit.
        self.lags: dict[StreamKey, deque[float]] = {}
        self.error: BaseException | None = None
        self._tally, self._quarantine = tally, quarantine
        self._batch_size, self._flush_interval = batch_size, flush_interval
        # The batch that each thread has in hand.
        self._in_hand: dict[int, tuple[StreamKey, list[Record]]] = {}
        self._overflow = overflow(str(self.stream)) if overflow else None
        self._stopping, self._never = threading.Event(), threading.Event()
        self._give_up_at = time.monotonic() + patience
        self._flushing = threading.Lock()
        # One thread at a time puts rows on disk, so that none goes there twice.
        self._spilling = threading.RLock()
        self._thread: threading.Thread | None = None
        # How the database last refused rows, until it takes some: it is said once.
        self._refusal: type[AnyDatabaseError] | None = None
        tally.watch(self.pending)

    def key(self, account_id: UUID | None = None) -> StreamKey:
        """The books' name of this stream, of an account where it is private."""
        return StreamKey(self.stream, account_id)

    def write(self, records: Sequence[Record], account_id: UUID | None = None) -> None:
        """Take `records`; they are stored later, in order."""
        if not records:
            return
        key = self.key(account_id)
        with self._tally.lock:
            self._tally.add(key, received=len(records))
            self.buffer.put(key, records)

    def pending(self) -> dict[StreamKey, int]:
        """Rows taken and not settled."""
        waiting = Counter(self.buffer.sizes())
        for key, batch in list(self._in_hand.values()):
            waiting[key] += len(batch)
        return dict(waiting)

    def progress(self, key: StreamKey) -> tuple[int, int]:
        """How many rows of `key` ever went into its lane, and how many of those are settled.

        Lanes are first in, first out: the first so many are those. Held-back rows are in none.
        """
        with self._tally.lock:
            position = self.buffer.position(key)
            waiting = self.buffer.sizes().get(key, 0)
            in_hand = sum(len(rows) for lane, rows in self._in_hand.values() if lane == key)
            return position, position - waiting - in_hand

    def held_since(self, symbol: str) -> datetime | None:
        """From what time on rows of `symbol` may be held back, and not be in any lane."""
        return None

    def flush(self) -> None:
        """Store everything that waits, or see it on disk.

        Raises DatabaseUnavailable when told to stop meanwhile and there is no disk.
        """
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

    def request_stop(self, timeout: float) -> None:
        """Begin to stop: what waits is stored, attempts end after `timeout` seconds."""
        self._give_up_at = time.monotonic() + timeout
        self._stopping.set()
        self.buffer.wake()

    def stop(self, timeout: float = 30.0) -> None:
        """Store what waits and end the thread; after `timeout` seconds rows stay behind.

        Raises DatabaseUnavailable when rows stayed behind.
        """
        self.request_stop(timeout)
        if self._thread is not None:
            self._thread.join(timeout + GRACE_SECONDS)
        if self.pending():
            self.abandon()
        left = sum(self.pending().values())
        if left:
            raise DatabaseUnavailable(f"{left} rows of {self.stream} could not be stored")

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                self.buffer.wait(*self._rhythm())
                with self._flushing:
                    self._ripen(everything=False)
                    while self._store_next() and not self._stopping.is_set():
                        pass
                if self._overflow is not None and self._overflow.is_stuck:
                    self._stopping.wait(RETRY_SECONDS[0])
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

    def _rhythm(self) -> tuple[int, float]:
        """How many rows, or seconds, make a batch."""
        if self._overflow is not None and self._overflow.log:
            return GROUP_ROWS, min(GROUP_SECONDS, self._flush_interval)
        return self._batch_size, self._flush_interval

    def _store_next(self) -> bool:
        """Settle one batch; False when there is none, or the database is away."""
        if self._overflow is not None and self._overflow.applies(len(self.buffer)):
            if self._overflow.takes_all(len(self.buffer)) or self._stopping.is_set():
                self.spill()
            if self._overflow.log:
                return time.monotonic() < self._give_up_at and self.replay_next()
        taken = self._take()
        if taken is None:
            return False
        key, batch = taken
        self._settled(key, batch, self._store(key, batch))
        return True

    def _take(self) -> tuple[StreamKey, list[Record]] | None:
        with self._tally.lock:
            taken = self.buffer.take(MAX_BATCH_ROWS)
            if taken is not None:
                self._in_hand[threading.get_ident()] = taken
            return taken

    def _settled(self, key: StreamKey, batch: list[Record], outcome: Outcome) -> None:
        """Book what became of the batch in hand."""
        with self._tally.lock:
            # It is not in hand any more when `abandon` was faster.
            if self._in_hand.pop(threading.get_ident(), None) is not None:
                self._book(key, outcome)
        if not outcome.spooled:
            self._note_lag(key, batch)

    def _book(self, key: StreamKey, outcome: Outcome) -> None:
        self._tally.add(key, **outcome.columns)
        for reject in outcome.rejects:
            self._quarantine.add(key, reject, received=False)

    def _note_lag(self, key: StreamKey, batch: list[Record]) -> None:
        oldest: datetime = batch[0].exchange_ts  # type: ignore[attr-defined]
        lags = self.lags.setdefault(key, deque(maxlen=LAGS_KEPT))
        lags.append((datetime.now(UTC) - oldest).total_seconds())

    def replay_next(self) -> bool:
        """Store the rows that have waited longest on disk; False while the database is away."""
        if self._overflow is None:
            return False
        # A stop does not wait for the time of the next attempt: it makes its last one now.
        group = self._overflow.next_group(at_once=self._stopping.is_set())
        if group is None:
            return False
        try:
            be_impatient()
            outcome = self._store_or_split(group.key, group.records)
        except AnyDatabaseError as error:
            connection.close()
            self._tell_of_refusal(error)
            self._overflow.postpone(group, first_line(error)[:150])
            return False
        self._refusal = None
        with self._tally.lock:
            outcome.spooled -= len(group.records)
            self._book(group.key, outcome)
        self._overflow.settle(group)
        self._note_lag(group.key, group.records)
        return True

    def spill(self) -> bool:
        """Move what waits in memory to disk, from any thread; False when the disk fails."""
        if self._overflow is None:
            return False
        with self._spilling:
            while (taken := self._take()) is not None:
                key, batch = taken
                if not self._overflow.append(key, batch):
                    with self._tally.lock:
                        del self._in_hand[threading.get_ident()]
                        self.buffer.put_back(key, batch)
                    return False
                self._settled(key, batch, Outcome(spooled=len(batch)))
            return True

    def relieve(self) -> None:
        """Spill in the place of a writer that does not come to it: its database hangs."""
        if self._overflow is not None and self._overflow.is_late(len(self.buffer)):
            self.abandon()

    def abandon(self) -> None:
        """Put everything on disk in the place of a thread that does not come back.

        The batch in its hand goes first: newer rows alone on disk would hide its loss. It may
        be stored as well, and is a duplicate when it is replayed.
        """
        if self._overflow is None:
            return
        with self._spilling:
            self._ripen(everything=True)
            for thread, (key, batch) in list(self._in_hand.items()):
                if not self._overflow.append(key, batch):
                    return
                with self._tally.lock:
                    # Its thread may have settled it meanwhile: then it is on disk for nothing.
                    if self._in_hand.pop(thread, None) is None:
                        self._tally.add(key, received=len(batch))
                    self._book(key, Outcome(spooled=len(batch)))
            self.spill()

    def _store(self, key: StreamKey, batch: list[Record]) -> Outcome:
        """Store `batch`, however long the database is away."""
        pause, longest = RETRY_SECONDS
        away_since: float | None = None
        while True:
            try:
                be_impatient()
                outcome = self._store_or_split(key, batch)
            except AnyDatabaseError as error:
                connection.close()
                self._tell_of_refusal(error)
                if away_since is None:
                    away_since = time.monotonic()
                    logger.warning(
                        "%s writer waits for the database: %s", self.stream, first_line(error)[:150]
                    )
                out_of_time = time.monotonic() + pause > self._give_up_at
                if self._spooled(key, batch, away_since, out_of_time=out_of_time):
                    return Outcome(spooled=len(batch))
                if out_of_time:
                    raise DatabaseUnavailable(f"{len(batch)} rows in hand") from None
                # Told to stop, it still waits between attempts, for the time that it was given.
                (self._never if self._stopping.is_set() else self._stopping).wait(pause)
                pause = min(pause * 2, longest)
                continue
            self._refusal = None
            if away_since is not None:
                logger.warning(
                    "%s writer: the database is back after %.1f s",
                    self.stream,
                    time.monotonic() - away_since,
                )
            return outcome

    def _tell_of_refusal(self, error: AnyDatabaseError) -> None:
        if type(error) is not self._refusal:
            tell_of_refusal(f"the {self.stream} writer", error)
        self._refusal = type(error)

    def _spooled(
        self, key: StreamKey, batch: list[Record], away_since: float, *, out_of_time: bool
    ) -> bool:
        """Whether `batch` was put on disk, the database having been away for long enough."""
        overflow = self._overflow
        if overflow is None:
            return False
        if not (out_of_time or overflow.is_due(away_since, len(self.buffer) + len(batch))):
            return False
        with self._spilling:
            abandoned = threading.get_ident() not in self._in_hand
            return abandoned or overflow.append(key, batch)

    def _store_or_split(self, key: StreamKey, batch: list[Record]) -> Outcome:
        try:
            return self._insert(key, batch)
        except PERMANENT as error:
            if len(batch) == 1:
                reason = f"the database refused it: {first_line(error)[:150]}"
                return Outcome(rejects=[self._reject(batch[0], reason)])
        middle = len(batch) // 2
        first = self._store_or_split(key, batch[:middle])
        return first + self._store_or_split(key, batch[middle:])

    def _insert(self, key: StreamKey, batch: list[Record]) -> Outcome:
        stored = self.table.bulk_insert(self._rows(key, batch))
        if stored == len(batch):
            return Outcome(stored=stored)
        return self._settle(key, batch, stored)

    @property
    def table(self) -> Any:
        """The model's manager, which is a fact's."""
        return self.model._default_manager

    def _rows(self, key: StreamKey, batch: list[Record]) -> list[models.Model]:
        # The leading None is the primary key: positional construction is the fast one.
        return [self.model(None, *row) for row in batch]

    def _settle(self, key: StreamKey, batch: list[Record], stored: int) -> Outcome:
        """Tell duplicates from conflicts by what the table now holds."""
        table = self._read_back(key, batch)
        conflicts = [row for row in batch if not self._agrees(row, table.get(self._identity(row)))]
        duplicate = len(batch) - stored - len(conflicts)
        rejects = [self._reject(row, CONFLICT) for row in conflicts]
        return Outcome(stored=stored, duplicate=duplicate, rejects=rejects)

    def _read_back(
        self, key: StreamKey, batch: list[Record]
    ) -> dict[tuple[Any, ...], dict[str, Any]]:
        wanted = {f"{name}__in": {getattr(row, name) for row in batch} for name in self.key_fields}
        if key.account_id is not None:
            wanted["account"] = key.account_id  # type: ignore[assignment]
        rows = self.table.filter(**wanted).values("pk", *self.key_fields, *self.figure_fields)
        # The filter names each part of the keys apart, so it finds rows of other keys as well.
        keys = {self._identity(row) for row in batch}
        found = {tuple(row[name] for name in self.key_fields): row for row in rows}
        return {key: row for key, row in found.items() if key in keys}

    def _identity(self, row: Record) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in self.key_fields)

    def _agrees(self, row: Record, stored: dict[str, Any] | None) -> bool:
        if stored is None:
            return False
        pairs = ((getattr(row, name), stored[name]) for name in self.figure_fields)
        # A figure that one of two sources does not carry is not a difference.
        return all(ours == theirs or ours in EMPTY or theirs in EMPTY for ours, theirs in pairs)

    def _reject(self, row: Record, reason: str) -> Reject:
        return Reject(self.topic, reason, repr(row))


def tell_of_refusal(who: str, error: AnyDatabaseError) -> None:
    """Say it loudly when a database that is there refuses what `who` brings.

    It is waited out like an absence, but it may be a fault of this program, and then it must show.
    """
    if not is_away(error):
        logger.error("ALARM: the database refuses what %s brings", who, exc_info=error)


def stop_all(writers: Iterable[Writer[Any]], timeout: float) -> list[str]:
    """Stop `writers`; what stayed behind, in words."""
    deadline = time.monotonic() + timeout
    stopping = list(writers)
    for writer in stopping:
        writer.request_stop(timeout)
    problems = []
    for writer in stopping:
        try:
            writer.stop(max(0.0, deadline - time.monotonic()))
        except DatabaseUnavailable as error:
            problems.append(str(error))
    return problems
