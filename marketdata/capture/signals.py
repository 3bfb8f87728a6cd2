"""Stop on SIGINT and SIGTERM: the first asks, the second does not."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from marketdata.exits import ExitCode


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that the first signal sets; a second one ends the process at once."""
    stop = threading.Event()

    def on_signal(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            os._exit(ExitCode.INTERRUPTED)
        stop.set()

    handled = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, on_signal) for number in handled]
    try:
        yield stop
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)
