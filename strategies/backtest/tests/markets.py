"""Small markets for backtests: prices, a contract, a configuration."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np

from gridcore import InstrumentInfo
from strategies.backtest import BacktestResult, Contract, Trades, run_backtest
from strategies.config import StrategyConfig

D = Decimal
START_MS = 1_767_225_600_000  # 2026-01-01 00:00 UTC
HOUR = 3_600_000
FLAT_TIERS = [(D("Infinity"), D("0.005"), D(0), D("0.01"))]


def contract(*, step: str = "0.001", tick: str = "0.1", **terms: Any) -> Contract:
    """A contract with a tick of 0.1 and a quantity step of 0.001."""
    info = InstrumentInfo("BTCUSDT", D(step), D(tick), D(step), D(1000))
    return Contract(info, **terms)


def trades(ticks: Sequence[int], *, every_ms: int = 1000, start: int = START_MS) -> Trades:
    """Trades at these ticks, equally far apart."""
    times = start + every_ms * np.arange(len(ticks), dtype=np.int64)
    return Trades(times, np.array(ticks, dtype=np.int64))


def config(**keys: Any) -> StrategyConfig:
    """Four levels, 1 percent apart, unless said otherwise."""
    return StrategyConfig.from_json({"grid_count": 4, "grid_step": 1.0, "amount": "100", **keys})


def run(ticks: Sequence[int], **options: Any) -> BacktestResult:
    """Trade the small grid on a market of these ticks."""
    given = {
        "instrument": contract(),
        "config": config(),
        "starting_balance": D(10_000),
        "tiers": FLAT_TIERS,
        "every_ms": 1000,
        **options,
    }
    market = trades(ticks, every_ms=given.pop("every_ms"))
    return run_backtest(market, given.pop("instrument"), given.pop("config"), **given)
