"""A line each minute: what became of the rows of the minute, and how things are now."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from marketdata.capture.report import CaptureReport
from marketdata.log_events import CAPTURE_STOPPED, SUMMARY

logger = logging.getLogger(__name__)

EVERY_SECONDS: Final = 60.0
ROWS: Final = (
    "received", "stored", "updated", "duplicate", "conflated", "quarantined", "dropped",
)  # fmt: skip
WAITING: Final = ("buffered", "spooled")


class Summary:
    """Sums up what `report` tells, against what it told the last time."""

    def __init__(
        self, report: Callable[[], CaptureReport], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._report, self._clock = report, clock
        self._since = clock()
        self._before: Counter[str] = Counter()

    def tick(self) -> None:
        """Log it when a minute has passed."""
        now = self._clock()
        if now - self._since < EVERY_SECONDS:
            return
        report = self._report()
        totals = _totals(report)
        rows = {name: totals[name] - self._before[name] for name in ROWS}
        lags = [each.lag_seconds for each in report.streams if each.lag_seconds is not None]
        SUMMARY.log(
            logger,
            "%d rows received and %d stored within %.0f s",
            *(rows["received"], rows["stored"], now - self._since),
            seconds=now - self._since,
            **rows,
            **{name: totals[name] for name in WAITING},
            lag_seconds=max(lags, default=None),
            gaps=report.gaps - self._before["gaps"],
            reconnects=report.reconnects - self._before["reconnects"],
            set_aside=len(report.set_aside),
        )
        self._since = now
        self._before = totals
        self._before.update(gaps=report.gaps, reconnects=report.reconnects)

    def end(self) -> None:
        """Log that it is over."""
        report = self._report()
        received, code = _totals(report)["received"], int(report.exit_code)
        text, of = "capture has ended, exit code %d", {"received": received, "exit_code": code}
        left = report.spool.get("left", 0)
        CAPTURE_STOPPED.log(logger, text, code, seconds=report.seconds, left_in_spool=left, **of)


def _totals(report: CaptureReport) -> Counter[str]:
    totals: Counter[str] = Counter()
    for each in report.streams:
        totals.update(each.counts)
    return totals
