"""Intake: the rows that a writer has taken and not settled, in memory, in hand, or on disk."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from uuid import UUID

from django.db import Error as AnyDatabaseError
from django.db import connection

from marketdata.capture.buffer import Buffer
from marketdata.capture.overflow import Overflow
from marketdata.capture.patience import be_impatient
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.storing import Outcome, Record, Store, tell_of_refusal
from marketdata.capture.tally import StreamKey, Tally
from marketdata.exits import first_line

MAX_BATCH_ROWS = 5000
LAGS_KEPT = 10_000
CAPACITY_ROWS = 500_000


class Intake(Store[Record]):
    """Takes rows from any thread and books what became of them.

    With an `overflow` rows go to disk while the database is away, and are stored from there
    before any newer ones.
    """

    def __init__(
        self,
        tally: Tally,
        quarantine: Quarantine,
        *,
        capacity: int = CAPACITY_ROWS,
        overflow: Callable[[str], Overflow] | None = None,
    ) -> None:
        super().__init__()
        self.buffer: Buffer[StreamKey, Record] = Buffer(capacity)
        # Of each batch the row that waited longest, from the exchange's clock to the commit.
        self.lags: dict[StreamKey, deque[float]] = {}
        self._tally, self._quarantine = tally, quarantine
        # The batch that each thread has in hand.
        self._in_hand: dict[int, tuple[StreamKey, list[Record]]] = {}
        self._overflow = overflow(str(self.stream)) if overflow else None
        self._stopping = threading.Event()
        # One thread at a time puts rows on disk, so that none goes there twice.
        self._spilling = threading.RLock()
        # How the database last refused rows, until it takes some: it is said once.
        self._refusal: type[AnyDatabaseError] | None = None
        tally.watch(self.pending)

    @property
    def is_refused(self) -> bool:
        """Whether the database did not take what it was last given."""
        return self._refusal is not None

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

    def _ripen(self, *, everything: bool) -> None:
        """Move rows that were held back into the buffer; nothing is, unless a subclass does."""

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

    def _tell_of_refusal(self, error: AnyDatabaseError) -> None:
        if type(error) is not self._refusal:
            tell_of_refusal(f"the {self.stream} writer", error)
        self._refusal = type(error)
