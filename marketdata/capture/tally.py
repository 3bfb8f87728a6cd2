"""The books of capture: what became of every row that arrived.

The law, per stream and account, in rows:
received = stored + updated + duplicate + conflated + quarantined + dropped + spooled + buffered.
Rows that an earlier capture left on disk count as received when they are taken over.
`buffered` is asked of the writers and not booked, so that a row that a writer forgets breaks
the law.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple
from uuid import UUID

# What arrives on no stream that is known: unreadable frames, unknown topics.
UNKNOWN = "unknown"


class StreamKey(NamedTuple):
    """One stream of one account; the account is None where the stream is public."""

    stream: str
    account_id: UUID | None = None


@dataclass
class Counts:
    """Rows of one stream since capture started."""

    received: int = 0
    stored: int = 0
    updated: int = 0
    duplicate: int = 0
    conflated: int = 0
    quarantined: int = 0
    # Not kept, and declared: each is within a gap.
    dropped: int = 0
    # On disk, for now.
    spooled: int = 0

    def booked(self) -> int:
        """The rows whose fate is settled."""
        return (
            self.stored + self.updated + self.duplicate + self.conflated + self.quarantined
            + self.dropped + self.spooled
        )  # fmt: skip


class Tally:
    """Counts per stream; `lock` makes a row's move from one column to the next one step."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._counts: dict[StreamKey, Counts] = {}
        self._pending: list[Callable[[], dict[StreamKey, int]]] = []

    def add(self, key: StreamKey, **columns: int) -> None:
        """Add rows to the named columns of `key`."""
        with self.lock:
            counts = self._counts.setdefault(key, Counts())
            for name, rows in columns.items():
                setattr(counts, name, getattr(counts, name) + rows)

    def watch(self, pending: Callable[[], dict[StreamKey, int]]) -> None:
        """Ask `pending` for rows that are received and not settled yet."""
        self._pending.append(pending)

    def buffered(self, key: StreamKey) -> int:
        """Rows of `key` that writers hold."""
        with self.lock:
            return sum(pending().get(key, 0) for pending in self._pending)

    def waiting(self, key: StreamKey) -> int:
        """Rows of `key` that are received and not in the database yet, in memory or on disk."""
        with self.lock:
            counts = self._counts.get(key)
            return self.buffered(key) + (counts.spooled if counts else 0)

    def violations(self) -> list[str]:
        """Where the law does not hold, in words; empty when all is well."""
        with self.lock:
            return [
                f"{key.stream}: received {counts.received}, accounted for "
                f"{counts.booked() + self.buffered(key)}"
                for key, counts in self
                if counts.received != counts.booked() + self.buffered(key)
            ]

    def snapshot(self) -> dict[StreamKey, dict[str, Any]]:
        """All columns, buffered included, of one moment."""
        with self.lock:
            return {key: asdict(counts) | {"buffered": self.buffered(key)} for key, counts in self}

    def __iter__(self) -> Iterator[tuple[StreamKey, Counts]]:
        with self.lock:
            return iter(sorted(self._counts.items(), key=str))
