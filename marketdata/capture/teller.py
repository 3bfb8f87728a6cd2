"""What a capture's parts say together: each stream as it is now, and all that was done so far."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from marketdata.capture.books import Books
from marketdata.capture.parts import Part
from marketdata.capture.private_part import PrivatePart
from marketdata.capture.repairs import Repairs
from marketdata.capture.report import CaptureReport, RepairStatus, StreamStatus
from marketdata.capture.spooling import Spooling
from marketdata.capture.tally import StreamKey
from marketdata.exits import ExitCode


class Teller:
    """Reads the parts of a capture, also while they work; it changes nothing."""

    def __init__(
        self,
        books: Books,
        spooling: Spooling,
        parts: Sequence[Part],
        private: PrivatePart | None,
        repairs: Repairs | None,
    ) -> None:
        self._books, self._spooling, self._parts = books, spooling, parts
        self._private, self._of_repairs = private, repairs

    def status(self) -> list[StreamStatus]:
        """Each stream as it is now."""
        now = datetime.now(UTC)
        writers = [writer for part in self._parts for writer in part.writers]
        lags = {key: lags[-1] for writer in writers for key, lags in list(writer.lags.items())}
        heard = self._heard_at()
        streams = [
            StreamStatus(
                stream=key.stream,
                account=self._name(key.account_id),
                counts=counts,
                lag_seconds=lags.get(key),
                silent_seconds=(now - heard[key]).total_seconds() if key in heard else None,
            )
            for key, counts in self._books.tally.snapshot().items()
        ]
        return sorted(streams, key=lambda status: (status.account, status.stream))

    def report(
        self, *, seconds: float, problems: list[str], exit_code: ExitCode, is_over: bool
    ) -> CaptureReport:
        """What was done in so many seconds; once it `is_over` no row may wait any more."""
        violations = self._books.tally.violations()
        if is_over:
            violations += [
                f"{key.stream}: {columns['buffered']} rows are still buffered at the end"
                for key, columns in self._books.tally.snapshot().items()
                if columns["buffered"]
            ]
        set_aside = self._private.set_aside if self._private else {}
        return CaptureReport(
            seconds=seconds,
            streams=self.status(),
            gaps=self._books.gaps.opened,
            reconnects=sum(
                supervisor.client.state.reconnect_count
                for part in self._parts
                for supervisor in part.supervisors
            ),
            spool={
                "recovered": self._spooling.recovered,
                "left": self._spooling.spool.rows,
                "set_aside": len(self._spooling.spool.set_aside),
            },
            set_aside={self._name(key) or str(key): why for key, why in set_aside.items()},
            repairs=self._repairs(),
            violations=violations,
            problems=problems,
            exit_code=ExitCode.ERROR if violations and not exit_code else exit_code,
        )

    def _repairs(self) -> list[RepairStatus]:
        if self._of_repairs is None:
            return []
        return [
            RepairStatus(key.stream, self._name(key.account_id), counts)
            for key, counts in self._of_repairs.report.snapshot().items()
        ]

    def _name(self, account: UUID | None) -> str:
        return self._private.names.get(account, "") if self._private and account else ""

    def _heard_at(self) -> dict[StreamKey, datetime]:
        heard: dict[StreamKey, datetime] = {}
        for part in self._parts:
            for collector in list(part.collectors):
                for key, at in list(collector.heard_at.items()):
                    heard[key] = max(at, heard.get(key, at))
        return heard
