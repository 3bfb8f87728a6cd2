"""The configuration of a strategy: what is read of it, and what is refused with its reason."""

from __future__ import annotations

import json
import math

import pytest
from django.core.exceptions import ValidationError

from gridcore import GridConfig, RiskConfig
from strategies.config import StrategyConfig
from strategies.validators import validate_strategy_config


@pytest.mark.parametrize(
    "config",
    [
        *({}, {"grid_count": 10}, {"grid_step": 1, "rebalance_threshold": 0.5}),
        *({"amount": "50"}, {"amount": "x0.01"}, {"risk": {}}, {"risk": {"min_liq_ratio": 0}}),
        {**GridConfig().__dict__, "risk": RiskConfig(0.7, 1.3, 8, 0.1, True).__dict__},
    ],
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
            "Unknown key 'grid_steps'; the keys are grid_count, grid_step, rebalance_threshold, "
            "amount, risk.",
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
        ({"amount": 50}, 'amount must be a text like "50" or "x0.01", not 50.'),
        ({"amount": None}, 'amount must be a text like "50" or "x0.01", not None.'),
        ({"amount": ""}, "amount: amount string must not be empty."),
        ({"amount": "x-1"}, "amount: invalid amount string 'x-1': use e.g. 50 or x0.01."),
        ({"risk": 0.8}, "risk must be an object, not 0.8."),
        ({"risk": None}, "risk must be an object, not None."),
        (
            {"risk": {"max_ratio": 1}},
            "Unknown key 'risk.max_ratio'; the keys are risk.min_liq_ratio, risk.max_liq_ratio, "
            "risk.max_margin, risk.min_total_margin, risk.increase_same_position_on_low_margin.",
        ),
        ({"risk": {"min_liq_ratio": -1}}, "risk.min_liq_ratio must not be negative, not -1."),
        ({"risk": {"max_liq_ratio": 0}}, "risk.max_liq_ratio must be positive, not 0."),
        ({"risk": {"max_margin": None}}, "risk.max_margin must be a finite number, not None."),
        (
            {"risk": {"min_total_margin": math.nan}},
            "risk.min_total_margin must be a finite number, not nan.",
        ),
        ({"risk": {"max_margin": "8"}}, "risk.max_margin must not be a text, as '8' is."),
        (
            {"risk": {"increase_same_position_on_low_margin": 1}},
            "risk.increase_same_position_on_low_margin must be true or false, not 1.",
        ),
    ],
)
def test_a_config_that_makes_no_strategy_is_refused_with_its_reason(config, message):
    with pytest.raises(ValidationError) as error:
        validate_strategy_config(config)
    assert error.value.messages == [message]


@pytest.mark.parametrize("config", ['{"grid_step": 1' + "0" * 400 + "}", '{"grid_step": 100}'])
def test_a_step_that_leaves_no_price_below_is_refused(config):
    with pytest.raises(ValidationError, match="grid_step must be below 100 percent"):
        validate_strategy_config(json.loads(config))


def test_a_grid_is_no_larger_than_the_exchange_takes_orders_for():
    validate_strategy_config({"grid_count": 250})
    with pytest.raises(ValidationError, match="grid_count must be at most 250, not 251"):
        validate_strategy_config({"grid_count": 251})


def test_what_is_left_out_is_the_default_and_no_amount_is_made_up():
    config = StrategyConfig.from_json({"grid_count": 10, "risk": {"min_liq_ratio": 0.7}})
    assert config.grid == GridConfig(grid_count=10)
    assert config.risk == RiskConfig(0.7, 1.2, 8.0, 0.15)
    assert config.amount is None
    assert StrategyConfig.from_json({}).risk == RiskConfig(0.8, 1.2, 8.0, 0.15)


def test_every_key_is_read():
    risk = {
        "min_liq_ratio": 0.5,
        "max_liq_ratio": 1.5,
        "max_margin": 4,
        "min_total_margin": 1,
        "increase_same_position_on_low_margin": True,
    }
    grid = {"grid_count": 4, "grid_step": 1.5, "rebalance_threshold": 0.4}
    config = StrategyConfig.from_json({**grid, "amount": "x0.5", "risk": risk})
    assert config == StrategyConfig(GridConfig(4, 1.5, 0.4), "x0.5", RiskConfig(**risk))
