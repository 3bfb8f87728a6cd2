"""Stop on SIGINT and SIGTERM: the first asks, the second does not."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from marketdata.exits import ExitCode

# What an end at once leaves for saving rows: a disk that hangs must not keep the process.
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
            end_process(on_second, ExitCode.INTERRUPTED)
        stop.set()

    handled = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, on_signal) for number in handled]
    try:
        yield stop
    finally:
        for number, handler in zip(handled, before, strict=True):
            signal.signal(number, handler)


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Have SIGTERM raise KeyboardInterrupt, as SIGINT does, so that what is half done is undone."""

    def interrupt(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def end_process(save: Callable[[], None], code: ExitCode) -> None:
    """End this process with `code`, from any thread, after `save` or LAST_SECONDS."""
    guard = threading.Timer(LAST_SECONDS, os._exit, (code,))
    guard.daemon = True
    guard.start()
    try:
        save()
    finally:
        os._exit(code)
