"""What repairs did, per stream of an account or of all symbols."""

from __future__ import annotations

import logging
import threading
from dataclasses import asdict, dataclass

from marketdata.capture.tally import StreamKey
from marketdata.coverage.findings import Finding
from marketdata.log_events import REPAIR_DONE
from marketdata.models import CaptureGap

logger = logging.getLogger(__name__)


@dataclass
class RepairCounts:
    """Rows stored or changed by repairs, and what became of the gaps that were asked for.

    `partial` are the gaps of which a part, or all, cannot be had by REST; `not_streamed` are rows
    that an audit found and no gap had announced.
    """

    stored: int = 0
    updated: int = 0
    refused: int = 0
    not_streamed: int = 0
    filled: int = 0
    partial: int = 0
    open: int = 0


class RepairReport:
    """Adds findings up, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[StreamKey, RepairCounts] = {}
        self._open: dict[int, StreamKey] = {}

    def add(self, key: StreamKey, finding: Finding) -> None:
        """Count what came of one question, and log it unless there was nothing to it."""
        if finding.new or finding.missing:
            rest = f"still incomplete: {finding.note}" if finding.missing else "complete"
            REPAIR_DONE.log(
                logger,
                "repair of %s of %s: %d rows were new, %s",
                *(finding.stream, finding.subject, finding.new, rest),
                stream=finding.stream,
                subject=finding.subject,
                new=finding.new,
                reason=finding.note if finding.missing else None,
            )
        with self._lock:
            counts = self._counts.setdefault(key, RepairCounts())
            counts.stored += finding.stored
            counts.updated += finding.updated
            counts.refused += finding.refused
            counts.not_streamed += finding.not_streamed
            for pk, state in finding.gaps.items():
                if state == CaptureGap.State.OPEN:
                    self._open[pk] = key
                    continue
                self._open.pop(pk, None)
                if state == CaptureGap.State.FILLED:
                    counts.filled += 1
                else:
                    counts.partial += 1

    def snapshot(self) -> dict[StreamKey, RepairCounts]:
        """The counts of one moment."""
        with self._lock:
            left = list(self._open.values())
            return {
                key: RepairCounts(**asdict(counts) | {"open": left.count(key)})
                for key, counts in sorted(self._counts.items(), key=str)
            }
