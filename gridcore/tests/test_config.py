"""GridConfig: its defaults, and what makes no grid."""

from __future__ import annotations

import dataclasses
import math
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcore import GridConfig


def test_the_defaults_are_those_of_the_specification():
    assert dataclasses.astuple(GridConfig()) == (50, 0.2, 0.3)


def test_a_config_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        GridConfig().grid_count = 1  # type: ignore[misc]


@pytest.mark.parametrize("count", [0, -1, -(10**9)])
def test_a_grid_has_at_least_one_level(count):
    with pytest.raises(ValueError, match=f"grid_count must be positive, not {count}"):
        GridConfig(grid_count=count)


@pytest.mark.parametrize(
    "step",
    [0, -0.1, math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity")],
)
def test_a_step_is_positive_and_finite(step):
    with pytest.raises(ValueError, match="grid_step must be positive"):
        GridConfig(grid_step=step)


@pytest.mark.parametrize("threshold", [0, 1, -0.1, 1.1, math.nan, math.inf, Decimal("NaN")])
def test_a_threshold_lies_strictly_between_0_and_1(threshold):
    with pytest.raises(ValueError, match="rebalance_threshold must be between 0 and 1"):
        GridConfig(rebalance_threshold=threshold)


@pytest.mark.parametrize("name", ["grid_count", "grid_step", "rebalance_threshold"])
@pytest.mark.parametrize("value", [True, False, None, "5", "", [], {}, 1j])
def test_what_is_no_number_is_refused_by_name(name, value):
    with pytest.raises(ValueError, match=f"^{name} must be a (whole )?number, not "):
        GridConfig(**{name: value})


def test_a_count_of_levels_is_whole():
    with pytest.raises(ValueError, match=r"grid_count must be a whole number, not 50\.0"):
        GridConfig(grid_count=50.0)  # type: ignore[arg-type]


def test_a_step_beyond_the_floats_is_still_a_number():
    assert GridConfig(grid_step=10**400).grid_step == 10**400


def test_steps_may_be_given_as_decimals_and_whole_numbers():
    figures: Any = {"grid_step": Decimal("0.2"), "rebalance_threshold": Decimal("0.3")}
    assert GridConfig(**figures).grid_step == Decimal("0.2")
    assert GridConfig(grid_step=1).grid_step == 1


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda values: st.lists(values, max_size=2) | st.dictionaries(st.text(), values, max_size=2),
    max_leaves=3,
)


@given(JSON, JSON, JSON)
def test_whatever_json_holds_is_a_grid_or_a_value_error(count, step, threshold):
    error = ""
    try:
        config = GridConfig(count, step, threshold)
    except ValueError as refusal:
        error = str(refusal)
    assert error.startswith(("grid_", "rebalance_")) or (
        config.grid_count > 0 < config.grid_step and 0 < config.rebalance_threshold < 1
    )
