"""Positions, from the stream and from REST: each row one leg, known by `positionIdx`.

A flat leg has side "" (older accounts "None"), and its prices are "" or "0". The stream calls
the entry price `entryPrice`, REST `avgPrice`. A row's own times are those of the position, not
of this state: the state's time is the envelope's.
Sources: https://bybit-exchange.github.io/docs/v5/websocket/private/position and
https://bybit-exchange.github.io/docs/v5/position.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from marketdata.bybit.constants import BUY, SELL
from marketdata.bybit.digest import with_digest
from marketdata.bybit.orders import leg_from
from marketdata.bybit.private import Row, Source, parse_rows
from marketdata.bybit.records import Parsed, PositionRecord
from marketdata.bybit.values import MISSING, Sign, malformed, symbol_from

SIDES: Final = {BUY: BUY, SELL: SELL, "": "", "None": ""}


def parse_position_rows(
    rows: Sequence[Any], source: Source, time_field: str
) -> Parsed[PositionRecord]:
    """The linear legs among `rows`, in their order, and the rows that are none.

    Raises MalformedMessage when the envelope's time, `time_field`, cannot be read.
    """
    sent_at = source.sent_at(time_field)

    def read_leg(row: dict[str, Any], source: Source) -> PositionRecord:
        read = Row(row, source)
        entry_field = "entryPrice" if "entryPrice" in row else "avgPrice"
        record = PositionRecord(
            exchange_ts=sent_at,
            local_ts=source.received_at,
            raw_json=row,
            symbol=symbol_from(row.get("symbol", MISSING)),
            position_idx=leg_from(read),
            digest="",
            side=_side(row.get("side", MISSING)),
            size=read.number("size", Sign.NOT_NEGATIVE),
            entry_price=read.optional(entry_field, Sign.NOT_NEGATIVE),
            mark_price=read.optional("markPrice", Sign.NOT_NEGATIVE),
            liq_price=read.optional("liqPrice"),
            leverage=read.optional("leverage", Sign.NOT_NEGATIVE),
            position_value=read.optional("positionValue"),
            initial_margin=read.optional("positionIM"),
            maintenance_margin=read.optional("positionMM"),
            unrealised_pnl=read.optional("unrealisedPnl"),
            cur_realised_pnl=read.optional("curRealisedPnl"),
            cum_realised_pnl=read.optional("cumRealisedPnl"),
        )
        return with_digest(record)

    return parse_rows(rows, source, read_leg)


def _side(value: object) -> str:
    side = SIDES.get(value) if isinstance(value, str) else None
    if side is None:
        raise malformed("side", "is neither Buy nor Sell nor empty", value)
    return side
