"""What may be wrong: the kinds of conditions, in one table. docs/notifications.md explains each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum


class Severity(IntEnum):
    """How soon somebody should look."""

    WARNING = 1
    CRITICAL = 2


class Kind(Enum):
    """The kinds; each has a title for people."""

    DATABASE_AWAY = "database_away", "database away"
    CAPTURE_DOWN = "capture_down", "capture down"
    STREAM_STALE = "stream_stale", "stream stale"
    GAP_OPEN = "gap_open", "gap open"
    QUARANTINE_GROWING = "quarantine_growing", "quarantine growing"
    DISK_LOW = "disk_low", "disk low"
    CLOCK_SKEW = "clock_skew", "clock skew"
    KEY_EXPIRING = "key_expiring", "key about to expire"

    title: str

    def __new__(cls, name: str, title: str) -> Kind:
        """The name is the value."""
        kind = object.__new__(cls)
        kind._value_, kind.title = name, title
        return kind


# What nobody can say while the database does not answer.
OF_DATABASE = frozenset(
    {
        Kind.CAPTURE_DOWN,
        Kind.STREAM_STALE,
        Kind.GAP_OPEN,
        Kind.QUARANTINE_GROWING,
        Kind.KEY_EXPIRING,
    }
)
# What follows from a capture that is down, and is not worth a message of its own meanwhile.
OF_CAPTURE = frozenset({Kind.STREAM_STALE, Kind.GAP_OPEN})


@dataclass(frozen=True, order=True)
class Key:
    """What a condition is of; `subject` is a stream, an account, a disk, or empty."""

    kind_name: str
    subject: str = ""

    @property
    def kind(self) -> Kind:
        """The kind."""
        return Kind(self.kind_name)

    @classmethod
    def of(cls, kind: Kind, subject: str = "") -> Key:
        """The key of a kind."""
        return cls(kind.value, subject)

    def __str__(self) -> str:
        return self.kind.title + (f" ({self.subject})" if self.subject else "")


@dataclass(frozen=True)
class Condition:
    """How bad it is, and what is wrong in one sentence."""

    severity: Severity
    text: str
