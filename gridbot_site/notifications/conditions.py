"""What may be wrong: the kinds of conditions, in one table. docs/notifications.md explains each."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Final


class Severity(IntEnum):
    """How soon somebody should look."""

    WARNING = 1
    CRITICAL = 2


class Kind(StrEnum):
    """The kinds."""

    DATABASE_AWAY = "database_away"
    CAPTURE_DOWN = "capture_down"
    STREAM_STALE = "stream_stale"
    GAP_OPEN = "gap_open"
    QUARANTINE_GROWING = "quarantine_growing"
    DISK_LOW = "disk_low"
    CLOCK_SKEW = "clock_skew"
    ACCOUNT_SET_ASIDE = "account_set_aside"
    KEY_EXPIRING = "key_expiring"


# The section of docs/playbooks.md that says what to do.
PLAYBOOKS: Final = {
    Kind.DATABASE_AWAY: "database-away",
    Kind.CAPTURE_DOWN: "capture-down",
    Kind.STREAM_STALE: "stream-stale",
    Kind.GAP_OPEN: "gap-does-not-close",
    Kind.QUARANTINE_GROWING: "quarantine-grows",
    Kind.DISK_LOW: "disk-full",
    Kind.CLOCK_SKEW: "clock-skew",
    Kind.ACCOUNT_SET_ASIDE: "key-refused",
    Kind.KEY_EXPIRING: "key-expires",
}
# What nobody can say while the database does not answer.
OF_DATABASE = frozenset(
    {
        Kind.CAPTURE_DOWN,
        Kind.STREAM_STALE,
        Kind.GAP_OPEN,
        Kind.QUARANTINE_GROWING,
        Kind.ACCOUNT_SET_ASIDE,
        Kind.KEY_EXPIRING,
    }
)
# What follows from a capture that is down, and is not worth a message of its own meanwhile.
OF_CAPTURE = frozenset({Kind.STREAM_STALE, Kind.GAP_OPEN})


@dataclass(frozen=True, order=True)
class Key:
    """What a condition is of; `subject` is a stream, an account, a disk, or empty."""

    kind: Kind
    subject: str = ""

    def __str__(self) -> str:
        return self.kind.replace("_", " ") + (f" ({self.subject})" if self.subject else "")

    @property
    def playbook(self) -> str:
        """Where it is written what to do."""
        return f"docs/playbooks.md#{PLAYBOOKS[self.kind]}"


@dataclass(frozen=True)
class Condition:
    """How bad it is, and what is wrong in one sentence."""

    severity: Severity
    text: str
