"""Our own brake: no more requests in any window than the exchange allows, and pauses when told.

Bybit counts requests in a rolling second per account (https://bybit-exchange.github.io/docs/v5/rate-limit),
so this is a sliding window, not a bucket: at no time do the last `window_seconds` hold more than
the rate. One limiter serves all clients of an API key, from any thread. Times are seconds.
"""

from __future__ import annotations

import hashlib
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import ClassVar, Final
from weakref import WeakValueDictionary

QUERY: Final = "query"
ORDER: Final = "order"

MAX_PAUSE: Final = 60.0
LONGEST_RETRY_AFTER: Final = 3600.0
# Limiters kept alive though no client holds them: a client made afresh for each repair of a gap
# must find the history, and the pause, of the one before it.
KEPT_KEYS: Final = 256


class _Window:
    """One kind's last requests, as many as the rate, and its pause."""

    __slots__ = ("blocked_until", "hits", "pause", "stamps")

    def __init__(self, rate: int) -> None:
        self.stamps: deque[float] = deque(maxlen=rate)
        self.blocked_until = -math.inf
        self.pause = 0.0
        self.hits = 0


class RateLimiter:
    """A sliding window per kind of request, with back-off after the exchange said "too many".

    Rates are requests per window. `can_request` and `record_request` are for one thread;
    between threads, `try_acquire` and `acquire` ask and record in one step.
    """

    _by_key: ClassVar[WeakValueDictionary[str, RateLimiter]] = WeakValueDictionary()
    _recent: ClassVar[OrderedDict[str, RateLimiter]] = OrderedDict()
    _registry_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(
        self,
        order_rate: int = 10,
        query_rate: int = 20,
        window_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        *,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        if order_rate < 1 or query_rate < 1:
            raise ValueError("A rate must be at least one request per window.")
        if not 0 < window_seconds < math.inf:
            raise ValueError("window_seconds must be positive.")
        self.order_rate = order_rate
        self.query_rate = query_rate
        self.window_seconds = window_seconds
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._windows = {ORDER: _Window(order_rate), QUERY: _Window(query_rate)}

    def __repr__(self) -> str:
        return (
            f"RateLimiter(order_rate={self.order_rate}, query_rate={self.query_rate}, "
            f"window_seconds={self.window_seconds})"
        )

    @classmethod
    def for_key(cls, api_key: str) -> RateLimiter:
        """The one limiter of this API key, made at the first call.

        It lives while anyone holds it, and the most recent ones longer. The registry knows a
        digest, not the key.
        """
        digest = hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest()
        with cls._registry_lock:
            limiter = cls._by_key.get(digest)
            if limiter is None:
                limiter = cls._by_key[digest] = cls()
            cls._recent[digest] = limiter
            cls._recent.move_to_end(digest)
            while len(cls._recent) > KEPT_KEYS:
                cls._recent.popitem(last=False)
        return limiter

    def can_request(self, kind: str = QUERY) -> bool:
        """Whether a request may be sent now."""
        window = self._window(kind)
        with self._lock:
            return self._free_at(window) <= self._clock()

    def record_request(self, kind: str = QUERY) -> None:
        """Count a request that is being sent now."""
        window = self._window(kind)
        with self._lock:
            window.stamps.append(self._clock())

    def wait_time(self, kind: str = QUERY) -> float:
        """Seconds until a request may be sent; 0 when it may be now."""
        window = self._window(kind)
        with self._lock:
            return self._wait(window, self._clock())

    def pause_left(self) -> float:
        """Seconds until every kind's pause is over, whatever was sent meanwhile; 0 without one."""
        with self._lock:
            until = max(window.blocked_until for window in self._windows.values())
            return max(0.0, until - self._clock())

    def try_acquire(self, kind: str = QUERY) -> bool:
        """Ask and record in one step: True when the request may be sent, and is counted."""
        return self._take(self._window(kind)) == 0

    def acquire(self, kind: str = QUERY, timeout: float | None = None) -> bool:
        """Wait for leave to send, at most `timeout` seconds (None: as long as it takes).

        False, at once, when the wait would be longer than what is left of the time.
        """
        window = self._window(kind)
        deadline = math.inf if timeout is None else self._clock() + timeout
        while wait := self._take(window):
            if self._clock() + wait > deadline:
                return False
            self._sleep(wait)
        return True

    def record_rate_limit_hit(
        self, kind: str | None = None, retry_after: float | None = None
    ) -> None:
        """The exchange said "too many": pause `kind`, or every kind.

        At the first hit for `retry_after` seconds, or for one window if the exchange did not
        say how long; at each further one for 2, 4, 8… windows, at most a minute, and never less than `retry_after`. A success starts it over, and so does a time
        without a hit that is longer than the last pause was.
        """
        if retry_after is not None and not retry_after >= 0:
            raise ValueError("retry_after must not be negative.")
        windows = self._windows.values() if kind is None else [self._window(kind)]
        with self._lock:
            now = self._clock()
            for window in windows:
                self._pause(window, now, retry_after)

    def record_exhausted(self, seconds: float, kind: str = QUERY) -> None:
        """The exchange has no more to give for so many seconds: wait, but it is no hit."""
        if not seconds >= 0:
            raise ValueError("seconds must not be negative.")
        if seconds:
            window = self._window(kind)
            with self._lock:
                until = self._clock() + min(seconds, LONGEST_RETRY_AFTER)
                window.blocked_until = max(window.blocked_until, until)

    def record_success(self, kind: str = QUERY) -> None:
        """A request went through: the next hit pauses as briefly as the first.

        Ignored during a pause: that answer is to a request sent before the hit.
        """
        window = self._window(kind)
        with self._lock:
            if window.blocked_until <= self._clock():
                window.hits = 0

    def _window(self, kind: str) -> _Window:
        try:
            return self._windows[kind]
        except KeyError:
            known = " or ".join(sorted(self._windows))
            raise ValueError(f"Unknown kind of request {kind!r}; it is {known}.") from None

    def _take(self, window: _Window) -> float:
        """Record a request and return 0, or return the seconds to wait for the next chance."""
        with self._lock:
            now = self._clock()
            wait = self._wait(window, now)
            if wait == 0:
                window.stamps.append(now)
            return wait

    def _free_at(self, window: _Window) -> float:
        """The first time at which a request may be sent."""
        if len(window.stamps) < (window.stamps.maxlen or 0):
            return window.blocked_until
        return max(window.blocked_until, window.stamps[0] + self.window_seconds)

    def _wait(self, window: _Window, now: float) -> float:
        free_at = self._free_at(window)
        if free_at <= now:
            return 0.0
        wait = free_at - now
        # Rounding must not make a caller who sleeps exactly so long come a moment too early.
        return wait if now + wait >= free_at else wait + math.ulp(free_at)

    def _pause(self, window: _Window, now: float, retry_after: float | None) -> None:
        if now - window.blocked_until > window.pause:
            window.hits = 0
        if retry_after is not None and window.hits == 0:
            pause = retry_after
        else:
            # The exponent is bounded too: 2.0**1024 is an error, not infinity.
            backoff = min(self.window_seconds * 2.0 ** min(window.hits, 64), MAX_PAUSE)
            pause = max(backoff, retry_after or 0.0)
        pause = min(pause, LONGEST_RETRY_AFTER)
        window.hits += 1
        window.pause = pause
        window.blocked_until = max(window.blocked_until, now + pause)
