"""What an account's streams say about what happened to it: outcomes in, frames out.

As on the exchange, execution and order come first and share an id, positions and wallet follow a
millisecond later; every event of an order pushes all legs of its symbol, changed or not.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable
from decimal import Decimal

from marketdata.sandbox.private.book import Account, Outcome
from marketdata.sandbox.private.rows import (
    fill_row,
    funding_row,
    order_row,
    position_row,
    wallet_row,
)
from marketdata.sandbox.private.statements import ClosedProfits
from marketdata.sandbox.private.wire import EXECUTION, ORDER, POSITION, WALLET, Frame
from marketdata.sandbox.wire import Row

Marks = Callable[[str], Decimal]

# Both sides of a match may be accounts of ours: then they share the id of the execution.
SHARED_EVERY = 20


class Identifiers:
    """The ids of one account's orders and executions; the same seed gives the same ones."""

    def __init__(self, name: str, seed: int) -> None:
        self._seed = seed
        self._draw = random.Random(f"{seed}/ids/{name}")  # noqa: S311
        self._filled: dict[str, int] = {}

    def new(self) -> str:
        """The id of an order, or of an execution that is no fill."""
        return str(uuid.UUID(int=self._draw.getrandbits(128), version=4))

    def of_fill(self, symbol: str) -> str:
        """The id of a fill."""
        count = self._filled[symbol] = self._filled.get(symbol, 0) + 1
        if count % SHARED_EVERY:
            return self.new()
        return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self._seed}/{symbol}/{count}"))


class Pushes:
    """Makes an account's frames; what its orders closed is put down in `closed`."""

    def __init__(
        self, account: Account, marks: Marks, ids: Identifiers, closed: ClosedProfits, *, uid: int
    ) -> None:
        self._account = account
        self._marks = marks
        self._ids = ids
        self._closed = closed
        self._uid = uid

    def frames(self, outcome: Outcome) -> list[Frame]:
        """All frames of an event, in the usual order."""
        ms, frames = outcome.updated_ms + 1, []
        if executions := self._executions(outcome):
            frames.append(self.frame(EXECUTION, outcome, executions))
        if outcome.orders:
            frames.append(self.frame(ORDER, outcome, list(map(order_row, outcome.orders))))
        for order in outcome.orders:
            if not order.is_open and order.closing:
                self._closed.add(order, self._account.leg(order).leverage)
        frames.append(self._frame(POSITION, ms + 1, self._legs(outcome.symbol)))
        frames.append(self._frame(WALLET, ms + 1, [self.wallet()]))
        return frames

    def frame(self, topic: str, outcome: Outcome, rows: list[Row]) -> Frame:
        """A frame of executions or orders."""
        frame_id = f"{self._uid}_{outcome.symbol}_{outcome.seq}"
        return Frame(topic=topic, id=frame_id, creation_time=outcome.updated_ms + 1, rows=rows)

    def wallet(self) -> Row:
        """The wallet as it is now."""
        held = {leg.symbol for leg in self._account.held()}
        return wallet_row(self._account, {symbol: self._marks(symbol) for symbol in held})

    def _executions(self, outcome: Outcome) -> list[Row]:
        mark, ids, ms = self._marks(outcome.symbol), self._ids, outcome.executed_ms
        return [
            *(
                fill_row(
                    one, exec_id=ids.of_fill(outcome.symbol), mark=mark, time_ms=ms, seq=outcome.seq
                )
                for one in outcome.executions
            ),
            *(
                funding_row(one, order_id=ids.new(), exec_id=ids.new(), time_ms=ms, seq=outcome.seq)
                for one in outcome.funding
            ),
        ]

    def _legs(self, symbol: str) -> list[Row]:
        mark = self._marks(symbol)
        return [position_row(leg, mark) for leg in self._account.legs_of(symbol)]

    def _frame(self, topic: str, ms: int, rows: list[Row]) -> Frame:
        return Frame(topic=topic, id=f"{self._uid}_{topic}_{ms}", creation_time=ms, rows=rows)
