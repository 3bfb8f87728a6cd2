"""Profit, margins and tiers: values, boundaries, and what is refused."""

from __future__ import annotations

import logging
import math
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcore import pnl

D = Decimal
M = D(1000000)
PRICES = st.decimals("0.01", "1000000", places=4)
SIZES = st.decimals("0", "1000", places=3)
NOT_NUMBERS: list[object] = [
    *(D("NaN"), D("sNaN"), D("Infinity"), math.nan, -math.inf, None, True, "ten", []),
    *(D("1E+999999999"), "1E-999999999", "1E+9999999999999999999"),
]
TABLES = [*pnl.MM_TIERS.values(), pnl.MM_TIERS_DEFAULT]
API_TIER = {
    "riskLimitValue": "2000000",
    "maintenanceMargin": "0.005",
    "mmDeduction": "",
    "initialMargin": "0.01",
}


def api(**fields):
    return {**API_TIER, **fields}


@pytest.mark.parametrize(("direction", "profit"), [("long", 20), ("short", -20)])
def test_profit_is_the_move_times_the_size(direction, profit):
    assert pnl.calc_unrealised_pnl(direction, D(100), D(110), D(2)) == profit


@pytest.mark.parametrize(("direction", "percent"), [("long", 100), ("short", -100)])
def test_profit_in_percent_counts_the_leverage(direction, percent):
    assert pnl.calc_unrealised_pnl_pct(direction, D(100), D(110), 10) == percent


@given(PRICES, PRICES, SIZES)
def test_what_a_long_wins_a_short_loses(entry, current, size):
    long = pnl.calc_unrealised_pnl("long", entry, current, size)
    assert long == -pnl.calc_unrealised_pnl("short", entry, current, size)


@given(PRICES, PRICES, st.integers(1, 100))
def test_percentages_of_long_and_short_are_opposite(entry, current, leverage):
    long = pnl.calc_unrealised_pnl_pct("long", entry, current, leverage)
    assert long == -pnl.calc_unrealised_pnl_pct("short", entry, current, leverage)


@pytest.mark.parametrize("direction", ["LONG", "Short", "sideways", "", None])
def test_an_unknown_direction_is_refused_by_name(direction):
    """`LONG`, not spelt as expected, would count as a short: the profit with the wrong sign."""
    calls = [
        lambda: pnl.calc_unrealised_pnl(direction, D(1), D(2), D(1)),
        lambda: pnl.calc_unrealised_pnl_pct(direction, D(1), D(2), 1),
        lambda: pnl.calc_liq_proximity(direction, D(1), D(2)),
    ]
    for call in calls:
        with pytest.raises(ValueError, match=f"direction must be long or short, not {direction!r}"):
            call()


@pytest.mark.parametrize("value", NOT_NUMBERS, ids=repr)
@pytest.mark.parametrize(
    "call",
    [
        lambda x: pnl.calc_unrealised_pnl("long", x, D(1), D(1)),
        lambda x: pnl.calc_unrealised_pnl("long", D(1), x, D(1)),
        lambda x: pnl.calc_unrealised_pnl("long", D(1), D(1), x),
        lambda x: pnl.calc_unrealised_pnl_pct("long", D(1), D(1), x),
        lambda x: pnl.calc_position_value(x, D(1)),
        lambda x: pnl.calc_position_value(D(1), x),
        lambda x: pnl.calc_margin_ratio(x, D(1)),
        lambda x: pnl.calc_margin_ratio(D(1), x),
        lambda x: pnl.calc_imr_pct(x, D(1)),
        lambda x: pnl.calc_mmr_pct(D(1), x),
        lambda x: pnl.calc_liq_ratio(x, D(1)),
        lambda x: pnl.calc_liq_ratio(D(1), x),
        lambda x: pnl.calc_liq_proximity("long", x, D(1)),
        lambda x: pnl.calc_liq_proximity("long", D(1), x),
        lambda x: pnl.calc_initial_margin(x, 1),
        lambda x: pnl.calc_initial_margin(D(1), x),
        lambda x: pnl.calc_maintenance_margin(x),
    ],
)
def test_what_is_no_finite_number_is_refused(call, value):
    with pytest.raises(ValueError, match="must be a finite number, not"):
        call(value)


@pytest.mark.parametrize(("entry", "current"), [(0, 1), (1, 0), (-1, 1), (1, -1)])
def test_without_a_price_the_percentage_is_0_and_a_negative_one_is_reported(caplog, entry, current):
    assert pnl.calc_unrealised_pnl_pct("long", D(entry), D(current), 5, "BTCUSDT") == 0
    negative = entry < 0 or current < 0
    assert ("Negative price for BTCUSDT" in caplog.text) == negative


def test_a_position_is_worth_what_it_cost():
    assert pnl.calc_position_value(D("0.5"), D(30000)) == 15000


def test_shares_of_a_balance():
    assert pnl.calc_margin_ratio(D(50), D(200)) == D("0.25")
    assert pnl.calc_imr_pct(D(50), D(200)) == 25
    assert pnl.calc_mmr_pct(D(5), D(200)) == D("2.5")


