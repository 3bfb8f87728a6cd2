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
price alone, and only through those two numbers and the bounds. `quiet_band` turns them round.

Prices are in quote coin at the surface and in whole ticks inside. The engine reads no clock.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from gridcore.config import GridConfig
from gridcore.errors import InvalidEvent, InvalidNumber, InvalidOrder
from gridcore.events import Event, ExecutionEvent, OrderUpdateEvent, TickerEvent
from gridcore.grid import Grid, GridLevel, GridSideType
from gridcore.instrument import ZERO, to_decimal, to_price
from gridcore.intents import DIRECTIONS, SIDES, CancelIntent, PlaceLimitIntent

logger = logging.getLogger(__name__)

Order = Mapping[str, Any]
Orders = Mapping[str, Sequence[Order]]
Intent = PlaceLimitIntent | CancelIntent

# A direction may have this many orders more than the grid has levels.
SPARE_ORDERS = 10
# So many texts of prices, and intents, are remembered.
MEMORY = 4096
REDUCES = {("long", "Sell"), ("short", "Buy")}
OPEN_STATUSES = {"New", "PartiallyFilled"}
CLOSED_STATUSES = {"Filled", "Cancelled", "Rejected"}
OTHER_STATUSES = {"", "Untriggered", "Triggered", "Deactivated", "PartiallyFilledCanceled"}


class _Resting(NamedTuple):
    """An order as read: where it rests, in ticks (a Fraction between two), and on which side."""

    ticks: int | Fraction
    side: str
    order: Order


class _Row(NamedTuple):
    """A level that trades."""

    ticks: int
    side: str
    level: int


@dataclass(frozen=True, slots=True)
class _Plan:
    """What follows from the levels alone; `rows` in the order in which they are placed."""

    prices: list[Decimal]
    sides: list[GridSideType]
    numbers: list[int]
    rows: list[_Row]
    side_at: dict[int, str]
    low: int
    high: int


class _Reach(NamedTuple):
    """In ticks: a BUY level up to `buy` may be placed, a SELL level from `sell` on."""

    buy: int
    sell: int

    def holds(self, row: _Row) -> bool:
        return row.ticks <= self.buy if row.side == "Buy" else row.ticks >= self.sell


