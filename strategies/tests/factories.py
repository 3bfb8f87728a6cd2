"""Strategies, runs and grids for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

from django.db import models
from factory.declarations import LazyFunction, SelfAttribute, Sequence, SubFactory
from factory.django import DjangoModelFactory

import gridcore
from accounts.tests.factories import BybitAccountFactory
from strategies.models import (
    BacktestSummary,
    EquityPoint,
    FundingPayment,
    GridState,
    Run,
    SimulatedFill,
    Strategy,
)


class StrategyFactory(DjangoModelFactory[Strategy]):
    """A strategy that is not enabled."""

    class Meta:
        model = Strategy

    account = SubFactory(BybitAccountFactory)
    name = Sequence(lambda n: f"grid {n}")
    symbol = "BTCUSDT"
    config = LazyFunction(lambda: {"grid_count": 10, "grid_step": 0.5})


class RunFactory(DjangoModelFactory[Run]):
    """A live run without a strategy: it observes its account."""

    class Meta:
        model = Run

    account = SubFactory(BybitAccountFactory)
    run_type = Run.RunType.LIVE
    gridcore_version = gridcore.__version__
    started_at = datetime(2026, 1, 2, tzinfo=UTC)


class GridStateFactory(DjangoModelFactory[GridState]):
    """The grid of a strategy."""

    class Meta:
        model = GridState

    account = SubFactory(BybitAccountFactory)
    strategy = SubFactory(StrategyFactory, account=SelfAttribute("..account"))
    anchor_price = Decimal("50000")
    grid_step = Decimal("0.5")
    grid_count = 10
    grid = LazyFunction(lambda: [{"side": "Wait", "price": "50000", "level": 0}])


Model = TypeVar("Model", bound=models.Model)


class OfBacktestFactory(DjangoModelFactory[Model]):
    """A row of a run of type backtest."""

    class Meta:
        abstract = True

    account = SubFactory(BybitAccountFactory)
    run = SubFactory(RunFactory, account=SelfAttribute("..account"), run_type=Run.RunType.BACKTEST)


class BacktestSummaryFactory(OfBacktestFactory[BacktestSummary]):
    """A backtest that traded nothing."""

    class Meta:
        model = BacktestSummary

    symbol = "BTCUSDT"
    since = datetime(2026, 1, 2, tzinfo=UTC)
    until = datetime(2026, 1, 3, tzinfo=UTC)
    code_version = gridcore.__version__
    data_fingerprint = "0" * 64
    starting_balance = final_equity = Decimal(10_000)
    return_share = realised = unrealised = fees = funding = forgiven = Decimal(0)
    under_water = longest_under_water = timedelta(0)
    under_water_share = 0.0
    fills = closing_trades = orders_placed = public_trades = 0
    turnover = turnover_share = peak_margin = Decimal(0)


class SimulatedFillFactory(OfBacktestFactory[SimulatedFill]):
    """A Buy that opens a long."""

    class Meta:
        model = SimulatedFill

    exec_id = Sequence(lambda n: f"fill-{n}")
    time = datetime(2026, 1, 2, tzinfo=UTC)
    trade_index = 1
    order_id = "order"
    level = -1
    direction = "long"
    side = "Buy"
    opens = is_maker = True
    price = trade_price = Decimal("49999.5")
    qty = Decimal("0.01")
    fee = Decimal("0.1")
    closed_size = closed_pnl = Decimal(0)
    rule = "strict_cross"
    equity = Decimal(10_000)


class FundingPaymentFactory(OfBacktestFactory[FundingPayment]):
    """A long that paid."""

    class Meta:
        model = FundingPayment

    time = datetime(2026, 1, 2, 8, tzinfo=UTC)
    rate = Decimal("0.0001")
    mark_price = Decimal(50_000)
    long_size = Decimal("0.01")
    short_size = Decimal(0)
    amount = Decimal("-0.05")


class EquityPointFactory(OfBacktestFactory[EquityPoint]):
    """Equity at a full minute."""

    class Meta:
        model = EquityPoint

    time = datetime(2026, 1, 2, tzinfo=UTC)
    equity = low = high = Decimal(10_000)
