"""Public trades, from the stream and from REST, row by row.

One parser for both, told by a table what each calls its fields: a gap that REST fills is then
as strictly read as the stream. A row that cannot be read is set aside with its reason, and its
neighbours are kept.
Sources: https://bybit-exchange.github.io/docs/v5/websocket/public/trade and
https://bybit-exchange.github.io/docs/v5/market/recent-trade.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from marketdata.bybit.constants import BUY, EARLIEST_MS, SELL, TRADE_TOPIC
from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.records import Parsed, Reject, TradeRecord
from marketdata.bybit.values import (
    MISSING,
    Sign,
    checked_ms,
    decimal_from,
    flag_from,
    integer_from,
    integer_from_digits,
    latest_plausible_ms,
    malformed,
    raw_text,
    time_from_ms,
    topic_symbol,
    trade_id_from,
)


class TradeFields(NamedTuple):
    """What a source calls the fields of a trade, and how it writes integers."""

    time: str
    symbol: str
    trade_id: str
    side: str
    price: str
    size: str
    block: str
    rpi: str
    sequence: str
    integer: Callable[[object, str], int]


STREAM: Final = TradeFields("T", "s", "i", "S", "p", "v", "BT", "RPI", "seq", integer_from)
REST: Final = TradeFields(
    "time", "symbol", "execId", "side", "price", "size", "isBlockTrade", "isRPITrade", "seq",
    integer_from_digits,
)  # fmt: skip


def parse_trade_frame(message: object, received_at: datetime, digits: int) -> Parsed[TradeRecord]:
    """The trades of one `publicTrade.{symbol}` frame, in its order.

    Raises MalformedMessage when the frame as a whole cannot be read.
    """
    frame, symbol = topic_symbol(message, TRADE_TOPIC)
    rows = frame.get("data", MISSING)
    if type(rows) is not list:
        problem = "is missing" if rows is MISSING else "is not a list"
        raise malformed("data", problem, rows)
    return parse_trade_rows(rows, STREAM, symbol, frame["topic"], received_at, digits)


def parse_trade_rows(
    rows: Sequence[Any],
    fields: TradeFields,
    symbol: str,
    topic: str,
    received_at: datetime,
    digits: int,
) -> Parsed[TradeRecord]:
    """The trades of `symbol` among `rows`, in their order, and the rows that are none."""
    # Local names, and one conversion per distinct time: this loop runs for every trade.
    f_time, f_symbol, f_id, f_side, f_price, f_size, f_block, f_rpi, f_sequence, integer = fields
    latest_ms = latest_plausible_ms(received_at)
    positive = Sign.POSITIVE
    records: list[TradeRecord] = []
    rejects: list[Reject] = []
    last_ms, last_time = EARLIEST_MS, time_from_ms(EARLIEST_MS)

    for row in rows:
        try:
            if type(row) is not dict:
                raise malformed("row", "is not an object", row)
            get = row.get
            if get(f_symbol, MISSING) != symbol:
                raise malformed(f_symbol, "is not the topic's symbol", get(f_symbol))
            milliseconds = integer(get(f_time, MISSING), f_time)
            if milliseconds != last_ms:
                last_time = time_from_ms(checked_ms(milliseconds, f_time, latest_ms))
                last_ms = milliseconds
            side = get(f_side, MISSING)
            if side != BUY and side != SELL:
                raise malformed(f_side, "is neither Buy nor Sell", side)
            sequence = get(f_sequence, "")
            record = TradeRecord(
                symbol,
                last_time,
                received_at,
                trade_id_from(get(f_id, MISSING), f_id),
                side,
                decimal_from(get(f_price, MISSING), f_price, digits, positive),
                decimal_from(get(f_size, MISSING), f_size, digits, positive),
                flag_from(get(f_block, MISSING), f_block),
                # The last two came later than the others, and some sources lack them.
                flag_from(get(f_rpi, False), f_rpi),
                None if sequence == "" else integer(sequence, f_sequence),
            )
        except MalformedMessage as error:
            rejects.append(Reject(topic, error.reason, raw_text(row)))
        else:
            records.append(record)
    return Parsed(records, rejects)
