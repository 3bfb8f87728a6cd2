"""Bybit's messages in, our records and the engine's events out: pure, strict, no I/O.

Records carry every column of their table and feed the writers; events carry what the engine
needs and are derived from records. Each stream is read in a file of its own: `trades.py`,
`tickers.py`, `executions.py`, `orders.py`, `positions.py`, `wallets.py`.

What is kept and what the engine sees differ: every linear execution is a record, but only a
trade of a limit order is an event. Funding and liquidation are money, not fills of the grid.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final, TypedDict
from uuid import UUID

from gridcore.events import (
    EventType,
    ExecutionEvent,
    OrderUpdateEvent,
    PublicTradeEvent,
    TickerEvent,
)
from marketdata.bybit.constants import (
    CATEGORY,
    EXECUTION,
    MAX_DIGITS,
    ORDER,
    POSITION,
    WALLET,
)
from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.executions import LIMIT, TRADE, parse_execution_rows
from marketdata.bybit.orders import STATUSES, parse_order_rows
from marketdata.bybit.positions import parse_position_rows
from marketdata.bybit.private import Source, frame_rows
from marketdata.bybit.records import (
    ExecutionRecord,
    OrderRecord,
    Parsed,
    PositionRecord,
    Record,
    TickerRecord,
    TradeRecord,
    WalletRecord,
)
from marketdata.bybit.tickers import TickerBook
from marketdata.bybit.trades import parse_trade_frame
from marketdata.bybit.values import MISSING, reason_class, safe_topic
from marketdata.bybit.wallets import parse_wallet_rows
from marketdata.log_events import ROW_REFUSED, ids_in

logger = logging.getLogger(__name__)

RAW_LOGGED: Final = 200
ZERO: Final = Decimal("0")
CREATION_TIME: Final = "creationTime"


class _Identity(TypedDict):
    """What every event says of itself: what it is, of what and when, and whose."""

    event_type: EventType
    symbol: str
    exchange_ts: datetime
    local_ts: datetime
    user_id: UUID | None
    account_id: UUID | None
    run_id: UUID | None


class BybitNormalizer:
    """Reads one connection's messages; the ids are those that its events carry.

    `digits` is how many significant digits the database keeps: 15 on SQLite, 30 on PostgreSQL.
    `hedge_mode` says how the account holds its positions, which executions do not.
    `rejected` counts what was refused, rows and whole frames, by the class of the reason;
    `ignored` private rows of other categories than linear; `unknown` words that are not in the
    documentation, stored as they came. It remembers tickers, so each connection has one of its own, used by one thread at a time.
    """

    def __init__(
        self,
        user_id: UUID | None = None,
        account_id: UUID | None = None,
        run_id: UUID | None = None,
        *,
        digits: int = MAX_DIGITS,
        hedge_mode: bool = True,
    ) -> None:
        self.user_id = user_id
        self.account_id = account_id
        self.run_id = run_id
        self.hedge_mode = hedge_mode
        self.rejected: Counter[str] = Counter()
        self.ignored: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self._digits = digits
        self._tickers = TickerBook(digits)

    def trade_records(self, message: dict[str, Any], received_at: datetime) -> Parsed[TradeRecord]:
        """The trades of a `publicTrade.{symbol}` frame, and its rows that are none.

        Raises MalformedMessage when the frame as a whole cannot be read.
        """
        return self._counted(message, lambda: parse_trade_frame(message, received_at, self._digits))

    def ticker_record(self, message: dict[str, Any], received_at: datetime) -> TickerRecord | None:
        """The merged ticker after a `tickers.{symbol}` frame.

        None when the frame is older than what is known already. Raises MalformedMessage for a
        frame with anything wrong; what could be read of a delta has been merged nevertheless.
        """
        try:
            return self._tickers.update(message, received_at)
        except MalformedMessage as error:
            raise self._refused(error, message) from None

    def execution_records(
        self, message: dict[str, Any], received_at: datetime
    ) -> Parsed[ExecutionRecord]:
        """The linear executions of an `execution` frame, and its rows that cannot be read.

        Raises MalformedMessage when the frame as a whole cannot be read; so do the next three.
        """

        def parse() -> Parsed[ExecutionRecord]:
            return parse_execution_rows(*self._private(message, EXECUTION, received_at))

        return self._counted(message, parse)

    def order_records(self, message: dict[str, Any], received_at: datetime) -> Parsed[OrderRecord]:
        """The linear orders' states of an `order` frame, and its rows that cannot be read."""

        def parse() -> Parsed[OrderRecord]:
            return parse_order_rows(*self._private(message, ORDER, received_at))

        return self._counted(message, parse)

    def position_records(
        self, message: dict[str, Any], received_at: datetime
    ) -> Parsed[PositionRecord]:
        """The linear legs of a `position` frame, and its rows that cannot be read."""

        def parse() -> Parsed[PositionRecord]:
            return parse_position_rows(
                *self._private(message, POSITION, received_at), CREATION_TIME
            )

        return self._counted(message, parse)

    def wallet_records(
        self, message: dict[str, Any], received_at: datetime
    ) -> Parsed[WalletRecord]:
        """The coins of a `wallet` frame, and those that cannot be read."""

        def parse() -> Parsed[WalletRecord]:
            return parse_wallet_rows(*self._private(message, WALLET, received_at), CREATION_TIME)

        return self._counted(message, parse)

    def reset_tickers(self, symbols: Iterable[str] | None = None) -> None:
        """Forget the merged state of these symbols, or of all: called after each reconnection."""
        self._tickers.reset(symbols)

    def normalize_public_trade(
        self, message: dict[str, Any], *, received_at: datetime | None = None
    ) -> list[PublicTradeEvent]:
        """The engine's events of a trade frame; rows that cannot be read are logged."""
        parsed = self.trade_records(message, received_at or datetime.now(UTC))
        return [self._trade_event(record) for record in _logged(parsed)]

    def normalize_ticker(
        self, message: dict[str, Any], *, received_at: datetime | None = None
    ) -> TickerEvent | None:
        """The engine's event of a ticker frame, None when the frame is an old one."""
        record = self.ticker_record(message, received_at or datetime.now(UTC))
        return None if record is None else self._ticker_event(record)

    def normalize_execution(
        self, message: dict[str, Any], *, received_at: datetime | None = None
    ) -> list[ExecutionEvent]:
        """The engine's events of an execution frame: trades of limit orders, nothing else.

        Rows that cannot be read are logged.
        """
        parsed = self.execution_records(message, received_at or datetime.now(UTC))
        return [
            self._execution_event(record)
            for record in _logged(parsed)
            if record.exec_type == TRADE and record.order_type == LIMIT
        ]

    def normalize_order(
        self, message: dict[str, Any], *, received_at: datetime | None = None
    ) -> list[OrderUpdateEvent]:
        """The engine's events of an order frame: limit orders in a status that V5 documents.

        Rows that cannot be read are logged.
        """
        parsed = self.order_records(message, received_at or datetime.now(UTC))
        return [
            self._order_event(record)
            for record in _logged(parsed)
            if record.order_type == LIMIT and record.status in STATUSES
        ]

    def _identity(
        self,
        event_type: EventType,
        record: TradeRecord | TickerRecord | ExecutionRecord | OrderRecord,
    ) -> _Identity:
        return {
            "event_type": event_type,
            "symbol": record.symbol,
            "exchange_ts": record.exchange_ts,
            "local_ts": record.local_ts,
            "user_id": self.user_id,
            "account_id": self.account_id,
            "run_id": self.run_id,
        }

    def _trade_event(self, record: TradeRecord) -> PublicTradeEvent:
        return PublicTradeEvent(
            **self._identity(EventType.PUBLIC_TRADE, record),
            trade_id=record.trade_id,
            side=record.side,
            price=record.price,
            size=record.size,
        )

    def _ticker_event(self, record: TickerRecord) -> TickerEvent:
        return TickerEvent(
            **self._identity(EventType.TICKER, record),
            last_price=record.last_price,
            mark_price=record.mark_price or ZERO,
            bid1_price=record.bid1_price or ZERO,
            ask1_price=record.ask1_price or ZERO,
            funding_rate=record.funding_rate or ZERO,
        )

    def _execution_event(self, record: ExecutionRecord) -> ExecutionEvent:
        return ExecutionEvent(
            **self._identity(EventType.EXECUTION, record),
            exec_id=record.exec_id,
            order_id=record.order_id,
            order_link_id=record.order_link_id,
            side=record.side,
            price=record.exec_price,
            qty=record.exec_qty,
            fee=record.exec_fee,
            closed_pnl=record.exec_pnl or ZERO,
            closed_size=record.closed_size or ZERO,
            leaves_qty=record.leaves_qty or ZERO,
        )

    def _order_event(self, record: OrderRecord) -> OrderUpdateEvent:
        return OrderUpdateEvent(
            **self._identity(EventType.ORDER_UPDATE, record),
            order_id=record.order_id,
            order_link_id=record.order_link_id,
            status=record.status,
            side=record.side,
            price=record.price,
            qty=record.qty,
            leaves_qty=record.leaves_qty or ZERO,
            reduce_only=record.reduce_only,
        )

    def _private(
        self, message: dict[str, Any], stream: str, received_at: datetime
    ) -> tuple[list[Any], Source]:
        """The rows of a private frame, and what they do not say themselves."""
        frame, rows, topic = frame_rows(message, stream)
        return rows, Source(
            topic=topic,
            received_at=received_at,
            digits=self._digits,
            category=frame.get("category", MISSING if topic == stream else CATEGORY),
            sent_ms=frame.get(CREATION_TIME, MISSING),
            hedge_mode=self.hedge_mode,
            ignored=self.ignored,
            unknown=self.unknown,
        )

    def _counted(
        self, message: dict[str, Any], parse: Callable[[], Parsed[Record]]
    ) -> Parsed[Record]:
        try:
            parsed = parse()
        except MalformedMessage as error:
            raise self._refused(error, message) from None
        for reject in parsed.rejects:
            self.rejected[reason_class(reject.reason)] += 1
        return parsed

    def _refused(self, error: MalformedMessage, message: object) -> MalformedMessage:
        self.rejected[reason_class(error.reason)] += 1
        return MalformedMessage(error.reason, topic=safe_topic(message))


def _logged(parsed: Parsed[Record]) -> list[Record]:
    """The records; the rejects are logged."""
    for reject in parsed.rejects:
        ROW_REFUSED.log(
            logger,
            "Row refused: topic=%s reason=%s raw=%s",
            *(reject.topic, reject.reason, reject.raw[:RAW_LOGGED]),
            topic=reject.topic,
            reason=reject.reason,
            **ids_in(reject.raw),
        )
    return parsed.records
