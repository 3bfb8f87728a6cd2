"""What a backtest returns: everything that happened, and what it comes to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from strategies.backtest.curve import Curve
from strategies.backtest.happenings import FundingPayment, Liquidation, SimulatedFill
from strategies.backtest.metrics import Metrics


@dataclass(frozen=True, slots=True, kw_only=True)
class BacktestResult:
    """A run. `final` is the state of engine, book and wallet after the last trade.

    `refusals` counts the orders that were declined at least once, by reason; `handed_over` the
    trades that were looked at. `missing_funding` are the instants at which funding was due and no
    rate is recorded. `no_fills_because` is empty when there are fills.
    """

    fills: list[SimulatedFill]
    funding: list[FundingPayment]
    missing_funding: list[datetime]
    liquidation: Liquidation | None
    refusals: Mapping[str, int]
    placed: int
    curve: Curve
    metrics: Metrics
    final: Mapping[str, Any]
    trades: int
    handed_over: int
    no_fills_because: str
