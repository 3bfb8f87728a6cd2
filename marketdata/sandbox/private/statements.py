"""The account's bookkeeping as its REST lists show it: transactions, and closed profits.

Sources: V5 "Get Transaction Log" (`change = cashFlow + funding - fee`; funding that was received
is above zero) and "Get Closed PnL" (a row for each order that closed something, after fees).
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation
from typing import Any

from marketdata.sandbox.private.book import START_BALANCE
from marketdata.sandbox.private.history import Entry, Listing, packed
from marketdata.sandbox.private.orders import Order, money
from marketdata.sandbox.private.rows import plain
from marketdata.sandbox.wire import Row

TYPES = {"Trade": "TRADE", "Funding": "SETTLEMENT"}


class Transactions(Listing):
    """Every change of the wallet."""

    def __init__(self) -> None:
        super().__init__()
        self._balance = START_BALANCE

    def add(self, rows: Iterable[Any]) -> None:
        """Book executions; what moves no money, or is none at all, is left out."""
        for row in rows:
            try:
                self._add(row)
            except (KeyError, TypeError, ValueError, InvalidOperation):
                continue

    def _add(self, row: Row) -> None:
        kind, fee, flow = TYPES[row["execType"]], Decimal(row["execFee"]), Decimal(row["execPnl"])
        funding = -fee if kind == "SETTLEMENT" else Decimal()
        paid = fee if kind == "TRADE" else Decimal()
        change = flow + funding - paid
        entry = {
            "id": row["execId"],
            "symbol": row["symbol"],
            "category": "linear",
            "side": row["side"],
            "transactionTime": row["execTime"],
            "type": kind,
            "transSubType": "",
            "qty": row["execQty"],
            "size": "",
            "currency": "USDT",
            "tradePrice": row["execPrice"],
            "funding": plain(funding),
            "fee": plain(paid),
            "cashFlow": plain(flow),
            "change": plain(change),
            "cashBalance": plain(self._balance + change),
            "feeRate": row["feeRate"],
            "bonusChange": "",
            "tradeId": row["execId"],
            "orderId": row["orderId"],
            "orderLinkId": row["orderLinkId"],
            "extraFees": "",
        }
        place = (int(row["execTime"]), self._number())
        self._balance += change
        self._insert(Entry(place, row["symbol"], row["orderId"], "", kind, packed(entry)))


class ClosedProfits(Listing):
    """Every order that has closed something and is over."""

    def __init__(self) -> None:
        super().__init__()
        self._known: set[str] = set()

    def add(self, order: Order, leverage: Decimal) -> None:
        """Remember what an order closed, once."""
        closing = order.closing
        if closing is None or order.order_id in self._known:
            return
        self._known.add(order.order_id)
        row = {
            "symbol": order.symbol,
            "orderType": order.order_type,
            "leverage": plain(leverage),
            "updatedTime": str(order.updated_ms),
            "side": order.side,
            "orderId": order.order_id,
            "closedPnl": plain(closing.pnl),
            "avgEntryPrice": plain(money(closing.entry_value / closing.qty)),
            "qty": plain(order.qty),
            "cumEntryValue": plain(closing.entry_value),
            "createdTime": str(order.created_ms),
            "orderPrice": plain(order.price),
            "closedSize": plain(closing.qty),
            "avgExitPrice": plain(money(closing.exit_value / closing.qty)),
            "execType": "Trade",
            "fillCount": str(closing.fills),
            "cumExitValue": plain(closing.exit_value),
            "openFee": plain(closing.open_fee),
            "closeFee": plain(closing.close_fee),
        }
        place = (order.updated_ms, self._number())
        for old in self._insert(Entry(place, order.symbol, order.order_id, "", "", packed(row))):
            self._known.discard(old.order_id)
