"""Overlaps: what a stream has brought, against answers of REST that begin after it.

REST shows the last trades of a symbol, and not those before. An answer that begins later than the
last trade of the stream hides what is between. The stream may still bring that, for its frontier
trails; or it never will, because its topic is silent. A trade that comes from before the answer's
oldest proves the first. Once the frontier has passed that, all between is lost.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from marketdata.capture.feeds import Life
from marketdata.coverage.spans import Span


@dataclass(eq=False)
class Overlap:
    """One answer and its stream, from the moment of asking.

    `since` is the last row that the stream had brought by then, `next_at` the first after it, and
    `begins_at` the answer's oldest row: None until the answer is there.
    """

    since: datetime | None
    next_at: datetime | None = None
    begins_at: datetime | None = None

    def note_rows(self, first_at: datetime) -> None:
        """The stream has brought rows, the oldest of them at `first_at`."""
        if self.next_at is None:
            self.next_at = first_at

    def note_answer(self, begins_at: datetime | None) -> None:
        """REST has answered, from `begins_at` on: None when that is all there is."""
        self.begins_at = begins_at

    def is_decided(self, life: Life) -> bool:
        """Whether the stream will bring no row any more that would change the verdict."""
        return self.begins_at is not None and (
            self.next_at is not None or life.frontier > self.begins_at
        )

    def lost(self, life: Life) -> Span | None:
        """What of a life neither of the two has shown, once that is decided."""
        if self.begins_at is None or (self.next_at and self.next_at <= self.begins_at):
            return None
        start = max(self.since or life.started_at, life.started_at)
        return Span(start, self.begins_at) if start < self.begins_at else None
