"""Which trades of an archive are stored already: the same id near the same time.

The times of an archive are rounded, so the natural key of a trade, which its time is part of,
does not tell. A stored trade of the same id within a second is the same one; where the file has
whole seconds, within its day.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from marketdata.bybit.records import TradeRecord
from marketdata.coverage.archive_format import DAY, ROUNDING, Archive
from marketdata.coverage.gap_rows import Span
from marketdata.models import PublicTrade

NEAR = timedelta(seconds=1)
PAGE_BITS = 16


class Seen:
    """A set of primary keys, one bit each: those of a day lie close together."""

    def __init__(self) -> None:
        self._pages: dict[int, bytearray] = {}
        self.count = 0

    def add(self, pk: int) -> bool:
        """Add `pk`; whether it is new."""
        page, byte, bit = self._place(pk)
        bits = self._pages.get(page)
        if bits is None:
            bits = self._pages[page] = bytearray(1 << PAGE_BITS - 3)
        if bits[byte] & bit:
            return False
        bits[byte] |= bit
        self.count += 1
        return True

    def __contains__(self, pk: int) -> bool:
        page, byte, bit = self._place(pk)
        bits = self._pages.get(page)
        return bits is not None and bool(bits[byte] & bit)

    def _place(self, pk: int) -> tuple[int, int, int]:
        within = pk & (1 << PAGE_BITS) - 1
        return pk >> PAGE_BITS, within >> 3, 1 << (within & 7)


class Stored(NamedTuple):
    """What is compared of a stored trade; one of the file that is about to be has no key.

    It `is_own` when this import has stored it.
    """

    pk: int | None
    exchange_ts: datetime
    side: str
    price: Decimal
    size: Decimal
    is_own: bool = True


class Verdict(NamedTuple):
    """What a batch is against what is stored: positions in the batch."""

    new: list[int]
    known: list[int]
    repeated: list[int]
    conflicts: list[tuple[int, Stored]]


class Matcher:
    """Holds the trades of one archive against the stored ones, batch by batch.

    Rows that were received when the import `began` are its own.
    """

    def __init__(self, archive: Archive, began: datetime) -> None:
        self._archive, self._began = archive, began
        trades = PublicTrade.objects.filter(symbol=archive.symbol)
        newest = PublicTrade.objects.order_by("-pk").values_list("pk", flat=True).first()
        # What was stored before; later rows are the file's own, or another writer's.
        self._before = newest or 0
        around = Span(archive.day - ROUNDING, archive.day + DAY + ROUNDING)
        self._there = trades.filter(
            exchange_ts__range=(around.start, around.end), pk__lte=self._before
        )
        # Counted where it is asked for alone: it reads the whole day.
        self._stored_before = self._there.count() if archive.whole_seconds else 0
        self._around, self._trades, self._seen = around, trades, Seen()
        self._met_before = 0

    def match(self, records: Sequence[TradeRecord]) -> Verdict:
        """Tell what is new of `records` from what is stored, or came before in the file."""
        verdict = Verdict([], [], [], [])
        if not records:
            return verdict
        times = [record.exchange_ts for record in records]
        near = Span(min(times) - NEAR, max(times) + NEAR)
        stored = self._stored(near, {record.trade_id for record in records})
        reach = DAY + 2 * ROUNDING if self._archive.whole_seconds else NEAR
        if self._archive.whole_seconds:
            self._look_further(stored, records)
        for position, record in enumerate(records):
            same = [
                trade
                for trade in stored.get(record.trade_id, ())
                if abs(trade.exchange_ts - record.exchange_ts) <= reach
            ]
            self._judge(verdict, position, record, same)
            if not same:
                stored.setdefault(record.trade_id, []).append(
                    Stored(None, record.exchange_ts, record.side, record.price, record.size)
                )
        return verdict

    def only_stored(self, span: Span, found: Callable[[datetime], None]) -> None:
        """Tell `found` the time of each trade that was stored before and is not in the file.

        Of those from the span's start to before its end; to be asked after the last batch.
        """
        rows = self._there.filter(exchange_ts__gte=span.start, exchange_ts__lt=span.end)
        for pk, at in rows.values_list("pk", "exchange_ts").iterator(chunk_size=10_000):
            if pk not in self._seen:
                found(at)

    def _look_further(
        self, stored: dict[str, list[Stored]], records: Sequence[TradeRecord]
    ) -> None:
        """Look for the rest in the whole day, as long as there is something to be found."""
        rest = {record.trade_id for record in records} - stored.keys()
        if rest and self._met_before < self._stored_before:
            stored.update(self._stored(self._around, rest))

    def _stored(self, span: Span, trade_ids: Collection[str]) -> dict[str, list[Stored]]:
        rows = self._trades.filter(
            exchange_ts__range=(span.start, span.end), trade_id__in=trade_ids
        ).values_list("trade_id", "local_ts", "pk", "exchange_ts", "side", "price", "size")
        stored: dict[str, list[Stored]] = {}
        for trade_id, local_ts, *columns in rows:
            trade = Stored(*columns)._replace(is_own=local_ts == self._began)
            stored.setdefault(trade_id, []).append(trade)
        return stored

    def _judge(
        self, verdict: Verdict, position: int, record: TradeRecord, same: list[Stored]
    ) -> None:
        if not same:
            verdict.new.append(position)
            return
        figures = (record.side, record.price, record.size)
        # Not `any`: every one of them is in the file.
        is_first = [self._is_first(trade) for trade in same]
        if not any((trade.side, trade.price, trade.size) == figures for trade in same):
            verdict.conflicts.append((position, same[0]))
        elif any(is_first):
            verdict.known.append(position)
        else:
            verdict.repeated.append(position)

    def _is_first(self, trade: Stored) -> bool:
        """Whether the file names this trade, which others have stored, for the first time."""
        if trade.pk is None or trade.is_own or not self._seen.add(trade.pk):
            return False
        self._met_before += trade.pk <= self._before
        return True
