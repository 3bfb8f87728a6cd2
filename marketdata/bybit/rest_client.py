"""The exchange's REST interface: the public part here, the account's in `rest_private.py`.

Source: https://bybit-exchange.github.io/docs/v5/market/time, …/instrument, …/recent-trade and
…/kline.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from marketdata.bybit.constants import (
    CATEGORY,
    EPOCH,
    INSTRUMENTS_LIMIT,
    KLINES_LIMIT,
    LINEAR_PERPETUAL,
    MAX_DIGITS,
    RECENT_TRADES_LIMIT,
    SETTLE_COIN,
)
from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.klines import MINUTE_MS, Kline, kline_from
from marketdata.bybit.records import InstrumentRecord, Parsed, TradeRecord
from marketdata.bybit.rest_base import object_in, result_of, rows_of
from marketdata.bybit.rest_private import PrivateRest
from marketdata.bybit.trades import REST, parse_trade_rows
from marketdata.bybit.values import (
    MISSING,
    Sign,
    checked_ms,
    decimal_from,
    integer_from,
    integer_from_digits,
    malformed,
    milliseconds_at,
    optional_decimal_from,
    symbol_from,
    word_from,
)
from marketdata.log_events import INSTRUMENT_REFUSED, ids_in

logger = logging.getLogger(__name__)

LATEST_SERVER_MS: Final = 4_102_444_800_000  # the year 2100


class BybitRestClient(PrivateRest):
    """One account's, or nobody's, way to the REST interface; one client per thread."""

    def get_server_time(self) -> datetime:
        """The exchange's clock, to the microsecond."""
        answer = self._call(self._http.get_server_time)
        field = "timeNano"
        nanoseconds = integer_from_digits(result_of(answer).get(field, MISSING), field)
        # Not held against our own clock: their difference is what callers are after.
        checked_ms(nanoseconds // 10**6, field, LATEST_SERVER_MS)
        return EPOCH + timedelta(microseconds=nanoseconds // 1000)

    def get_instruments(self, status: str = "Trading") -> list[InstrumentRecord]:
        """The linear perpetuals settled in USDT that have this status.

        One that cannot be read is logged and left out.
        """
        instruments = []
        for _, rows in self._pages(
            self._http.get_instruments_info,
            category=CATEGORY,
            status=status,
            limit=INSTRUMENTS_LIMIT,
        ):
            for row in rows:
                try:
                    instrument = instrument_from(row, self._digits)
                except MalformedMessage as error:
                    text, of = "Instrument refused: reason=%s", ids_in(repr(row))
                    of |= {"reason": error.reason}
                    INSTRUMENT_REFUSED.log(logger, text, error.reason, **of)
                else:
                    if instrument is not None:
                        instruments.append(instrument)
        return instruments

    def get_recent_trades(
        self, symbol: str, limit: int = RECENT_TRADES_LIMIT
    ) -> Parsed[TradeRecord]:
        """The last public trades of a symbol, at most 1000, oldest first.

        There is no way to ask for older ones: the exchange offers neither cursor nor time.
        """
        if not 1 <= limit <= RECENT_TRADES_LIMIT:
            raise ValueError(f"limit must be between 1 and {RECENT_TRADES_LIMIT}.")
        symbol_from(symbol)
        answer = self._call(
            self._http.get_public_trade_history, category=CATEGORY, symbol=symbol, limit=limit
        )
        rows = rows_of(result_of(answer))
        # Newest first on the wire, though not by contract: reversed, then sorted, trades of one
        # millisecond keep the exchange's order.
        parsed = parse_trade_rows(
            rows[::-1], REST, symbol, f"recent-trade.{symbol}", datetime.now(UTC), self._digits
        )
        parsed.records.sort(key=lambda trade: (trade.exchange_ts, trade.sequence or 0))
        return parsed

    def get_klines(self, symbol: str, start: datetime, end: datetime) -> list[Kline]:
        """The one-minute klines of a symbol that begin from `start` to `end`, oldest first.

        Minutes before the symbol was listed are not there; the last one may not be over yet.
        Raises MalformedMessage for any row that cannot be read.
        """
        symbol_from(symbol)
        klines: dict[datetime, Kline] = {}
        since, last = milliseconds_at(start), milliseconds_at(end)
        while since <= last:
            until = min(last, since + (KLINES_LIMIT - 1) * MINUTE_MS)
            answer = self._call(
                self._http.get_kline,
                category=CATEGORY,
                symbol=symbol,
                interval=1,
                start=since,
                end=until,
                limit=KLINES_LIMIT,
            )
            now = datetime.now(UTC)
            for row in rows_of(result_of(answer)):
                kline = kline_from(row, now)
                if start <= kline.start <= end:
                    klines[kline.start] = kline
            since = until + 1
        return [klines[at] for at in sorted(klines)]


def instrument_from(row: Any, digits: int = MAX_DIGITS) -> InstrumentRecord | None:
    """A contract's rules from a row of instruments-info; None for other kinds of contract.

    Raises MalformedMessage. The funding interval is in minutes.
    """
    if not isinstance(row, dict):
        raise malformed("row", "is not an object", row)
    if row.get("contractType") != LINEAR_PERPETUAL or row.get("settleCoin") != SETTLE_COIN:
        return None
    prices = object_in(row, "priceFilter")
    sizes = object_in(row, "lotSizeFilter")

    def step(holder: Mapping[str, Any], field: str) -> Any:
        return decimal_from(holder.get(field, MISSING), field, digits, Sign.POSITIVE)

    return InstrumentRecord(
        symbol=symbol_from(row.get("symbol", MISSING)),
        status=word_from(row.get("status", MISSING), "status"),
        base_coin=word_from(row.get("baseCoin", MISSING), "baseCoin"),
        quote_coin=word_from(row.get("quoteCoin", MISSING), "quoteCoin"),
        tick_size=step(prices, "tickSize"),
        qty_step=step(sizes, "qtyStep"),
        min_qty=step(sizes, "minOrderQty"),
        min_notional=optional_decimal_from(
            sizes.get("minNotionalValue", ""), "minNotionalValue", digits, Sign.NOT_NEGATIVE
        ),
        funding_interval_minutes=_minutes(row.get("fundingInterval")),
    )


def _minutes(value: object) -> int | None:
    if value is None:
        return None
    minutes = integer_from(value, "fundingInterval")
    if not 0 < minutes < 2**31:
        raise malformed("fundingInterval", "is implausible", value)
    return minutes
