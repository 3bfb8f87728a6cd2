"""What tenants decided, what carried it out, and what backtests came to."""

from __future__ import annotations

from strategies.models.backtests import BacktestSummary, EquityPoint, FundingPayment, SimulatedFill
from strategies.models.strategies import GridState, Run, Strategy

__all__ = [
    "BacktestSummary",
    "EquityPoint",
    "FundingPayment",
    "GridState",
    "Run",
    "SimulatedFill",
    "Strategy",
]