@pytest.mark.parametrize("balance", [0, -1])
@pytest.mark.parametrize("share", [pnl.calc_margin_ratio, pnl.calc_imr_pct, pnl.calc_mmr_pct])
def test_without_a_balance_every_share_is_0(share, balance):
    assert share(D(50), D(balance)) == 0


def test_the_liquidation_ratio_is_a_float():
    ratio = pnl.calc_liq_ratio(D(84), D(100))
    assert (type(ratio), ratio) == (float, 0.84)


@pytest.mark.parametrize("current", [D(0), D("1E-400")])
def test_without_a_price_the_liquidation_ratio_is_0(current):
    assert pnl.calc_liq_ratio(D(84), current) == 0.0


@pytest.mark.parametrize(
    ("direction", "liquidation", "proximity"),
    [
        *(("long", 80, "0.8"), ("long", 100, "1"), ("long", 110, "1.1")),
        *(("short", 125, "0.8"), ("short", 100, "1"), ("short", 80, "1.25")),
        *(("long", 0, "0"), ("short", 0, "0"), ("long", -5, "0"), ("short", -5, "0")),
    ],
)
def test_proximity_rises_to_1_at_liquidation_and_beyond(direction, liquidation, proximity):
    assert pnl.calc_liq_proximity(direction, D(liquidation), D(100)) == D(proximity)


@pytest.mark.parametrize("last", [0, -1])
@pytest.mark.parametrize("direction", ["long", "short"])
def test_without_a_last_price_nothing_is_close(direction, last):
    assert pnl.calc_liq_proximity(direction, D(100), D(last)) == 0


@pytest.mark.parametrize(
    ("value", "rate"),
    [("0", ".01"), ("2000000", ".01"), ("2000000.01", ".02"), ("160000000.1", ".3")],
)
def test_a_boundary_belongs_to_the_lower_tier(value, rate):
    tier = pnl._find_matching_tier(D(value), pnl.MM_TIERS["BTCUSDT"])
    assert tier[3] == D(rate)


def test_no_tier_holds_what_exceeds_them_all():
    assert pnl._find_matching_tier(D(11), [(D(10), D(0), D(0), D(1))]) is None


@pytest.mark.parametrize("tiers", TABLES)
def test_every_table_ascends_to_infinity(tiers):
    assert tiers == sorted(tiers)
    assert tiers[-1][0] == D("Infinity")


@pytest.mark.parametrize("tiers", TABLES)
def test_deductions_join_the_tiers_without_a_jump(tiers):
    for (cap, rate, deduction, _), (_, next_rate, next_deduction, _) in pairwise(tiers):
        assert cap * rate - deduction == cap * next_rate - next_deduction


@pytest.mark.parametrize(
    ("symbol", "initial", "maintenance"),
    [("BTCUSDT", "0.02", "20000"), ("ETHUSDT", "0.02", "25000"), ("XUSDT", "0.05", "60000")],
)
def test_margins_follow_the_table_of_the_symbol(symbol, initial, maintenance):
    rate = D(initial)
    assert pnl.calc_initial_margin(3 * M, 7, symbol) == (3 * M * rate, rate)
    assert pnl.calc_maintenance_margin(3 * M, symbol)[0] == D(maintenance)


def test_without_a_symbol_initial_margin_takes_the_default_and_maintenance_bitcoin():
    assert pnl.calc_initial_margin(D(100), 10) == (2, D("0.02"))
    assert pnl.calc_maintenance_margin(D(100)) == (D("0.5"), D("0.005"))


def test_given_tiers_come_first():
    tiers = [(D("Infinity"), D("0.1"), D(5), D("0.2"))]
    assert pnl.calc_initial_margin(D(100), 1, "BTCUSDT", tiers) == (20, D("0.2"))
    assert pnl.calc_maintenance_margin(D(100), "BTCUSDT", tiers) == (5, D("0.1"))
    assert pnl.calc_maintenance_margin(D(10), "BTCUSDT", tiers) == (0, D("0.1"))


def test_a_position_of_nothing_needs_no_margin():
    assert pnl.calc_initial_margin(D(0), 10) == (0, 0)
    assert pnl.calc_maintenance_margin(D(0)) == (0, 0)


@pytest.mark.parametrize(
    "call", [lambda: pnl.calc_initial_margin(D(-1), 1), lambda: pnl.calc_maintenance_margin(D(-1))]
)
def test_a_negative_position_value_is_refused(call):
    with pytest.raises(ValueError, match="Negative position_value"):
        call()


@pytest.mark.parametrize(("leverage", "margin"), [(4, (25, D("0.25"))), (0, (0, 0)), (-1, (0, 0))])
def test_without_a_tier_the_leverage_decides_and_a_warning_says_so(caplog, leverage, margin):
    assert pnl.calc_initial_margin(D(100), leverage, "BTCUSDT", []) == margin
    assert [record.levelno for record in caplog.records] == [logging.WARNING]


