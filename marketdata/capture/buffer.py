"""Rows between the socket threads, which may not wait, and the writer thread, which may."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Hashable, Iterable, Sequence
from typing import Generic, TypeVar

Item = TypeVar("Item")
Lane = TypeVar("Lane", bound=Hashable)


class Buffer(Generic[Lane, Item]):
    """A bounded first-in-first-out of rows, in lanes that are served in turn.

    A lane is an account: one that floods waits behind its own rows, not before another's.
    `put` never blocks and never drops. Past `capacity` the buffer is `overfull`: whoever runs
    capture must stop it, because rows can no longer be promised a place.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._lanes: dict[Lane, deque[Item]] = {}
        self._turn: deque[Lane] = deque()
        self._size = 0
        self._put: dict[Lane, int] = {}
        self._waits_since = 0.0
        self._changed = threading.Condition()
        self._awake = False
        self._wanted = 1

    def __len__(self) -> int:
        return self._size

    @property
    def overfull(self) -> bool:
        """Whether more rows wait than capture may hold."""
        return self._size > self.capacity

    def sizes(self) -> dict[Lane, int]:
        """How many rows wait in each lane."""
        with self._changed:
            return {lane: len(rows) for lane, rows in self._lanes.items()}

    def position(self, lane: Lane) -> int:
        """How many rows were ever put into `lane`."""
        with self._changed:
            return self._put.get(lane, 0)

    def put(self, lane: Lane, items: Iterable[Item]) -> None:
        """Append `items` to `lane`."""
        with self._changed:
            if not self._size:
                self._waits_since = time.monotonic()
            rows = self._lanes.setdefault(lane, deque())
            if not rows:
                self._turn.append(lane)
            before = len(rows)
            rows.extend(items)
            if not rows:
                self._turn.pop()
            self._size += len(rows) - before
            self._put[lane] = self._put.get(lane, 0) + len(rows) - before
            # Not for every frame: waking the writer for a row it will not take yet costs more
            # than the row.
            if self._size >= self._wanted:
                self._changed.notify()

    def take(self, most: int) -> tuple[Lane, list[Item]] | None:
        """Remove and return the oldest rows of the lane whose turn it is, at most `most`."""
        with self._changed:
            if not self._turn:
                return None
            lane = self._turn.popleft()
            rows = self._lanes[lane]
            taken = [rows.popleft() for _ in range(min(most, len(rows)))]
            if rows:
                self._turn.append(lane)
            self._size -= len(taken)
            self._waits_since = time.monotonic()
            return lane, taken

    def put_back(self, lane: Lane, items: Sequence[Item]) -> None:
        """Put what `take` has given before what waits in `lane`."""
        with self._changed:
            rows = self._lanes.setdefault(lane, deque())
            if not rows:
                self._turn.appendleft(lane)
            rows.extendleft(reversed(items))
            self._size += len(items)

    def wake(self) -> None:
        """End the wait of whoever waits now or next."""
        with self._changed:
            self._awake = True
            self._changed.notify_all()

    def wait(self, rows: int, seconds: float) -> None:
        """Wait until `rows` are there, the oldest is `seconds` old, `seconds` passed, or `wake`."""
        began = time.monotonic()
        with self._changed:
            self._wanted = rows
            while self._size < rows and not self._awake:
                since = self._waits_since if self._size else began
                left = since + seconds - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._awake = False
