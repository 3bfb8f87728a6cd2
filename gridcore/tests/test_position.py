"""Positions: their multipliers, how a pair is evaluated, and what is refused."""

from __future__ import annotations

import dataclasses
import logging
import math
from decimal import Decimal

import pytest

from gridcore.position import (
    DirectionType,
    LinkedPair,
    Position,
    PositionRiskManager,
    PositionState,
    RiskConfig,
    SideType,
)
from gridcore.tests.positions import CONFIG, REST, changes, evaluate, state

D = Decimal
NOT_NUMBERS = [D("NaN"), D("sNaN"), D("Infinity"), math.nan, -math.inf, "ten", True]


def test_enums_are_strings_and_validate():
    assert [*map(str, DirectionType), *map(str, SideType)] == ["long", "short", "Buy", "Sell"]
    assert Position.SIDE_BUY == "Buy"
    assert Position.DIRECTION_SHORT == "short"


@pytest.mark.parametrize("make", [PositionState, lambda name: Position(name, CONFIG)])
@pytest.mark.parametrize("direction", ["sideways", "LONG", "", None])
def test_an_unknown_direction_is_refused_by_name(make, direction):
    """It would fall into the rules of a short."""
    with pytest.raises(ValueError, match=f"{direction!r} is not a valid DirectionType"):
        make(direction)


def test_a_state_has_the_defaults_of_a_flat_position():
    flat = dataclasses.asdict(PositionState("long"))
    assert flat.pop("direction") == "long"
    assert flat.pop("entry_price") is None
    assert flat.pop("leverage") == 1
    assert set(flat.values()) == {D(0)}


def test_a_position_starts_at_rest():
    one = Position("long", CONFIG)
    assert (one.amount_multiplier, one.position_ratio, one._opposite) == (REST, 1.0, None)
    assert (one.size, one.liquidation_price) == (0, 0)
    assert PositionRiskManager is Position


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        (0, -0.1, "min_liq_ratio must not be negative"),
        (1, 0, "max_liq_ratio must be positive"),
        (1, -1, "max_liq_ratio must be positive"),
        *[(i, math.nan, "must be a finite number") for i in range(4)],
        *[(i, math.inf, "must be a finite number") for i in range(4)],
    ],
)
def test_limits_that_make_no_sense_are_refused(index, value, message):
    limits = [0.8, 1.2, 8.0, 0.15]
    limits[index] = value
    with pytest.raises(ValueError, match=message):
        RiskConfig(*limits)


@pytest.mark.parametrize("value", ["false", 1, None])
def test_whether_to_open_more_is_true_or_false_and_no_text_that_counts_as_true(value):
    with pytest.raises(ValueError, match="low_margin must be true or false, not "):
        dataclasses.replace(CONFIG, increase_same_position_on_low_margin=value)


def test_a_pair_is_linked_both_ways_and_shares_a_config():
    pair = Position.create_linked_pair(CONFIG)
    assert isinstance(pair, LinkedPair)
    assert (pair.long._opposite, pair.short._opposite) == (pair.short, pair.long)
    assert pair.short.risk_config is CONFIG
    other = RiskConfig(0.7, 1.3, 8.0, 0.2)
    assert Position.create_linked_pair(CONFIG, other).short.risk_config is other


def test_a_position_is_not_its_own_opposite():
    with pytest.raises(ValueError, match="opposite of a long position is not long"):
        Position("long", CONFIG).set_opposite(Position("long", CONFIG))


def test_an_unlinked_position_says_how_to_link():
    with pytest.raises(ValueError, match="requires opposite position to be linked") as caught:
        Position("long", CONFIG).calculate_amount_multiplier(state("long"), state("short"), D(1))
    assert "set_opposite()" in str(caught.value)
    assert "create_linked_pair()" in str(caught.value)


def test_multipliers_are_handed_out_as_a_copy():
    """The live dict would let callers change a position unseen."""
    one = Position("long", CONFIG)
    one.get_amount_multiplier()["Buy"] = 9.0
    assert one.amount_multiplier == REST


def test_a_multiplier_is_set_and_reset():
    one = Position("long", CONFIG)
    one.set_amount_multiplier("Sell", 1.5)
    assert one.get_amount_multiplier() == {"Buy": 1.0, "Sell": 1.5}
    one.reset_amount_multiplier()
    assert one.get_amount_multiplier() == REST


@pytest.mark.parametrize(
    ("side", "factor"),
    [("buy", 1), ("", 1), ("Buy", math.nan), ("Buy", math.inf), ("Buy", -1), ("Buy", D("1e400"))],
)
def test_a_multiplier_of_no_side_or_no_use_is_refused_and_changes_nothing(side, factor):
    """An unknown side would be stored in silence and never read."""
    one = Position("long", CONFIG)
    with pytest.raises(ValueError, match=r"is not a valid SideType|multiplier must be"):
        one.set_amount_multiplier(side, factor)
    assert one.amount_multiplier == REST


def test_a_short_of_no_margin_counts_as_a_ten_thousandth():
    pair = Position.create_linked_pair(CONFIG)
    pair.evaluate_pair(state("long", margin="2"), state("short", entry=None, margin="0"), D(100))
    assert pair.long.position_ratio == pair.short.position_ratio == 2.0 / 0.0001


def test_a_flat_direction_does_not_act_but_is_acted_upon():
    flat = {"entry": None, "margin": "0"}
    assert changes(evaluate({"liq": "82"}, flat)) == ["short Buy 0.5"]
    assert changes(evaluate(flat, {"liq": "119", "margin": "0.1"})) == ["long Sell 0.5"]
    assert changes(evaluate({"entry": "0", "margin": "0"}, {"margin": "0"})) == []


