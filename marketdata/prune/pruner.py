"""The pruner: lot by lot, first what is claimed is taken back, then rows go in short transactions.

It may end between any two of them, by a signal, a kill or an error: what it has declared stays
declared, and the next prune deletes the rest.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import connection

from marketdata.prune.lots import Chunk, Lot

# How long a chunk is to take: what a capture may have to wait for its turn to write.
CHUNK_SECONDS = 0.2
# The least are deleted in a few milliseconds: where that takes long, it is the commit that does,
# and more of them would be no help.
FIRST_ROWS, LEAST_ROWS, MOST_ROWS = 2000, 2000, 50_000


class Pace:
    """How many rows the next transaction deletes, so that it takes about CHUNK_SECONDS."""

    def __init__(self) -> None:
        self.rows = FIRST_ROWS
        self.longest_seconds = 0.0

    def took(self, chunk: Chunk) -> None:
        """Learn from a transaction."""
        self.longest_seconds = max(self.longest_seconds, chunk.seconds)
        if chunk.rows:
            fitting = int(chunk.rows * CHUNK_SECONDS / max(chunk.seconds, 1e-6))
            self.rows = max(LEAST_ROWS, min(fitting, 2 * self.rows, MOST_ROWS))


@dataclass
class Outcome:
    """What became of a lot: `due` rows, of which `deleted` went; all before `until` are pruned."""

    lot: Lot
    until: datetime
    due: int
    deleted: int = 0
    transactions: int = 0


@dataclass
class Pruning:
    """A prune: what is due of each lot, and what became of it."""

    outcomes: list[Outcome]
    pace: Pace = field(default_factory=Pace)
    is_stopped: bool = False

    @property
    def due(self) -> int:
        """Rows that are to go."""
        return sum(outcome.due for outcome in self.outcomes)

    @property
    def deleted(self) -> int:
        """Rows that have gone."""
        return sum(outcome.deleted for outcome in self.outcomes)

    def run(self, stop: threading.Event, told: Callable[[int], None]) -> None:
        """Delete until all is done, or `stop` is set; `told` hears of rows as they go."""
        for outcome in self.outcomes:
            if not outcome.due:
                continue
            if self.is_stopped or stop.is_set():
                self.is_stopped = True
                return
            outcome.lot.declare(outcome.until)
            for chunk in outcome.lot.chunks(outcome.until, lambda: self.pace.rows):
                outcome.deleted += chunk.rows
                outcome.transactions += 1
                self.pace.took(chunk)
                told(chunk.rows)
                if _rest(stop, chunk.seconds):
                    self.is_stopped = True
                    break


def pruning_of(lots: Sequence[tuple[Lot, datetime]]) -> Pruning:
    """What is due of lots, each before its time."""
    outcomes = []
    for lot, cutoff in lots:
        until = lot.until(cutoff)
        outcomes.append(Outcome(lot, until, sum(lot.due(until).values())))
    return Pruning(outcomes)


def _rest(stop: threading.Event, seconds: float) -> bool:
    """Let others write; whether to stop. SQLite has one writer and no queue: who waits looks
    again now and then, and would hardly ever find it free."""
    return stop.wait(seconds) if connection.vendor == "sqlite" else stop.is_set()
