"""When a writer's rows go to disk, and when they come back."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from marketdata.capture.spool_log import Group, SpoolLog
from marketdata.capture.tally import StreamKey
from marketdata.log_events import (
    DATABASE_AWAY,
    SPOOL_BEGAN,
    SPOOL_EMPTY,
    SPOOL_FAILED,
    SPOOL_REPLAYING,
)
from marketdata.log_rate import Seldom

logger = logging.getLogger(__name__)

# Seconds between two attempts at a database that is away: the first, and the most.
RETRY_SECONDS = (0.2, 5.0)
# A writer that lets so many times its rows wait does not come to spilling them.
LATE = 2


@dataclass(frozen=True, kw_only=True)
class OverflowRule:
    """Rows go to disk when the database was away for `seconds`, or more than `rows` wait."""

    seconds: float = 5.0
    rows: int = 20_000


class Overflow:
    """One writer's way to disk and back."""

    def __init__(self, log: SpoolLog, rule: OverflowRule) -> None:
        self.log = log
        self._rule = rule
        self._away_since: float | None = None
        self._retry_at = 0.0
        self._pause = RETRY_SECONDS[0]
        self._disk_failed = False
        self._unread = Seldom()

    def applies(self, waiting: int) -> bool:
        """Whether rows take the way over the disk: some are there, or too many wait."""
        return bool(self.log) or waiting > self._rule.rows

    def takes_all(self, waiting: int) -> bool:
        """Whether what waits in memory goes to disk now."""
        return waiting > self._rule.rows or self._away_since is not None

    def is_due(self, away_since: float, waiting: int) -> bool:
        """Whether a batch that the database did not take goes to disk."""
        return waiting > self._rule.rows or time.monotonic() - away_since >= self._rule.seconds

    def is_late(self, waiting: int) -> bool:
        """Whether far too many rows wait."""
        return waiting > LATE * self._rule.rows

    @property
    def is_stuck(self) -> bool:
        """Whether rows wait in memory because neither disk nor database take them."""
        return self._disk_failed and self._away_since is not None

    def append(self, key: StreamKey, records: Sequence[Any]) -> bool:
        """Put rows on disk; False when it fails, and they are the caller's still."""
        if not self.log:
            text, stream = "rows of %s go to the spool", self.log.stream
            SPOOL_BEGAN.log(logger, text, stream, stream=stream)
        try:
            self.log.append(key, records)
        except OSError as error:
            if not self._disk_failed:
                text = "ALARM: the spool takes no rows of %s: %s"
                of = {"stream": self.log.stream, "reason": error.strerror}
                SPOOL_FAILED.log(logger, text, self.log.stream, error, **of)
            self._disk_failed = True
            return False
        self._disk_failed = False
        return True

    def next_group(self, *, at_once: bool) -> Group | None:
        """The rows to store first; None when there are none, or it is too early to try again."""
        if time.monotonic() < self._retry_at and not at_once:
            return None
        try:
            return self.log.first()
        except OSError as error:
            if self._unread.is_due():
                text = "ALARM: the spool of %s cannot be read: %s"
                of = {"stream": self.log.stream, "reason": error.strerror}
                SPOOL_FAILED.log(logger, text, self.log.stream, error, **of)
            self._wait()
            return None

    def settle(self, group: Group) -> None:
        """The database has taken `group`."""
        if self._away_since is not None:
            seconds = time.monotonic() - self._away_since
            text, stream = "%s: replaying after %.1f s", self.log.stream
            SPOOL_REPLAYING.log(logger, text, stream, seconds, stream=stream, seconds=seconds)
        self._away_since, self._pause = None, RETRY_SECONDS[0]
        self.log.settle(group)
        if not self.log:
            stream = self.log.stream
            SPOOL_EMPTY.log(logger, "%s: the spool is empty again", stream, stream=stream)

    def postpone(self, group: Group, reason: str) -> None:
        """The database is away."""
        if self._away_since is None:
            self._away_since = time.monotonic()
            text, part = "%s: replay waits for the database: %s", f"replay of {self.log.stream}"
            DATABASE_AWAY.log(logger, text, self.log.stream, reason, part=part, reason=reason)
        self.log.postpone(group)
        self._wait()

    def _wait(self) -> None:
        self._retry_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, RETRY_SECONDS[1])
