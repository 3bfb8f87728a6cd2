"""Trading a strategy on public trades, exactly, without looking at all of them.

Theory
------
*One trade at a time.* Each trade, block trades excepted, is the market for the book and a ticker
for the engine. In this order: fundings that were due before it are settled; the book fills what
the trade reaches; the engine is told the executions; an account that has fallen to its
maintenance margin is liquidated, and the run ends; the engine is told the ticker; what it wants
is placed, cancelled or declined. An order can be filled from the next trade on.

*Skipping.* Most trades change nothing. After each that was looked at, the driver knows the band
of prices within which the next one cannot change anything either. It is the intersection of

- the engine's quiet band, given the orders that rest and the wishes that were declined;
- the prices strictly between the book's nearest orders;
- the prices at which the account is not liquidated;
- those at which the risk multipliers stay, and at which what was declined would be again.

The next trade outside of it, or the first after a funding instant, is the next one to look at;
before it, book and engine are handed the last trade that was skipped, since a fill is judged
against the price before it. `every_trade=True` looks at all trades and takes nothing for
granted: declined wishes, multipliers and margins are worked out anew each time. Both give the
same run.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from gridcore import EventType, GridEngine, PlaceLimitIntent, TickerEvent
from gridcore.engine import Intent
from gridcore.instrument import Scale
from gridcore.matching import FillModel, MatchingBook
from strategies.backtest.account import Account
from strategies.backtest.broker import Broker
from strategies.backtest.ledger import Ledger
from strategies.backtest.lines import HIGHEST
from strategies.backtest.margins import MarginTerms
from strategies.backtest.risk import Risk
from strategies.backtest.terms import Contract, Fees, Settlement, time_of
from strategies.backtest.trades import Trades, next_outside
from strategies.config import StrategyConfig

RestingOrders: TypeAlias = Mapping[str, Sequence[Mapping[str, str]]]


class Band(NamedTuple):
    """Whole ticks, both ends included."""

    low: int
    high: int

    def holds(self, ticks: int) -> bool:
        """Whether the price is in it."""
        return self.low <= ticks <= self.high

    def within(self, other: tuple[int, int]) -> Band:
        """Return what both have in common."""
        return Band(max(self.low, other[0]), min(self.high, other[1]))


NOTHING = Band(1, 0)


class Driver:
    """Trades one strategy on one market, once."""

    def __init__(
        self,
        trades: Trades,
        contract: Contract,
        config: StrategyConfig,
        *,
        balance: Decimal,
        fees: Fees,
        terms: MarginTerms,
        fill_model: FillModel,
        strat_id: str,
    ) -> None:
        if config.amount is None:
            raise ValueError("config has no amount: how much to order is not decided")
        info = contract.info
        self._symbol = info.symbol
        self._trades, self._times, self._prices = trades, trades.times, trades.prices
        self._scale = Scale(info.tick_size, "tick_size")
        self._book = MatchingBook(
            info.tick_size, maker_fee=fees.maker, taker_fee=fees.taker, fill_model=fill_model
        )
        self._engine = GridEngine(info.symbol, info.tick_size, config.grid, strat_id)
        self._account = Account(self._book, self._scale, balance, terms)
        self._broker = Broker(
            self._book,
            self._account,
            Risk(config.risk, self._account, self._scale),
            contract=contract,
            amount=config.amount,
            scale=self._scale,
        )
        self.ledger = Ledger(info.symbol, trades, self._account, self._broker, self._scale)
        # Prices at which nothing happens at all, and at which the engine has nothing to say.
        self._band = self._quiet = NOTHING
        # The last trades that the book and the engine have seen.
        self._seen = self._told = -1
        self.handed_over = 0

    # --- The loop -------------------------------------------------------------------------

    def trade_all(self, settlements: Sequence[Settlement], *, every_trade: bool) -> None:
        """Trade to the end, or to the liquidation; each settlement is between two trades."""
        size = len(self._trades)
        due = deque(
            (int(self._times.searchsorted(settlement.time_ms)), settlement)
            for settlement in settlements
        )
        at = 0
        while at < size and self.ledger.liquidation is None:
            while due and due[0][0] == at:
                self._settle(*due.popleft())
            self._look_at(at, every_trade=every_trade)
            at += 1
            if not every_trade:
                stop = due[0][0] if due else size
                at = next_outside(self._prices, at, stop, *self._band)
        if size and self.ledger.liquidation is None:
            self._catch_up(size - 1)

    def _look_at(self, at: int, *, every_trade: bool) -> None:
        self.handed_over += 1
        ticks = int(self._prices[at])
        price = self._scale.value(ticks)
        happened = self._fill(at, price)
        if self._account.is_liquidated(price):
            self._tell_engine(at - 1)
            self.ledger.liquidate(at, price)
            return
        if every_trade:
            # Nothing is taken for granted.
            self._broker.on_account()
        elif not happened and self._quiet.holds(ticks):
            return
        self._broker.on_price(self.ledger.state, ticks)
        resting = self._book.limit_orders()
        intents = self._engine.on_event(self._ticker(at, price), resting)
        self._told = at
        self._broker.carry_out(intents, ticks)
        if not every_trade:
            self._look_around(resting, intents)

    def _fill(self, at: int, price: Decimal) -> bool:
        """Hand a trade to the book, and what it has filled to the engine; say if it has."""
        self._show_book(at - 1)
        happened = self._book.on_trade(price)
        self._seen = at
        if not happened:
            return False
        # A fill is judged against the price before it.
        self._tell_engine(at - 1)
        for event in self.ledger.account_for(happened, at, price):
            self._engine.on_event(event)
        return True

    def _settle(self, at: int, settlement: Settlement) -> None:
        self.ledger.settle(at, settlement)
        self._band = self._quiet = NOTHING

    def _look_around(self, orders: RestingOrders, wishes: Sequence[Intent]) -> None:
        """Find the prices at which nothing can happen."""
        self._band = self._quiet = NOTHING
        asked = [wish.client_order_id for wish in wishes if isinstance(wish, PlaceLimitIntent)]
        if len(asked) == len(wishes):
            # It all rests now or is declined. So it is no news to the engine beside the orders
            # of before, either; and these it has read already.
            silent = {*self._broker.refused, *asked}
        else:
            orders, silent = self._book.limit_orders(), set(self._broker.refused)
        quiet = self._engine.quiet_band(orders, silent)
        if quiet is None:
            return
        low, high = (self._scale.nearest(price) for price in quiet)
        self._quiet = Band(low, high).within(self._broker.quiet_ticks())
        self._band = self._quiet.within(self._unfilled()).within(self._solvent())

    def _unfilled(self) -> Band:
        buy, sell = self._book.nearest()
        return Band(
            1 if buy is None else self._scale.nearest(buy) + 1,
            HIGHEST if sell is None else self._scale.nearest(sell) - 1,
        )

    def _solvent(self) -> Band:
        below, above = self.ledger.state.liquidated_below, self.ledger.state.liquidated_above
        return Band(1 if below is None else below + 1, HIGHEST if above is None else above - 1)

    # --- The trade before -----------------------------------------------------------------

    def _catch_up(self, at: int) -> None:
        """Have book and engine know the price of this trade, which was skipped or not."""
        self._show_book(at)
        self._tell_engine(at)

    def _show_book(self, at: int) -> None:
        if at > self._seen:
            self._book.on_trade(self._scale.value(int(self._prices[at])))
            self._seen = at

    def _tell_engine(self, at: int) -> None:
        if at > self._told:
            # Within the quiet band: nothing but the price is news.
            self._engine.pass_over(self._scale.value(int(self._prices[at])))
            self._told = at

    def _ticker(self, at: int, price: Decimal) -> TickerEvent:
        time = time_of(int(self._times[at]))
        return TickerEvent(EventType.TICKER, self._symbol, time, time, last_price=price)

    # --- The result -----------------------------------------------------------------------

    def final(self) -> dict[str, Any]:
        """Return the state at the end; two runs that did the same have the same."""
        return {
            "engine": self._engine.snapshot(),
            "book": self._book.snapshot(),
            "wallet_balance": self._account.wallet_balance(),
        }

    def refusals(self) -> dict[str, int]:
        """Return how many orders were declined, by reason."""
        return {reason: len(names) for reason, names in sorted(self._broker.ever_refused.items())}

    @property
    def position(self) -> int:
        """How many trades are done with, also while it trades: the last of them was looked at."""
        return self._seen + 1

    @property
    def placed(self) -> int:
        """How many orders the book has taken."""
        return self._broker.placed
