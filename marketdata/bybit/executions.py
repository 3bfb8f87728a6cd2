"""Executions, from the stream and from REST: fills, funding, liquidation, settlement.

`execPnl`, what a fill realised before fees, comes with the stream alone; REST rows leave it
empty, which is not zero. No execution names its leg: in hedge mode it follows from the side and
from whether a position was reduced.
Sources: https://bybit-exchange.github.io/docs/v5/websocket/private/execution and
https://bybit-exchange.github.io/docs/v5/order/execution.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from marketdata.bybit.constants import BUY, EXECUTION, SELL
from marketdata.bybit.private import Row, Source, parse_rows
from marketdata.bybit.records import ExecutionRecord, Parsed
from marketdata.bybit.values import MISSING, Sign, flag_from, id_from, malformed, symbol_from

LIMIT: Final = "Limit"
TRADE: Final = "Trade"
# Those that change a position's size by this row's quantity.
FILL_TYPES: Final = frozenset({TRADE, "AdlTrade", "BustTrade", "BlockTrade", "Delivery", "Settle"})
EXEC_TYPES: Final = FILL_TYPES | {"Funding", "MovePosition", "FutureSpread", "CorporateAction"}
ORDER_TYPES: Final = frozenset({LIMIT, "Market", "UNKNOWN"})


def parse_execution_rows(rows: Sequence[Any], source: Source) -> Parsed[ExecutionRecord]:
    """The linear executions among `rows`, in their order, and the rows that are none."""
    return parse_rows(rows, source, execution_from)


def execution_from(row: dict[str, Any], source: Source) -> ExecutionRecord:
    """One execution. Raises MalformedMessage."""
    read = Row(row, source)
    side = side_from(read)
    exec_type = read.word("execType")
    order_type = read.word("orderType", 16)
    closed_size = read.optional("closedSize", Sign.NOT_NEGATIVE)
    is_maker = row.get("isMaker")
    record = ExecutionRecord(
        exchange_ts=read.time("execTime"),
        local_ts=source.received_at,
        raw_json=row,
        symbol=symbol_from(row.get("symbol", MISSING)),
        exec_id=id_from(row.get("execId", MISSING), "execId"),
        order_id=id_from(row.get("orderId", MISSING), "orderId"),
        order_link_id=optional_id(read, "orderLinkId"),
        side=side,
        exec_type=exec_type,
        order_type=order_type,
        exec_price=read.number("execPrice", Sign.NOT_NEGATIVE),
        exec_qty=read.number("execQty", Sign.NOT_NEGATIVE),
        exec_fee=read.number("execFee"),
        fee_currency=read.optional_word("feeCurrency", 32),
        exec_pnl=read.optional("execPnl"),
        closed_pnl=read.optional("closedPnl"),
        closed_size=closed_size,
        leaves_qty=read.optional("leavesQty", Sign.NOT_NEGATIVE),
        is_maker=None if is_maker is None else flag_from(is_maker, "isMaker"),
        position_idx=leg_of(exec_type, side, closed_size, hedge_mode=source.hedge_mode),
    )
    # Only of a row that is sound: a word in a refused one is no news.
    source.known(f"{EXECUTION} execType", exec_type, EXEC_TYPES)
    source.known(f"{EXECUTION} orderType", order_type, ORDER_TYPES)
    return record


def leg_of(
    exec_type: str, side: str, closed_size: Decimal | None, *, hedge_mode: bool
) -> int | None:
    """The leg that a fill belongs to: 0 one-way, 1 long, 2 short; None for what is no fill."""
    if exec_type not in FILL_TYPES:
        return None
    if not hedge_mode:
        return 0
    opens = not closed_size
    return 1 if opens == (side == BUY) else 2


def side_from(read: Row) -> str:
    """Buy or Sell."""
    side = read.get("side", MISSING)
    if side == BUY:
        return BUY
    if side == SELL:
        return SELL
    raise malformed("side", "is neither Buy nor Sell", side)


def optional_id(read: Row, name: str) -> str:
    """An id that may be empty, null or absent."""
    value = read.get(name)
    return "" if value is None or value == "" else id_from(value, name)
