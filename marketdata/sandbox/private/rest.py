"""The private endpoints of the REST API that only read.

Sources: the V5 pages of each endpoint.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Any

from aiohttp import web

from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.private.api_key import key_answer
from marketdata.sandbox.private.desk import Desk
from marketdata.sandbox.private.gate import Answer, Gate, Reply
from marketdata.sandbox.private.history import Entry
from marketdata.sandbox.private.lists import (
    DAY_MS,
    END,
    Rules,
    cursor,
    leg_page,
    linear,
    listed,
    matching,
    one_of,
    page,
)
from marketdata.sandbox.private.rest_rows import rest_position
from marketdata.sandbox.private.rows import position_row
from marketdata.sandbox.rest import ParameterError, Query, number

READS_PER_SECOND, TRANSACTIONS_PER_SECOND = 50, 25
RECENTLY_CLOSED = 500
UNIFIED_ONLY = "accountType only support UNIFIED."

EXECUTIONS = Rules(default=50, most=100, filters={"symbol": "symbol", "execType": "kind"})
HISTORY = Rules(default=20, most=50, filters={"symbol": "symbol", "orderStatus": "kind"})
CLOSED = Rules(default=50, most=100, filters={"symbol": "symbol"}, by_order=False)
TRANSACTIONS = Rules(default=20, most=50, usual_ms=DAY_MS, filters={"type": "kind"}, by_order=False)

Read = Callable[[Desk, Query], dict[str, Any]]


class AccountEndpoints:
    """What an exchange answers an account about itself."""

    def __init__(self, exchange: Exchange, gate: Gate) -> None:
        self._exchange = exchange
        self._gate = gate

    def routes(self) -> list[web.AbstractRouteDef]:
        """The endpoints."""
        reads: dict[str, Read] = {
            "/v5/execution/list": self.executions,
            "/v5/order/history": self.order_history,
            "/v5/order/realtime": self.open_orders,
            "/v5/position/list": self.positions,
            "/v5/position/closed-pnl": self.closed_profits,
            "/v5/account/wallet-balance": self.wallet,
            "/v5/user/query-api": self.key,
        }
        log = self._gate.endpoint(_read(self.transactions), limit=TRANSACTIONS_PER_SECOND)
        return [
            *(
                web.get(path, self._gate.endpoint(_read(read), limit=READS_PER_SECOND))
                for path, read in reads.items()
            ),
            web.get("/v5/account/transaction-log", log),
        ]

    def executions(self, desk: Desk, query: Query) -> dict[str, Any]:
        """Executions of seven days at most."""
        linear(query)
        return page(desk.executions, query, EXECUTIONS, self._exchange.clock())

    def order_history(self, desk: Desk, query: Query) -> dict[str, Any]:
        """Orders that are over, in their last state; without fills for a day, then no more."""
        linear(query)
        now = self._exchange.clock()
        return page(
            desk.orders,
            query,
            HISTORY,
            now,
            lambda one: one.is_final and (one.is_filled or one.updated > now - DAY_MS),
        )

    def closed_profits(self, desk: Desk, query: Query) -> dict[str, Any]:
        """What orders closed."""
        linear(query)
        return page(desk.closed_profits, query, CLOSED, self._exchange.clock())

    def transactions(self, desk: Desk, query: Query) -> dict[str, Any]:
        """Every change of the wallet; of the last day unless asked otherwise."""
        if query.get("accountType", "UNIFIED") != "UNIFIED":
            raise ParameterError(UNIFIED_ONLY)
        answer = page(desk.transactions, query, TRANSACTIONS, self._exchange.clock())
        return {name: value for name, value in answer.items() if name != "category"}

    def open_orders(self, desk: Desk, query: Query) -> dict[str, Any]:
        """Orders that are open; with openOnly 1 those that were over not long ago."""
        linear(query)
        limit = number(query, "limit", default=20, least=1, most=50)
        only = number(query, "openOnly", default=0, least=0, most=2)
        before = cursor(query)
        if not any(query.get(name) for name in ("orderId", "orderLinkId")):
            one_of(query, "symbol", "baseCoin", "settleCoin")
            everything = desk.orders.newest_first(0, END)
            either = (one for one in everything if one.is_final == bool(only))
            recent = islice(either, RECENTLY_CLOSED if only else None)
            entries = matching(recent, query, {"symbol": "symbol"})
            entries = (one for one in entries if self._is_of_coins(one, query))
        else:
            entries = matching(desk.orders.newest_first(0, END), query, {})
        later = (one for one in entries if before is None or one.place < before)
        return listed(later, limit)

    def positions(self, desk: Desk, query: Query) -> dict[str, Any]:
        """Legs in pages: flat ones, too, of one symbol, only those with a size of a coin."""
        linear(query)
        one_of(query, "symbol", "settleCoin")
        limit = number(query, "limit", default=20, least=1, most=200)
        symbol = query.get("symbol", "")
        if symbol and symbol not in self._exchange.instruments:
            raise ParameterError("params error: symbol invalid")
        legs = desk.account.legs_of(symbol) if symbol else desk.account.held()
        if not symbol and query["settleCoin"] != "USDT":
            legs = []
        legs, following = leg_page(legs, query, limit)
        rows = [rest_position(position_row(leg, self._exchange.mark(leg.symbol))) for leg in legs]
        return {"category": "linear", "list": rows, "nextPageCursor": following}

    def _is_of_coins(self, order: Entry, query: Query) -> bool:
        """Whether it is an order of the base and the settlement coin that are asked for."""
        if query.get("settleCoin", "") not in ("", "USDT"):
            return False
        one = self._exchange.instruments.get(order.symbol)
        base = query.get("baseCoin", "")
        return not base or (one is not None and one.base_coin == base)

    def wallet(self, desk: Desk, query: Query) -> dict[str, Any]:
        """The wallet of a unified account."""
        if query.get("accountType") != "UNIFIED":
            raise ParameterError(UNIFIED_ONLY)
        row = desk.pushes.wallet()
        if coins := query.get("coin", ""):
            row["coin"] = [coin for coin in row["coin"] if coin["coin"] in coins.split(",")]
        return {"list": [row]}

    def key(self, desk: Desk, query: Query) -> dict[str, Any]:
        """What the key may do."""
        return key_answer(desk)


def _read(read: Read) -> Answer:
    return lambda desk, asked: Reply(read(desk, asked.query))
