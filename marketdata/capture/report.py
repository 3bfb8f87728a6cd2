"""What a capture says of itself, while it runs and at its end."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from marketdata.capture.repair_report import RepairCounts
from marketdata.exits import ExitCode


@dataclass(frozen=True, kw_only=True)
class StreamStatus:
    """One stream at one moment; rows, seconds. The account is empty where it is public."""

    stream: str
    account: str = ""
    counts: dict[str, int]
    lag_seconds: float | None
    silent_seconds: float | None

    @property
    def name(self) -> str:
        """The stream, with its account where it has one."""
        return f"{self.stream} of {self.account}" if self.account else self.stream


class RepairStatus(NamedTuple):
    """What repairs did for one stream; the account is empty where it is public."""

    stream: str
    account: str
    counts: RepairCounts

    @property
    def name(self) -> str:
        """The stream, with its account where it has one."""
        return f"{self.stream} of {self.account}" if self.account else self.stream


@dataclass(frozen=True, kw_only=True)
class CaptureReport:
    """What a capture did, from its start to its end.

    `set_aside` are the accounts that could not be served at the end, by name, with the reason.
    `spool` counts rows on disk: those `recovered` from an earlier capture, and those `left` for
    the next one; and the pieces `set_aside`, which are not in the database.
    `repairs` is what was asked for by REST, beside the streams and their counts.
    """

    seconds: float
    streams: list[StreamStatus]
    gaps: int
    reconnects: int
    set_aside: dict[str, str] = field(default_factory=dict)
    spool: dict[str, int] = field(default_factory=dict)
    repairs: list[RepairStatus] = field(default_factory=list)
    violations: list[str]
    problems: list[str]
    exit_code: ExitCode

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON."""
        return {
            "seconds": round(self.seconds, 3),
            "streams": {status.name: status.counts for status in self.streams},
            "gaps": self.gaps,
            "reconnects": self.reconnects,
            "set_aside": self.set_aside,
            "spool": self.spool,
            "repairs": {status.name: asdict(status.counts) for status in self.repairs},
            "law_holds": not self.violations,
            "problems": [*self.violations, *self.problems],
            "exit_code": int(self.exit_code),
        }
