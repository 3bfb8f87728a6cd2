"""One stream's rows in the spool, first in first out."""

from __future__ import annotations

import errno
import logging
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from marketdata.capture.spool_codec import GroupHead, Span, Unreadable, decode, encode, head_of
from marketdata.capture.spool_ground import Ground
from marketdata.capture.spool_segment import (
    DAMAGED,
    DROPPED,
    POISONED,
    SUFFIX,
    Damaged,
    Loss,
    Segment,
    Torn,
    first_frame,
    framed,
    mark,
)
from marketdata.capture.tally import StreamKey
from marketdata.log_events import SPOOL_DAMAGED, SPOOL_FAILED
from marketdata.log_rate import Seldom

logger = logging.getLogger(__name__)

MAX_ATTEMPTS = 3


@dataclass(frozen=True)
class Group:
    """Rows to be replayed, and where they lie."""

    key: StreamKey
    records: list[Any]
    segment: Segment
    end: int


class SpoolLog:
    """The rows of one stream, first in first out."""

    def __init__(self, ground: Ground, stream: str) -> None:
        self.stream = stream
        self.segments: list[Segment] = []
        self._ground = ground
        self._file: int | None = None
        self._unmarked = Seldom()

    @property
    def rows(self) -> Counter[StreamKey]:
        """How many rows wait, of each account."""
        return sum((segment.rows for segment in self.segments), Counter())

    def __bool__(self) -> bool:
        return bool(self.segments)

    def append(self, key: StreamKey, records: Sequence[Any]) -> None:
        """Put `records` behind what waits; on return they are safe, or declared as dropped.

        Raises OSError when the disk fails; the rows are then the caller's still.
        """
        head = head_of(key, records)
        frame = framed(encode(head, records))
        ground = self._ground
        with ground.lock:
            ground.owner_of(self.stream)
            if not ground.make_room(self.stream, len(frame)):
                ground.lose(Loss.of([head], DROPPED))
                return
            while True:
                try:
                    self._write(frame, head)
                except OSError as error:
                    # What was not acknowledged is not trusted: the next try is another file.
                    self.seal()
                    if self.segments and not self.segments[-1].rows:
                        self.forget(self.segments[-1])
                    if error.errno == errno.ENOSPC and ground.drop_oldest(self.stream):
                        continue
                    raise
                return

    def first(self) -> Group | None:
        """The rows that have waited longest; None when none wait. Settle or postpone them."""
        ground = self._ground
        with ground.lock:
            while self.segments:
                segment = self.segments[0]
                try:
                    end, content, head = next(segment.groups())
                    _, records = decode(content)
                except (Torn, Damaged, Unreadable, StopIteration) as error:
                    self._lose_rest(segment, str(error))
                    continue
                if segment.attempts >= MAX_ATTEMPTS:
                    self._lose_group(segment, end, head)
                    continue
                self._mark(segment, segment.attempts + 1)
                segment.in_use = True
                return Group(head.key, records, segment, end)
            return None

    def settle(self, group: Group) -> None:
        """The rows of `group` are in the database: they leave the disk."""
        with self._ground.lock:
            group.segment.in_use = False
            self._advance(group.segment, group.end, group.key, len(group.records))

    def postpone(self, group: Group) -> None:
        """The database went away: `group` stays the first, and was not to blame."""
        with self._ground.lock:
            group.segment.in_use = False
            self._mark(group.segment, group.segment.attempts)

    def seal(self) -> None:
        """Write no more to the last segment."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                self._ground.disk.close(file)
            except OSError as error:
                logger.warning("closing a segment of %s: %s", self.stream, error)

    def forget(self, segment: Segment) -> None:
        """Remove a segment."""
        if segment is self.segments[-1]:
            self.seal()
        self.segments.remove(segment)
        self._ground.erase(segment)

    def whole_loss(self, segment: Segment, reason: str) -> Loss:
        """The loss of a segment that cannot be read: it may hold rows of any symbol, or account."""
        until = max(segment.since, segment.last_written())
        span = {(StreamKey(self.stream), ""): Span(segment.since, until)}
        return Loss(Counter(segment.rows), span, reason)

    def _write(self, frame: bytes, head: GroupHead) -> None:
        disk = self._ground.disk
        if self._file is not None and self.segments[-1].size >= self._ground.segment_bytes:
            self.seal()
        if self._file is None:
            self._begin(head)
        if self._file is None:
            raise OSError(errno.EBADF, "no segment")
        disk.write(self._file, frame)
        disk.sync(self._file)
        segment = self.segments[-1]
        segment.size += len(frame)
        segment.rows[head.key] += head.rows

    def _begin(self, head: GroupHead) -> None:
        ground, disk = self._ground, self._ground.disk
        since = min(span.first for span in head.spans.values())
        path = ground.folder / f"{time.time_ns():020d}-{self.stream}{SUFFIX}"
        first = first_frame(ground.owner_of(self.stream), since)
        file = disk.create(path)
        try:
            disk.write(file, first)
            disk.sync(file)
            disk.sync_folder(path.parent)
        except OSError:
            disk.close(file)
            disk.remove(path)
            raise
        self.segments.append(Segment(path, since, len(first), len(first)))
        self._file = file

    def _advance(self, segment: Segment, end: int, key: StreamKey, rows: int) -> None:
        segment.cursor, segment.attempts = end, 0
        segment.rows -= Counter({key: rows})
        if end >= segment.size:
            self.forget(segment)
        else:
            # Lost with the power it costs a replay of duplicates, and no sync meanwhile.
            self._mark(segment, 0, safe=False)

    def _mark(self, segment: Segment, attempts: int, *, safe: bool = True) -> None:
        content = mark(segment.cursor, attempts)
        try:
            self._ground.disk.replace(segment.mark_path, content, safe=safe)
        except OSError as error:
            # A full disk is what replaying will cure.
            if self._unmarked.is_due():
                text = "an attempt at rows of %s could not be noted: %s"
                of = {"stream": self.stream, "reason": error.strerror}
                SPOOL_FAILED.log(logger, text, self.stream, error, **of)

    def _lose_group(self, segment: Segment, end: int, head: GroupHead) -> None:
        self._ground.put_aside(segment, segment.cursor, end, Loss.of([head], POISONED))
        self._advance(segment, end, head.key, head.rows)

    def _lose_rest(self, segment: Segment, why: str) -> None:
        text, path = "%s from byte %d on: %s", segment.path
        SPOOL_DAMAGED.log(logger, text, path, segment.cursor, why, path=path, reason=why)
        loss = self.whole_loss(segment, DAMAGED)
        self._ground.put_aside(segment, segment.cursor, segment.size, loss)
        self.forget(segment)
