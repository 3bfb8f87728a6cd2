"""Writers: each keeps one table, on a thread of its own, and knows what became of every row.

A batch that the database refuses for now (it is away, locked, or read-only) is kept and tried
again; storing.py says what becomes of one that it refuses for good, intake.py of rows that wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import connection

from marketdata.capture.intake import CAPACITY_ROWS, Intake
from marketdata.capture.overflow import RETRY_SECONDS, Overflow
from marketdata.capture.patience import LOCK_SECONDS, be_impatient
from marketdata.capture.pulse import come_on
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.storing import Outcome, Record
from marketdata.capture.tally import StreamKey, Tally
from marketdata.exits import first_line
from marketdata.log_events import CAPTURE_FAILED, DATABASE_AWAY, DATABASE_BACK, PART_DIED

logger = logging.getLogger(__name__)

# What a thread may need beyond its time.
GRACE_SECONDS = LOCK_SECONDS + 1.0
# How often a thread that waits for another's flush says that it does.
TURN_SECONDS = 1.0
# While rows go to disk: how many, or how old, make a group.
GROUP_ROWS, GROUP_SECONDS = 2000, 1.0


class DatabaseUnavailable(Exception):
    """The database stayed away until the writer had to stop."""


class Writer(Intake[Record]):
    """Keeps one table: `write` from any thread, the rest happens on the writer's own.

    `patience` is how many seconds from now the database may be away at the most.
    """

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
        super().__init__(tally, quarantine, capacity=capacity, overflow=overflow)
        self.error: BaseException | None = None
        self._batch_size, self._flush_interval = batch_size, flush_interval
        self._never = threading.Event()
        self._give_up_at = time.monotonic() + patience
        self._flushing = threading.Lock()
        self._thread: threading.Thread | None = None

    def flush(self) -> None:
        """Store everything that waits, or see it on disk.

        Raises DatabaseUnavailable when told to stop meanwhile and there is no disk.
        """
        with self._turn():
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
                with self._turn():
                    self._ripen(everything=False)
                    while self._store_next() and not self._stopping.is_set():
                        pass
                if self._overflow is not None and self._overflow.is_stuck:
                    self._stopping.wait(RETRY_SECONDS[0])
            self.flush()
        except DatabaseUnavailable as error:
            text, part = "%s writer: %s", f"{self.stream} writer"
            CAPTURE_FAILED.log(logger, text, self.stream, error, reason=f"{part}: {error}")
        except BaseException as error:  # noqa: BLE001 - whoever looks at `error` ends capture
            self.error = error
            text = "the %s writer died"
            PART_DIED.log_error(logger, error, text, self.stream, part=self.stream)
        finally:
            connection.close()

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One thread at a time flushes. Another that waits for it, through a long replay even, does
        not hang: the one that flushes is watched."""
        while not self._flushing.acquire(timeout=TURN_SECONDS):
            come_on()
        try:
            with self.pulse:
                yield
        finally:
            self._flushing.release()

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

    def _store(self, key: StreamKey, batch: list[Record]) -> Outcome:
        """Store `batch`, however long the database is away."""
        pause, longest = RETRY_SECONDS
        away_since: float | None = None
        while True:
            # Before the attempt: where there is no connection, none gets as far as the rows.
            come_on()
            try:
                be_impatient()
                outcome = self._store_or_split(key, batch)
            except AnyDatabaseError as error:
                connection.close()
                self._tell_of_refusal(error)
                if away_since is None:
                    away_since = time.monotonic()
                    text, why = "%s writer waits for the database: %s", first_line(error)[:150]
                    DATABASE_AWAY.log(logger, text, self.stream, why, part=self.stream, reason=why)
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
                text, seconds = "%s writer: the database is back", time.monotonic() - away_since
                DATABASE_BACK.log(logger, text, self.stream, part=self.stream, seconds=seconds)
            return outcome

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
