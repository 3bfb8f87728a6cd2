"""Orders and fills of a symbol, as they lie on the chart of its price."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from itertools import groupby
from typing import Any, NamedTuple

from django.db import models

from marketdata.bybit.executions import FILL_TYPES
from marketdata.dashboard.window import Window

Rows = models.QuerySet[Any]
# The newest of an account; older ones are in the lists.
MOST = 2_000
# Statuses in which an order waits in the book (V5, enum "orderStatus"); in others it is over.
WAITING = frozenset({"New", "PartiallyFilled", "Untriggered"})


class Rest(NamedTuple):
    """An order, from its placing to its end, or to the window's while it waits."""

    key: int
    side: str
    price: Decimal
    qty: Decimal
    status: str
    start: datetime
    end: datetime
    waits: bool


class Fill(NamedTuple):
    """An execution that changed a position."""

    key: int
    at: datetime
    symbol: str
    side: str
    price: Decimal
    qty: Decimal
    pnl: Decimal | None
    is_maker: bool | None


class State(NamedTuple):
    """What is read of an order's state."""

    order_id: str
    at: datetime
    key: int
    symbol: str
    side: str
    price: Decimal
    qty: Decimal
    status: str
    created_at: datetime | None


def fills(executions: Rows, window: Window) -> list[Fill]:
    """The account's fills in the window, the newest first, at most the newest `MOST` executions."""
    columns = (
        "pk",
        "exchange_ts",
        "symbol",
        "side",
        "exec_price",
        "exec_qty",
        "exec_pnl",
        "is_maker",
    )
    newest = executions.filter(exchange_ts__gte=window.start, exchange_ts__lte=window.end)
    rows = newest.order_by("-exchange_ts", "-pk").values_list(*columns, "exec_type")[:MOST]
    return [Fill(*row[:-1]) for row in rows if row[-1] in FILL_TYPES]


def states(orders: Rows, window: Window) -> list[State]:
    """The newest `MOST` states of the account's orders up to the window's end, the newest first."""
    columns = (
        "order_id",
        "exchange_ts",
        "pk",
        "symbol",
        "side",
        "price",
        "qty",
        "status",
        "created_at",
    )
    rows = orders.filter(exchange_ts__lte=window.end).order_by("-exchange_ts", "-pk")
    return [State(*row) for row in rows.values_list(*columns)[:MOST]]


def rests(found: Iterable[State], window: Window) -> list[Rest]:
    """The orders with a price that were in the book during the window, by time of placing."""
    by_order = sorted(found, key=lambda state: (state.order_id, state.at, state.key))
    placed = [
        _rest(list(of), window) for _, of in groupby(by_order, key=lambda each: each.order_id)
    ]
    return sorted((rest for rest in placed if rest.price and rest.end >= window.start), key=_start)


def _rest(history: list[State], window: Window) -> Rest:
    last = history[-1]
    waits = last.status in WAITING
    start = min(last.created_at or history[0].at, history[0].at)
    end = window.end if waits else last.at
    return Rest(last.key, last.side, last.price, last.qty, last.status, start, end, waits)


def _start(rest: Rest) -> datetime:
    return rest.start


def symbols(fills: Iterable[Fill], orders: Iterable[State]) -> Iterator[str]:
    """Those that were traded, the last traded first, each once."""
    yield from dict.fromkeys([*(fill.symbol for fill in fills), *(each.symbol for each in orders)])
