"""What switches faults on and off, for the sandbox's own endpoints and for tests."""

from __future__ import annotations

from typing import Any

from marketdata.sandbox.faults.acts import Acts
from marketdata.sandbox.faults.book import FaultBook
from marketdata.sandbox.faults.orders import read_order

Body = dict[str, Any]


class FaultSwitches:
    """The faults of a sandbox, switched on and off by name."""

    def __init__(self, book: FaultBook, acts: Acts) -> None:
        self._book, self._acts = book, acts

    async def add(self, body: Body) -> Body:
        """Switch a fault on; its status. Raises ValueError."""
        values = {name: value for name, value in body.items() if name != "name"}
        armed = await self._acts.order(read_order(body.get("name"), values))
        return armed.status()

    async def end(self, body: Body) -> Body:
        """Switch faults off: all, those of a name, or the one of a number; how many were on."""
        name, number = body.get("name", ""), body.get("number", 0)
        if not (isinstance(name, str) and type(number) is int):
            raise ValueError("name is a string, and number a whole number.")
        return {"ended": await self._acts.clear(name, number)}

    async def status(self, body: Body) -> Body:
        """What is on, and how often each fault has fired since the beginning."""
        return self._book.status()

    async def log(self, body: Body) -> Body:
        """Each firing, oldest first."""
        return {"log": list(self._book.log)}
