"""The exchange's REST interface, public part: pybit's HTTP, with limits, our errors and records.

Synchronous and without retries of its own but one: the caller decides what a failure means, by
its class (`errors.py`). Source: https://bybit-exchange.github.io/docs/v5/market/time,
…/instrument and …/recent-trade.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import urlsplit

from pybit.unified_trading import HTTP

from marketdata.bybit.constants import (
    CATEGORY,
    EPOCH,
    INSTRUMENTS_LIMIT,
    LINEAR_PERPETUAL,
    MAX_DIGITS,
    RECENT_TRADES_LIMIT,
    SETTLE_COIN,
)
from marketdata.bybit.environments import Endpoints, Environment, checked_url, is_loopback
from marketdata.bybit.error_table import translated_errors
from marketdata.bybit.errors import MalformedMessage, RateLimited
from marketdata.bybit.rate_limiter import QUERY, RateLimiter
from marketdata.bybit.records import InstrumentRecord, Parsed, TradeRecord
from marketdata.bybit.trades import REST, parse_trade_rows
from marketdata.bybit.values import (
    MISSING,
    Sign,
    checked_ms,
    decimal_from,
    integer_from,
    integer_from_digits,
    malformed,
    optional_decimal_from,
    symbol_from,
    word_from,
)

logger = logging.getLogger(__name__)
# At DEBUG pybit logs whole answers, and the exchange repeats keys in some of them.
pybit_logger = logging.getLogger(f"{__name__}.pybit")
pybit_logger.setLevel(logging.INFO)

MAX_PAGES: Final = 100
# 10002, the request's time, is cured by a wider window; everything else is the caller's matter.
RETRIED_CODES: Final = frozenset({10002})
ATTEMPTS: Final = 2
RETRY_DELAY: Final = 1
LATEST_SERVER_MS: Final = 4_102_444_800_000  # the year 2100


class _QuietHTTP(HTTP):  # type: ignore[misc]
    """pybit's client without its generated repr, which shows key and secret."""

    def __repr__(self) -> str:
        return f"<HTTP {self.endpoint}>"


