"""The guard: a thread that never touches the database, which may hang every thread that does.

A server behind a proxy that takes everything and says nothing is not away: no call fails, and
none returns. Rows go to disk all the same, and a capture that was told to stop comes to an end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from marketdata.capture.quarantine import Quarantine
from marketdata.capture.signals import end_process
from marketdata.capture.writers import Writer
from marketdata.exits import ExitCode
from marketdata.log_events import PART_DIED

logger = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
# How long an orderly end may take: systemd's limit in deploy/ is ten seconds more.
END_SECONDS = 35.0


class Guard:
    """Looks after `writers` and `quarantine`; `abandon` saves what can be without the database."""

    def __init__(
        self, writers: Sequence[Writer[Any]], quarantine: Quarantine, abandon: Callable[[], None]
    ) -> None:
        # What capture has to stop for.
        self.problem = ""
        self.error: BaseException | None = None
        self._writers, self._quarantine, self._abandon = writers, quarantine, abandon
        self._ending_since: float | None = None

    @contextmanager
    def watching(self, stop: threading.Event) -> Iterator[None]:
        """End the process with 75 when the block goes on for END_SECONDS after its end is near.

        That is when `stop` is set, when there is a problem, and when `end_is_near` says so.
        """
        done = threading.Event()
        threading.Thread(target=self._run, args=(stop, done), name="guard", daemon=True).start()
        try:
            yield
        finally:
            done.set()

    def end_is_near(self) -> None:
        """Capture stops, for whatever reason."""
        if self._ending_since is None:
            self._ending_since = time.monotonic()

    def _run(self, stop: threading.Event, done: threading.Event) -> None:
        try:
            while not done.wait(LOOK_SECONDS):
                self._relieve()
                if self.problem or stop.is_set():
                    self.end_is_near()
                since = self._ending_since
                if since is not None and time.monotonic() - since >= END_SECONDS:
                    end_process(self._abandon, ExitCode.UNAVAILABLE)
        except BaseException as error:  # noqa: BLE001 - whoever looks at `error` ends capture
            self.error = error
            PART_DIED.log_error(logger, error, "the guard died", part="guard")

    def _relieve(self) -> None:
        for writer in self._writers:
            writer.relieve()
            if writer.buffer.overfull:
                self.problem = f"{len(writer.buffer)} rows of {writer.stream} wait for the database"
        if self._quarantine.overfull:
            self.problem = f"{len(self._quarantine)} messages wait for quarantine"
