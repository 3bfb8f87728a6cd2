"""What is written down while a backtest trades: fills, fundings, the account's changes, its end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from gridcore import ExecutionEvent
from gridcore.instrument import Scale
from gridcore.matching import Fill, Happening
from strategies.backtest.account import Account, State
from strategies.backtest.broker import Broker
from strategies.backtest.curve import Change
from strategies.backtest.happenings import FundingPayment, Liquidation, SimulatedFill
from strategies.backtest.terms import Settlement, time_of
from strategies.backtest.trades import Trades


class Ledger:
    """Accounts for what happens to an account, and keeps the record of it."""

    def __init__(
        self, symbol: str, trades: Trades, account: Account, broker: Broker, scale: Scale
    ) -> None:
        self._symbol = symbol
        self._trades = trades
        self._account = account
        self._broker = broker
        self._scale = scale
        self.state: State = account.state(1)
        self.changes = [Change(0, 0, self.state.cash, self.state)]
        self.fills: list[SimulatedFill] = []
        self.payments: list[FundingPayment] = []
        self.liquidation: Liquidation | None = None

    def account_for(
        self, happened: Sequence[Happening], at: int, price: Decimal
    ) -> list[ExecutionEvent]:
        """Take what a trade has caused, and return the executions that the engine is told."""
        events = [
            happening.to_event(self._symbol, fill.time, fill.exec_id)
            for happening, fill in self._noted(happened, at, price)
        ]
        for happening in happened:
            self._broker.on_happening(happening)
        self._note_change(at, int(self._trades.times[at]), price)
        return events

    def settle(self, at: int, settlement: Settlement) -> None:
        """Pay a funding that was due after the trade before this one."""
        if self._account.is_flat:
            return
        last = self._scale.value(int(self._trades.prices[at - 1]))
        mark = settlement.mark_price or last
        self.payments.append(
            FundingPayment(
                time=time_of(settlement.time_ms),
                rate=settlement.rate,
                mark_price=mark,
                long_size=self._account.long.size,
                short_size=self._account.short.size,
                amount=self._account.settle_funding(settlement.rate, mark),
            )
        )
        self._note_change(at, settlement.time_ms, last)

    def liquidate(self, at: int, price: Decimal) -> None:
        """Close everything at this price, as taker; a debt that is left is forgiven."""
        equity = self._account.equity(price)
        margin = self._account.maintenance_margin(price)
        for _ in self._noted(self._broker.close_all(), at, price):
            pass
        self.liquidation = Liquidation(
            time=time_of(int(self._trades.times[at])),
            price=price,
            equity=equity,
            maintenance_margin=margin,
            forgiven=self._account.forgive_debt(),
        )
        self._note_change(at, int(self._trades.times[at]), price)

    def _noted(
        self, happened: Sequence[Happening], at: int, price: Decimal
    ) -> Iterator[tuple[Fill, SimulatedFill]]:
        for happening in happened:
            if isinstance(happening, Fill):
                self._account.on_fill(happening)
                self.fills.append(self._described(happening, at, price))
                yield happening, self.fills[-1]

    def _described(self, fill: Fill, at: int, price: Decimal) -> SimulatedFill:
        return SimulatedFill(
            exec_id=str(len(self.fills) + 1),
            time=time_of(int(self._trades.times[at])),
            trade_index=at,
            order_id=fill.order_id,
            level=self._broker.level_of(fill.order_id),
            direction=fill.direction,
            side=fill.side,
            opens=not fill.closed_size,
            price=fill.price,
            qty=fill.qty,
            fee=fill.fee,
            is_maker=fill.is_maker,
            closed_size=fill.closed_size,
            closed_pnl=fill.closed_pnl,
            rule=fill.rule,
            trade_price=fill.trade_price,
            previous_price=fill.previous_price,
            equity=self._account.equity(price),
        )

    def _note_change(self, at: int, time_ms: int, price: Decimal) -> None:
        """Note the account as it is from this trade on, and what it is worth at a price."""
        self._account.refresh()
        self._broker.on_account()
        self.state = self._account.state(int(self._trades.prices[at]))
        equity = self._account.equity(price)
        self.changes.append(Change(at, time_ms, equity, self.state))
