"""Rows between the socket threads, which may not wait, and the writer thread, which may."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Buffer(Generic[Item]):
    """A bounded first-in-first-out of rows.

    `put` never blocks and never drops. Past `capacity` the buffer is `overfull`: whoever runs
    capture must stop it, because rows can no longer be promised a place.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._items: deque[Item] = deque()
        self._oldest_at = 0.0
        self._changed = threading.Condition()
        self._awake = False
        self._wanted = 1

    def __len__(self) -> int:
        return len(self._items)

    @property
    def overfull(self) -> bool:
        """Whether more rows wait than capture may hold."""
        return len(self._items) > self.capacity

    def put(self, items: Iterable[Item]) -> None:
        """Append `items`."""
        with self._changed:
            if not self._items:
                self._oldest_at = time.monotonic()
            self._items.extend(items)
            # Not for every frame: waking the writer for a row it will not take yet costs more
            # than the row.
            if len(self._items) >= self._wanted:
                self._changed.notify()

    def take(self, most: int) -> list[Item]:
        """Remove and return the oldest rows, at most `most`."""
        with self._changed:
            taken = [self._items.popleft() for _ in range(min(most, len(self._items)))]
            self._oldest_at = time.monotonic()
            return taken

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
            while len(self._items) < rows and not self._awake:
                since = self._oldest_at if self._items else began
                left = since + seconds - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._awake = False
