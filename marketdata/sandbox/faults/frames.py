"""Faults of what is pushed: rows that are changed, frames that come in between, or not at all."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from marketdata.sandbox.connections import Connection, Note
from marketdata.sandbox.faults.book import FaultBook
from marketdata.sandbox.private.wire import EXECUTION, ORDER, Frame
from marketdata.sandbox.wire import TICKER_TOPIC, Row, ticker_topic, trade_topic

NEW_FIELD = {"sandboxField": "new"}
UNKNOWN_TYPE = "SandboxAdjustment"
GARBAGE = (
    "{broken", "", "null", "17", "[]", '"text"', "<html><body>502 Bad Gateway</body></html>",
    '{"topic": "publicTrade.BTCUSDT", "data": [', '{"topic": 7}', '{"data": []}', "[[[[[[[[",
    '{"topic": "nobody.asked", "data": []}',
)  # fmt: skip
BAD_NUMBERS: tuple[Any, ...] = (
    "NaN", "Infinity", "1e5", "0x10", "1,5", "--1", " 1", "9" * 40, 1.5, [],
)  # fmt: skip
FIGURES = ("p", "v", "execPrice", "execQty", "price", "qty", "size", "lastPrice", "totalEquity")
IDENTITIES = ("i", "execId", "orderId")


def changed_trades(book: FaultBook, symbol: str, rows: Sequence[Row]) -> Sequence[Row]:
    """Trades as they are made while faults are on."""
    if book.is_quiet:
        return rows
    if book.fires("missing_rpi", symbol=symbol):
        rows = [{name: row[name] for name in row if name != "RPI"} for row in rows]
    if book.fires("unknown_field", symbol=symbol, topic=trade_topic(symbol)):
        rows = [row | NEW_FIELD for row in rows]
    return rows


def changed_ticker(book: FaultBook, symbol: str, values: Mapping[str, str]) -> Mapping[str, str]:
    """A ticker's new values as they are while faults are on."""
    if book.fires("unknown_field", symbol=symbol, topic=ticker_topic(symbol)):
        return {**values, **NEW_FIELD}
    return values


def changed_frames(book: FaultBook, account: str, frame: Frame) -> list[Frame]:
    """A private push as it is made while faults are on, and what comes after it because of them."""
    if book.is_quiet or frame.resent:
        return [frame]
    rows = [row for row in frame.rows if isinstance(row, dict)]
    target = {"account": account, "topic": frame.topic}
    if frame.recorded is None and rows and book.fires("unknown_field", **target):
        frame = replace(frame, rows=[row | NEW_FIELD for row in rows])
    frames = [frame]
    is_filled = frame.topic == ORDER and any(row.get("orderStatus") == "Filled" for row in rows)
    if is_filled and book.fires("duplicate_filled", account=account):
        frames.append(frame.again())
    if frame.topic == EXECUTION and rows and book.fires("unknown_exec_type", account=account):
        frames.append(replace(frame, rows=[_of_unknown_type(rows[0], book.draw)], recorded=None))
    return frames


def _of_unknown_type(row: Row, draw: random.Random) -> Row:
    """An execution with which no money moves."""
    return row | {
        "execId": str(uuid.UUID(int=draw.getrandbits(128))),
        "execType": UNKNOWN_TYPE,
        "execFee": "0",
        "execPnl": "0",
        "closedSize": "0",
    }


def intruders(book: FaultBook, topic: str, account: str, message: bytes) -> Iterator[bytes]:
    """Texts that go before a push."""
    if book.is_quiet:
        return
    target = target_of(topic, account)
    if book.fires("garbage", **target):
        yield book.draw.choice(GARBAGE).encode()
    if book.fires("bad_number", **target):
        yield orjson.dumps(_with_bad_number(orjson.loads(message), book.draw))


def _with_bad_number(message: dict[str, Any], draw: random.Random) -> dict[str, Any]:
    """A push of one row, of which one figure is no number; whose row it is, nobody knows."""
    data = message["data"]
    row = data[0] if isinstance(data, list) else data
    figures = [name for name in FIGURES if name in row] or ["lastPrice"]
    row = row | {draw.choice(figures): draw.choice(BAD_NUMBERS)}
    row |= {name: str(uuid.UUID(int=draw.getrandbits(128))) for name in IDENTITIES if name in row}
    return message | {"data": [row] if isinstance(data, list) else row}


def deliver(
    book: FaultBook, connection: Connection, topic: str, data: bytes, *, note: Note
) -> bool:
    """Push a ready frame to one reader; whether it was handed to the transport by now."""
    if book.is_quiet:
        return connection.push(topic, data, note)
    target = target_of(topic, connection.account) | {"connection": str(connection.number)}
    if book.fires("silence", **target):
        connection.behind.add(topic)
        return False
    connection.keep_order(topic)
    if not connection.has_put_off and book.fires("out_of_order", **target):
        connection.put_off(topic, data, note)
        return False
    return connection.push(topic, data, note)


def first_delta(book: FaultBook, topic: str, ticker: Mapping[str, Any]) -> bytes | None:
    """The delta that goes before a ticker's snapshot."""
    kind, _, symbol = topic.partition(".")
    if kind != TICKER_TOPIC or not book.fires("delta_first", symbol=symbol):
        return None
    data = {"symbol": symbol, "lastPrice": ticker["data"].get("lastPrice", "1")}
    return orjson.dumps({"topic": topic, "type": "delta", **ticker, "data": data})


def refused_topic(book: FaultBook, account: str, topics: Sequence[str]) -> str:
    """The first topic whose subscription is refused; nothing when none is."""
    return next(
        (one for one in topics if book.fires("subscribe_reject", **target_of(one, account))), ""
    )


def target_of(topic: str, account: str) -> dict[str, str]:
    """What a push is about, for the parameters that choose."""
    symbol = "" if account else topic.partition(".")[2]
    return {"topic": topic, "account": account, "symbol": symbol}
