"""Collectors: on the socket's thread, from a frame to the writers; nothing here may wait."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.bybit.records import Reject
from marketdata.capture.gaps import Feed, GapBook
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.tally import UNKNOWN, StreamKey, Tally
from marketdata.capture.writers import TickerWriter, TradeWriter
from marketdata.models import Stream

TRADES = StreamKey(Stream.TRADES)
TICKERS = StreamKey(Stream.TICKERS)
NO_STREAM = StreamKey(UNKNOWN)


class PublicCollector:
    """Takes the frames of one connection: trades and tickers of its symbols."""

    def __init__(
        self,
        symbols: Iterable[str],
        *,
        trade_writer: TradeWriter,
        ticker_writer: TickerWriter,
        quarantine: Quarantine,
        tally: Tally,
        gaps: GapBook,
        digits: int,
    ) -> None:
        self.symbols = tuple(symbols)
        self.heard_at: dict[StreamKey, datetime] = {}
        self._normalizer = BybitNormalizer(digits=digits)
        self._trade_writer, self._ticker_writer = trade_writer, ticker_writer
        self._quarantine, self._tally, self._gaps = quarantine, tally, gaps
        self._handlers = {
            f"{kind}.{symbol}": handler
            for symbol in self.symbols
            for kind, handler in (("publicTrade", self._on_trades), ("tickers", self._on_ticker))
        }

    @property
    def feeds(self) -> list[Feed]:
        """The streams that this connection feeds."""
        return [Feed(key.stream, symbol) for symbol in self.symbols for key in (TRADES, TICKERS)]

    def on_connecting(self) -> None:
        """Forget merged tickers: the next connection begins with snapshots."""
        self._normalizer.reset_tickers()

    def on_message(self, message: dict[str, Any], text: str, received_at: datetime) -> None:
        """Take a frame with a topic."""
        topic = message["topic"]
        handler = self._handlers.get(topic) if isinstance(topic, str) else None
        if handler is None:
            self._quarantine.add(
                NO_STREAM, Reject(str(topic), "a topic that was not asked for", text)
            )
            return
        key = TRADES if handler == self._on_trades else TICKERS
        self.heard_at[key] = received_at
        try:
            handler(message, received_at)
        except MalformedMessage as error:
            self._quarantine.add(key, Reject(topic, error.reason, text))

    def on_unreadable(self, text: str | bytes, reason: str, received_at: datetime) -> None:
        """Take a frame that is no message."""
        raw = text if isinstance(text, str) else text.decode("utf-8", "backslashreplace")
        self._quarantine.add(NO_STREAM, Reject("", reason, raw))

    def _on_trades(self, message: dict[str, Any], received_at: datetime) -> None:
        records, rejects = self._normalizer.trade_records(message, received_at)
        for reject in rejects:
            self._quarantine.add(TRADES, reject)
        if records:
            self._trade_writer.write(records)
            times = [record.exchange_ts for record in records]
            self._gaps.note_rows(Feed(Stream.TRADES, records[0].symbol), min(times), max(times))

    def _on_ticker(self, message: dict[str, Any], received_at: datetime) -> None:
        record = self._normalizer.ticker_record(message, received_at)
        if record is None:
            self._tally.add(TICKERS, received=1, conflated=1)
            return
        self._ticker_writer.write([record])
        at = record.exchange_ts
        self._gaps.note_rows(Feed(Stream.TICKERS, record.symbol), at, at)
