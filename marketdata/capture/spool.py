"""The spool: rows that wait on disk while the database is away.

Each stream has segments of its own, written at the end and replayed from the beginning. `append`
returns when its rows are on the medium. A group leaves the disk when it has been settled, which
whoever replays it says after the database's commit; a mark beside the segment says how far that
is, and how often the group there was tried. A group that ended the process three times is set
aside in a `.bad` file, as is what cannot be read any more.

Past `max_bytes` the oldest segment of tickers makes room, then the oldest of public trades; rows
of accounts are never dropped, and may pass the bound. Whatever will not reach the database is
told to `on_loss` before it leaves the disk.
"""

from __future__ import annotations

import errno
import hashlib
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from marketdata.capture.disk import Disk
from marketdata.capture.spool_ground import Ground
from marketdata.capture.spool_log import SpoolLog
from marketdata.capture.spool_recovery import recover
from marketdata.capture.spool_segment import DROPPED, Damaged, Loss, Owner, Segment, Torn
from marketdata.capture.tally import StreamKey

SEGMENT_BYTES = 16 * 2**20
MAX_BYTES = 2**30
# What makes room, first things first.
DROPPABLE = ("tickers", "trades")


class Spool(Ground):
    """The rows of one database on disk. Safe to use from several threads.

    `open` first; until then, and where the disk fails, `append` raises OSError.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_bytes: int = MAX_BYTES,
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk | None = None,
        on_loss: Callable[[Loss], None] = lambda loss: None,
    ) -> None:
        super().__init__(
            folder,
            segment_bytes=min(segment_bytes, max_bytes // 8),
            disk=disk or Disk(),
            on_loss=on_loss,
        )
        self.max_bytes = max_bytes
        self._logs: dict[str, SpoolLog] = {}
        self._locks: list[int] = []

    def open(self, database: str, environment: str) -> Counter[StreamKey]:
        """Take over what an earlier capture of `database` left; how many rows of each stream.

        `environment` is that of the public streams. Raises OSError.
        """
        name = hashlib.sha256(database.encode()).hexdigest()[:16]
        with self.lock:
            folders = self._claim(self.folder / name)
            self.folder = folders[0]
            self.owner = Owner(database, environment)
            for stream, segments in recover(self, folders).items():
                self.log(stream).segments = segments
            return sum((log.rows for log in self._logs.values()), Counter())

    def close(self) -> None:
        """Give the folders back; what waits stays on disk for the next capture."""
        with self.lock:
            self.owner = None
            for log in self._logs.values():
                log.seal()
            for file in self._locks:
                self.disk.close(file)
            self._locks = []

    def log(self, stream: str) -> SpoolLog:
        """The rows of one stream."""
        with self.lock:
            return self._logs.setdefault(stream, SpoolLog(self, stream))

    @property
    def size(self) -> int:
        """Bytes on disk, marks and what was set aside not counted."""
        return sum(segment.size for log in self._logs.values() for segment in log.segments)

    @property
    def rows(self) -> int:
        """How many rows wait."""
        with self.lock:
            return sum(log.rows.total() for log in self._logs.values())

    def make_room(self, stream: str, size: int) -> bool:
        """Have place for `size` bytes of `stream`; False when its rows are the ones to go."""
        while self.size + size > self.max_bytes:
            if not self.drop_oldest(stream):
                return stream not in DROPPABLE
        return True

    def drop_oldest(self, stream: str) -> bool:
        """Drop the oldest segment of what goes before `stream`, or of itself; False if none."""
        last = DROPPABLE.index(stream) + 1 if stream in DROPPABLE else len(DROPPABLE)
        for each in DROPPABLE[:last]:
            log = self._logs.get(each)
            for segment in log.segments if log else ():
                if not segment.in_use:
                    self._drop(self.log(each), segment)
                    return True
        return False

    def _claim(self, folder: Path) -> list[Path]:
        """The folders of this database that no living capture holds; there is at least one.

        A capture that is alive, or was stopped in its tracks, keeps its own.
        """
        self.disk.make_folder(folder.parent)
        present = sorted(folder.parent.glob(f"{folder.name}*"))
        fresh = (
            folder if folder not in present else folder.with_name(f"{folder.name}-{time.time_ns()}")
        )
        claimed = [path for path in present if self._take(path)]
        if not claimed:
            self.disk.make_folder(fresh)
            claimed = [fresh] if self._take(fresh) else []
        if not claimed:
            raise OSError(errno.EBUSY, "another capture holds the folder", str(fresh))
        return claimed

    def _take(self, folder: Path) -> bool:
        file = self.disk.lock(folder / "lock")
        if file is not None:
            self._locks.append(file)
        return file is not None

    def _drop(self, log: SpoolLog, segment: Segment) -> None:
        try:
            loss = Loss.of((head for _, _, head in segment.groups()), DROPPED)
        except (Torn, Damaged):
            loss = log.whole_loss(segment, DROPPED)
        self.lose(loss)
        log.forget(segment)
