"""The lines of a file, plain or gzip, in portions: memory stays flat however long it is."""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final

GZIP_MAGIC: Final = b"\x1f\x8b"
BATCH_ROWS: Final = 5000
CHUNK_BYTES: Final = 256 * 1024
LONGEST_LINE: Final = 4096


class RefusedFile(Exception):
    """The file is not a whole daily archive of a linear symbol; the text says why."""


class LineReader:
    """Reads one file once. `position` is where it is, in bytes of the file as it lies there.

    After the last line `sha256` is the file's, and `is_unended` says whether that line lacks its
    end.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.position = 0
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
            yield from self._portions(gzip.GzipFile(fileobj=self) if self.is_gzip else self)  # type: ignore[call-overload]
        self.sha256 = self._digest.hexdigest()

    def read(self, size: int) -> bytes:
        """Up to `size` bytes of the file, counted and digested; what gzip reads by."""
        data = self._raw.read(size)
        self.position += len(data)
        self._digest.update(data)
        return data

    def _portions(self, plain: Any) -> Iterator[list[str]]:
        rest = b""
        waiting: list[bytes] = []
        is_header, size = True, 1
        while data := _read(plain):
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


def _read(plain: Any) -> bytes:
    try:
        return plain.read(CHUNK_BYTES)  # type: ignore[no-any-return]
    except EOFError:
        raise RefusedFile("it is cut: the gzip data end before their end mark") from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise RefusedFile(f"its gzip data are damaged: {error}") from None
    except OSError as error:
        raise RefusedFile(os.strerror(error.errno or 0)) from None


def _texts(lines: Sequence[bytes]) -> list[str]:
    """The lines as text; what is not ASCII stays visible, and is refused by the strict reading."""
    text = b"\n".join(lines).decode("ascii", "backslashreplace")
    return [line.removesuffix("\r") for line in text.split("\n")]
