"""Records to bytes and back, for rows that wait on disk.

A group is one batch of one stream and account: a line of JSON that says what it is, then its
rows as JSON. The columns are named in each group, so that rows which an older release has
written can be read by one whose records have columns more or less: a column that is new takes
its record's default, else None; one that is gone is left out. Values that JSON does not have
are objects with one key: Decimal by its text, times as microseconds since 1970.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from marketdata.bybit.records import (
    ExecutionRecord,
    OrderRecord,
    PositionRecord,
    TickerRecord,
    TradeRecord,
    WalletRecord,
)
from marketdata.capture.tally import StreamKey

VERSION = 1
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

RECORDS: dict[str, type[Any]] = {
    "trades": TradeRecord,
    "tickers": TickerRecord,
    "executions": ExecutionRecord,
    "orders": OrderRecord,
    "positions": PositionRecord,
    "wallet": WalletRecord,
}
# Streams of symbols; the others are an account's.
PUBLIC = frozenset({"trades", "tickers"})


class Unreadable(Exception):
    """Bytes that are no group, or one of a release that is newer than this one."""


class Span(NamedTuple):
    """From the first to the last row of a symbol, both included; exchange time, UTC."""

    first: datetime
    last: datetime

    def __or__(self, other: object) -> Span:
        """The span that holds both."""
        if not isinstance(other, Span):
            return NotImplemented
        return Span(min(self.first, other.first), max(self.last, other.last))


class GroupHead(NamedTuple):
    """What a group holds; its spans are by symbol, with one of "" where it is an account's."""

    key: StreamKey
    rows: int
    spans: dict[str, Span]


def head_of(key: StreamKey, records: Sequence[Any]) -> GroupHead:
    """What a group of `records` is."""
    times: dict[str, list[datetime]] = {}
    for record in records:
        symbol = record.symbol if key.stream in PUBLIC else ""
        times.setdefault(symbol, []).append(record.exchange_ts)
    spans = {symbol: Span(min(each), max(each)) for symbol, each in times.items()}
    return GroupHead(key, len(records), spans)


def encode(head: GroupHead, records: Sequence[Any]) -> bytes:
    """The group of `records`."""
    first_line = {
        "version": VERSION,
        "stream": str(head.key.stream),
        "account": head.key.account_id.hex if head.key.account_id else None,
        "rows": head.rows,
        "spans": {
            symbol: [microseconds(span.first), microseconds(span.last)]
            for symbol, span in head.spans.items()
        },
        "columns": RECORDS[head.key.stream]._fields,
    }
    rows = [[{"json": value} if type(value) is dict else value for value in row] for row in records]
    return b"\n".join(
        json.dumps(part, default=_tagged, separators=(",", ":")).encode()
        for part in (first_line, rows)
    )


def decode_head(group: bytes) -> GroupHead:
    """What a group holds, without its rows. Raises Unreadable."""
    return _head(_first_line(group))


def decode(group: bytes) -> tuple[GroupHead, list[Any]]:
    """A group and its records. Raises Unreadable."""
    line = _first_line(group)
    head = _head(line)
    try:
        rows = json.loads(group[group.index(b"\n") + 1 :])
        values = [[_untagged(value) for value in row] for row in rows]
        return head, _records(RECORDS[head.key.stream], line["columns"], values)
    except (ValueError, KeyError, TypeError, ArithmeticError) as error:
        raise Unreadable(f"rows that cannot be read: {type(error).__name__}") from None


def microseconds(at: datetime) -> int:
    """A time as microseconds since 1970."""
    return (at - EPOCH) // MICROSECOND


def time_of(count: int) -> datetime:
    """The time that is so many microseconds after the beginning of 1970."""
    return EPOCH + count * MICROSECOND


def _first_line(group: bytes) -> dict[str, Any]:
    try:
        line = json.loads(group[: group.index(b"\n")])
        version = line["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise Unreadable(f"no group: {type(error).__name__}") from None
    if version != VERSION:
        raise Unreadable(f"a group of version {version}; this release reads {VERSION}")
    return dict(line)


def _head(line: dict[str, Any]) -> GroupHead:
    try:
        account_id = UUID(hex=line["account"]) if line["account"] else None
        spans = {
            symbol: Span(time_of(first), time_of(last))
            for symbol, (first, last) in line["spans"].items()
        }
        return GroupHead(StreamKey(line["stream"], account_id), line["rows"], spans)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise Unreadable(f"no group: {type(error).__name__}") from None


def _records(record: type[Any], columns: list[str], rows: list[list[Any]]) -> list[Any]:
    if tuple(columns) == record._fields:
        return [record._make(row) for row in rows]
    absent = dict.fromkeys(record._fields) | record._field_defaults
    known = [dict(zip(columns, row, strict=True)) for row in rows]
    return [
        record(**{name: row.get(name, default) for name, default in absent.items()})
        for row in known
    ]


def _tagged(value: object) -> dict[str, Any]:
    if isinstance(value, Decimal):
        return {"decimal": str(value)}
    if isinstance(value, datetime):
        return {"time": microseconds(value)}
    raise TypeError(f"a {type(value).__name__} in a row")


def _untagged(value: Any) -> Any:
    if type(value) is not dict:
        return value
    ((tag, inner),) = value.items()
    if tag == "decimal":
        return Decimal(inner)
    if tag == "time":
        return time_of(inner)
    if tag == "json":
        return inner
    raise ValueError(f"a value of kind {tag}")
