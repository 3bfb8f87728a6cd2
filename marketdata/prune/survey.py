"""What a prune would do, and how the database will grow under the policy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from marketdata.bybit.constants import EPOCH
from marketdata.models import Stream
from marketdata.prune.lots import Lot, Model
from marketdata.prune.space import table_bytes

DAY = timedelta(days=1)
# How far back growth is looked at; a younger table is taken to be at least an hour old.
RECENT, YOUNGEST = timedelta(days=7), timedelta(hours=1)
EVERY_SYMBOL = "every symbol"


class Tables:
    """What rows take of their tables, in bytes: an even share."""

    def __init__(self) -> None:
        self._of_a_row: dict[Model, float | None] = {}

    def bytes_of(self, counts: dict[Model, int]) -> float:
        """What so many rows take; nan where it cannot be told."""
        return sum(rows * self._row(model) for model, rows in counts.items() if rows)

    def _row(self, model: Model) -> float:
        if model not in self._of_a_row:
            size, rows = table_bytes(model._meta.db_table), model._default_manager.count()
            self._of_a_row[model] = None if size is None else size / max(rows, 1)
        known = self._of_a_row[model]
        return float("nan") if known is None else known


@dataclass
class Line:
    """A kind of rows, of all symbols, of one account, or of the market.

    `due` are the rows that would go, from `first` to `last`. Bytes are nan where they cannot be
    told; `bytes_lately` are those of the last week, or of as much of it as there is.
    """

    kind: str
    subject: str
    age: timedelta
    rows: int = 0
    due: int = 0
    first: datetime | None = None
    last: datetime | None = None
    bytes_now: float = 0.0
    bytes_due: float = 0.0
    bytes_lately: float = 0.0
    lasted: timedelta = YOUNGEST

    @property
    def bytes_a_day(self) -> float:
        """How much comes in a day, by the last week."""
        return self.bytes_lately / (min(self.lasted, RECENT) / DAY)

    def bytes_in(self, days: float) -> float:
        """What there will be under the policy, if as much goes on coming.

        What is kept now ages out evenly over the time that it spans.
        """
        age, kept_days = self.age / DAY, min(self.lasted, self.age) / DAY
        gone = (days - (age - kept_days)) / kept_days
        kept = (self.bytes_now - self.bytes_due) * (1 - min(max(gone, 0.0), 1.0))
        return kept + self.bytes_a_day * min(days, age)

    def add(self, lot: Lot, now: datetime, tables: Tables) -> None:
        """Count a lot, too."""
        until = lot.until(now - self.age)
        counts, due = lot.counts(EPOCH, None), lot.due(until)
        self.rows += sum(counts.values())
        self.due += sum(due.values())
        self.bytes_now += tables.bytes_of(counts)
        self.bytes_due += tables.bytes_of(due)
        self.bytes_lately += tables.bytes_of(lot.counts(now - RECENT, None))
        oldest, _ = lot.span(None)
        if oldest is not None:
            self.lasted = max(self.lasted, now - oldest)
        if any(due.values()):
            first, last = lot.span(until)
            self.first = min(at for at in (self.first, first) if at is not None)
            self.last = max(at for at in (self.last, last) if at is not None)


def survey(lots: Iterable[tuple[Lot, timedelta]], now: datetime) -> list[Line]:
    """A line for each kind and owner, with its age, in the order of the lots. Every row is counted."""
    lines: dict[tuple[str, str], Line] = {}
    tables = Tables()
    for lot, age in lots:
        is_of_symbol = lot.kind in (Stream.TRADES, Stream.TICKERS)
        key = lot.kind, EVERY_SYMBOL if is_of_symbol else lot.subject
        lines.setdefault(key, Line(*key, age)).add(lot, now, tables)
    return list(lines.values())
