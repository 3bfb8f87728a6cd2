"""The account's part of the REST interface: executions, orders, positions, wallet.

The exchange answers for seven days at most, newest first: the `…_pages` methods walk the windows
from the oldest, and hand over each page as it arrives, so that what has arrived is never lost
with what has not. Neighbouring windows share their border, and with it its rows. Within a page
rows are put in the order of their times.
Source: https://bybit-exchange.github.io/docs/v5/order/execution, …/order/order-list,
…/order/open-order, …/position and …/account/wallet-balance.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

from marketdata.bybit.api_keys import ApiKeyInformation, api_key_information
from marketdata.bybit.constants import (
    CATEGORY,
    EXECUTIONS_LIMIT,
    ORDERS_LIMIT,
    POSITIONS_LIMIT,
    SETTLE_COIN,
)
from marketdata.bybit.executions import parse_execution_rows
from marketdata.bybit.orders import parse_order_rows
from marketdata.bybit.positions import parse_position_rows
from marketdata.bybit.private import Source
from marketdata.bybit.records import (
    ExecutionRecord,
    OrderRecord,
    Parsed,
    PositionRecord,
    Record,
    WalletRecord,
)
from marketdata.bybit.rest_base import RestBase, checked_cursor, next_cursor, result_of, rows_of
from marketdata.bybit.values import MISSING, milliseconds_at, symbol_from
from marketdata.bybit.wallets import parse_wallet_rows

WEEK_MS: Final = 7 * 86_400_000
TIME: Final = "time"
UNIFIED: Final = "UNIFIED"
# A busy week has a hundred thousand fills; only cursors that never end are to be stopped.
MAX_PRIVATE_PAGES: Final = 10_000

Timed = TypeVar("Timed", ExecutionRecord, OrderRecord)


class PrivateRest(RestBase):
    """What an account's key may read."""

    def get_executions(
        self,
        symbol: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        cursor: str = "",
        limit: int = EXECUTIONS_LIMIT,
    ) -> tuple[Parsed[ExecutionRecord], str]:
        """One page of executions of every type, oldest first, and the next page's cursor.

        The cursor is "" at the last page. Without times the exchange answers for the last seven
        days.
        """
        answer = self._call(
            self._http.get_executions,
            **_query(symbol, _limited(limit, EXECUTIONS_LIMIT), _ms(start), _ms(end, up=True)),
            cursor=checked_cursor(cursor) if cursor else None,
        )
        result = result_of(answer)
        return self._executions(answer, rows_of(result)), next_cursor(result) or ""

    def executions_pages(
        self, symbol: str | None = None, *, start: datetime, end: datetime
    ) -> Iterator[Parsed[ExecutionRecord]]:
        """The executions of a span of any length, page by page.

        Raises MalformedMessage when cursors repeat, once what arrived has been handed over.
        """
        for first, last in _windows(start, end):
            query = _query(symbol, EXECUTIONS_LIMIT, first, last)
            for answer, rows in self._pages(self._http.get_executions, MAX_PRIVATE_PAGES, **query):
                yield self._executions(answer, rows)

    def get_executions_all(
        self, symbol: str | None = None, *, start: datetime, end: datetime
    ) -> Parsed[ExecutionRecord]:
        """The executions of a span of any length, joined."""
        return _joined(self.executions_pages(symbol, start=start, end=end))

    def get_order_history(
        self,
        symbol: str | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
        cursor: str = "",
        limit: int = ORDERS_LIMIT,
    ) -> tuple[Parsed[OrderRecord], str]:
        """One page of orders in their last state, oldest first, and the next page's cursor.

        Orders that ended without a fill are kept by the exchange for 24 hours only.
        """
        answer = self._call(
            self._http.get_order_history,
            **_query(symbol, _limited(limit, ORDERS_LIMIT), _ms(start), _ms(end, up=True)),
            cursor=checked_cursor(cursor) if cursor else None,
        )
        result = result_of(answer)
        return self._orders(answer, rows_of(result), "order-history"), next_cursor(result) or ""

    def order_history_pages(
        self, symbol: str | None = None, *, start: datetime, end: datetime
    ) -> Iterator[Parsed[OrderRecord]]:
        """The orders of a span of any length, page by page; see `executions_pages`."""
        for first, last in _windows(start, end):
            query = _query(symbol, ORDERS_LIMIT, first, last)
            for answer, rows in self._pages(
                self._http.get_order_history, MAX_PRIVATE_PAGES, **query
            ):
                yield self._orders(answer, rows, "order-history")

    def get_order_history_all(
        self, symbol: str | None = None, *, start: datetime, end: datetime
    ) -> Parsed[OrderRecord]:
        """The orders of a span of any length, joined."""
        return _joined(self.order_history_pages(symbol, start=start, end=end))

    def get_ended_order(self, order_id: str) -> Parsed[OrderRecord]:
        """An order in its last state, whenever it was made; none where it is open, or forgotten."""
        answer = self._call_patiently(
            self._http.get_order_history, category=CATEGORY, orderId=order_id
        )
        return self._orders(answer, rows_of(result_of(answer)), "order-history")

    def get_open_orders(self, symbol: str | None = None) -> Parsed[OrderRecord]:
        """The open orders of a symbol, or of all that settle in USDT."""
        pages = self._pages(self._http.get_open_orders, **_one_or_all(symbol, ORDERS_LIMIT))
        return _joined(self._orders(answer, rows, "order-realtime") for answer, rows in pages)

    def get_positions(self, symbol: str | None = None) -> Parsed[PositionRecord]:
        """The legs of a symbol, flat ones too; or all that are not flat and settle in USDT."""
        pages = self._pages(self._http.get_positions, **_one_or_all(symbol, POSITIONS_LIMIT))
        return _joined(
            parse_position_rows(rows, self._source("position-list", answer), TIME)
            for answer, rows in pages
        )

    def get_wallet_balance(self) -> Parsed[WalletRecord]:
        """The unified account's coins, each with the account's totals."""
        answer = self._call(self._http.get_wallet_balance, accountType=UNIFIED)
        source = self._source("wallet-balance", answer)
        return parse_wallet_rows(rows_of(result_of(answer)), source, TIME)

    def get_api_key_information(self) -> ApiKeyInformation:
        """What this client's own key may do. Raises MalformedMessage, too."""
        return api_key_information(result_of(self._call(self._http.get_api_key_information)))

    def _executions(self, answer: Mapping[str, Any], rows: list[Any]) -> Parsed[ExecutionRecord]:
        source = self._source("execution-list", answer)
        return _oldest_first(parse_execution_rows(rows[::-1], source))

    def _orders(
        self, answer: Mapping[str, Any], rows: list[Any], topic: str
    ) -> Parsed[OrderRecord]:
        return _oldest_first(parse_order_rows(rows[::-1], self._source(topic, answer)))

    def _source(self, topic: str, answer: Mapping[str, Any]) -> Source:
        return Source(
            topic=topic,
            received_at=datetime.now(UTC),
            digits=self._digits,
            # Some lists do not repeat the category that they were asked for.
            category=result_of(answer).get("category", CATEGORY),
            sent_ms=answer.get(TIME, MISSING),
            hedge_mode=self.hedge_mode,
            ignored=self.ignored,
            unknown=self.unknown,
        )


