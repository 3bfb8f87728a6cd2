"""The lines of a file, plain or gzip, in portions: memory stays flat however long it is."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

GZIP_MAGIC: Final = b"\x1f\x8b"
BATCH_ROWS: Final = 5000
CHUNK_BYTES: Final = 256 * 1024
LONGEST_LINE: Final = 4096
# What zlib takes for: gzip alone, with its header, checksum and length.
GZIP_WBITS: Final = 16 + zlib.MAX_WBITS


class RefusedFile(Exception):
    """The file is not a whole daily archive of a linear symbol; the text says why."""


class LineReader:
    """Reads one file once. `position` is where it is, in bytes of the file as it lies there.

    After the last line `sha256` is the file's, `is_unended` says whether that line lacks its end,
    and `members` of how many pieces a gzip file is made: each has an end mark and a checksum of
    its own, so that one of several can be cut between two of them without being damaged.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.position = self.members = 0
        self.is_gzip = self.is_unended = False
        self.sha256 = ""
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[list[str]]:
        """The first line alone, then the others, at most BATCH_ROWS at a time.

        Raises RefusedFile where the file cannot be read on.
        """
        with _opened(self._path) as raw:
            self.is_gzip = raw.read(len(GZIP_MAGIC)) == GZIP_MAGIC
            raw.seek(0)
            self._raw = raw
            yield from self._portions(self._unpacked() if self.is_gzip else self._plain())
        self.sha256 = self._digest.hexdigest()

    def _read(self) -> bytes:
        """The next bytes of the file, counted and digested; none at its end."""
        try:
            data = self._raw.read(CHUNK_BYTES)
        except OSError as error:
            raise RefusedFile(os.strerror(error.errno or 0)) from None
        self.position += len(data)
        self._digest.update(data)
        return data

    def _plain(self) -> Iterator[bytes]:
        while data := self._read():
            yield data

    def _unpacked(self) -> Iterator[bytes]:
        rest = self._read()
        while rest:
            self.members += 1
            member = zlib.decompressobj(GZIP_WBITS)
            while not member.eof:
                data = rest or self._read()
                try:
                    piece = member.decompress(data, CHUNK_BYTES)
                except zlib.error as error:
                    raise RefusedFile(f"its gzip data are damaged: {error}") from None
                if piece:
                    yield piece
                elif not data and not member.eof:
                    raise RefusedFile("it is cut: the gzip data end before their end mark")
                rest = member.unused_data or member.unconsumed_tail
            rest = self._past_padding(rest)

    def _past_padding(self, rest: bytes) -> bytes:
        """What follows a gzip member: zeros may, and are no data."""
        rest = rest.lstrip(b"\0")
        while not rest and (data := self._read()):
            rest = data.lstrip(b"\0")
        return rest

    def _portions(self, chunks: Iterator[bytes]) -> Iterator[list[str]]:
        rest = b""
        waiting: list[bytes] = []
        is_header, size = True, 1
        for data in chunks:
            pieces = (rest + data).split(b"\n")
            rest = pieces.pop()
            if len(rest) > LONGEST_LINE:
                raise RefusedFile(f"it has a line of more than {LONGEST_LINE} bytes")
            waiting += pieces
            while len(waiting) >= size:
                yield _texts(waiting[:size])
                del waiting[:size]
                is_header, size = False, BATCH_ROWS
        if is_header:
            raise RefusedFile("its first line has no end" if rest else "it is empty")
        if rest:
            self.is_unended = True
            waiting.append(rest)
        if waiting:
            yield _texts(waiting)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if not path.is_file():
        # It is read twice, so a pipe will not do.
        raise RefusedFile("it is not a file" if path.exists() else "there is no such file")
    try:
        raw = path.open("rb")
    except OSError as error:
        raise RefusedFile(os.strerror(error.errno or 0)) from None
    with raw:
        yield raw


def _texts(lines: Sequence[bytes]) -> list[str]:
    """The lines as text; what is not ASCII stays visible, and is refused by the strict reading."""
    text = b"\n".join(lines).decode("ascii", "backslashreplace")
    return [line.removesuffix("\r") for line in text.split("\n")]
