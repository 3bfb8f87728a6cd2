"""A little exchange to drive the engine with: resting orders, fills, and positions in hedge mode.

It does what it is told and no more. An order rests until the price touches it and then trades at
its own price. A reduce-only order is refused unless the position holds more lots than the resting
reduce-only orders already want. Placing a link id that rests, and cancelling an order that does
not, change nothing. Quantities are whole lots.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from gridcore.engine import Intent
from gridcore.events import EventType, ExecutionEvent, TickerEvent
from gridcore.intents import DIRECTIONS, CancelIntent, PlaceLimitIntent

SYMBOL = "BTCUSDT"
LOTS = 2  # of each order, so that it can be filled in part
START = datetime(2026, 1, 2, tzinfo=UTC)


@dataclass
class Resting:
    """An order in the book."""

    order_id: str
    link_id: str
    direction: str
    side: str
    price: Decimal
    reduce_only: bool
    leaves: int = LOTS

    def row(self) -> dict[str, Any]:
        """The order as the engine wants it."""
        return {
            "orderId": self.order_id,
            "price": str(self.price),
            "side": self.side,
            "cumExecQty": str(LOTS - self.leaves),
        }


class Exchange:
    """Orders and positions of one account in one symbol; the clock advances with each event."""

    def __init__(self) -> None:
        self.position = dict.fromkeys(DIRECTIONS, 0)
        self._book: dict[str, Resting] = {}
        self._orders: dict[str, list[dict[str, Any]]] | None = None
        self._touched_by: tuple[Decimal, Decimal] | None = None
        self._ids = 0
        self._events = 0

    @property
    def orders(self) -> dict[str, list[dict[str, Any]]]:
        """The resting orders by direction, in the order of their arrival."""
        if self._orders is None:
            self._orders = {name: [] for name in DIRECTIONS}
            for each in self._book.values():
                self._orders[each.direction].append(each.row())
        return self._orders

    def state(self) -> tuple[dict[str, list[dict[str, Any]]], dict[str, int]]:
        """What two runs that did the same have in common."""
        return self.orders, dict(self.position)

    def carry_out(self, intents: Iterable[Intent]) -> set[str]:
        """Execute intents in turn; return the ids of what was refused and would be again."""
        refused: set[str] = set()
        for intent in intents:
            if isinstance(intent, CancelIntent):
                # What a cancelled order wanted of the position is there for others now.
                if self.cancel(intent.order_id):
                    refused.clear()
            elif not self.place(intent):
                refused.add(intent.client_order_id)
        return refused

    def place(self, intent: PlaceLimitIntent) -> bool:
        """Let an order rest; say whether it does."""
        if self.rests(intent.client_order_id):
            return True
        if intent.reduce_only and self._free_lots(intent.direction) < LOTS:
            return False
        self.put(
            intent.direction,
            intent.side,
            intent.price,
            link_id=intent.client_order_id,
            reduce_only=intent.reduce_only,
        )
        return True

    def rests(self, link_id: str) -> bool:
        """Say whether an order of this link id rests."""
        return any(each.link_id == link_id for each in self._book.values())

    def put(
        self,
        direction: str,
        side: str,
        price: Decimal,
        *,
        link_id: str = "by hand",
        reduce_only: bool = False,
    ) -> None:
        """Let any order rest, as somebody might by hand."""
        self._ids += 1
        order_id = str(self._ids)
        self._book[order_id] = Resting(order_id, link_id, direction, side, price, reduce_only)
        self._changed()

    def cancel(self, order_id: str) -> bool:
        """Remove an order; say whether it was there."""
        gone = self._book.pop(order_id, None) is not None
        self._changed()
        return gone

    def would_trade(self, price: Decimal) -> bool:
        """Say whether this price touches an order."""
        highest_buy, lowest_sell = self._touched()
        return not highest_buy < price < lowest_sell

    def cross(self, price: Decimal, *, partly: bool = False) -> list[ExecutionEvent]:
        """Trade the orders that this price touches, the nearest to the old price first."""
        touched = [each for each in self._book.values() if _touches(price, each)]
        touched.sort(key=lambda each: abs(each.price - price), reverse=True)
        return [self._trade(each, 1 if partly else each.leaves) for each in touched]

    def ticker(self, price: Decimal) -> TickerEvent:
        """The next event of the market."""
        now = self._now()
        return TickerEvent(EventType.TICKER, SYMBOL, now, now, last_price=price)

    def execution(self, price: Decimal, **values: Any) -> ExecutionEvent:
        """The next event of the account."""
        now = self._now()
        return ExecutionEvent(EventType.EXECUTION, SYMBOL, now, now, price=price, **values)

    def _free_lots(self, direction: str) -> int:
        wanted = sum(
            each.leaves
            for each in self._book.values()
            if each.direction == direction and each.reduce_only
        )
        return self.position[direction] - wanted

    def _trade(self, order: Resting, lots: int) -> ExecutionEvent:
        order.leaves -= lots
        self.position[order.direction] += -lots if order.reduce_only else lots
        if order.leaves == 0:
            del self._book[order.order_id]
        self._changed()
        return self.execution(
            order.price,
            order_id=order.order_id,
            order_link_id=order.link_id,
            side=order.side,
            qty=Decimal(lots),
            leaves_qty=Decimal(order.leaves),
        )

    def _touched(self) -> tuple[Decimal, Decimal]:
        if self._touched_by is None:
            book = self._book.values()
            buys = [each.price for each in book if each.side == "Buy"]
            sells = [each.price for each in book if each.side == "Sell"]
            self._touched_by = (
                max(buys, default=Decimal(0)),
                min(sells, default=Decimal("Infinity")),
            )
        return self._touched_by

    def _changed(self) -> None:
        self._orders = self._touched_by = None

    def _now(self) -> datetime:
        self._events += 1
        return START + timedelta(milliseconds=self._events)


def _touches(price: Decimal, order: Resting) -> bool:
    return price <= order.price if order.side == "Buy" else price >= order.price
