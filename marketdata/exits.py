"""How gridbot's commands end: exit codes, and the errors that carry them."""

from __future__ import annotations

from enum import IntEnum

from django.core.management.base import CommandError


class ExitCode(IntEnum):
    """Exit codes of all commands."""

    OK = 0
    ERROR = 1
    USAGE = 2
    CONFIGURATION = 4
    TIMEOUT = 5
    DATA_INCOMPLETE = 6
    TOLERANCE_EXCEEDED = 7
    SAFETY_STOP = 8
    UNAVAILABLE = 75
    INTERRUPTED = 130


class ConfigurationError(CommandError):
    """What the user asked for cannot be done with these settings."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=ExitCode.CONFIGURATION)


class Unavailable(CommandError):
    """The exchange or the database cannot be reached."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=ExitCode.UNAVAILABLE)
