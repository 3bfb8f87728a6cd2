"""What an earlier capture left on disk: checked, torn ends cut, the rest put in order."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from marketdata.capture.spool_codec import RECORDS, Span, time_of
from marketdata.capture.spool_segment import (
    DAMAGED,
    SUFFIX,
    Damaged,
    Loss,
    Segment,
    Torn,
    read_first_frame,
    read_frame,
    read_mark,
)
from marketdata.capture.tally import StreamKey
from marketdata.log_events import SPOOL_DAMAGED

if TYPE_CHECKING:
    from marketdata.capture.spool import Spool

logger = logging.getLogger(__name__)


def recover(spool: Spool, folders: Sequence[Path]) -> dict[str, list[Segment]]:
    """The segments of each stream that lie in `folders`, oldest first. Raises OSError."""
    found: dict[str, list[Segment]] = {}
    files = [path for folder in folders for path in folder.glob(f"*{SUFFIX}")]
    for path in sorted(files, key=lambda path: path.name):
        stream = path.stem.partition("-")[2]
        if stream not in RECORDS:
            _tell(path, "no stream of this release")
            continue
        segment = _examine(spool, path, stream)
        if segment is not None:
            found.setdefault(stream, []).append(segment)
    return found


def _examine(spool: Spool, path: Path, stream: str) -> Segment | None:
    """The segment in `path`, if rows of it are to be replayed."""
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            first = read_frame(file, size)
            if first is None:
                raise Torn
            owner, since = read_first_frame(first)
            begin = file.tell()
    except Torn:
        _cut(spool, path, 0, size)
        return None
    except Damaged as error:
        _tell(path, f"from its beginning: {error}")
        segment = Segment(path, _named_time(path), 0, size)
        _put_rest_aside(spool, segment, stream, 0, segment.since)
        return None
    if owner != spool.owner_of(stream):
        _tell(path, f"it belongs to {' '.join(owner)}")
        return None
    segment = Segment(path, since, begin, size)
    cursor, attempts = read_mark(segment.mark_path)
    if begin <= cursor <= size:
        segment.cursor, segment.attempts = cursor, attempts
    _count(spool, segment, stream)
    if not segment.rows:
        spool.erase(segment)
        return None
    return segment


def _count(spool: Spool, segment: Segment, stream: str) -> None:
    """Read every group; what follows the last good one is cut or put aside."""
    good, last = segment.cursor, segment.since
    try:
        for end, _, head in segment.groups():
            good, last = end, min(span.first for span in head.spans.values())
            segment.rows[head.key] += head.rows
    except Torn:
        _cut(spool, segment.path, good, segment.size)
    except Damaged as error:
        _tell(segment.path, f"from byte {good} on: {error}")
        _put_rest_aside(spool, segment, stream, good, last)
    segment.size = good


def _cut(spool: Spool, path: Path, good: int, size: int) -> None:
    """Cut off what was never acknowledged."""
    spool.torn += 1
    _tell(path, f"the last {size - good} bytes were not written to their end")
    spool.disk.truncate(path, good)
    if not good:
        spool.disk.remove(path)
        spool.disk.sync_folder(path.parent)


def _put_rest_aside(
    spool: Spool, segment: Segment, stream: str, good: int, since: datetime
) -> None:
    until = max(since, segment.last_written())
    loss = Loss(Counter(), {(StreamKey(stream), ""): Span(since, until)}, DAMAGED)
    spool.put_aside(segment, good, segment.size, loss)
    spool.disk.truncate(segment.path, good)
    if not good:
        spool.erase(segment)


def _named_time(path: Path) -> datetime:
    """When a segment was begun, which its name says: nanoseconds since 1970."""
    return time_of(int(path.name.partition("-")[0]) // 1000)


def _tell(path: Path, reason: str) -> None:
    SPOOL_DAMAGED.log(logger, "%s: %s", path, reason, path=path, reason=reason)
