"""The ground truth: an append-only file of what was said to whom, one JSON object a line.

Lines of one connection stand in the order in which things happened on it, all times in ms:

    {"event":"subscribed","connection":3,"topic":"publicTrade.BTCUSDT","ms":...}
    {"event":"unsubscribed","connection":3,"topic":"publicTrade.BTCUSDT","ms":...}
    {"event":"sent","connection":3,"topic":"publicTrade.BTCUSDT","ms":...,"rows":[...]}
    {"event":"sent","connection":3,"topic":"tickers.BTCUSDT","ms":...,"ts":...,"state":{...}}
    {"event":"raw","connection":3,"topic":null,"ms":...,"text":"..."}
    {"event":"closed","connection":3,"ms":...,"how":"client"}

"sent" means handed to the transport; what a client has read is known after a drain. `how` is
client, reset (the sandbox sent a TCP reset) or server (it closed in some other way).

Lines of a private connection also name the account. Every private row is "made" once, before it
is sent to anybody, and also when nobody listens; a row of an earlier frame that is sent again is
not made again, and that line says "resent". Public trades are "made" when nobody was there to be
sent them:

    {"event":"made","account":"a","topic":"order","ms":...,"creationTime":...,"rows":[...]}
    {"event":"sent","connection":4,"ms":...,"account":"a","topic":"order","creationTime":...,"rows":[...]}
    {"event":"made","topic":"publicTrade.BTCUSDT","ms":...,"rows":[...]}

So are tickers that a fault kept from all who listen. Faults that fire have lines of their own:

    {"event":"fault","name":"reset","number":3,"ms":...,"hit":{"connections":[1,2]}}

Writes are buffered, and nothing is kept in memory.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import orjson

BUFFER_BYTES = 1 << 18
CHUNK_BYTES = 1 << 18


class Ledger:
    """The file, or nothing at all when it was made without one."""

    def __init__(self, path: Path | None, file: BinaryIO | None, *, temporary: bool) -> None:
        self.path = path
        self._file = file
        self._temporary = temporary

    @classmethod
    def off(cls) -> Ledger:
        """A ledger that records nothing."""
        return cls(None, None, temporary=False)

    @classmethod
    def at(cls, path: Path) -> Ledger:
        """A ledger in a new file, which stays."""
        return cls(path, path.open("wb", buffering=BUFFER_BYTES), temporary=False)

    @classmethod
    def temporary(cls) -> Ledger:
        """A ledger in a temporary file, which goes when it is closed."""
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115
            "wb", BUFFER_BYTES, prefix="sandbox-ledger-", suffix=".jsonl", delete=False
        )
        return cls(Path(file.name), cast(BinaryIO, file), temporary=True)

    @property
    def enabled(self) -> bool:
        """Whether anything is recorded."""
        return self._file is not None

    def write(self, event: str, **fields: Any) -> None:
        """Append one line; an `orjson.Fragment` among the fields is taken as it is."""
        if self._file is not None:
            line = {"event": event, **fields}
            self._file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))

    def flush(self) -> int:
        """Bring all lines to the file; its size, which ends with a whole line."""
        if self._file is None:
            return 0
        self._file.flush()
        return self._file.tell()

    def close(self) -> None:
        """Flush and close; a temporary file is removed."""
        if self._file is not None:
            self._file.close()
            self._file = None
        if self._temporary and self.path is not None:
            self.path.unlink(missing_ok=True)


def read_lines(path: Path, size: int) -> Iterator[dict[str, Any]]:
    """The events in the first `size` bytes of a ledger."""
    with path.open("rb") as file:
        while file.tell() < size:
            yield orjson.loads(file.readline())


def read_chunks(path: Path, size: int) -> Iterator[bytes]:
    """The first `size` bytes of a ledger, in pieces."""
    with path.open("rb") as file:
        while size > 0 and (chunk := file.read(min(CHUNK_BYTES, size))):
            size -= len(chunk)
            yield chunk
