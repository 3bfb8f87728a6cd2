"""What lay in the spool when a capture was killed: it was synced, so it must not be lost."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from marketdata.capture.spool_codec import decode
from marketdata.capture.spool_segment import SUFFIX, Damaged, Torn, read_frame
from marketdata.demo.tables import TABLES, Key


class Spooled(NamedTuple):
    """A row on disk: of a symbol, or of an account where it is private."""

    topic: str
    symbol: str
    account_id: UUID | None
    key: Key


def spooled_rows(folder: Path) -> Iterator[Spooled]:
    """The rows in the segments below a folder, up to where their writing was cut off."""
    topics = {str(table.stream): topic for topic, table in TABLES.items()}
    for path in sorted(folder.rglob(f"*{SUFFIX}")):
        for group in _groups(path):
            head, records = decode(group)
            topic = topics[head.key.stream]
            for record in records:
                key = TABLES[topic].key_of(TABLES[topic].stored_values(record))
                yield Spooled(topic, record.symbol if head.key.account_id is None else "",
                              head.key.account_id, key)  # fmt: skip


def _groups(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        size = path.stat().st_size
        try:
            # The first frame says whose the segment is.
            group = read_frame(file, size)
            while group is not None and (group := read_frame(file, size)) is not None:
                yield group
        except (Torn, Damaged):
            return
