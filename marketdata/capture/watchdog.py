"""The watchdog: systemd is told that capture lives only while all its parts come on.

systemd starts a service anew that does not say WATCHDOG=1 in time (`WatchdogSec=`, see
sd_watchdog_enabled(3)). A thread of its own says so, which touches neither database nor disk nor
sockets of the exchange, and keeps it back while any part is hung. The log names the part and the
lines of code where it hangs, once.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from marketdata.capture.notify import notify
from marketdata.capture.pulse import Pulse
from marketdata.log_events import PART_HUNG, PART_MOVES

logger = logging.getLogger(__name__)

# Without systemd parts are watched all the same: the log tells of one that hangs.
LOOK_SECONDS = 5.0
ALIVE = "WATCHDOG=1"
# Lines of code that the log shows of a thread that hangs, the innermost first.
FRAMES = 4


def interval_from(environment: Mapping[str, str]) -> float:
    """Seconds between two looks: half of the time that systemd gives this process, or fewer."""
    microseconds = environment.get("WATCHDOG_USEC", "")
    is_ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    if not (is_ours and microseconds.isascii() and microseconds.isdigit()):
        return LOOK_SECONDS
    return min(int(microseconds) / 1_000_000 / 2, LOOK_SECONDS)


class Watchdog:
    """Looks at the `pulses` again and again, and feeds systemd's watchdog while all of them beat."""

    def __init__(
        self, pulses: Callable[[], Iterable[Pulse]], send: Callable[[str], None] = notify
    ) -> None:
        self._pulses, self._send = pulses, send
        self._hung: set[str] = set()

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Feed for the time of the block, on a thread of its own."""
        done = threading.Event()
        thread = threading.Thread(
            target=self._run, args=(done, interval_from(os.environ)), name="watchdog", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            done.set()

    def look(self) -> bool:
        """Feed, unless a part is hung; whether it was fed."""
        pulses = list(self._pulses())
        hung = {pulse.name: pulse for pulse in pulses if pulse.is_hung}
        for name in hung.keys() - self._hung:
            seconds = hung[name].silent_seconds
            where = "; ".join(map(_whereabouts, hung[name].hung_threads()))
            text = "ALARM: %s has made no progress for %.0f s, the watchdog is not fed: %s"
            args = name, seconds, where or "no thread is at work"
            PART_HUNG.log(logger, text, *args, part=name, seconds=seconds)
        for name in self._hung - hung.keys():
            PART_MOVES.log(logger, "%s makes progress again", name, part=name)
        self._hung = set(hung)
        if not hung:
            self._send(ALIVE)
        return not hung

    def _run(self, done: threading.Event, interval: float) -> None:
        # An error ends this thread, and with it the feeding: systemd does the rest.
        while not done.is_set():
            self.look()
            done.wait(interval)


def _whereabouts(thread: int) -> str:
    """The lines of code where a thread is, without any of its values."""
    frame = sys._current_frames().get(thread)
    if frame is None:
        return "its thread is gone"
    names = {each.ident: each.name for each in threading.enumerate()}
    # Not by extract_stack, which reads the sources: what hangs may be the disk.
    innermost = islice(traceback.walk_stack(frame), FRAMES)
    codes = [(each.f_code, line) for each, line in innermost]
    lines = [f"{Path(code.co_filename).name}:{line} {code.co_name}" for code, line in codes]
    return f"{names.get(thread, thread)} in {' < '.join(lines)}"
