"""What goes over the wire: frames, acknowledgements, pongs, trade and ticker messages.

Pure: values in, bytes or dicts out. Sources: RFC 6455 §5.2 for the frame header; Bybit's V5
documentation, pages WebSocket Stream "connect", "trade" and "ticker", and Integration Guidance
for the REST envelope. Times are milliseconds UTC; prices and quantities are decimal strings.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

Row = dict[str, Any]

TEXT, PING, PONG = 0x1, 0x9, 0xA
MAX_TRADES_PER_MESSAGE = 1024
TRADE_TOPIC, TICKER_TOPIC = "publicTrade", "tickers"
IP_REQUESTS_PER_WINDOW = "600"


class UndecodableFrame(ValueError):
    """A client's text is not a JSON object."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """One frame of a client: the operation, its arguments, and the id to echo.

    `args` are topics; `values` is whatever was sent in their place.
    """

    op: str
    req_id: str
    args: list[str] | None
    values: Any = None


def parse_request(text: str | bytes) -> Request:
    """Read a client's frame; `args` is None unless it is a list of strings."""
    try:
        body = orjson.loads(text)
    except orjson.JSONDecodeError as exc:
        raise UndecodableFrame(str(exc)) from None
    if not isinstance(body, dict):
        raise UndecodableFrame("the frame is not an object")
    op, req_id, args = body.get("op"), body.get("req_id"), body.get("args")
    strings = isinstance(args, list) and all(isinstance(arg, str) for arg in args)
    return Request(
        op=op if isinstance(op, str) else "",
        req_id=req_id if isinstance(req_id, str) else "",
        args=args if strings else None,
        values=args,
    )


def frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One unfragmented, unmasked WebSocket frame, as a server sends it."""
    first, length = 0x80 | opcode, len(payload)
    if length < 126:
        return struct.pack("!BB", first, length) + payload
    if length < 1 << 16:
        return struct.pack("!BBH", first, 126, length) + payload
    return struct.pack("!BBQ", first, 127, length) + payload


def ack(op: str, *, conn_id: str, req_id: str, error: str = "") -> bytes:
    """The answer to a public subscribe or unsubscribe; `error` makes it a refusal."""
    return orjson.dumps(
        {
            "success": not error,
            "ret_msg": error,
            "conn_id": conn_id,
            "req_id": req_id,
            "op": op,
        }
    )


def public_pong(*, conn_id: str, req_id: str) -> bytes:
    """The answer to `{"op": "ping"}` on a public connection: its op is "ping", too."""
    return orjson.dumps(
        {"success": True, "ret_msg": "pong", "conn_id": conn_id, "req_id": req_id, "op": "ping"}
    )


def trade_row(
    symbol: str,
    *,
    price: str,
    size: str,
    side: str,
    time_ms: int,
    trade_id: str,
    seq: int,
    tick: str = "ZeroPlusTick",
    block: bool = False,
    rpi: bool = False,
) -> Row:
    """One trade as the `publicTrade` stream carries it; `side` is the taker's."""
    return {
        "T": time_ms,
        "s": symbol,
        "S": side,
        "v": size,
        "p": price,
        "L": tick,
        "i": trade_id,
        "BT": block,
        "RPI": rpi,
        "seq": seq,
    }


def trade_topic(symbol: str) -> str:
    """The topic of a symbol's trades."""
    return f"{TRADE_TOPIC}.{symbol}"


def ticker_topic(symbol: str) -> str:
    """The topic of a symbol's ticker."""
    return f"{TICKER_TOPIC}.{symbol}"


def trade_message(topic: str, rows: bytes, *, ts: int) -> bytes:
    """A trade push around rows that are JSON already: they are encoded once for all readers."""
    return orjson.dumps(
        {"topic": topic, "type": "snapshot", "ts": ts, "data": orjson.Fragment(rows)}
    )


def ticker_message(topic: str, kind: str, data: Mapping[str, str], *, cs: int, ts: int) -> bytes:
    """A ticker push; `kind` is snapshot or delta."""
    return orjson.dumps({"topic": topic, "type": kind, "data": dict(data), "cs": cs, "ts": ts})


def rest_trade(row: Mapping[str, Any]) -> Row:
    """A streamed trade as `/v5/market/recent-trade` names its fields."""
    return {
        "execId": row.get("i", ""),
        "symbol": row.get("s", ""),
        "price": row.get("p", ""),
        "size": row.get("v", ""),
        "side": row.get("S", ""),
        "time": str(row.get("T", "")),
        "isBlockTrade": row.get("BT", False),
        "isRPITrade": row.get("RPI", False),
        "seq": str(row.get("seq", "")),
    }


def envelope(
    result: Mapping[str, Any],
    *,
    now_ms: int,
    code: int = 0,
    message: str = "OK",
    ext: Mapping[str, Any] | None = None,
) -> bytes:
    """What every REST answer is wrapped in; a business error keeps HTTP status 200."""
    return orjson.dumps(
        {
            "retCode": code,
            "retMsg": message,
            "result": dict(result),
            "retExtInfo": dict(ext or {}),
            "time": now_ms,
        }
    )


def limit_headers(now_ms: int) -> dict[str, str]:
    """The three rate headers; market endpoints have the limit per address alone."""
    return {
        "X-Bapi-Limit": IP_REQUESTS_PER_WINDOW,
        "X-Bapi-Limit-Status": str(int(IP_REQUESTS_PER_WINDOW) - 1),
        "X-Bapi-Limit-Reset-Timestamp": str(now_ms),
    }


def split(rows: Sequence[Row], size: int = MAX_TRADES_PER_MESSAGE) -> list[Sequence[Row]]:
    """The rows in pieces that fit a message."""
    return [rows[start : start + size] for start in range(0, len(rows), size)]
