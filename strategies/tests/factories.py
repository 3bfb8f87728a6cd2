"""Strategies, runs and grids for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from factory.declarations import LazyFunction, SelfAttribute, Sequence, SubFactory
from factory.django import DjangoModelFactory

import gridcore
from accounts.tests.factories import BybitAccountFactory
from strategies.models import GridState, Run, Strategy


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
