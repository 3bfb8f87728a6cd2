"""Stop on SIGINT and SIGTERM: the first asks, the second does not."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from marketdata.exits import ExitCode

# What a second signal leaves for saving rows: a disk that hangs must not keep the process.
LAST_SECONDS = 3.0


@contextmanager
def stop_on_signals(
    on_second: Callable[[], None] = lambda: None,
) -> Iterator[threading.Event]:
    """An event that the first signal sets; a second one ends the process at once.

    `on_second` may save what can be saved within LAST_SECONDS.
    """
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            _end(on_second)
        stop.set()

    handled = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, on_signal) for number in handled]
    try:
        yield stop
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)


def _end(on_second: Callable[[], None]) -> None:
    guard = threading.Timer(LAST_SECONDS, os._exit, (ExitCode.INTERRUPTED,))
    guard.daemon = True
    guard.start()
    try:
        on_second()
    finally:
        os._exit(ExitCode.INTERRUPTED)