def test_an_effect_of_the_long_survives_the_evaluation_of_the_short():
    assert changes(evaluate({"liq": "82"}, {"liq": "119"})) == ["long Sell 0.5", "short Buy 0.5"]


def test_evaluating_a_pair_forgets_the_last_time_even_for_a_flat_side():
    """A flat side must not keep stale multipliers, nor a stale ratio, because nobody reset it."""
    pair = Position.create_linked_pair(CONFIG)
    for one in pair:
        one.set_amount_multiplier("Buy", 9.0)
    flat = state("long", entry=None, margin="0"), state("short", entry=None, margin="0.5")
    assert pair.evaluate_pair(*flat, D(100)) == (REST, REST)
    assert (pair.long.position_ratio, pair.short.position_ratio) == (0.0, 0.0)


def test_one_evaluation_alone_never_resets():
    pair = Position.create_linked_pair(CONFIG)
    pair.long.set_amount_multiplier("Buy", 9.0)
    tiny = state("long", liq="90")
    result = pair.long.calculate_amount_multiplier(tiny, state("short", margin="0.5"), D(100))
    assert result == pair.long.amount_multiplier == {"Buy": 9.0, "Sell": 1.5}
    assert (pair.long.position_ratio, pair.short.position_ratio) == (2.0, 1.0)


def test_one_evaluation_of_a_flat_position_changes_nothing():
    pair = Position.create_linked_pair(CONFIG)
    pair.long.set_amount_multiplier("Buy", 9.0)
    flat = state("long", entry=None, margin="0")
    result = pair.long.calculate_amount_multiplier(flat, state("short"), D(100))
    assert (result, pair.long.position_ratio) == ({"Buy": 9.0, "Sell": 1.0}, 1.0)
    result["Buy"] = 3.0
    assert pair.long.amount_multiplier["Buy"] == 9.0


@pytest.mark.parametrize("value", [*NOT_NUMBERS, D(-1)], ids=repr)
@pytest.mark.parametrize("name", ["last_close", "entry_price", "margin", "leverage"])
@pytest.mark.parametrize("broken", ["long", "short"])
def test_what_is_no_number_is_refused_before_anything_changes(broken, name, value):
    pair = Position.create_linked_pair(CONFIG)
    pair.long.set_amount_multiplier("Buy", 9.0)
    states = {"long": state("long", liq="90"), "short": state("short", margin="0.5")}
    last = D(100)
    if name == "last_close":
        last = value
    else:
        setattr(states[broken], name, value)
    with pytest.raises(ValueError, match=f"^{name} must "):
        pair.evaluate_pair(states["long"], states["short"], last)
    assert pair.long.amount_multiplier == {"Buy": 9.0, "Sell": 1.0}
    assert (pair.long.position_ratio, pair.short.position_ratio) == (1.0, 1.0)


@pytest.mark.parametrize("broken", ["long", "short"])
def test_an_error_of_one_direction_leaves_both_as_they_were(broken):
    pair = Position.create_linked_pair(CONFIG)
    pair.evaluate_pair(state("long", liq="82"), state("short", liq="119"), D(100))
    before = pair.long.get_amount_multiplier(), pair.short.get_amount_multiplier()
    liq = {"long": "90", "short": "110", broken: "NaN"}
    with pytest.raises(ValueError, match="liquidation_price must be a finite number"):
        pair.evaluate_pair(*(state(name, liq=liq[name]) for name in ("long", "short")), D(100))
    assert (pair.long.amount_multiplier, pair.short.amount_multiplier) == before
    assert changes(before) == ["long Sell 0.5", "short Buy 0.5"]


def test_states_in_the_wrong_order_are_refused():
    pair = Position.create_linked_pair(CONFIG)
    with pytest.raises(ValueError, match="direction must be long here, not "):
        pair.evaluate_pair(state("short"), state("long"), D(100))
    with pytest.raises(ValueError, match="direction must be short here, not "):
        pair.long.calculate_amount_multiplier(state("long"), state("long"), D(100))


def test_a_rule_that_fires_is_logged_and_one_without_effect_is_not(caplog):
    caplog.set_level(logging.INFO, "gridcore.position")
    evaluate({"liq": "82"}, {}, low_balance=True)
    assert caplog.messages == []
    evaluate({"liq": "82"}, {})
    assert caplog.messages == [
        "Position adjustment: long: liquidation comes closer, so short Buy = 0.5"
    ]


def test_every_evaluation_is_one_debug_line_with_the_money_in_it(caplog):
    """Its proximity and profit are those of gridcore.pnl: there is no second formula."""
    caplog.set_level(logging.DEBUG, "gridcore.position")
    money = {
        "unrealized_pnl": D("-1.5"),
        "cur_realized_pnl": D(2),
        "cum_realized_pnl": D(-3),
        "position_value": D(500),
        "initial_margin": D(5),
        "maintenance_margin": D("2.5"),
    }
    evaluate({"liq": "50", "entry": "80", "leverage": 3, **money}, {"entry": None})
    assert caplog.messages == [
        "long margin=1 liq_ratio=0.5000 pnl=75.00% upnl_usdt=-1.5000 realized_usdt=2.0000 "
        "cum_realized_usdt=-3.0000 pos_value_usdt=500.00 im_usdt=5.0000 mm_usdt=2.5000 "
        "low_balance=False multiplier={'Buy': 1.0, 'Sell': 1.0} position_ratio=1.0000 "
        "total_margin=2"
    ]
