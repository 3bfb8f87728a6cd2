"""Positions, from the stream and from REST: each row one leg, known by `positionIdx`.

A flat leg has side "" (older accounts "None"), and its prices are "" or "0". The stream calls
the entry price `entryPrice`, REST `avgPrice`. A row's own times are those of the position, not
of this state: the state's time is the envelope's.
Sources: https://bybit-exchange.github.io/docs/v5/websocket/private/position and
https://bybit-exchange.github.io/docs/v5/position.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from marketdata.bybit.constants import BUY, SELL
from marketdata.bybit.digest import digest_of
from marketdata.bybit.orders import leg_from
from marketdata.bybit.private import Row, Source, parse_rows
from marketdata.bybit.records import Parsed, PositionRecord
from marketdata.bybit.values import MISSING, Sign, malformed, symbol_from

SIDES: Final = {BUY: BUY, SELL: SELL, "": "", "None": ""}


class _State(NamedTuple):
    """A leg's figures, in the order of a record's last columns."""

    side: str
    size: Decimal
    entry_price: Decimal | None
    mark_price: Decimal | None
    liq_price: Decimal | None
    leverage: Decimal | None
    position_value: Decimal | None
    initial_margin: Decimal | None
    maintenance_margin: Decimal | None
    unrealised_pnl: Decimal | None
    cur_realised_pnl: Decimal | None
    cum_realised_pnl: Decimal | None


def parse_position_rows(
    rows: Sequence[Any], source: Source, time_field: str
) -> Parsed[PositionRecord]:
    """The linear legs among `rows`, in their order, and the rows that are none.

    Raises MalformedMessage when the envelope's time, `time_field`, cannot be read.
    """
    sent_at = source.sent_at(time_field)

    def read_leg(row: dict[str, Any], source: Source) -> PositionRecord:
        read = Row(row, source)
        symbol, leg = symbol_from(row.get("symbol", MISSING)), leg_from(read)
        state = _state(read, row)
        return PositionRecord(
            sent_at, source.received_at, row, symbol, leg, digest_of(state), *state
        )

    return parse_rows(rows, source, read_leg)


def _state(read: Row, row: dict[str, Any]) -> _State:
    return _State(
        side=_side(row.get("side", MISSING)),
        size=read.number("size", Sign.NOT_NEGATIVE),
        entry_price=read.optional(
            "entryPrice" if "entryPrice" in row else "avgPrice", Sign.NOT_NEGATIVE
        ),
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


def _side(value: object) -> str:
    side = SIDES.get(value) if isinstance(value, str) else None
    if side is None:
        raise malformed("side", "is neither Buy nor Sell nor empty", value)
    return side
