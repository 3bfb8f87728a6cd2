"""What every REST call has in common: pybit's HTTP, with limits, our errors, and pages.

Synchronous and without retries of its own but one: the caller decides what a failure means, by
its class (`errors.py`). Source: https://bybit-exchange.github.io/docs/v5/guide and …/rate-limit.
"""

from __future__ import annotations

import logging
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from pybit.unified_trading import HTTP

from marketdata.bybit.constants import MAX_DIGITS
from marketdata.bybit.environments import Endpoints, Environment, checked_url, is_loopback
from marketdata.bybit.error_table import RESET_HEADER, translated_errors
from marketdata.bybit.errors import RateLimited
from marketdata.bybit.rate_limiter import QUERY, RateLimiter
from marketdata.bybit.secret_holder import SecretHolder, revealed
from marketdata.bybit.telemetry import TELEMETRY
from marketdata.bybit.values import MISSING, malformed

# At DEBUG pybit logs whole answers, and the exchange repeats keys in some of them.
pybit_logger = logging.getLogger(f"{__name__}.pybit")
pybit_logger.setLevel(logging.INFO)

MAX_PAGES: Final = 100
# The exchange may leave a page empty and go on; so often in a row it does not mean to end.
MAX_EMPTY_PAGES: Final = 3
# 10002, the request's time, is cured by a wider window; everything else is the caller's matter.
RETRIED_CODES: Final = frozenset({10002})
ATTEMPTS: Final = 2
RETRY_DELAY: Final = 1
REMAINING_HEADER: Final = "X-Bapi-Limit-Status"
# The exchange counts in a rolling second; a reset that is much later is none.
LONGEST_HOLD: Final = 5.0
# How often the same page is asked for again after "too many", when the wait is that short.
PATIENT_ATTEMPTS: Final = 3

# Cursors come percent-encoded and go back as they are: they must stay one parameter.
_is_cursor = re.compile(r"[!-~]{1,1024}").fullmatch
_is_digits = re.compile(r"[0-9]{1,16}").fullmatch


class _QuietHTTP(HTTP):  # type: ignore[misc]
    """pybit's client without its generated repr, which shows key and secret."""

    def __repr__(self) -> str:
        return f"<HTTP {self.endpoint}>"