def test_maintenance_without_tiers_is_a_value_error():
    """Not an IndexError, where the initial margin falls back to the leverage."""
    with pytest.raises(ValueError, match="tiers must not be empty"):
        pnl.calc_maintenance_margin(D(100), "BTCUSDT", [])


def test_beyond_the_last_tier_it_holds_on():
    tiers = [(D(10), D("0.1"), D(0), D("0.2"))]
    assert pnl.calc_maintenance_margin(D(100), tiers=tiers) == (10, D("0.1"))


def test_tiers_of_the_exchange_are_sorted_and_the_last_has_no_end():
    items = [api(riskLimitValue="300", mmDeduction="7", initialMargin="0.5"), api()]
    items[1]["riskLimitValue"] = "200"
    assert pnl.parse_risk_limit_tiers(items) == [
        (D(200), D("0.005"), D(0), D("0.01")),
        (D("Infinity"), D("0.005"), D(7), D("0.5")),
    ]


def test_numbers_of_json_lose_nothing():
    """0.01 must not become its binary neighbour, a number of 50 digits."""
    tiers = pnl.parse_risk_limit_tiers([api(riskLimitValue=5, maintenanceMargin=0.01)])
    assert str(tiers[0][1]) == "0.01"


@pytest.mark.parametrize("empty", [None, ""])
def test_deduction_and_initial_margin_may_be_empty(empty):
    tiers = pnl.parse_risk_limit_tiers([api(mmDeduction=empty, initialMargin=empty)])
    assert tiers[0][2:] == (0, 0)
    lean = {"riskLimitValue": "1", "maintenanceMargin": "1"}
    assert pnl.parse_risk_limit_tiers([lean])[0][1:] == (1, 0, 0)


def test_a_zero_rate_is_allowed_and_logged(caplog):
    caplog.set_level(logging.INFO)
    assert pnl.parse_risk_limit_tiers([api(maintenanceMargin="0")])[0][1] == 0
    assert caplog.messages == ["MMR rate is zero"]


@pytest.mark.parametrize(
    ("tiers", "message"),
    [
        (None, "api_tiers must be a list"),
        ({}, "api_tiers must be a list"),
        ([], "api_tiers must not be empty"),
        ([api(), "tier"], "api_tiers must contain dict objects"),
        ([{"maintenanceMargin": "1"}], "Missing required field: riskLimitValue"),
        ([{"riskLimitValue": "1"}], "Missing required field: maintenanceMargin"),
        ([api(riskLimitValue="x")], "Invalid riskLimitValue format: 'x'"),
        ([api(riskLimitValue="")], "Invalid riskLimitValue format: ''"),
        ([api(riskLimitValue="NaN"), api()], "Invalid riskLimitValue: NaN"),
        ([api(riskLimitValue="sNaN")], "Invalid riskLimitValue: sNaN"),
        ([api(riskLimitValue="0")], "Invalid riskLimitValue: 0"),
        ([api(riskLimitValue="-1")], "Invalid riskLimitValue: -1"),
        ([api(), api(riskLimitValue="2e6")], "Duplicate tier boundary detected"),
        ([api(maintenanceMargin="x")], "Invalid maintenanceMargin format"),
        ([api(maintenanceMargin="")], "Invalid maintenanceMargin format"),
        ([api(maintenanceMargin="NaN")], r"MMR rate NaN outside valid range \[0, 1\]"),
        ([api(maintenanceMargin="1.1")], r"MMR rate 1\.1 outside valid range \[0, 1\]"),
        ([api(initialMargin="-0.1")], r"IMR rate -0\.1 outside valid range \[0, 1\]"),
        ([api(initialMargin="sNaN")], r"IMR rate sNaN outside valid range \[0, 1\]"),
        ([api(initialMargin="x")], "Invalid initialMargin format"),
        ([api(mmDeduction="-1")], "Negative mmDeduction not allowed"),
        ([api(mmDeduction="x")], "Invalid mmDeduction format"),
        ([api(mmDeduction="NaN")], "Invalid mmDeduction format"),
    ],
)
def test_what_is_no_tier_is_a_value_error_that_says_why(tiers, message):
    """A NaN rate, or a NaN limit beside another tier, must not escape as InvalidOperation."""
    with pytest.raises(ValueError, match=message):
        pnl.parse_risk_limit_tiers(tiers)


WORDS = st.sampled_from(["", "x", "NaN", "sNaN", "Infinity", "0", "1", "-1", "0.5"])
VALUES = WORDS | st.none() | st.floats() | st.integers() | st.booleans()


@given(st.lists(st.dictionaries(st.sampled_from([*API_TIER]), VALUES), max_size=3))
def test_whatever_the_exchange_sends_makes_tiers_or_a_value_error(items):
    try:
        tiers = pnl.parse_risk_limit_tiers(items)
    except ValueError:
        return
    assert tiers == sorted(tiers)
