"""The private endpoints that change something: orders, one by one and in batches, and settings.

Sources: V5 "Trade" and "Position" pages. A batch is answered with retCode 0 whatever became of its
orders: `retExtInfo.list` says so of each, in the order of the request; those beyond the rate limit
fail one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiohttp import web

from marketdata.sandbox.faults.book import FaultBook
from marketdata.sandbox.private.desk import Desk
from marketdata.sandbox.private.gate import Asked, Gate, Reply
from marketdata.sandbox.private.refusals import Refused, refused_with, wrong
from marketdata.sandbox.private.trading import Trader

ORDERS_PER_SECOND = 10
MAX_BATCH = 20

Body = Mapping[str, Any]
Action = Callable[[Trader, Body], dict[str, Any]]

ACTIONS: dict[str, Action] = {
    "/v5/order/create": Trader.create,
    "/v5/order/amend": Trader.amend,
    "/v5/order/cancel": Trader.cancel,
    "/v5/order/cancel-all": Trader.cancel_all,
    "/v5/position/switch-mode": Trader.switch_mode,
    "/v5/position/set-leverage": Trader.set_leverage,
}
BATCHES: dict[str, Action] = {
    "/v5/order/create-batch": Trader.create,
    "/v5/order/amend-batch": Trader.amend,
    "/v5/order/cancel-batch": Trader.cancel,
}


def order_routes(gate: Gate, faults: FaultBook) -> list[web.AbstractRouteDef]:
    """The endpoints; each has a budget of requests of its own, and of orders in batches."""
    limit = ORDERS_PER_SECOND
    single = [
        web.post(path, gate.endpoint(_single(action), limit=limit, trades=True))
        for path, action in ACTIONS.items()
    ]
    batches = [
        web.post(
            path, gate.endpoint(_batch(path, faults), limit=limit, trades=True, weight=_weight)
        )
        for path in BATCHES
    ]
    return [*single, *batches]


def _single(action: Action) -> Callable[[Desk, Asked], Reply]:
    return lambda desk, asked: Reply(action(desk.trader, asked.body))


def _batch(path: str, faults: FaultBook) -> Callable[[Desk, Asked], Reply]:
    action, creates = BATCHES[path], path.endswith("create-batch")

    def answer(desk: Desk, asked: Asked) -> Reply:
        rows: list[dict[str, Any]] = []
        codes: list[dict[str, Any]] = []
        category = asked.body.get("category")
        for number, order in enumerate(_orders(asked.body)):
            ids, code, message = {"orderId": "", "orderLinkId": ""}, 0, "OK"
            try:
                if number >= asked.granted:
                    raise Refused(10006)
                if not isinstance(order, dict):
                    raise wrong("request")
                target = {"path": path, "account": desk.name, "symbol": _text(order, "symbol")}
                if armed := faults.fires("batch_refusal", **target):
                    raise refused_with(armed.values["code"])
                ids = action(desk.trader, {**order, "category": category})
            except Refused as exc:
                code, message = exc.code, str(exc)
            rows.append(_row(category, order, ids, desk.now(), creates=creates, failed=bool(code)))
            codes.append({"code": code, "msg": message})
        return Reply({"list": rows}, {"list": codes})

    return answer


def _row(
    category: Any, order: Any, ids: Body, now_ms: int, *, creates: bool, failed: bool
) -> dict[str, Any]:
    asked = order if isinstance(order, dict) else {}
    row = {
        "category": category,
        "symbol": _text(asked, "symbol"),
        "orderId": ids["orderId"],
        "orderLinkId": ids["orderLinkId"] or _text(asked, "orderLinkId"),
    }
    return row | ({"createAt": "" if failed else str(now_ms)} if creates else {})


def _text(order: Body, name: str) -> str:
    # Whatever else stands there may lie too deep to be written again.
    value = order.get(name)
    return value if isinstance(value, str) else ""


def _orders(body: Body) -> Sequence[Any]:
    orders = body.get("request")
    if not isinstance(orders, list) or not 1 <= len(orders) <= MAX_BATCH:
        raise wrong("request")
    if body.get("category") != "linear":
        raise Refused(10001, "params error: Category is invalid")
    return orders


def _weight(body: Body) -> int:
    orders = body.get("request")
    return len(orders) if isinstance(orders, list) else 1
