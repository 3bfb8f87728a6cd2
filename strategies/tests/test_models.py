"""Strategies, runs and grids: what the database and the models refuse."""

from __future__ import annotations

import json
import math

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from gridcore import GridConfig
from strategies.models import GridState, Run, Strategy
from strategies.tests.factories import GridStateFactory, RunFactory, StrategyFactory
from strategies.validators import validate_strategy_config


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


@pytest.mark.parametrize(
    "config",
    [{}, {"grid_count": 10}, {"grid_step": 1, "rebalance_threshold": 0.5}, GridConfig().__dict__],
)
def test_a_part_of_a_config_is_a_config(config):
    validate_strategy_config(config)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ([], 'The configuration is a JSON object, like {"grid_count": 50}.'),
        (None, 'The configuration is a JSON object, like {"grid_count": 50}.'),
        (
            {"grid_steps": 1},
            "Unknown key 'grid_steps'; the keys are grid_count, grid_step, rebalance_threshold.",
        ),
        ({"grid_count": "50"}, "grid_count must be a whole number, not '50'."),
        ({"grid_count": True}, "grid_count must be a whole number, not True."),
        ({"grid_count": 1.5}, "grid_count must be a whole number, not 1.5."),
        ({"grid_count": 0}, "grid_count must be positive, not 0."),
        ({"grid_step": None}, "grid_step must be a number, not None."),
        ({"grid_step": -0.2}, "grid_step must be positive, not -0.2."),
        ({"grid_step": math.nan}, "grid_step must be positive, not nan."),
        ({"grid_step": math.inf}, "grid_step must be positive, not inf."),
        ({"rebalance_threshold": 1}, "rebalance_threshold must be between 0 and 1, not 1."),
    ],
)
def test_a_config_that_makes_no_grid_is_refused_with_its_reason(config, message):
    with pytest.raises(ValidationError) as error:
        validate_strategy_config(config)
    assert error.value.messages == [message]


def test_the_largest_number_that_json_can_write_is_no_error():
    validate_strategy_config(json.loads('{"grid_step": 1' + "0" * 400 + "}"))
