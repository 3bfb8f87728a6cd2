"""What an account did, kept for its REST lists: executions, and the last state of each order.

Rows are kept as JSON, the smaller form; the lists are sorted by time and, within a millisecond,
by the order in which they came. Bounded: the oldest are forgotten first.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from marketdata.sandbox.private.rest_rows import rest_execution, rest_order
from marketdata.sandbox.private.rows import FINAL_STATUSES
from marketdata.sandbox.wire import Row

MAX_KEPT = 200_000
FORGOTTEN_AT_ONCE = 1000

Place = tuple[int, int]


@dataclass(slots=True)
class Entry:
    """One row of a list; `place` is its time in ms and its number."""

    place: Place
    symbol: str
    order_id: str
    link_id: str
    kind: str
    row: bytes
    updated: int = 0
    is_filled: bool = True

    @property
    def is_final(self) -> bool:
        """Whether an order of this status is over."""
        return self.kind in FINAL_STATUSES


class Listing:
    """Entries by time."""

    def __init__(self, most: int = MAX_KEPT) -> None:
        self._entries: list[Entry] = []
        self._most = most
        self.total = 0

    def newest_first(self, start: int, end: int, before: Place | None = None) -> Iterator[Entry]:
        """Entries from `start` to `end` (ms, both included) that stand before a place."""
        low = bisect_left(self._entries, (start, 0), key=_place)
        high = bisect_right(self._entries, (end, self.total), key=_place)
        if before is not None:
            high = min(high, bisect_left(self._entries, before, key=_place))
        for index in range(high - 1, low - 1, -1):
            yield self._entries[index]

    def _insert(self, entry: Entry) -> list[Entry]:
        """Take an entry in; what was forgotten for it."""
        insort(self._entries, entry, key=_place)
        forgotten: list[Entry] = []
        if len(self._entries) > self._most + FORGOTTEN_AT_ONCE:
            forgotten = self._entries[:FORGOTTEN_AT_ONCE]
            del self._entries[:FORGOTTEN_AT_ONCE]
        return forgotten

    def _number(self) -> int:
        self.total += 1
        return self.total


class Executions(Listing):
    """All executions of an account."""

    def add(self, rows: Iterable[Any]) -> None:
        """Remember executions; a row that is none (a test may send some) is left out."""
        for row in rows:
            if (time_ms := _time(row, "execTime")) is None:
                continue
            self._insert(
                Entry(
                    place=(time_ms, self._number()),
                    symbol=_text(row, "symbol"),
                    order_id=_text(row, "orderId"),
                    link_id=_text(row, "orderLinkId"),
                    kind=_text(row, "execType"),
                    row=packed(rest_execution(row)),
                )
            )


class Orders(Listing):
    """All orders of an account, each in its last state, by the time of its creation."""

    def __init__(self, most: int = MAX_KEPT) -> None:
        super().__init__(most)
        self._by_id: dict[str, Entry] = {}

    def add(self, rows: Iterable[Any]) -> None:
        """Remember states of orders; an older one than the last known changes nothing."""
        for row in rows:
            created, updated = _time(row, "createdTime"), _time(row, "updatedTime")
            if created is None or updated is None or not (order_id := _text(row, "orderId")):
                continue
            entry = self._by_id.get(order_id)
            if entry is None:
                entry = Entry((created, self._number()), "", order_id, "", "", b"", updated)
                self._by_id[order_id] = entry
                for old in self._insert(entry):
                    self._by_id.pop(old.order_id, None)
            if updated >= entry.updated:
                entry.updated, entry.kind = updated, _text(row, "orderStatus")
                entry.symbol, entry.link_id = _text(row, "symbol"), _text(row, "orderLinkId")
                entry.row = packed(rest_order(row))
                entry.is_filled = row.get("cumExecQty") not in ("0", "", None)


def packed(row: Row) -> bytes:
    """A row as it is kept."""
    # A copy, because orjson's own result keeps the whole buffer that it was written into.
    return memoryview(orjson.dumps(row)).tobytes()


def _place(entry: Entry) -> Place:
    return entry.place


def _time(row: Any, name: str) -> int | None:
    text = row.get(name) if isinstance(row, dict) else None
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else None


def _text(row: Row, name: str) -> str:
    value = row.get(name)
    return value if isinstance(value, str) else ""
