"""How often the log is told of what has no end that could be told, and may come again and again."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Final

SECONDS: Final = 60.0


class Seldom:
    """Says of each kind of happening whether to log it: `times` within SECONDS, not more."""

    def __init__(self, times: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._times, self._clock = times, clock
        self._said: dict[Hashable, tuple[float, int]] = {}
        self._lock = threading.Lock()

    def is_due(self, kind: Hashable = "") -> bool:
        """Whether to log it now; it counts as logged. There should be few kinds."""
        now = self._clock()
        with self._lock:
            since, said = self._said.get(kind, (now, 0))
            if now - since >= SECONDS:
                since, said = now, 0
            self._said[kind] = since, said + 1
            return said < self._times
