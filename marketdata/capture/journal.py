"""The journal: frames as they were received, in files that the sandbox can play again.

A line is `{"ms": …, "channel": "public", "frame": "the text as received"}`, the channel of an
account `private:NAME`. Only frames of topics are written, never an answer to a request, so no
authentication is.

Capture is neither slowed nor failed by it: the socket's thread puts a frame in a bounded queue, a
thread of the journal's own writes. What the queue cannot take, or the disk, is counted and dropped,
and the next line that can be written says how many frames are missing before it:

    {"ms": …, "channel": "public", "frame": {"journal": "dropped", "frames": 17}}

which is no frame of a topic and is not played.
"""

from __future__ import annotations

import logging
import os
import stat
import threading
from collections import deque
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson

from marketdata.exits import ConfigurationError
from marketdata.log_events import JOURNAL_FAILED
from marketdata.log_rate import Seldom

logger = logging.getLogger(__name__)

MAX_WAITING_BYTES = 64 * 1024 * 1024
MAX_FILE_BYTES = 256 * 1024 * 1024
# A burst is written at once, and what is left lying is not older than this.
FLUSH_SECONDS = 0.5
RETRY_SECONDS = 10.0
BATCH_BYTES = 1024 * 1024
DIRECTORY_MODE, FILE_MODE = 0o700, 0o600
STOP_SECONDS = 20.0
# What a frame costs in memory beside its text.
OVERHEAD_BYTES = 200


class _Entry(NamedTuple):
    """A frame; or, where `missing` is not 0, that so many frames are missing here."""

    channel: str
    text: str
    at: datetime
    missing: int = 0

    @property
    def size(self) -> int:
        return len(self.text) + OVERHEAD_BYTES

    def line(self) -> bytes:
        frame: Any = {"journal": "dropped", "frames": self.missing} if self.missing else self.text
        line = {"ms": int(self.at.timestamp() * 1000), "channel": self.channel, "frame": frame}
        try:
            return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        except TypeError:
            # Half a character, which cannot be written as it is.
            readable = self.text.encode(errors="backslashreplace").decode()
            return orjson.dumps(line | {"frame": readable}, option=orjson.OPT_APPEND_NEWLINE)


class Journal:
    """A directory of recordings, one file after the other; for the time of a `with` block."""

    def __init__(
        self,
        directory: Path,
        *,
        max_file_bytes: int = MAX_FILE_BYTES,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        """Make the directory. Raises ConfigurationError when others may use it, or it cannot be."""
        make_private(directory)
        self.directory = directory
        self.written = self.dropped = self.files = 0
        self._max_file_bytes, self._max_waiting_bytes = max_file_bytes, max_waiting_bytes
        self._waiting: deque[_Entry] = deque()
        self._waiting_bytes = 0
        self._missing = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._file: int | None = None
        self._size, self._day = 0, date.min
        self._told = Seldom()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        self._thread.join(STOP_SECONDS)
        if self._thread.is_alive():
            text, why = "the journal was not finished in %.0f s", "not finished in time"
            JOURNAL_FAILED.log(logger, text, STOP_SECONDS, reason=why)

    def record(self, channel: str, text: str, received_at: datetime) -> None:
        """Take a frame, or count it as dropped; never waits for the disk and never raises."""
        entry = _Entry(channel, text, received_at)
        with self._lock:
            if self._waiting_bytes + entry.size > self._max_waiting_bytes:
                self.dropped += 1
                self._missing += 1
                return
            self._note_missing(received_at)
            self._waiting.append(entry)
            self._waiting_bytes += entry.size

    def summary(self) -> dict[str, int | str]:
        """What it did, in files and frames."""
        return {
            "directory": str(self.directory),
            "files": self.files,
            "frames": self.written,
            "dropped": self.dropped,
        }

    def _note_missing(self, at: datetime) -> None:
        if self._missing:
            self._waiting.append(_Entry("public", "", at, self._missing))
            self._waiting_bytes += OVERHEAD_BYTES
            self._missing = 0

    # --- on the journal's thread -------------------------------------------------------------

    def _run(self) -> None:
        pause = FLUSH_SECONDS
        while not self._stopping.wait(pause):
            pause = FLUSH_SECONDS if self._write_all() else RETRY_SECONDS
        with self._lock:
            self._note_missing(datetime.now(UTC))
        self._write_all()
        self._close()
        if self.dropped:
            text = "the journal lacks %d frames"
            JOURNAL_FAILED.log(logger, text, self.dropped, frames=self.dropped)

    def _write_all(self) -> bool:
        """Write what waits; False when the disk would not have it."""
        while batch := self._next_batch():
            try:
                self._append(batch)
            except OSError as error:
                if self._told.is_due():
                    text, why = "the journal cannot be written: %s", error.strerror
                    JOURNAL_FAILED.log(logger, text, why, reason=why)
                self._close()
                self._give_up(batch)
                return False
            self.written += sum(not entry.missing for entry in batch)
        return True

    def _next_batch(self) -> list[_Entry]:
        """What is written at once: entries of one day, about a megabyte of them."""
        batch: list[_Entry] = []
        size = 0
        with self._lock:
            while self._waiting and size < BATCH_BYTES:
                if batch and self._waiting[0].at.date() != batch[0].at.date():
                    break
                batch.append(self._waiting.popleft())
                size += batch[-1].size
            self._waiting_bytes -= size
        return batch

    def _give_up(self, batch: list[_Entry]) -> None:
        frames = sum(not entry.missing for entry in batch)
        missing = frames + sum(entry.missing for entry in batch)
        with self._lock:
            self.dropped += frames
            self._waiting.appendleft(_Entry("public", "", batch[0].at, missing))
            self._waiting_bytes += OVERHEAD_BYTES

    def _append(self, batch: list[_Entry]) -> None:
        """Write whole lines or none."""
        day = batch[0].at.date()
        if self._file is None or self._size >= self._max_file_bytes or day != self._day:
            self._close()
            self._file = self._opened(day)
        data = b"".join(entry.line() for entry in batch)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(self._file, rest) :]
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)

    def _opened(self, day: date) -> int:
        name = f"{datetime.now(UTC):%Y%m%dT%H%M%S.%f}.jsonl"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        file = os.open(self.directory / name, flags, FILE_MODE)
        self._size, self._day = 0, day
        self.files += 1
        return file

    def _close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                os.fsync(self._file)
            with suppress(OSError):
                os.close(self._file)
            self._file = None


def make_private(directory: Path) -> None:
    """Make a directory for one user alone. Raises ConfigurationError when it cannot be that."""
    try:
        directory.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        mode = directory.stat().st_mode
    except OSError as error:
        raise ConfigurationError(f"{directory} cannot be made: {error.strerror}.") from None
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(f"{directory} is open to others; chmod 700 it.")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{directory} cannot be written.")