class BybitRestClient:
    """One account's, or nobody's, way to the REST interface; one client per thread.

    `environment` says which exchange, and without it `testnet` does. `endpoints` counts in the
    sandbox environment only, so that no other key is ever sent to an address of our own.
    `timeout` is in seconds, for connecting and for each silence while reading.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_secret: str | None = None,
        testnet: bool = True,
        *,
        environment: Environment | str | None = None,
        endpoints: Endpoints | None = None,
        timeout: float = 10.0,
        rate_limiter: RateLimiter | None = None,
        digits: int = MAX_DIGITS,
    ) -> None:
        self.environment = Environment.parse(environment or "", testnet=testnet)
        self._timeout = timeout
        self._digits = digits
        self._http = _QuietHTTP(
            testnet=self.environment is Environment.TESTNET,
            demo=self.environment is Environment.DEMO,
            api_key=api_key,
            api_secret=api_secret,
            timeout=timeout,
            log_requests=False,
            force_retry=False,
            retry_codes=set(RETRIED_CODES),
            max_retries=ATTEMPTS,
            retry_delay=RETRY_DELAY,
        )
        if self.environment is Environment.SANDBOX:
            self._http.endpoint = _sandbox_url(endpoints)
        self._http.logger = pybit_logger
        # Neither redirects nor, on this machine, a proxy of the environment: both would carry
        # signed requests elsewhere.
        self._http.client.max_redirects = 0
        if is_loopback(urlsplit(self._http.endpoint).hostname or ""):
            self._http.client.trust_env = False
        # The exchange counts by key, and by address where there is none.
        self._limiter = rate_limiter or RateLimiter.for_key(api_key or self._http.endpoint)

    def __repr__(self) -> str:
        return f"<BybitRestClient {self.environment} {self._http.endpoint}>"

    def close(self) -> None:
        """Close the connections."""
        self._http.client.close()

    def get_server_time(self) -> datetime:
        """The exchange's clock, to the microsecond."""
        answer = self._call(self._http.get_server_time)
        field = "timeNano"
        nanoseconds = integer_from_digits(_result(answer).get(field, MISSING), field)
        # Not held against our own clock: their difference is what callers are after.
        checked_ms(nanoseconds // 10**6, field, LATEST_SERVER_MS)
        return EPOCH + timedelta(microseconds=nanoseconds // 1000)

    def get_instruments(self, status: str = "Trading") -> list[InstrumentRecord]:
        """The linear perpetuals settled in USDT that have this status.

        One that cannot be read is logged and left out.
        """
        instruments = []
        for row in self._pages(
            self._http.get_instruments_info,
            category=CATEGORY,
            status=status,
            limit=INSTRUMENTS_LIMIT,
        ):
            try:
                instrument = instrument_from(row, self._digits)
            except MalformedMessage as error:
                logger.warning("Instrument refused: reason=%s", error.reason)
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
        rows = _rows(_result(answer))
        # Newest first on the wire, though not by contract: reversed, then sorted, trades of one
        # millisecond keep the exchange's order.
        parsed = parse_trade_rows(
            rows[::-1], REST, symbol, f"recent-trade.{symbol}", datetime.now(UTC), self._digits
        )
        parsed.records.sort(key=lambda trade: (trade.exchange_ts, trade.sequence or 0))
        return parsed

    def _pages(self, method: Callable[..., Any], **params: Any) -> Iterator[Any]:
        """The rows of all pages. Raises MalformedMessage when the cursors do not end."""
        cursor: str | None = None
        seen: set[str] = set()
        for _ in range(MAX_PAGES):
            result = _result(self._call(method, **params, cursor=cursor))
            yield from _rows(result)
            cursor = _next_cursor(result)
            if cursor is None:
                return
            if cursor in seen:
                raise malformed("nextPageCursor", "repeats")
            seen.add(cursor)
        raise malformed("nextPageCursor", f"does not end within {MAX_PAGES} pages")

    def _call(self, method: Callable[..., Any], **params: Any) -> Any:
        limiter = self._limiter
        if not limiter.acquire(QUERY, self._timeout):
            raise RateLimited(
                "Too many requests: our own limit.", retry_after=limiter.wait_time(QUERY)
            )
        try:
            with translated_errors():
                answer = method(**params)
        except RateLimited as error:
            limiter.record_rate_limit_hit(retry_after=error.retry_after)
            raise
        limiter.record_success(QUERY)
        return answer


def instrument_from(row: Any, digits: int = MAX_DIGITS) -> InstrumentRecord | None:
    """A contract's rules from a row of instruments-info; None for other kinds of contract.

    Raises MalformedMessage. The funding interval is in minutes.
    """
    if not isinstance(row, dict):
        raise malformed("row", "is not an object", row)
    if row.get("contractType") != LINEAR_PERPETUAL or row.get("settleCoin") != SETTLE_COIN:
        return None
    prices = _object(row, "priceFilter")
    sizes = _object(row, "lotSizeFilter")

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


def _sandbox_url(endpoints: Endpoints | None) -> str:
    if endpoints is None or not endpoints.rest:
        raise ValueError("The sandbox environment needs BYBIT_REST_URL.")
    return checked_url(endpoints.rest, "BYBIT_REST_URL", {"http", "https"})


def _result(answer: Any) -> Mapping[str, Any]:
    return _object(answer, "result") if isinstance(answer, dict) else _object({}, "result")


def _object(holder: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    value = holder.get(field, MISSING)
    if not isinstance(value, dict):
        raise malformed(field, "is missing" if value is MISSING else "is not an object", value)
    return value


def _rows(result: Mapping[str, Any]) -> list[Any]:
    rows = result.get("list", MISSING)
    if not isinstance(rows, list):
        raise malformed("list", "is missing" if rows is MISSING else "is not a list", rows)
    return rows


def _next_cursor(result: Mapping[str, Any]) -> str | None:
    cursor = result.get("nextPageCursor")
    if cursor is None or cursor == "":
        return None
    if not isinstance(cursor, str):
        raise malformed("nextPageCursor", "is not a string", cursor)
    return cursor


def _minutes(value: object) -> int | None:
    if value is None:
        return None
    minutes = integer_from(value, "fundingInterval")
    if not 0 < minutes < 2**31:
        raise malformed("fundingInterval", "is implausible", value)
    return minutes