class RestBase:
    """The connection, the limits and the pages; one object per thread.

    `environment` says which exchange, and without it `testnet` does. `endpoints` counts in the
    sandbox environment only, so that no other key is ever sent to an address of our own.
    `timeout` is in seconds, for connecting and for each silence while reading.
    `hedge_mode` says how the account holds its positions. `ignored` counts private rows of other
    categories than linear, `unknown` words that are not in the documentation.
    """

    def __init__(
        self,
        api_key: str | None = None,
        api_secret: SecretHolder | str | None = None,
        testnet: bool = True,
        *,
        environment: Environment | str | None = None,
        endpoints: Endpoints | None = None,
        timeout: float = 10.0,
        rate_limiter: RateLimiter | None = None,
        digits: int = MAX_DIGITS,
        hedge_mode: bool = True,
    ) -> None:
        self.hedge_mode = hedge_mode
        self.ignored: Counter[str] = Counter()
        self.unknown: Counter[str] = Counter()
        self.environment = Environment.parse(environment or "", testnet=testnet)
        self._timeout = timeout
        self._digits = digits
        self._http = _QuietHTTP(
            testnet=self.environment is Environment.TESTNET,
            demo=self.environment is Environment.DEMO,
            api_key=api_key,
            api_secret=None if api_secret is None else revealed(api_secret),
            timeout=timeout,
            log_requests=False,
            force_retry=False,
            retry_codes=set(RETRIED_CODES),
            max_retries=ATTEMPTS,
            retry_delay=RETRY_DELAY,
            return_response_headers=True,
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
        # It bans addresses, too, and then the keys of all accounts with them.
        self._bans = RateLimiter.for_key(f"bans of {self._http.endpoint}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.environment} {self._http.endpoint}>"

    def close(self) -> None:
        """Close the connections."""
        self._http.client.close()

    def _pages(
        self, method: Callable[..., Any], max_pages: int = MAX_PAGES, **params: Any
    ) -> Iterator[tuple[Mapping[str, Any], list[Any]]]:
        """The answers of all pages, each with its rows.

        Raises MalformedMessage when the cursors do not end, after the last page that is new.
        """
        cursor: str | None = None
        seen: set[str] = set()
        empty = 0
        for _ in range(max_pages):
            answer = self._call_patiently(method, **params, cursor=cursor)
            result = result_of(answer)
            rows = rows_of(result)
            yield answer, rows
            cursor = next_cursor(result)
            if cursor is None:
                return
            if cursor in seen:
                raise malformed("nextPageCursor", "repeats")
            seen.add(cursor)
            empty = 0 if rows else empty + 1
            if empty == MAX_EMPTY_PAGES:
                raise malformed("nextPageCursor", f"goes on after {empty} empty pages")
        raise malformed("nextPageCursor", f"does not end within {max_pages} pages")

    def _call_patiently(self, method: Callable[..., Any], **params: Any) -> Mapping[str, Any]:
        """A page among others: not given up for a limit that is over in a moment."""
        for _ in range(PATIENT_ATTEMPTS - 1):
            try:
                return self._call(method, **params)
            except RateLimited as error:
                if error.retry_after > LONGEST_HOLD:
                    raise
        return self._call(method, **params)

    def _call(self, method: Callable[..., Any], **params: Any) -> Mapping[str, Any]:
        """The exchange's answer, whole; our own brake before it and after it."""
        limiter = self._limiter
        if wait := self._bans.pause_left():
            raise RateLimited(
                "The exchange takes nothing from this address for a while.",
                retry_after=wait,
                of_address=True,
            )
        if not limiter.acquire(QUERY, self._timeout):
            raise RateLimited(
                "Too many requests: our own limit.", retry_after=limiter.wait_time(QUERY)
            )
        sent_at = time.time()
        try:
            with TELEMETRY.counting_call(), translated_errors():
                answer, _, headers = method(**params)
        except RateLimited as error:
            limiter.record_rate_limit_hit(retry_after=error.retry_after)
            if error.of_address:
                self._bans.record_rate_limit_hit(retry_after=error.retry_after)
            raise
        limiter.record_success(QUERY)
        if not isinstance(answer, dict):
            raise malformed("answer", "is not an object", answer)
        TELEMETRY.note_clock(sent_at, time.time(), answer.get("time"))
        limiter.record_exhausted(_seconds_exhausted(headers, answer.get("time")), QUERY)
        return answer


def _sandbox_url(endpoints: Endpoints | None) -> str:
    if endpoints is None or not endpoints.rest:
        raise ValueError("The sandbox environment needs BYBIT_REST_URL.")
    return checked_url(endpoints.rest, "BYBIT_REST_URL", {"http", "https"})


def _seconds_exhausted(headers: Mapping[str, str], now_ms: object) -> float:
    """How long the exchange will take no more requests: 0 while some are left.

    The reset is a time of the exchange's clock, as is the answer's own: ours plays no part.
    """
    reset = headers.get(RESET_HEADER, "")
    if headers.get(REMAINING_HEADER) != "0" or not _is_digits(reset) or type(now_ms) is not int:
        return 0.0
    return min(max((int(reset) - now_ms) / 1000, 0.0), LONGEST_HOLD)


def result_of(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """What was asked for, without its envelope."""
    return object_in(answer, "result")


def object_in(holder: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    """The object under this name."""
    value = holder.get(field, MISSING)
    if not isinstance(value, dict):
        raise malformed(field, "is missing" if value is MISSING else "is not an object", value)
    return value


def rows_of(result: Mapping[str, Any]) -> list[Any]:
    """The rows of a page."""
    rows = result.get("list", MISSING)
    if not isinstance(rows, list):
        raise malformed("list", "is missing" if rows is MISSING else "is not a list", rows)
    return rows


def next_cursor(result: Mapping[str, Any]) -> str | None:
    """Where the next page begins; None at the last one."""
    cursor = result.get("nextPageCursor")
    if cursor is None or cursor == "":
        return None
    if not isinstance(cursor, str):
        raise malformed("nextPageCursor", "is not a string", cursor)
    return checked_cursor(cursor)


def checked_cursor(cursor: str) -> str:
    """A cursor that can stand in a query as it is."""
    if not _is_cursor(cursor) or "&" in cursor or "#" in cursor:
        raise malformed("nextPageCursor", "is not a cursor", cursor)
    return cursor
