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
