"""Gaps and quarantined messages that the database has not taken yet, in a file.

While the database is away rows are safe on disk; what is known to be missing must be as safe,
or the next capture would vouch for a span that has a hole.
"""

from __future__ import annotations

import json
import logging
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

from marketdata.capture.disk import Disk
from marketdata.capture.feeds import Feed
from marketdata.capture.open_gaps import OpenGap
from marketdata.capture.quarantine import Kept
from marketdata.exits import first_line
from marketdata.log_events import SPOOL_DAMAGED

logger = logging.getLogger(__name__)

NAME = "books.json"
VERSION = 1


class BooksFile:
    """The file in `folder`; what is raised is OSError."""

    def __init__(self, folder: Path, disk: Disk | None = None) -> None:
        self._path = folder / NAME
        self._disk = disk or Disk()
        self._content: bytes | None = None

    def save(self, gaps: list[OpenGap], messages: list[Kept]) -> None:
        """Keep `gaps` and `messages` in place of what is there; safe on return."""
        if not gaps and not messages:
            self.clear()
            return
        content = json.dumps(
            {
                "version": VERSION,
                "gaps": [asdict(gap) | {"feed": gap.feed} for gap in gaps],
                "quarantine": [vars(message) for message in messages],
            },
            default=_text,
        ).encode()
        if content != self._content:
            self._disk.replace(self._path, content)
            self._content = content

    def clear(self) -> None:
        """The database has it all."""
        if self._content is not None or self._path.exists():
            self._disk.remove(self._path)
            self._disk.sync_folder(self._path.parent)
        self._content = None

    def read(self) -> tuple[list[OpenGap], list[Kept]]:
        """What an earlier capture has left; what cannot be read is set aside and logged."""
        if not self._path.exists():
            return [], []
        try:
            content = json.loads(self._path.read_bytes())
            if content["version"] != VERSION:
                raise ValueError(f"version {content['version']}")
            gaps = [_gap(gap) for gap in content["gaps"]]
            return gaps, [_message(message) for message in content["quarantine"]]
        except (ValueError, KeyError, TypeError) as error:
            aside = self._path.with_suffix(".bad")
            self._disk.rename(self._path, aside)
            text, why = "ALARM: %s cannot be read: %s", first_line(error)
            SPOOL_DAMAGED.log(logger, text, aside, why, path=aside, reason=why)
            return [], []


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return value.hex
    raise TypeError(f"a {type(value).__name__} in the books")


def _gap(values: dict[str, Any]) -> OpenGap:
    stream, symbol, account = values["feed"]
    ended_at = values["ended_at"]
    return OpenGap(
        feed=Feed(stream, symbol, UUID(hex=account) if account else None),
        started_at=datetime.fromisoformat(values["started_at"]),
        ended_at=datetime.fromisoformat(ended_at) if ended_at else None,
        reason=values["reason"],
        outages=values["outages"],
        pk=values["pk"],
    )


def _message(values: dict[str, Any]) -> Kept:
    account = values["account_id"]
    times = {name: datetime.fromisoformat(values[name]) for name in ("first_seen", "last_seen")}
    return Kept(**values | times | {"account_id": UUID(hex=account) if account else None})
