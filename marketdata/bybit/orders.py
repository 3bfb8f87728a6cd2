"""Orders, from the stream and from REST: each row one state of an order.

A market order's price is "0" or its limit; "no average price" is written "", "0" or null.
Sources: https://bybit-exchange.github.io/docs/v5/websocket/private/order,
https://bybit-exchange.github.io/docs/v5/order/order-list and …/open-order.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from marketdata.bybit.constants import ORDER
from marketdata.bybit.executions import ORDER_TYPES, optional_id, side_from
from marketdata.bybit.private import Row, Source, parse_rows
from marketdata.bybit.records import OrderRecord, Parsed
from marketdata.bybit.values import (
    MISSING,
    Sign,
    flag_from,
    id_from,
    integer_from,
    malformed,
    optional_decimal_from,
    symbol_from,
)

OPEN_STATUSES: Final = frozenset({"New", "PartiallyFilled", "Untriggered"})
CLOSED_STATUSES: Final = frozenset(
    {"Rejected", "PartiallyFilledCanceled", "Filled", "Cancelled", "Triggered", "Deactivated"}
)
STATUSES: Final = OPEN_STATUSES | CLOSED_STATUSES
LEGS: Final = (0, 1, 2)


def parse_order_rows(rows: Sequence[Any], source: Source) -> Parsed[OrderRecord]:
    """The linear orders among `rows`, in their order, and the rows that are none."""
    return parse_rows(rows, source, order_from)


def order_from(row: dict[str, Any], source: Source) -> OrderRecord:
    """One state of an order. Raises MalformedMessage."""
    read = Row(row, source)
    status = read.word("orderStatus")
    order_type = read.word("orderType", 16)
    record = OrderRecord(
        exchange_ts=read.time("updatedTime"),
        local_ts=source.received_at,
        raw_json=row,
        symbol=symbol_from(row.get("symbol", MISSING)),
        order_id=id_from(row.get("orderId", MISSING), "orderId"),
        order_link_id=optional_id(read, "orderLinkId"),
        side=side_from(read),
        status=status,
        order_type=order_type,
        time_in_force=read.optional_word("timeInForce", 16),
        price=read.number("price", Sign.NOT_NEGATIVE),
        qty=read.number("qty", Sign.NOT_NEGATIVE),
        leaves_qty=read.optional("leavesQty", Sign.NOT_NEGATIVE),
        cum_exec_qty=read.number("cumExecQty", Sign.NOT_NEGATIVE),
        cum_exec_value=read.optional("cumExecValue"),
        cum_exec_fee=_cum_exec_fee(read),
        avg_price=read.optional("avgPrice", Sign.NOT_NEGATIVE),
        closed_pnl=read.optional("closedPnl"),
        reduce_only=flag_from(row.get("reduceOnly", MISSING), "reduceOnly"),
        position_idx=None if row.get("positionIdx") is None else leg_from(read),
        cancel_type=read.optional_word("cancelType", 48),
        reject_reason=read.optional_word("rejectReason", 64),
        created_at=read.optional_time("createdTime"),
    )
    # Only of a row that is sound: a word in a refused one is no news.
    source.known(f"{ORDER} orderStatus", status, STATUSES)
    source.known(f"{ORDER} orderType", order_type, ORDER_TYPES)
    return record


def leg_from(read: Row) -> int:
    """The leg: 0 one-way, 1 long, 2 short."""
    index = integer_from(read.get("positionIdx", MISSING), "positionIdx")
    if index not in LEGS:
        raise malformed("positionIdx", "is none of 0, 1 and 2", index)
    return index


def _cum_exec_fee(read: Row) -> Decimal | None:
    """The one coin's fee of `cumFeeDetail`; else `cumExecFee`, which it is to replace."""
    detail = read.get("cumFeeDetail")
    if detail is None or detail == "":
        detail = {}
    if type(detail) is not dict:
        raise malformed("cumFeeDetail", "is not an object", detail)
    cum_exec_fee = read.optional("cumExecFee")
    if len(detail) == 1:
        [amount] = detail.values()
        fee = optional_decimal_from(amount, "cumFeeDetail", read.digits)
        return cum_exec_fee if fee is None else fee
    return cum_exec_fee
