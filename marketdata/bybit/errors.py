"""The adapter's errors, by whose fault it is and what the caller should do.

BybitError
├── MalformedMessage        theirs: counted, logged, quarantined, never fatal
├── ExchangeUnavailable     nobody's: try again later
├── RateLimited             ours: wait `retry_after` seconds
└── ExchangeRejected        the exchange understood and said no
    └── AuthenticationFailed   the key, its rights or its address; not worth retrying soon
"""

from __future__ import annotations


class BybitError(Exception):
    """Base of all; `retryable` says whether the same call may work later."""

    retryable = False


class MalformedMessage(BybitError, ValueError):
    """A message that is not what the exchange documents."""

    def __init__(self, reason: str, *, topic: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.topic = topic


class ExchangeUnavailable(BybitError):
    """The exchange cannot be reached, or answers with an error of its own."""

    retryable = True


class RateLimited(BybitError):
    """Too many requests; `retry_after` is in seconds.

    `of_address` says that nobody at this address may ask, whatever their key.
    """

    retryable = True

    def __init__(self, message: str, *, retry_after: float, of_address: bool = False) -> None:
        super().__init__(message)
        self.retry_after = retry_after
        self.of_address = of_address


class ExchangeRejected(BybitError):
    """The exchange refused the request; `code` is its retCode, or -1 where there was none."""

    def __init__(self, message: str, *, code: int) -> None:
        super().__init__(message)
        self.code = code


class AuthenticationFailed(ExchangeRejected):
    """The key is unknown, expired, not allowed, or used from an address that is not."""
