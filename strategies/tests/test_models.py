"""Strategies, runs and grids: what the database and the models refuse."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from strategies.models import GridState, Run, Strategy
from strategies.tests.factories import GridStateFactory, RunFactory, StrategyFactory


@pytest.mark.django_db
def test_one_strategy_is_enabled_on_a_symbol(alice_account, charlie_account):
    StrategyFactory.create(account=alice_account, is_enabled=True)
    StrategyFactory.create(account=alice_account)
    StrategyFactory.create(account=alice_account, is_enabled=True, symbol="ETHUSDT")
    StrategyFactory.create(account=charlie_account, is_enabled=True)
    with pytest.raises(IntegrityError), transaction.atomic():
        StrategyFactory.create(account=alice_account, is_enabled=True)


@pytest.mark.django_db
def test_a_name_is_used_once_in_an_account(alice_account, charlie_account):
    StrategyFactory.create(account=alice_account, name="grid")
    StrategyFactory.create(account=charlie_account, name="grid")
    with pytest.raises(IntegrityError), transaction.atomic():
        StrategyFactory.create(account=alice_account, name="grid")


@pytest.mark.django_db
@pytest.mark.parametrize("make", [RunFactory, GridStateFactory])
def test_a_run_and_a_grid_are_of_their_strategys_account(alice_account, charlie_account, make):
    strategy = StrategyFactory.create(account=charlie_account)
    with pytest.raises(ValidationError, match="belongs to another account"):
        make.create(account=alice_account, strategy=strategy)


@pytest.mark.django_db
def test_a_deleted_strategy_takes_its_runs_and_grid_along(alice_account):
    strategy = StrategyFactory.create(account=alice_account)
    RunFactory.create(account=alice_account, strategy=strategy)
    observing = RunFactory.create(account=alice_account)
    GridStateFactory.create(account=alice_account, strategy=strategy)
    strategy.delete()
    assert list(Run.objects.for_user(alice_account.user)) == [observing]
    assert not GridState.objects.for_user(alice_account.user).exists()


def test_texts_name_the_thing():
    strategy = Strategy(name="grid", symbol="BTCUSDT")
    assert str(strategy) == "grid on BTCUSDT"
    assert str(RunFactory.build(account=None)) == "live from 2026-01-02 00:00"
    assert str(GridState(strategy=strategy)) == f"grid of {strategy.pk}"
