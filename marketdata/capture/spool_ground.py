"""The ground that a spool's streams stand on: its folder and disk, and what becomes of what is lost."""

from __future__ import annotations

import errno
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path

from marketdata.capture.disk import Disk
from marketdata.capture.spool_codec import PUBLIC
from marketdata.capture.spool_segment import Loss, Owner, Segment
from marketdata.log_events import ROWS_DROPPED, SPOOL_SET_ASIDE
from marketdata.log_rate import Seldom

logger = logging.getLogger(__name__)


class Ground(ABC):
    """A folder of segments, which the streams of a spool share; whoever has `lock` may change it.

    `segment_bytes` is how large a segment may grow. `set_aside` are the files of what cannot be
    replayed, `torn` counts the ends of files that were never acknowledged.
    """

    def __init__(
        self, folder: Path, *, segment_bytes: int, disk: Disk, on_loss: Callable[[Loss], None]
    ) -> None:
        self.folder = folder
        self.segment_bytes = segment_bytes
        self.disk = disk
        self.lock = threading.RLock()
        self.owner: Owner | None = None
        self.set_aside: list[Path] = []
        self.torn = 0
        self._on_loss = on_loss
        self._lost = Seldom()

    @abstractmethod
    def make_room(self, stream: str, size: int) -> bool:
        """Have place for `size` bytes of `stream`; False when its rows are the ones to go."""

    @abstractmethod
    def drop_oldest(self, stream: str) -> bool:
        """Drop the oldest segment of what goes before `stream`, or of itself; False if none."""

    def owner_of(self, stream: str) -> Owner:
        """Whose the rows of `stream` are."""
        if self.owner is None:
            raise OSError(errno.EBADF, "the spool is not open")
        # Rows of accounts belong to the database alone: each account has its own environment.
        return self.owner if stream in PUBLIC else self.owner._replace(environment="")

    def lose(self, loss: Loss) -> None:
        """Tell of rows that will not reach the database."""
        streams = ",".join(sorted({key.stream for key in loss.rows}))
        if self._lost.is_due((streams, loss.reason)):
            text, rows = "%s lose %d rows: %s", loss.rows.total()
            of = {"stream": streams, "rows": rows, "reason": loss.reason}
            ROWS_DROPPED.log(logger, text, streams or "unreadable rows", rows, loss.reason, **of)
        self._on_loss(loss)

    def put_aside(self, segment: Segment, start: int, end: int, loss: Loss) -> None:
        """Keep a piece of `segment` apart, and declare it. Raises OSError."""
        path = segment.path.with_name(f"{segment.path.stem}.{start}.bad")
        self.disk.replace(path, segment.bytes_from(start, end))
        self.set_aside.append(path)
        text = "ALARM: %s holds rows that are not in the database: %s"
        SPOOL_SET_ASIDE.log(logger, text, path, loss.reason, path=path, reason=loss.reason)
        self.lose(loss)

    def erase(self, segment: Segment) -> None:
        """Remove the files of a segment whose rows are all settled, or declared."""
        try:
            # The mark last: without it the segment would be replayed from its beginning.
            self.disk.remove(segment.path)
            self.disk.remove(segment.mark_path)
            self.disk.sync_folder(segment.path.parent)
        except OSError as error:
            # It will be replayed once more: every row of it is a duplicate then.
            logger.warning("%s could not be removed: %s", segment.path, error)
