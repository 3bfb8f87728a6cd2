"""What an earlier capture left on disk: checked, torn ends cut, the rest put in order."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from marketdata.capture.spool_codec import RECORDS, Span, time_of
from marketdata.capture.spool_ground import Ground
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

logger = logging.getLogger(__name__)


def recover(ground: Ground, folders: Sequence[Path]) -> dict[str, list[Segment]]:
    """The segments of each stream that lie in `folders`, oldest first. Raises OSError."""
    found: dict[str, list[Segment]] = {}
    files = [path for folder in folders for path in folder.glob(f"*{SUFFIX}")]
    for path in sorted(files, key=lambda path: path.name):
        stream = path.stem.partition("-")[2]
        if stream not in RECORDS:
            _tell(path, "no stream of this release")
            continue
        segment = _examine(ground, path, stream)
        if segment is not None:
            found.setdefault(stream, []).append(segment)
    return found


def _examine(ground: Ground, path: Path, stream: str) -> Segment | None:
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
        _cut(ground, path, 0, size)
        return None
    except Damaged as error:
        _tell(path, f"from its beginning: {error}")
        segment = Segment(path, _named_time(path), 0, size)
        _put_rest_aside(ground, segment, stream, 0, segment.since)
        return None
    if owner != ground.owner_of(stream):
        _tell(path, f"it belongs to {' '.join(owner)}")
        return None
    segment = Segment(path, since, begin, size)
    cursor, attempts = read_mark(segment.mark_path)
    if begin <= cursor <= size:
        segment.cursor, segment.attempts = cursor, attempts
    _count(ground, segment, stream)
    if not segment.rows:
        ground.erase(segment)
        return None
    return segment


def _count(ground: Ground, segment: Segment, stream: str) -> None:
    """Read every group; what follows the last good one is cut or put aside."""
    good, last = segment.cursor, segment.since
    try:
        for end, _, head in segment.groups():
            good, last = end, min(span.first for span in head.spans.values())
            segment.rows[head.key] += head.rows
    except Torn:
        _cut(ground, segment.path, good, segment.size)
    except Damaged as error:
        _tell(segment.path, f"from byte {good} on: {error}")
        _put_rest_aside(ground, segment, stream, good, last)
    segment.size = good


def _cut(ground: Ground, path: Path, good: int, size: int) -> None:
    """Cut off what was never acknowledged."""
    ground.torn += 1
    _tell(path, f"the last {size - good} bytes were not written to their end")
    ground.disk.truncate(path, good)
    if not good:
        ground.disk.remove(path)
        ground.disk.sync_folder(path.parent)


def _put_rest_aside(
    ground: Ground, segment: Segment, stream: str, good: int, since: datetime
) -> None:
    until = max(since, segment.last_written())
    loss = Loss(Counter(), {(StreamKey(stream), ""): Span(since, until)}, DAMAGED)
    ground.put_aside(segment, good, segment.size, loss)
    ground.disk.truncate(segment.path, good)
    if not good:
        ground.erase(segment)


def _named_time(path: Path) -> datetime:
    """When a segment was begun, which its name says: nanoseconds since 1970."""
    return time_of(int(path.name.partition("-")[0]) // 1000)


def _tell(path: Path, reason: str) -> None:
    SPOOL_DAMAGED.log(logger, "%s: %s", path, reason, path=path, reason=reason)
