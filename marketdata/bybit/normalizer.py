"""Bybit's messages in, our records and the engine's events out: pure, strict, no I/O.

Records carry every column of their table and feed the writers; events carry what the engine
needs and are derived from records. Public streams only: trades (`trades.py`) and tickers
(`tickers.py`).
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from gridcore.events import EventType, PublicTradeEvent, TickerEvent
from marketdata.bybit.constants import MAX_DIGITS
from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.records import Parsed, Reject, TickerRecord, TradeRecord
from marketdata.bybit.tickers import TickerBook
from marketdata.bybit.trades import parse_trade_frame
from marketdata.bybit.values import reason_class, safe_topic

logger = logging.getLogger(__name__)

RAW_LOGGED: Final = 200
ZERO: Final = Decimal("0")


class BybitNormalizer:
    """Reads one connection's messages; the ids are those that its events carry.

    `digits` is how many significant digits the database keeps: 15 on SQLite, 30 on PostgreSQL.
    `rejected` counts what was refused, rows and whole frames, by the class of the reason.
    It remembers tickers, so each connection has one of its own, used by one thread at a time.
    """

    def __init__(
        self,
        user_id: UUID | None = None,
        account_id: UUID | None = None,
        run_id: UUID | None = None,
        *,
        digits: int = MAX_DIGITS,
    ) -> None:
        self.user_id = user_id
        self.account_id = account_id
        self.run_id = run_id
        self.rejected: Counter[str] = Counter()
        self._digits = digits
        self._tickers = TickerBook(digits)

    def trade_records(self, message: dict[str, Any], received_at: datetime) -> Parsed[TradeRecord]:
        """The trades of a `publicTrade.{symbol}` frame, and its rows that are none.

        Raises MalformedMessage when the frame as a whole cannot be read.
        """
        try:
            parsed = parse_trade_frame(message, received_at, self._digits)
        except MalformedMessage as error:
            raise self._refused(error, message) from None
        for reject in parsed.rejects:
            self.rejected[reason_class(reject.reason)] += 1
        return parsed

    def ticker_record(self, message: dict[str, Any], received_at: datetime) -> TickerRecord | None:
        """The merged ticker after a `tickers.{symbol}` frame.

        None when the frame is older than what is known already. Raises MalformedMessage for a
        frame with anything wrong; what could be read of a delta has been merged nevertheless.
        """
        try:
            return self._tickers.update(message, received_at)
        except MalformedMessage as error:
            raise self._refused(error, message) from None

    def reset_tickers(self, symbols: Iterable[str] | None = None) -> None:
        """Forget the merged state of these symbols, or of all: called after each reconnection."""
        self._tickers.reset(symbols)

    def normalize_public_trade(
        self, message: dict[str, Any], *, received_at: datetime | None = None
    ) -> list[PublicTradeEvent]:
        """The engine's events of a trade frame; rows that cannot be read are logged."""
        parsed = self.trade_records(message, received_at or datetime.now(UTC))
        for reject in parsed.rejects:
            _log(reject)
        return [self._trade_event(record) for record in parsed.records]

    def normalize_ticker(
        self, message: dict[str, Any], *, received_at: datetime | None = None
    ) -> TickerEvent | None:
        """The engine's event of a ticker frame, None when the frame is an old one."""
        record = self.ticker_record(message, received_at or datetime.now(UTC))
        return None if record is None else self._ticker_event(record)

    def _trade_event(self, record: TradeRecord) -> PublicTradeEvent:
        return PublicTradeEvent(
            event_type=EventType.PUBLIC_TRADE,
            symbol=record.symbol,
            exchange_ts=record.exchange_ts,
            local_ts=record.local_ts,
            user_id=self.user_id,
            account_id=self.account_id,
            run_id=self.run_id,
            trade_id=record.trade_id,
            side=record.side,
            price=record.price,
            size=record.size,
        )

    def _ticker_event(self, record: TickerRecord) -> TickerEvent:
        return TickerEvent(
            event_type=EventType.TICKER,
            symbol=record.symbol,
            exchange_ts=record.exchange_ts,
            local_ts=record.local_ts,
            user_id=self.user_id,
            account_id=self.account_id,
            run_id=self.run_id,
            last_price=record.last_price,
            mark_price=record.mark_price or ZERO,
            bid1_price=record.bid1_price or ZERO,
            ask1_price=record.ask1_price or ZERO,
            funding_rate=record.funding_rate or ZERO,
        )

    def _refused(self, error: MalformedMessage, message: object) -> MalformedMessage:
        self.rejected[reason_class(error.reason)] += 1
        return MalformedMessage(error.reason, topic=safe_topic(message))


def _log(reject: Reject) -> None:
    logger.warning(
        "Row refused: topic=%s reason=%s raw=%s",
        reject.topic,
        reject.reason,
        reject.raw[:RAW_LOGGED],
    )
