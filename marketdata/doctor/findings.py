"""Findings: what a check has found, how grave it is, and what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from marketdata.exits import ExitCode


class Level(StrEnum):
    """How grave a finding is: a warning is to be looked into, an error keeps gridbot from its work."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


# The section of docs/playbooks.md that says what to do; the advice of other checks is enough.
PLAYBOOKS: Final = {
    "settings": "capture-does-not-start",
    "environment": "capture-does-not-start",
    "migrations": "migrations-pending",
    "disk": "disk-full",
    "spool": "spool-damaged",
    "database": "database-away",
    "capture": "capture-down",
    "clock": "clock-skew",
    "endpoints": "exchange-away",
    "keys": "key-refused",
}
# Of several errors the first of these counts.
GRAVEST: Final = (
    ExitCode.SAFETY_STOP,
    ExitCode.ERROR,
    ExitCode.CONFIGURATION,
    ExitCode.DATA_INCOMPLETE,
    ExitCode.UNAVAILABLE,
)


@dataclass(frozen=True)
class Finding:
    """One sentence of what was found by `check`, and one of what to do; never a secret."""

    check: str
    found: str
    advice: str = ""
    level: Level = Level.OK
    exit_code: ExitCode = ExitCode.OK

    @property
    def playbook(self) -> str:
        """Where it is written what to do about an error; empty where there is nothing to do."""
        section = PLAYBOOKS.get(self.check) if self.level == Level.ERROR else None
        return f"docs/playbooks.md#{section}" if section else ""


def warning(check: str, found: str, advice: str) -> Finding:
    """What is to be looked into."""
    return Finding(check, found, advice, Level.WARNING)


def error(
    check: str, found: str, advice: str, exit_code: ExitCode = ExitCode.CONFIGURATION
) -> Finding:
    """What keeps gridbot from its work."""
    return Finding(check, found, advice, Level.ERROR, exit_code)


def gravest(findings: Iterable[Finding]) -> ExitCode:
    """The exit code of the worst finding."""
    codes = {finding.exit_code for finding in findings}
    return next((code for code in GRAVEST if code in codes), ExitCode.OK)
