"""The rival of `benchmarks.backtest`: the same grid as a strategy of nautilus_trader.

It is the grid of `gridcore` said as briefly as this engine allows: a ladder around the first
price; long Buys and short Sells that open, long Sells and short Buys that close what is there; on
a fill the level waits, sides are given anew and the window shifts by one if it is lopsided; what
is missing is placed on the next trade, on levels more than half a step away. Prices and
quantities are whole numbers here, not Decimals, to its advantage, and it is spared what ours
does besides: risk multipliers, margin and liquidation prices, funding, the equity curve, metrics.

The engine is set up so that it fills as `strict_cross` does: a limit fills when a trade goes
through it (`prob_fill_on_limit=0`), wholly. Its log is off, and so is its analysis of the run.
Its own handling of reduce-only orders is off, too: it gives each of them the size of the whole
position. That a closing order closes no more than there is, is seen to by the strategy.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
from nautilus_trader.backtest.engine import BacktestEngine
from nautilus_trader.backtest.models import FillModel
from nautilus_trader.config import BacktestEngineConfig, LoggingConfig, StrategyConfig
from nautilus_trader.model.currencies import BTC, USDT
from nautilus_trader.model.data import TradeTick
from nautilus_trader.model.enums import AccountType, AggressorSide, OmsType, OrderSide
from nautilus_trader.model.identifiers import InstrumentId, PositionId, Symbol, Venue
from nautilus_trader.model.instruments import CryptoPerpetual
from nautilus_trader.model.objects import Money, Price, Quantity
from nautilus_trader.trading.strategy import Strategy

from benchmarks.market import AMOUNT, BALANCE, STEP, Walk

VENUE = Venue("BYBIT")
PERPETUAL = InstrumentId(Symbol("BTCUSDT-LINEAR"), VENUE)
BUY, SELL, WAIT = "Buy", "Sell", "Wait"
DIRECTIONS = {"long": BUY, "short": SELL}
# A lopsided grid is shifted when one side has so much more of the levels.
THRESHOLD = 0.3
NANOSECONDS = 1_000_000


def instrument() -> CryptoPerpetual:
    """The perpetual of the benchmark, with Bybit's fees and first risk tier."""
    return CryptoPerpetual(
        instrument_id=PERPETUAL,
        raw_symbol=Symbol("BTCUSDT"),
        base_currency=BTC,
        quote_currency=USDT,
        settlement_currency=USDT,
        is_inverse=False,
        price_precision=1,
        price_increment=Price.from_str("0.1"),
        size_precision=3,
        size_increment=Quantity.from_str("0.001"),
        margin_init=Decimal("0.1"),
        margin_maint=Decimal("0.005"),
        maker_fee=Decimal("0.0002"),
        taker_fee=Decimal("0.00055"),
        ts_event=0,
        ts_init=0,
    )


def ticks_of(market: Walk) -> list[TradeTick]:
    """The trades as this engine has them: an object each, each large enough to fill any order."""
    count = len(market.prices)
    return list(
        TradeTick.from_raw_arrays_to_list(
            PERPETUAL, 1, 3,
            market.prices / 10, np.full(count, 1000.0),
            np.full(count, AggressorSide.NO_AGGRESSOR, dtype=np.uint8),
            [str(number) for number in range(count)],
            *[(market.times * NANOSECONDS).astype(np.uint64)] * 2,
        )
    )  # fmt: skip


class GridConfig(StrategyConfig, frozen=True):  # type: ignore[misc,call-arg]
    """How many levels."""

    levels: int = 50


