"""What this process has asked of the exchange and how its clock differs: for whoever exports it.

Clients come and go, one for each repair; these figures are of all of them, since the process began.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from marketdata.bybit.errors import (
    BybitError,
    ExchangeRejected,
    ExchangeUnavailable,
    MalformedMessage,
    RateLimited,
)

OK: Final = "0"
RATE_LIMITED, UNAVAILABLE, MALFORMED, OTHER = "rate_limited", "unavailable", "malformed", "other"
WORDS: Final = {
    RateLimited: RATE_LIMITED,
    ExchangeUnavailable: UNAVAILABLE,
    MalformedMessage: MALFORMED,
}
# The exchange has a few hundred codes, of which a process meets a handful.
MOST_CODES: Final = 50
# An answer that took longer says too little of the clock.
LONGEST_ROUND_TRIP: Final = 1.0


class Telemetry:
    """Counts and the last measurement of one process; from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._rest_calls: Counter[str] = Counter()
        self._reconnects: Counter[str] = Counter()
        self._clock_skew: float | None = None

    @property
    def rest_calls(self) -> dict[str, int]:
        """REST calls by retCode, or by a word where there was none; an answered one is "0"."""
        with self._lock:
            return dict(self._rest_calls)

    @property
    def reconnects(self) -> dict[str, int]:
        """Attempts to connect anew after a connection had been there, by kind of stream."""
        with self._lock:
            return dict(self._reconnects)

    @property
    def clock_skew(self) -> float | None:
        """Seconds by which this machine's clock was ahead of the exchange's at the last answer."""
        return self._clock_skew

    @contextmanager
    def counting_call(self) -> Iterator[None]:
        """Count the REST call of the block by what became of it."""
        try:
            yield
        except BybitError as error:
            self._count_call(_code_of(error))
            raise
        self._count_call(OK)

    def note_reconnect(self, kind: str) -> None:
        """Count an attempt to connect anew."""
        with self._lock:
            self._reconnects[kind] += 1

    def note_clock(self, sent_at: float, received_at: float, server_ms: object) -> None:
        """Compare a time of the exchange (ms) with ours (s), before the call and after it."""
        if type(server_ms) is int and 0 <= received_at - sent_at <= LONGEST_ROUND_TRIP:
            self._clock_skew = (sent_at + received_at) / 2 - server_ms / 1000

    def _count_call(self, code: str) -> None:
        with self._lock:
            is_known = code in self._rest_calls or len(self._rest_calls) < MOST_CODES
            self._rest_calls[code if is_known else OTHER] += 1


def _code_of(error: BybitError) -> str:
    if isinstance(error, ExchangeRejected):
        return str(error.code)
    return WORDS.get(type(error), OTHER)


TELEMETRY: Final = Telemetry()