def _query(
    symbol: str | None, limit: int, start_ms: int | None, end_ms: int | None
) -> dict[str, Any]:
    return {
        "category": CATEGORY,
        "symbol": None if symbol is None else symbol_from(symbol),
        "startTime": start_ms,
        "endTime": end_ms,
        "limit": limit,
    }


def _one_or_all(symbol: str | None, limit: int) -> dict[str, Any]:
    chosen = {"settleCoin": SETTLE_COIN} if symbol is None else {"symbol": symbol_from(symbol)}
    return {"category": CATEGORY, **chosen, "limit": limit}


def _limited(limit: int, most: int) -> int:
    if not 1 <= limit <= most:
        raise ValueError(f"limit must be between 1 and {most}.")
    return limit


def _ms(moment: datetime | None, *, up: bool = False) -> int | None:
    return None if moment is None else _whole_ms(moment, up=up)


def _whole_ms(moment: datetime, *, up: bool = False) -> int:
    """Milliseconds since 1970, rounded down, or `up`; naive times are refused."""
    if moment.utcoffset() is None:
        raise ValueError("A time without a time zone cannot be asked for.")
    milliseconds = milliseconds_at(moment)
    return milliseconds + 1 if up and moment.microsecond % 1000 else milliseconds


def _windows(start: datetime, end: datetime) -> list[tuple[int, int]]:
    """The span in pieces of a week at most, the oldest first, each beginning where one ends."""
    first, last = _whole_ms(start), _whole_ms(end, up=True)
    if first > last:
        raise ValueError("The span ends before it begins.")
    begins = range(first, max(last, first + 1), WEEK_MS)
    return [(begin, min(begin + WEEK_MS, last)) for begin in begins]


def _oldest_first(parsed: Parsed[Timed]) -> Parsed[Timed]:
    parsed.records.sort(key=_exchange_ts)
    return parsed


def _exchange_ts(record: ExecutionRecord | OrderRecord) -> datetime:
    return record.exchange_ts


def _joined(pages: Iterable[Parsed[Record]]) -> Parsed[Record]:
    joined: Parsed[Record] = Parsed([], [])
    for page in pages:
        joined.records.extend(page.records)
        joined.rejects.extend(page.rejects)
    return joined