class NautilusGrid(Strategy):  # type: ignore[misc]
    """A grid in hedge mode. Prices in ticks, quantities in quantity steps."""

    def __init__(self, config: GridConfig) -> None:
        super().__init__(config)
        self.fills = 0
        self._last = 0
        # Between these prices nothing is to be done.
        self._low, self._high = 1, 0
        # Levels by ascending price, with their sides.
        self._grid: list[int] = []
        self._sides: list[str] = []
        # By direction: what rests, by price, and what is held.
        self._resting: dict[str, dict[int, Any]] = {name: {} for name in DIRECTIONS}
        self._held = dict.fromkeys(DIRECTIONS, 0)
        self._place_of: dict[Any, tuple[str, int]] = {}
        self._positions = {name: PositionId(f"{PERPETUAL}-{name.upper()}") for name in DIRECTIONS}

    def on_start(self) -> None:
        """Ask for every trade."""
        self.subscribe_trade_ticks(PERPETUAL)

    def on_trade_tick(self, tick: TradeTick) -> None:
        """Note the price; after a change, have orders on all levels that may have one."""
        self._last = round(tick.price.as_double() * 10)
        if not self._low <= self._last <= self._high:
            if not self._grid or not self._grid[0] <= self._last <= self._grid[-1]:
                self._build()
            self._low, self._high = self._grid[0], self._grid[-1]
            for direction in DIRECTIONS:
                self._cancel_strays(direction)
                self._place_missing(direction)

    def on_order_filled(self, event: Any) -> None:
        """Move the grid. An order is filled at once and wholly."""
        self.fills += 1
        direction, price = self._place_of.pop(event.client_order_id)
        del self._resting[direction][price]
        coins = round(event.last_qty.as_double() * 1000)
        opens = DIRECTIONS[direction] == (BUY if event.is_buy else SELL)
        self._held[direction] += coins if opens else -coins
        self._assign_sides(price)
        self._centre()
        self._low, self._high = 1, 0

    def _build(self) -> None:
        half = self.config.levels // 2
        self._grid = [self._last]
        self._sides = [WAIT]
        for _ in range(half):
            self._grid.append(round(self._grid[-1] * (1 + STEP)))
            self._grid.insert(0, round(self._grid[0] * (1 - STEP)))
            self._sides = [BUY, *self._sides, SELL]

    def _assign_sides(self, filled: int) -> None:
        for index, price in enumerate(self._grid):
            if abs(price - filled) < price * STEP / 4:
                self._sides[index] = WAIT
            elif price != self._last:
                self._sides[index] = BUY if price < self._last else SELL

    def _centre(self) -> None:
        buys, sells = self._sides.count(BUY), self._sides.count(SELL)
        if buys - sells > THRESHOLD * (buys + sells):
            self._grid = [*self._grid[1:], round(self._grid[-1] * (1 + STEP))]
            self._sides = [*self._sides[1:], SELL]
        elif sells - buys > THRESHOLD * (buys + sells):
            self._grid = [round(self._grid[0] * (1 - STEP)), *self._grid[:-1]]
            self._sides = [BUY, *self._sides[:-1]]

    def _cancel_strays(self, direction: str) -> None:
        sides = dict(zip(self._grid, self._sides, strict=True))
        for price, order in list(self._resting[direction].items()):
            side = BUY if order.is_buy else SELL
            if sides.get(price, "") not in (side, WAIT):
                self.cancel_order(order)
                del self._resting[direction][price], self._place_of[order.client_order_id]

    def _place_missing(self, direction: str) -> None:
        resting, opening = self._resting[direction], DIRECTIONS[direction]
        closing = sum(
            round(order.quantity.as_double() * 1000)
            for order in resting.values()
            if (BUY if order.is_buy else SELL) != opening
        )
        # The nearest first.
        middle = len(self._grid) // 2
        for index in sorted(range(len(self._grid)), key=lambda index: abs(index - middle)):
            price, side = self._grid[index], self._sides[index]
            if side == WAIT or price in resting:
                continue
            if side == BUY and price >= self._last * (1 - STEP / 2):
                # Too close, until the price has gone up.
                self._high = min(self._high, int(price / (1 - STEP / 2)))
                continue
            if side == SELL and price <= self._last * (1 + STEP / 2):
                self._low = max(self._low, int(price / (1 + STEP / 2)) + 1)
                continue
            coins = -(-AMOUNT * 10_000 // price)
            if side != opening:
                if coins >= self._held[direction] - closing:
                    continue
                closing += coins
            self._submit(direction, side, price, coins)

    def _submit(self, direction: str, side: str, price: int, coins: int) -> None:
        order = self.order_factory.limit(
            PERPETUAL,
            OrderSide.BUY if side == BUY else OrderSide.SELL,
            Quantity(coins / 1000, 3),
            Price(price / 10, 1),
            post_only=True,
        )
        self._resting[direction][price] = order
        self._place_of[order.client_order_id] = (direction, price)
        self.submit_order(order, self._positions[direction])


def loaded(market: Walk, levels: int) -> tuple[BacktestEngine, NautilusGrid]:
    """An engine with the trades in its memory, and its strategy."""
    engine = BacktestEngine(
        BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True), run_analysis=False)
    )
    engine.add_venue(
        VENUE,
        OmsType.HEDGING,
        AccountType.MARGIN,
        [Money(BALANCE, USDT)],
        default_leverage=Decimal(10),
        fill_model=FillModel(prob_fill_on_limit=0.0),
        trade_execution=True,
        use_reduce_only=False,
    )
    engine.add_instrument(instrument())
    strategy = NautilusGrid(GridConfig(levels=levels))
    engine.add_strategy(strategy)
    engine.add_data(ticks_of(market), sort=False)
    return engine, strategy


def traded(engine_and_strategy: tuple[BacktestEngine, NautilusGrid]) -> int:
    """Run, and return how many fills there were."""
    engine, strategy = engine_and_strategy
    engine.run()
    return strategy.fills
