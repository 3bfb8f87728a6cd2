"""How gridbot's commands end: exit codes, and the errors that carry them."""

from __future__ import annotations

from enum import IntEnum

from django.core.management.base import CommandError
from django.db.utils import Error as AnyDatabaseError
from django.db.utils import InterfaceError, OperationalError

# PostgreSQL's read_only_sql_transaction, which Django takes for an error of its own making
# (https://www.postgresql.org/docs/current/errcodes-appendix.html).
ONLY_READS = "25006"
# Its query_canceled: by statement_timeout, or by an administrator.
CANCELED = "57014"
# Its undefined_table and undefined_column.
UNDEFINED = frozenset({"42P01", "42703"})
SQLITE_UNDEFINED = ("no such table: ", "no such column: ", "has no column named ")


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


def is_away(error: AnyDatabaseError) -> bool:
    """Whether a database is not to be had for writing: the same may pass later.

    It does not answer, is busy, or only reads, as after a failover.
    """
    if isinstance(error, OperationalError | InterfaceError):
        return True
    return getattr(error.__cause__, "sqlstate", None) == ONLY_READS


def is_cut_off(error: BaseException) -> bool:
    """Whether a database was told to work on a statement no longer."""
    return getattr(error.__cause__, "sqlstate", None) == CANCELED


def is_bare(error: AnyDatabaseError) -> bool:
    """Whether a database lacks a table or a column: it was not migrated."""
    if getattr(error.__cause__, "sqlstate", None) in UNDEFINED:
        return True
    # SQLite has one code for every error of a statement.
    return any(words in str(error) for words in SQLITE_UNDEFINED)


def first_line(error: BaseException) -> str:
    """What an error says, in one line: PostgreSQL's further ones repeat the whole row."""
    return (str(error).splitlines() or [type(error).__name__])[0]
