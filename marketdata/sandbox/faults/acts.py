"""Acts: what the sandbox does to its clients at moments of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from marketdata.sandbox.connections import Connection
from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.faults.book import Armed
from marketdata.sandbox.faults.frames import target_of
from marketdata.sandbox.faults.orders import FaultOrder
from marketdata.sandbox.faults.table import CONNECTIONS
from marketdata.sandbox.wire import Row, trade_topic

Hit = dict[str, Any]


class Market(Protocol):
    """Where trades come from."""

    def trades(self, symbol: str, count: int, now_ms: int) -> list[Row]: ...


class Door(Protocol):
    """The port."""

    async def open(self) -> None: ...
    async def shut(self) -> None: ...


class Acts:
    """The acts of one exchange, each a task from when it is ordered until it is over."""

    def __init__(self, exchange: Exchange, market: Market, door: Door) -> None:
        self._exchange, self._market, self._door = exchange, market, door
        self._book = exchange.faults
        self._tasks: dict[Armed, asyncio.Task[None]] = {}
        self._shut_by: set[Armed] = set()
        self._acts: dict[str, Callable[[Armed], Coroutine[Any, Any, Hit | None]]] = {
            "close": self._end,
            "reset": self._end,
            "fin": self._end,
            "freeze": self._freeze,
            "refuse": self._refuse,
            "private_drop": self._private_drop,
            "public_drop": self._public_drop,
            "burst": self._burst,
            "replay": self._replay,
        }

    async def order(self, order: FaultOrder) -> Armed:
        """Switch a fault on; an act that is to happen at once has happened when this returns.

        Raises ValueError for an account, a symbol or a topic that does not exist.
        """
        self._check(order)
        armed = self._book.arm(order)
        if order.is_act:
            tried = asyncio.Event()
            task = asyncio.create_task(self._run(armed, tried))
            self._tasks[armed] = task
            task.add_done_callback(lambda _: self._tasks.pop(armed, None))
            if not order.values.get("after"):
                await tried.wait()
        return armed

    async def clear(self, name: str = "", number: int = 0) -> int:
        """End faults that are on: all, those of a name, or the one of a number; how many."""
        ended = [
            armed
            for armed in self._book.active()
            if name in ("", armed.order.name) and number in (0, armed.number)
        ]
        tasks = [self._tasks[armed] for armed in ended if armed in self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for armed in ended:
            self._book.disarm(armed)
        return len(ended)

    def _check(self, order: FaultOrder) -> None:
        values = order.values
        if (symbol := values.get("symbol")) and symbol not in self._exchange.instruments:
            raise ValueError(f"There is no symbol {symbol!r}.")
        if account := values.get("account"):
            self._exchange.audience.check_account(account)
        if topic := values.get("topic"):
            self._check_topic(topic)

    def _check_topic(self, topic: str) -> None:
        """A topic, or the kind before its symbol."""
        known = self._exchange.topics | self._exchange.private_topics
        kinds = {one.partition(".")[0] for one in known}
        if topic not in known | kinds:
            raise ValueError(f"There is no topic {topic!r}; there are {', '.join(sorted(kinds))}.")

    async def _run(self, armed: Armed, tried: asyncio.Event) -> None:
        values = armed.values
        try:
            await asyncio.sleep(values.get("after", 0))
            while True:
                await self._once(armed, tried)
                if "every" not in values or armed.is_spent:
                    return
                await asyncio.sleep(values["every"] * self._book.draw.uniform(0.5, 1.5))
        finally:
            self._book.disarm(armed)
            tried.set()

    async def _once(self, armed: Armed, tried: asyncio.Event) -> None:
        try:
            hit = await self._acts[armed.order.name](armed)
            if hit is None:
                armed.missed += 1
            else:
                self._book.happened(armed, hit)
            tried.set()
            if hit is not None and "seconds" in armed.values:
                await asyncio.sleep(armed.values["seconds"])
        finally:
            await self._undo(armed)

    async def _undo(self, armed: Armed) -> None:
        """End what an act began; nothing when it began nothing."""
        armed.works = False
        if armed.order.name == "refuse":
            self._shut_by.discard(armed)
            if not self._shut_by:
                await self._door.open()
        elif armed.order.name == "freeze":
            for connection in self._exchange.audience.connections.values():
                connection.thaw(armed.number)

    # --- acts --------------------------------------------------------------------------------

    async def _end(self, armed: Armed) -> Hit | None:
        return await self._cut(self._chosen(armed), armed.order.name)

    async def _cut(self, connections: list[Connection], how: str) -> Hit | None:
        await asyncio.gather(*(connection.end(how) for connection in connections))
        return _numbers(connections)

    async def _freeze(self, armed: Armed) -> Hit | None:
        chosen = self._chosen(armed)
        for connection in chosen:
            connection.freeze(armed.number)
        return _numbers(chosen)

    async def _refuse(self, armed: Armed) -> Hit | None:
        self._shut_by.add(armed)
        await self._door.shut()
        return {}

    async def _private_drop(self, armed: Armed) -> Hit | None:
        armed.works = True
        return await self._cut(self._chosen(armed, channel="private"), "reset") or {}

    async def _public_drop(self, armed: Armed) -> Hit | None:
        symbol = self._symbol(armed)
        if not self._exchange.audience.has_readers(trade_topic(symbol)):
            return None
        hit = await self._cut(self._chosen(armed, channel="public"), "reset")
        return (hit or {}) | self._trade(symbol, armed)

    async def _burst(self, armed: Armed) -> Hit | None:
        return self._trade(self._symbol(armed), armed)

    async def _replay(self, armed: Armed) -> Hit | None:
        order, count = armed.order, armed.values["frames"]

        def replay(connection: Connection) -> int:
            account = connection.account
            return connection.replay(count, lambda topic: order.concerns(target_of(topic, account)))

        sent = sum(map(replay, self._exchange.audience.connections.values()))
        return {"frames": sent} if sent else None

    def _trade(self, symbol: str, armed: Armed) -> Hit:
        """One match."""
        count = armed.values["trades"]
        rows = self._market.trades(symbol, count, self._exchange.clock())
        self._exchange.publish_trades(symbol, rows)
        return {"symbol": symbol, "trades": count}

    def _symbol(self, armed: Armed) -> str:
        return str(armed.values.get("symbol") or next(iter(self._exchange.instruments)))

    def _chosen(self, armed: Armed, **must: str) -> list[Connection]:
        """The open connections that an act is about, of a channel if need be."""

        given = {name: armed.values[name] for name in CONNECTIONS if name in armed.values}
        wanted = (given | must).items()
        return [
            one
            for one in self._exchange.audience.connections.values()
            if one.is_open and wanted <= {"channel": one.channel, "account": one.account}.items()
        ]


def _numbers(connections: list[Connection]) -> Hit | None:
    return {"connections": [one.number for one in connections]} if connections else None
