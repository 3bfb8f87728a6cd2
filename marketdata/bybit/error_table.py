"""Every error of pybit and requests, in our own words: one table, and a context manager.

The most specific class decides, by the method resolution order. pybit's exceptions carry the
request's body, those of requests the signed headers, and the exchange repeats the key in some
of its refusals. So the original is emptied and not chained, and of the exchange's own text only
what cannot be a secret is passed on.
Source: https://bybit-exchange.github.io/docs/v5/error and …/rate-limit.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError
from typing import Any, Final

from pybit import exceptions as pybit_errors
from requests import exceptions as requests_errors
from urllib3.exceptions import HTTPError as TransportError

from marketdata.bybit.errors import (
    AuthenticationFailed,
    BybitError,
    ExchangeRejected,
    ExchangeUnavailable,
    RateLimited,
)

# 10003 key invalid, 10004 bad signature, 10005 no permission, 10007 not authenticated,
# 10010 address not allowed, 33004 key expired.
AUTHENTICATION_CODES: Final = frozenset({10003, 10004, 10005, 10007, 10010, 33004})
RATE_LIMIT_CODES: Final = frozenset({10006, 429})
UNAVAILABLE_CODES: Final = frozenset({10000, 10016})
TIMESTAMP_CODE: Final = 10002
NO_CODE: Final = -1
"""The code of a refusal that came without a retCode."""

DEFAULT_RETRY_AFTER: Final = 1.0
BANNED_RETRY_AFTER: Final = 600.0
LONGEST_RETRY_AFTER: Final = 600.0
RESET_HEADER: Final = "X-Bapi-Limit-Reset-Timestamp"

TEXT_LIMIT: Final = 200
# A key has 18 characters, a signature 64: no run of so many is repeated.
_maybe_secret = re.compile(r"[0-9A-Za-z_+/=]{16,}")
_unprintable = re.compile(r"[^ -~]")

Translator = Callable[[Any], BybitError | None]


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise our errors in place of those of pybit, requests and the operating system."""
    try:
        yield
    except BybitError:
        raise
    except Exception as error:
        translated = translate(error)
        if translated is None:
            raise
        _empty(error)
        raise translated from None


def translate(error: Exception) -> BybitError | None:
    """Our error for this one; None when it is none of the exchange's or the network's."""
    for kind in type(error).__mro__:
        if kind in TABLE:
            return TABLE[kind](error)
    return None


def _refusal(error: pybit_errors.InvalidRequestError) -> BybitError:
    """A retCode other than 0."""
    code = _number(error.status_code)
    if code in AUTHENTICATION_CODES:
        # No text: that of 10004 repeats the key and what was signed.
        return AuthenticationFailed(f"The exchange refused the key (retCode {code}).", code=code)
    message = f"retCode {code}: {harmless(error.message)}"
    if code in RATE_LIMIT_CODES:
        return RateLimited(message, retry_after=_retry_after(error.resp_headers))
    if code == 403:
        return RateLimited(message, retry_after=BANNED_RETRY_AFTER, of_address=True)
    if code in UNAVAILABLE_CODES or 500 <= code <= 599:
        return ExchangeUnavailable(message)
    return ExchangeRejected(message, code=code)


def _http_failure(error: pybit_errors.FailedRequestError) -> BybitError:
    """An HTTP status other than 200, or what pybit reports as one."""
    status = _number(error.status_code)
    if error.resp_headers is None:
        if status == 400:
            # pybit gave up repeating, which it does for this one code, and lost the code.
            return ExchangeRejected(
                "The exchange refused the request's time: check this machine's clock.",
                code=TIMESTAMP_CODE,
            )
        return ExchangeUnavailable("The answer is not JSON.")
    if status == 403:
        return RateLimited(
            "HTTP 403: too many requests from this address, or its region is not served.",
            retry_after=BANNED_RETRY_AFTER,
            of_address=True,
        )
    if status == 429:
        return RateLimited("HTTP 429.", retry_after=_retry_after(error.resp_headers))
    if status == 401:
        return AuthenticationFailed("HTTP 401: the key was not accepted.", code=status)
    if 400 <= status <= 499 and status != 408:
        return ExchangeRejected(f"HTTP {status}.", code=status)
    return ExchangeUnavailable(f"HTTP {status}.")


def _unavailable(error: Exception) -> BybitError:
    return ExchangeUnavailable(f"The exchange cannot be reached ({type(error).__name__}).")


def _unreadable(error: Exception) -> BybitError:
    return ExchangeUnavailable(f"The answer is not a V5 answer ({type(error).__name__}).")


def _not_sendable(error: Exception) -> BybitError:
    return ExchangeRejected(
        f"The request cannot be sent as it is ({type(error).__name__}).", code=NO_CODE
    )


