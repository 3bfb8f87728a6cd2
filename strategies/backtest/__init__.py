"""Backtests: a strategy traded on recorded public trades.

    result = run_backtest(trades, contract, config, starting_balance=Decimal(10_000))

`driver` has the theory; nothing here but `runs` knows of Django.
"""

from __future__ import annotations

from strategies.backtest.curve import Point
from strategies.backtest.happenings import FundingPayment, Liquidation, SimulatedFill
from strategies.backtest.metrics import Drawdown, Metrics
from strategies.backtest.results import BacktestResult
from strategies.backtest.simulation import run_backtest
from strategies.backtest.terms import Contract, Fees, Settlement, settlements_of
from strategies.backtest.trades import BLOCK, RPI, Trades

__all__ = [
    "BLOCK",
    "RPI",
    "BacktestResult",
    "Contract",
    "Drawdown",
    "Fees",
    "FundingPayment",
    "Liquidation",
    "Metrics",
    "Point",
    "Settlement",
    "SimulatedFill",
    "Trades",
    "run_backtest",
    "settlements_of",
]
