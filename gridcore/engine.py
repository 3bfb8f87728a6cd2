"""The engine: told events, it answers with the orders it wants placed and cancelled.

Theory
------
*Level-triggered.* On each ticker, and for both directions, the engine compares the grid with the
orders that rest and says what is missing, doubled, strayed or on the wrong side. It says so again
on the next ticker, until the orders are as it wants them: who sends them recognises a repeated
wish by its id. Nothing depends on an order having been accepted.

*Fills move the grid, tickers do not*, save when the price has left it. An execution is answered
with nothing: what follows from it is said on the next ticker.

*Whole or not at all.* Everything that can be refused is read first, and a change of the grid that
fails is taken back: an event that raises has changed nothing.

*Speed.* All comparisons with the price become two numbers per ticker: the highest level that may
buy, the lowest that may sell, in ticks. What follows from the grid alone is a `_Plan`, made anew
when the levels differ from those it was made of; intents are frozen and are made once.

*Quiet.* Between two changes of its surroundings the engine's answer to a ticker depends on the
price alone, and only through those two numbers and the bounds. `quiet_band` turns them round;
what a ticker within it is good for, its price, `pass_over` is told.

Prices are in quote coin at the surface and in whole ticks inside. The engine reads no clock.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

from gridcore._comparison import Comparer, Comparison, Plan, Planner, Reach, Row
from gridcore._orders import Order, OrderReader, Orders, Readings
from gridcore.config import GridConfig
from gridcore.errors import GridcoreError, InvalidEvent
from gridcore.events import Event, ExecutionEvent, OrderUpdateEvent, TickerEvent
from gridcore.grid import Grid, GridLevel
from gridcore.instrument import ZERO, to_price
from gridcore.intents import DIRECTIONS, REDUCES, CancelIntent, PlaceLimitIntent

logger = logging.getLogger(__name__)

Intent = PlaceLimitIntent | CancelIntent

# A direction may have this many orders more than the grid has levels.
SPARE_ORDERS = 10
OPEN_STATUSES = {"New", "PartiallyFilled"}
CLOSED_STATUSES = {"Filled", "Cancelled", "Rejected"}
OTHER_STATUSES = {"", "Untriggered", "Triggered", "Deactivated", "PartiallyFilledCanceled"}


class GridEngine:
    """One strategy on one symbol: events come in by `on_event` alone."""

    def __init__(
        self,
        symbol: str,
        tick_size: Decimal,
        config: GridConfig,
        strat_id: str,
        anchor_price: Decimal | None = None,
        restored_grid: list[GridLevel] | None = None,
    ) -> None:
        self.symbol = symbol
        self.config = config
        self.tick_size = to_price(tick_size, "tick_size")
        if not isinstance(strat_id, str):
            raise GridcoreError(f"strat_id must be a text, not {strat_id!r}")
        self.strat_id = strat_id
        self.grid = Grid(
            self.tick_size, config.grid_count, config.grid_step, config.rebalance_threshold
        )
        self.last_close: Decimal | None = None
        self.last_filled_price: Decimal | None = None
        self.pending_orders: dict[str, str] = {}
        self._anchor = to_price(anchor_price, "anchor_price") if anchor_price else None
        self._fill_pending = False
        self._armed = dict.fromkeys(DIRECTIONS, True)
        self._reader = OrderReader(self.grid.scale)
        self._planner = Planner(self.grid)
        self._comparers = {name: Comparer(partial(self._intent, name)) for name in DIRECTIONS}
        if restored_grid is not None and not self.grid.restore_grid(restored_grid, self._anchor):
            logger.warning("%s %s: Restored grid failed, starting anew", strat_id, symbol)

    @property
    def grid_version(self) -> int:
        """Increases with every change of the grid: when it has, save."""
        return self.grid.version

    def get_anchor_price(self) -> Decimal | None:
        """Return the rounded centre of the grid."""
        return self.grid.anchor_price

    def snapshot(self) -> dict[str, Any]:
        """Return a copy of the state that shares nothing with the engine."""
        return {
            "anchor_price": self.grid.anchor_price,
            "grid_step": self.config.grid_step,
            "grid_count": self.config.grid_count,
            "grid": [level.copy() for level in self.grid.grid],
            "last_close": self.last_close,
            "last_filled_price": self.last_filled_price,
            "pending_orders": dict(self.pending_orders),
        }

    # --- The door -------------------------------------------------------------------------

    def on_event(self, event: Event, limit_orders: Orders | None = None) -> list[Intent]:
        """Take an event and return what is wanted; `limit_orders` rest, by direction."""
        if not isinstance(event, Event):
            raise InvalidEvent(f"an event is needed, not {event!r}")
        if event.symbol != self.symbol:
            raise InvalidEvent(f"{self.symbol} is traded here, not {event.symbol!r}")
        if isinstance(event, TickerEvent):
            return self._on_ticker(event, limit_orders or {})
        if isinstance(event, ExecutionEvent):
            self._on_execution(event)
        elif isinstance(event, OrderUpdateEvent):
            self._on_order_update(event)
        return []

    def _on_ticker(self, event: TickerEvent, orders: Orders) -> list[Intent]:
        price = to_price(event.last_price, "last_price")
        readings = self._reader.read(orders)
        plan, excess = self._settle(price, readings)
        self.last_close = price
        self._fill_pending = False
        self._armed = {name: name not in excess for name in DIRECTIONS}
        reach = self._planner.reach(price)
        intents: list[Intent] = []
        for direction in DIRECTIONS:
            given = orders.get(direction) or ()
            if direction in excess:
                intents += self._cancel_all_limits(given, "rebuild")
            else:
                reading = readings[direction]
                comparison = self._comparers[direction].compare(plan, reading, given)
                intents += self._answer(comparison, given, reach)
        return intents

    def _on_execution(self, event: ExecutionEvent) -> None:
        price = to_price(event.price, "price")
        # First what may fail: a rebuild around the last price.
        self.grid.update_grid(price, self.last_close)
        self._fill_pending = self.last_close is None
        self.last_filled_price = price

    def _on_order_update(self, event: OrderUpdateEvent) -> None:
        if event.status in OPEN_STATUSES:
            self.pending_orders[event.order_link_id] = event.order_id
        elif event.status in CLOSED_STATUSES:
            self.pending_orders.pop(event.order_link_id, None)
        elif event.status not in OTHER_STATUSES:
            raise InvalidEvent(f"unknown order status {event.status!r}")

    # --- The grid on a ticker -------------------------------------------------------------

    def _settle(self, price: Decimal, readings: Readings) -> tuple[Plan, list[str]]:
        """Change the grid if that is due; return its plan and the directions in excess."""
        if self.grid.grid and not self._fill_pending:
            plan = self._planner.plan()
            excess = self._excess(readings)
            if self._holds(plan, price) and not self._is_news(excess):
                return plan, excess
        saved = self.grid.state()
        try:
            self._prepare(price)
            excess = self._excess(readings)
            if self._is_news(excess):
                logger.info("%s %s: too many orders: %s", self.strat_id, self.symbol, excess)
                self.grid.build_grid(price)
        except ValueError:
            self.grid.put_back(saved)
            raise
        return self._planner.plan(), excess

    def _prepare(self, price: Decimal) -> None:
        """Have a grid that holds the price, and give it a fill that came before any price."""
        if not self.grid.grid:
            start = self._anchor or price
            logger.info("%s %s: building the grid at %s", self.strat_id, self.symbol, start)
            self.grid.build_grid(start)
        if not self._holds(self._planner.plan(), price):
            logger.info("%s %s: Grid out of range of %s", self.strat_id, self.symbol, price)
            self.grid.build_grid(price)
        if self._fill_pending:
            self.grid.update_grid(self.last_filled_price, price)

    def _holds(self, plan: Plan, price: Decimal) -> bool:
        numerator, denominator = self.grid.scale.ratio(price)
        return plan.low * denominator <= numerator <= plan.high * denominator

    def _excess(self, readings: Readings) -> list[str]:
        most = len(self.grid.grid) + SPARE_ORDERS
        return [name for name in DIRECTIONS if len(readings[name].ticks) > most]

    def _is_news(self, excess: list[str]) -> bool:
        return any(self._armed[name] for name in excess)

    # --- One direction --------------------------------------------------------------------

    def _answer(
        self, comparison: Comparison, orders: Sequence[Order], reach: Reach
    ) -> list[Intent]:
        """Return duplicates, then what the levels want, then strays."""
        wishes = comparison.wishes
        if not comparison.cancels:
            return [wish.intent for wish in wishes if wish.is_eligible(reach)]
        doubled, strays = (
            [orders[place] for place in places]
            for places in (comparison.doubled, comparison.strays)
        )
        intents: list[Intent] = list(self._cancel_all_limits(doubled, "duplicate"))
        for wish in wishes:
            if wish.mismatched is not None:
                limit = orders[wish.mismatched]
                intents.append(self._cancel_limit(limit, "side_mismatch"))
            if wish.is_eligible(reach):
                intents.append(wish.intent)
        return intents + self._cancel_all_limits(strays, "outside_grid")

    def _cancel_limit(self, limit: Order, reason: str) -> CancelIntent:
        return CancelIntent(
            symbol=self.symbol,
            order_id=limit["orderId"],
            reason=reason,
            price=Decimal(str(limit["price"])),
            side=limit["side"],
        )

    def _cancel_all_limits(self, limits: Iterable[Order], reason: str) -> list[CancelIntent]:
        return [self._cancel_limit(limit, reason) for limit in limits]

    def _intent(self, direction: str, row: Row) -> PlaceLimitIntent:
        return PlaceLimitIntent.create(
            symbol=self.symbol,
            side=row.side,
            price=self.grid.scale.value(row.ticks),
            qty=ZERO,
            grid_level=row.level,
            direction=direction,
            reduce_only=(direction, row.side) in REDUCES,
            strat_id=self.strat_id,
        )

    # --- Quiet ----------------------------------------------------------------------------

    def quiet_band(
        self, limit_orders: Orders | None, refused: Collection[str] = frozenset()
    ) -> tuple[Decimal, Decimal] | None:
        """Return the prices between which tickers, with these orders, need not be handed over.

        Within the closed interval the engine would repeat only wishes in `refused` and change
        nothing but `last_close`. None: hand over the next ticker.
        """
        orders = limit_orders or {}
        readings = self._reader.read(orders)
        if self.last_close is None or not self.grid.grid:
            return None
        plan = self._planner.plan()
        low, high = plan.low, plan.high
        if self._excess(readings) or not all(self._armed.values()):
            return None
        for direction in DIRECTIONS:
            given = orders.get(direction) or ()
            comparison = self._comparers[direction].compare(plan, readings[direction], given)
            if comparison.cancels:
                return None
            for wish in comparison.wishes:
                if wish.intent.client_order_id not in refused:
                    low, high = wish.narrow(low, high)
        numerator, denominator = self.grid.scale.ratio(self.last_close)
        if not low * denominator <= numerator <= high * denominator:
            return None
        return self.grid.scale.value(low), self.grid.scale.value(high)

    def pass_over(self, last_price: Decimal) -> None:
        """Know the price of the last ticker that was not handed over, within the quiet band.

        The one thing that these tickers would have changed; a fill is judged by it. That the price
        is within the band of the orders that rest is the caller's to know. Raises InvalidEvent
        before the first ticker, when there is no band.
        """
        price = to_price(last_price, "last_price")
        if self.last_close is None:
            raise InvalidEvent("the first ticker cannot be passed over")
        self.last_close = price