def _key_not_usable(error: Exception) -> BybitError:
    return AuthenticationFailed(
        f"The key is missing or cannot be used ({type(error).__name__}).", code=NO_CODE
    )


def _bad_header(error: requests_errors.InvalidHeader) -> BybitError:
    """Of the answer when the request had been sent; else it is the key that no header can hold."""
    return _key_not_usable(error) if error.request is None else _unavailable(error)


def _value_error(error: ValueError) -> BybitError | None:
    """pybit sleeps until the limit is reset, and fails when our clock says that it was.

    The other one is an answer with an integer of thousands of digits.
    """
    if "sleep length" in str(error):
        return RateLimited("Too many requests.", retry_after=DEFAULT_RETRY_AFTER)
    if "integer string conversion" in str(error):
        return _unreadable(error)
    return None


TABLE: Final[dict[type, Translator]] = {
    pybit_errors.InvalidRequestError: _refusal,
    pybit_errors.FailedRequestError: _http_failure,
    pybit_errors.UnauthorizedExceptionError: _key_not_usable,
    pybit_errors.InvalidChannelTypeError: _not_sendable,
    pybit_errors.TopicMismatchError: _not_sendable,
    requests_errors.ConnectTimeout: _unavailable,
    requests_errors.ReadTimeout: _unavailable,
    requests_errors.Timeout: _unavailable,
    requests_errors.ProxyError: _unavailable,
    requests_errors.SSLError: _unavailable,
    requests_errors.ConnectionError: _unavailable,
    requests_errors.ChunkedEncodingError: _unavailable,
    requests_errors.ContentDecodingError: _unavailable,
    requests_errors.TooManyRedirects: _unavailable,
    requests_errors.RetryError: _unavailable,
    requests_errors.HTTPError: _unavailable,
    requests_errors.JSONDecodeError: _unreadable,
    requests_errors.InvalidJSONError: _unreadable,
    requests_errors.StreamConsumedError: _unavailable,
    requests_errors.InvalidHeader: _bad_header,
    requests_errors.InvalidProxyURL: _not_sendable,
    requests_errors.InvalidURL: _not_sendable,
    requests_errors.InvalidSchema: _not_sendable,
    requests_errors.MissingSchema: _not_sendable,
    requests_errors.URLRequired: _not_sendable,
    requests_errors.UnrewindableBodyError: _not_sendable,
    requests_errors.RequestException: _unavailable,
    TransportError: _unavailable,
    JSONDecodeError: _unreadable,
    PermissionError: _key_not_usable,
    OSError: _unavailable,
    UnicodeEncodeError: _key_not_usable,
    UnicodeError: _unreadable,
    ValueError: _value_error,
    # What pybit's own code raises over an answer that is JSON but no object, or lacks retMsg.
    AttributeError: _unreadable,
    KeyError: _unreadable,
    TypeError: _unreadable,
    RecursionError: _unreadable,
}


def _number(code: object) -> int:
    """A code as an int; the exchange has been seen to send it as a string elsewhere."""
    if isinstance(code, str) and re.fullmatch(r"-?[0-9]{1,9}", code):
        return int(code)
    return code if isinstance(code, int) else NO_CODE


def harmless(text: object) -> str:
    """The exchange's text: short, printable, without anything as long as a key."""
    if not isinstance(text, str):
        return ""
    return _maybe_secret.sub("[…]", _unprintable.sub("?", text[: 4 * TEXT_LIMIT]))[:TEXT_LIMIT]


def _retry_after(headers: Any) -> float:
    """Seconds to wait, from Retry-After or from Bybit's own header; a second when unknown.

    Bybit's is a time of the exchange's clock: when ours is ahead it lies in the past.
    """
    get = headers.get if hasattr(headers, "get") else {}.get
    for seconds in (
        _seconds(get("Retry-After")),
        _seconds(get(RESET_HEADER)) / 1000 - time.time(),
    ):
        if seconds > 0:
            return min(seconds, LONGEST_RETRY_AFTER)
    return DEFAULT_RETRY_AFTER


def _seconds(text: object) -> float:
    if isinstance(text, str) and re.fullmatch(r"[0-9]{1,15}", text):
        return float(text)
    return math.nan


def _empty(error: BaseException | None) -> None:
    """Take away what an exception, and those that led to it, know of the request.

    They stay reachable through `__context__`, where error reporters look.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.args = ()
        error.__traceback__ = None
        attributes = vars(error)
        attributes.pop("__notes__", None)
        for name, value in attributes.items():
            if not isinstance(value, int | float | None):
                attributes[name] = ""
        if isinstance(error, UnicodeEncodeError | UnicodeDecodeError):
            # Kept outside the dictionary: the whole text, not only what could not be encoded.
            error.object = type(error.object)()
        error = error.__cause__ or error.__context__