class GridEngine:
    """One strategy on one symbol: `on_event` is its only door."""

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
        self._read_prices: dict[str, int | Fraction] = {}
        self._intents: dict[tuple[str, _Row], PlaceLimitIntent] = {}
        self._made_plan: _Plan | None = None
        self._step, self._step_parts = to_decimal(config.grid_step).as_integer_ratio()
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
        if event.symbol != self.symbol:
            raise InvalidEvent(f"{self.symbol} is traded here, not {event.symbol!r}")
        if isinstance(event, TickerEvent):
            return self._on_ticker(event, self._read(limit_orders))
        if isinstance(event, ExecutionEvent):
            self._on_execution(event)
        elif isinstance(event, OrderUpdateEvent):
            self._on_order_update(event)
        return []

    def _on_ticker(self, event: TickerEvent, resting: dict[str, list[_Resting]]) -> list[Intent]:
        price = to_price(event.last_price, "last_price")
        saved = self.grid.state()
        try:
            self._prepare(price)
            excess = self._rebuild_if_excessive(price, resting)
        except ValueError:
            self.grid.put_back(saved)
            raise
        self.last_close = price
        self._fill_pending = False
        for direction in DIRECTIONS:
            self._armed[direction] = direction not in excess
        plan, reach = self._plan(), self._reach(price)
        intents: list[Intent] = []
        for direction in DIRECTIONS:
            if direction in excess:
                limits = [each.order for each in resting[direction]]
                intents += self._cancel_all_limits(limits, "rebuild")
            else:
                intents += self._compare(direction, resting[direction], plan, reach)
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

    def _prepare(self, price: Decimal) -> None:
        """Have a grid that holds the price, and give it a fill that came before any price."""
        if not self.grid.grid:
            start = self._anchor or price
            logger.info("%s %s: building the grid at %s", self.strat_id, self.symbol, start)
            self.grid.build_grid(start)
        plan = self._plan()
        numerator, denominator = self.grid.scale.ratio(price)
        if not plan.low * denominator <= numerator <= plan.high * denominator:
            logger.info("%s %s: Grid out of range of %s", self.strat_id, self.symbol, price)
            self.grid.build_grid(price)
        if self._fill_pending:
            self.grid.update_grid(self.last_filled_price, price)

    def _rebuild_if_excessive(self, price: Decimal, resting: dict[str, list[_Resting]]) -> set[str]:
        """Return the directions with too many orders; one that has just become so rebuilds."""
        excess = {name for name in DIRECTIONS if self._is_excessive(resting[name])}
        if any(self._armed[name] for name in excess):
            logger.info("%s %s: too many orders: %s", self.strat_id, self.symbol, sorted(excess))
            self.grid.build_grid(price)
        return excess

    def _is_excessive(self, resting: list[_Resting]) -> bool:
        return len(resting) > len(self.grid.grid) + SPARE_ORDERS

    def _plan(self) -> _Plan:
        levels = self.grid.grid
        prices = [level["price"] for level in levels]
        sides = [level["side"] for level in levels]
        numbers = [level["level"] for level in levels]
        plan = self._made_plan
        if plan and (plan.prices, plan.sides, plan.numbers) == (prices, sides, numbers):
            return plan
        ticks = self.grid.ticks()
        centre = _centre_index(sides)
        order = sorted(range(len(levels)), key=lambda index: (abs(index - centre), index))
        self._made_plan = _Plan(
            prices=prices,
            sides=sides,
            numbers=numbers,
            rows=[
                _Row(ticks[index], str(sides[index]), numbers[index])
                for index in order
                if sides[index] != GridSideType.WAIT
            ],
            side_at={count: str(side) for count, side in zip(ticks, sides, strict=True)},
            low=min(ticks),
            high=max(ticks),
        )
        return self._made_plan

    # --- Resting orders -------------------------------------------------------------------

    def _read(self, limit_orders: Orders | None) -> dict[str, list[_Resting]]:
        """Read all orders, or raise; an unknown direction is nobody's and is refused."""
        given = limit_orders or {}
        for name in given:
            if name not in DIRECTIONS:
                raise InvalidOrder(f"direction must be long or short, not {name!r}")
        return {
            name: [self._read_order(order) for order in given.get(name) or ()]
            for name in DIRECTIONS
        }

    def _read_order(self, order: Order) -> _Resting:
        try:
            price, side, order_id = order["price"], order["side"], order["orderId"]
        except (KeyError, TypeError) as error:
            raise InvalidOrder(f"resting order lacks {error}: {order!r}") from None
        if side not in SIDES or not isinstance(order_id, str):
            raise InvalidOrder(f"resting order has no side or no orderId: {order!r}")
        ticks = self._read_prices.get(price) if type(price) is str else None
        return _Resting(self._read_price(order) if ticks is None else ticks, side, order)

    def _read_price(self, order: Order) -> int | Fraction:
        try:
            ratio = Fraction(*self.grid.scale.ratio(to_decimal(order["price"])))
        except InvalidNumber as error:
            raise InvalidOrder(f"resting order has no price: {error}: {order!r}") from None
        ticks = ratio.numerator if ratio.denominator == 1 else ratio
        if len(self._read_prices) >= MEMORY:
            self._read_prices.clear()
        self._read_prices[str(order["price"])] = ticks
        return ticks

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

    # --- One direction --------------------------------------------------------------------

    def _compare(
        self, direction: str, resting: list[_Resting], plan: _Plan, reach: _Reach
    ) -> list[Intent]:
        """Return duplicates, then what the levels want, then strays."""
        survivors, doubled = _sort_out(resting, plan.side_at)
        intents: list[Intent] = list(self._cancel_all_limits(doubled, "duplicate"))
        for row in plan.rows:
            survivor = survivors.get(row.ticks)
            if survivor is not None:
                if survivor.side == row.side:
                    continue
                intents.append(self._cancel_limit(survivor.order, "side_mismatch"))
            if reach.holds(row):
                intents.append(self._intent(direction, row))
        strays = sorted(survivors.keys() - plan.side_at.keys())
        return intents + self._cancel_all_limits(
            [survivors[ticks].order for ticks in strays], "outside_grid"
        )

    def _reach(self, price: Decimal) -> _Reach:
        """Eligible is 200*abs(last - L) > grid_step*last, a BUY below last and a SELL above."""
        numerator, denominator = self.grid.scale.ratio(price)
        whole = 200 * self._step_parts
        parts = whole * denominator
        below = numerator * (whole - self._step)
        above = numerator * (whole + self._step)
        return _Reach(buy=-(-below // parts) - 1, sell=above // parts + 1)

    def _intent(self, direction: str, row: _Row) -> PlaceLimitIntent:
        intent = self._intents.get((direction, row))
        if intent is None:
            intent = PlaceLimitIntent.create(
                symbol=self.symbol,
                side=row.side,
                price=self.grid.scale.value(row.ticks),
                qty=ZERO,
                grid_level=row.level,
                direction=direction,
                reduce_only=(direction, row.side) in REDUCES,
                strat_id=self.strat_id,
            )
            if len(self._intents) >= MEMORY:
                self._intents.clear()
            self._intents[direction, row] = intent
        return intent

    # --- Quiet ----------------------------------------------------------------------------

    def quiet_band(
        self, limit_orders: Orders | None, refused: Collection[str] = frozenset()
    ) -> tuple[Decimal, Decimal] | None:
        """Return the prices between which tickers, with these orders, need not be handed over.

        Within the closed interval the engine would repeat only wishes in `refused` and change
        nothing but `last_close`. None: hand over the next ticker.
        """
        resting = self._read(limit_orders)
        if self.last_close is None or not self.grid.grid:
            return None
        plan, reach = self._plan(), self._reach(self.last_close)
        low, high = plan.low, plan.high
        for direction in DIRECTIONS:
            waiting = self._silent_rows(direction, resting[direction], plan, refused)
            if waiting is None or any(reach.holds(row) for row in waiting):
                return None
            low, high = self._narrow(waiting, low, high)
        numerator, denominator = self.grid.scale.ratio(self.last_close)
        if not low * denominator <= numerator <= high * denominator:
            return None
        return self.grid.scale.value(low), self.grid.scale.value(high)

    def _silent_rows(
        self,
        direction: str,
        resting: list[_Resting],
        plan: _Plan,
        refused: Collection[str],
    ) -> list[_Row] | None:
        """Return the levels that would speak once eligible; None when something is to be said."""
        if self._is_excessive(resting) or not self._armed[direction]:
            return None
        survivors = {each.ticks: each.side for each in resting}
        if len(survivors) < len(resting) or not survivors.keys() <= plan.side_at.keys():
            return None
        waiting = [row for row in plan.rows if survivors.get(row.ticks) != row.side]
        if any(row.ticks in survivors for row in waiting):
            return None
        return [
            row for row in waiting if self._intent(direction, row).client_order_id not in refused
        ]

    def _narrow(self, waiting: list[_Row], low: int, high: int) -> tuple[int, int]:
        """Keep the ends off the prices at which a waiting level becomes eligible."""
        whole = 200 * self._step_parts
        for row in waiting:
            if row.side == "Sell":
                low = max(low, -(-row.ticks * whole // (whole + self._step)))
            elif whole > self._step:  # else no price is so high that a BUY were far enough below
                high = min(high, row.ticks * whole // (whole - self._step))
        return low, high


def _centre_index(sides: list[GridSideType]) -> int:
    waiting = [index for index, side in enumerate(sides) if side == GridSideType.WAIT]
    return (waiting[0] + waiting[-1]) // 2 if waiting else len(sides) // 2


def _sort_out(
    resting: list[_Resting], side_at: Mapping[int, str]
) -> tuple[dict[int | Fraction, _Resting], list[Order]]:
    """Return one order for each price, and the others by price, then as they came."""
    survivors = {each.ticks: each for each in reversed(resting)}
    if len(survivors) == len(resting):
        return survivors, []
    buckets: dict[int | Fraction, list[_Resting]] = {}
    for each in resting:
        buckets.setdefault(each.ticks, []).append(each)
    doubled: list[Order] = []
    for ticks, bucket in sorted(buckets.items(), key=_price_of_bucket):
        survivors[ticks] = kept = _survivor(bucket, side_at)
        doubled += [each.order for each in bucket if each is not kept]
    return survivors, doubled


def _price_of_bucket(item: tuple[int | Fraction, list[_Resting]]) -> int | Fraction:
    return item[0]


def _survivor(bucket: list[_Resting], side_at: Mapping[Any, str]) -> _Resting:
    # A waiting level has a side that no order has: then all are equal.
    wanted = side_at.get(bucket[0].ticks)
    candidates = [each for each in bucket if each.side == wanted] or bucket
    filled = (each for each in candidates if _has_fills(each.order))
    return next(filled, candidates[0])


def _has_fills(order: Order) -> bool:
    try:
        return to_decimal(order.get("cumExecQty")) > ZERO
    except InvalidNumber:
        return False
