"""The writers of public streams."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from marketdata.bybit.constants import EPOCH
from marketdata.bybit.records import Reject, TickerRecord, TradeRecord
from marketdata.capture.storing import CONFLICT, Outcome
from marketdata.capture.tally import StreamKey
from marketdata.capture.writers import Writer
from marketdata.coverage.archive_twins import without_twins
from marketdata.models import PublicTrade, Stream, TickerSnapshot


class TradeWriter(Writer[TradeRecord]):
    """Public trades."""

    stream = Stream.TRADES
    model = PublicTrade
    topic = "publicTrade"
    key_fields = ("symbol", "exchange_ts", "trade_id")
    lookup_fields = ("symbol", "exchange_ts")
    figure_fields = ("side", "price", "size", "is_block_trade", "is_rpi", "sequence")

    def _insert(self, key: StreamKey, batch: list[TradeRecord]) -> Outcome:
        """Insert; of days that are over an archive may have brought the trade at a rounded time.

        Rows are so late when they come from the spool, or around midnight.
        """
        today = datetime.now(UTC).date()
        late = [row for row in batch if row.exchange_ts.date() < today]
        if not late:
            return super()._insert(key, batch)
        rows = [row for row in batch if row.exchange_ts.date() >= today]
        rejects: list[Reject] = []
        for symbol in {row.symbol for row in late}:
            found = without_twins([row for row in late if row.symbol == symbol])
            rows += found.others
            rejects += [self._reject(row, CONFLICT) for row in found.conflicts]
        twins = Outcome(duplicate=len(batch) - len(rows) - len(rejects), rejects=rejects)
        return (super()._insert(key, rows) if rows else Outcome()) + twins

    def _agrees(self, row: TradeRecord, stored: dict[str, Any] | None) -> bool:
        if stored is not None and None in (row.sequence, stored["sequence"]):
            # An archive has no sequence, and its flags may say no for want of a column.
            flags = {name: stored[name] for name in ("is_block_trade", "is_rpi")}
            row = row._replace(**flags)
        return super()._agrees(row, stored)


class TickerWriter(Writer[TickerRecord]):
    """Tickers: the last state of each interval of exchange time; 0 ms keeps every state."""

    stream = Stream.TICKERS
    model = TickerSnapshot
    topic = "tickers"
    key_fields = ("symbol", "exchange_ts")
    lookup_fields = ("symbol", "exchange_ts")
    figure_fields = (
        "last_price", "mark_price", "index_price", "bid1_price", "bid1_size", "ask1_price",
        "ask1_size", "funding_rate", "next_funding_time", "open_interest",
    )  # fmt: skip

    def __init__(self, *args: Any, interval_ms: int = 1000, **kwargs: Any) -> None:
        self._interval_ms = interval_ms
        self._held: dict[str, TickerRecord] = {}
        super().__init__(*args, **kwargs)

    def write(self, records: Sequence[TickerRecord], account_id: UUID | None = None) -> None:
        """Take `records`; of each symbol the newest is held back while its interval lasts."""
        if not self._interval_ms:
            super().write(records, account_id)
            return
        key = self.key(account_id)
        with self._tally.lock:
            for record in records:
                held = self._held.get(record.symbol)
                self._held[record.symbol] = record
                self._tally.add(key, received=1)
                if held is not None and self._interval_of(held) == self._interval_of(record):
                    self._tally.add(key, conflated=1)
                elif held is not None:
                    self.buffer.put(key, [held])

    def pending(self) -> dict[StreamKey, int]:
        """Rows taken and not settled, held ones included."""
        return dict(Counter(super().pending()) + Counter({self.key(): len(self._held)}))

    def held_since(self, symbol: str) -> datetime | None:
        """The beginning of the interval whose last state is not known yet."""
        with self._tally.lock:
            held = self._held.get(symbol)
        if held is None:
            return None
        return EPOCH + self._interval_of(held) * timedelta(milliseconds=self._interval_ms)

    def _ripen(self, *, everything: bool) -> None:
        """Hand on held states whose interval is over, so that a quiet symbol is stored too."""
        now = datetime.now(UTC)
        with self._tally.lock:
            ripe = [
                symbol
                for symbol, record in self._held.items()
                if everything or (now - record.local_ts).total_seconds() * 1000 >= self._interval_ms
            ]
            self.buffer.put(self.key(), [self._held.pop(symbol) for symbol in ripe])

    def _interval_of(self, record: TickerRecord) -> int:
        return int(record.exchange_ts.timestamp() * 1000) // self._interval_ms

    def _settle(self, key: StreamKey, batch: list[TickerRecord], stored: int) -> Outcome:
        """Two states of one time are conflated, not in conflict: a ticker has no identity."""
        table = self._read_back(key, batch)
        absent = [row for row in batch if self._identity(row) not in table]
        agreeing = sum(self._agrees(row, table.get(self._identity(row))) for row in batch)
        return Outcome(
            stored=stored,
            duplicate=agreeing - stored,
            conflated=len(batch) - agreeing - len(absent),
            rejects=[self._reject(row, "conflict: it was not stored") for row in absent],
        )
