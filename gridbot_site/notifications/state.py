"""What is known of each condition, kept in a file: alerts outlive the process that gave them.

A file and no table, because an absent database is one of the conditions.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from gridbot_site.notifications.conditions import Key, Kind, Severity
from gridbot_site.notifications.rules import Entries, Entry
from marketdata.capture.disk import FILE_MODE, Disk
from marketdata.exits import Unavailable

logger = logging.getLogger(__name__)

TIMES = ("seen_since", "began", "alerted_at", "tried_at")
LEVELS = ("seen", "believed", "told", "alerted", "tried")


def in_folder(spool: Path) -> Path:
    """The file, in the folder of the spool: there capture and watch may write, and nobody else."""
    return spool / "alerts.json"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """The file is this process's own for the time of the block. Raises Unavailable.

    Where no file can be made there is no lock: a disk that takes none is to be told of.
    """
    try:
        Disk().make_folder(path.parent)
        lock: int | None = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
    except OSError as error:
        logger.error("%s cannot be locked: %s", path, error.strerror)
        lock = None
    if lock is None:
        yield
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise Unavailable("Another `manage.py watch` is at work here: one is enough.") from None
    finally:
        os.close(lock)


def load(path: Path) -> dict[Key, Entry]:
    """The entries; none where there is no file, or one that cannot be read."""
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {_key(**row.pop("key")): _entry(row) for row in rows}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
        # What is wrong now is told once more; that is all that is lost.
        logger.warning("%s cannot be read: %s", path, type(error).__name__)
        return {}


def save(path: Path, entries: Entries) -> None:
    """Replace the file. Raises OSError."""
    rows = [{"key": vars(key), **_row(entry)} for key, entry in sorted(entries.items())]
    Disk().replace(path, json.dumps(rows, indent=1).encode())


def _row(entry: Entry) -> dict[str, Any]:
    row = dict(vars(entry))
    return row | {name: row[name] and row[name].isoformat() for name in TIMES}


def _key(kind: str, subject: str) -> Key:
    return Key(Kind(kind), subject)


def _entry(row: dict[str, Any]) -> Entry:
    times = {name: _aware(row[name]) if row.get(name) else None for name in TIMES}
    levels = {name: Severity(row[name]) if row.get(name) else None for name in LEVELS}
    return Entry(**row | times | levels)


def _aware(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return time
