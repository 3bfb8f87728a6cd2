"""A segment of the spool: a file of frames, the first of which says whose rows it holds.

A frame is length, CRC of the payload and CRC of these two (12 bytes, little endian), then the
payload. The CRC of the length tells a frame whose writing was cut off, which nobody was
promised, from one that was damaged later: only the former is cut away.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, NamedTuple

from marketdata.capture.spool_codec import (
    GroupHead,
    Span,
    Unreadable,
    decode_head,
    microseconds,
    time_of,
)
from marketdata.capture.tally import StreamKey

FORMAT = 1
SUFFIX = ".segment"
_LENGTHS = struct.Struct("<II")
_CRC = struct.Struct("<I")
FRAME_HEAD = _LENGTHS.size + _CRC.size
_MARK = struct.Struct("<QI")


DROPPED = "the spool was full"
POISONED = "rows that capture could not replay were set aside"
DAMAGED = "a damaged part of the spool was set aside"


class Loss(NamedTuple):
    """Rows that will not reach the database: how many of each stream, and their spans.

    Of what could not be read, `rows` holds what is known of it, and the span is the stream's.
    """

    rows: Counter[StreamKey]
    spans: dict[tuple[StreamKey, str], Span]
    reason: str

    @classmethod
    def of(cls, heads: Iterable[GroupHead], reason: str) -> Loss:
        """The loss of whole groups."""
        rows: Counter[StreamKey] = Counter()
        spans: dict[tuple[StreamKey, str], Span] = {}
        for head in heads:
            rows[head.key] += head.rows
            for symbol, span in head.spans.items():
                place = head.key, symbol
                spans[place] = spans[place] | span if place in spans else span
        return cls(rows, spans, reason)


class Torn(Exception):
    """The file ends within a frame: its writing was cut off."""


class Damaged(Exception):
    """A frame is not what was written."""


class Owner(NamedTuple):
    """Whose rows: a database, and the environment of the stream where it is public."""

    database: str
    environment: str


def framed(payload: bytes) -> bytes:
    """The frame around `payload`."""
    lengths = _LENGTHS.pack(len(payload), zlib.crc32(payload))
    return lengths + _CRC.pack(zlib.crc32(lengths)) + payload


def read_frame(file: BinaryIO, end: int) -> bytes | None:
    """The payload of the frame at the file's position; None at `end`. Raises Torn, Damaged."""
    at = file.tell()
    if at >= end:
        return None
    head = file.read(FRAME_HEAD)
    if len(head) < FRAME_HEAD:
        raise Torn
    lengths, crc = head[: _LENGTHS.size], head[_LENGTHS.size :]
    length, payload_crc = _LENGTHS.unpack(lengths)
    if _CRC.pack(zlib.crc32(lengths)) != crc:
        # A file may have got its length before its content when the power went.
        if not any(head) and not any(file.read()):
            raise Torn
        raise Damaged("the length of a frame")
    if at + FRAME_HEAD + length > end:
        raise Torn
    payload = file.read(length)
    if zlib.crc32(payload) != payload_crc:
        raise Damaged("the content of a frame")
    return payload


def first_frame(owner: Owner, since: datetime) -> bytes:
    """The frame that begins a segment whose rows are of `since` and later."""
    head = {"format": FORMAT, **owner._asdict(), "since": microseconds(since)}
    return framed(json.dumps(head).encode())


def read_first_frame(payload: bytes) -> tuple[Owner, datetime]:
    """What `first_frame` wrote. Raises Damaged."""
    try:
        head = json.loads(payload)
        if head["format"] != FORMAT:
            raise Damaged(f"format {head['format']}; this release reads {FORMAT}")
        return Owner(head["database"], head["environment"]), time_of(head["since"])
    except (ValueError, KeyError, TypeError) as error:
        raise Damaged(f"the first frame: {type(error).__name__}") from None


@dataclass
class Segment:
    """One file: what is before `cursor` is in the database, what is before `size` is safe.

    `attempts` are those at the group at `cursor` that ended with the process.
    """

    path: Path
    since: datetime
    cursor: int
    size: int
    rows: Counter[StreamKey] = field(default_factory=Counter)
    attempts: int = 0
    in_use: bool = False

    @property
    def mark_path(self) -> Path:
        """The file that says how far it was replayed."""
        return self.path.with_suffix(".mark")

    def groups(self) -> Iterator[tuple[int, bytes, GroupHead]]:
        """Each group that waits: where it ends, itself, and what it holds.

        Raises Torn and Damaged.
        """
        with self.path.open("rb") as file:
            file.seek(self.cursor)
            while (group := read_frame(file, self.size)) is not None:
                try:
                    head = decode_head(group)
                except Unreadable as error:
                    raise Damaged(str(error)) from None
                yield file.tell(), group, head

    def bytes_from(self, start: int, end: int) -> bytes:
        """A piece of the file."""
        with self.path.open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def last_written(self) -> datetime:
        """When the file was last written to."""
        return datetime.fromtimestamp(self.path.stat().st_mtime, UTC)


def mark(cursor: int, attempts: int) -> bytes:
    """The content of a mark: a segment was replayed up to `cursor`, and what follows tried."""
    content = _MARK.pack(cursor, attempts)
    return content + _CRC.pack(zlib.crc32(content))


def read_mark(path: Path) -> tuple[int, int]:
    """A mark's cursor and attempts, zeros where there is none."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return 0, 0
    if len(content) != _MARK.size + _CRC.size:
        return 0, 0
    body, crc = content[: _MARK.size], content[_MARK.size :]
    if _CRC.pack(zlib.crc32(body)) != crc:
        return 0, 0
    cursor, attempts = _MARK.unpack(body)
    return cursor, attempts
