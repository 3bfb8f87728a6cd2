"""What was asked of the exchange, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from marketdata.bybit.errors import ExchangeUnavailable
from marketdata.coverage.gap_rows import Span
from marketdata.models import CaptureGap, Stream


@dataclass
class Finding:
    """What was asked of one stream of one symbol or account, and what came of it, in rows.

    `shown` is how far an answer of trades reaches, `begins_at` its oldest where there were more
    before, `missing` what may still be missing, `gaps`
    what became of the gap rows, `not_streamed` how many rows were missing in what was held
    complete: `unheard` is from the first of them to the last, `unseen` what was claimed before
    them and is out of reach.
    """

    stream: Stream
    subject: str
    asked: Span
    found: int = 0
    stored: int = 0
    updated: int = 0
    refused: int = 0
    not_streamed: int = 0
    unheard: Span | None = None
    unseen: list[Span] = field(default_factory=list)
    shown: Span | None = None
    begins_at: datetime | None = None
    missing: Span | None = None
    note: str = ""
    error: Exception | None = None
    gaps: dict[int, CaptureGap.State] = field(default_factory=dict)

    @property
    def new(self) -> int:
        """Rows that were not there before, changed states of orders included."""
        return self.stored + self.updated

    @property
    def unreachable(self) -> bool:
        """Whether the exchange did not answer at all."""
        return isinstance(self.error, ExchangeUnavailable)

    def fail(self, error: Exception) -> None:
        """Nothing of what was asked can be relied upon."""
        self.error, self.note = error, str(error)
        self.missing = self.missing or self.asked
