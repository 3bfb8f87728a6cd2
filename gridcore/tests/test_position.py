"""The risk rules: the table row by row, the boundaries, and long as the mirror of short."""

from __future__ import annotations

import dataclasses
import logging
import math
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcore.instrument import EXACT
from gridcore.position import (
    DirectionType,
    LinkedPair,
    Position,
    PositionRiskManager,
    PositionState,
    RiskConfig,
    SideType,
)

D = Decimal
CONFIG = RiskConfig(0.8, 1.2, 8.0, 0.15)
REST = {"Buy": 1.0, "Sell": 1.0}
NOT_NUMBERS = [D("NaN"), D("sNaN"), D("Infinity"), math.nan, -math.inf, "ten", True]


def state(direction, *, entry="100", margin="1", liq="0", **fields):
    entry_price = None if entry is None else D(entry)
    return PositionState(
        direction, entry_price=entry_price, margin=D(margin), liquidation_price=D(liq), **fields
    )


def evaluate(long, short, last="100", *, config=CONFIG, low_balance=False):
    """What both directions do, given the fields of both states."""
    pair = Position.create_linked_pair(config)
    states = state("long", **long), state("short", **short)
    return pair.evaluate_pair(*states, D(last), low_balance)


def changes(multipliers):
    """The multipliers that are not at rest, as `long Buy 2.0`."""
    named = zip(("long", "short"), multipliers, strict=True)
    return [f"{name} {side} {x}" for name, m in named for side, x in m.items() if x != 1.0]


def test_enums_are_strings_and_validate():
    assert [*map(str, DirectionType), *map(str, SideType)] == ["long", "short", "Buy", "Sell"]
    assert Position.SIDE_BUY == "Buy"
    assert Position.DIRECTION_SHORT == "short"


@pytest.mark.parametrize("make", [PositionState, lambda name: Position(name, CONFIG)])
@pytest.mark.parametrize("direction", ["sideways", "LONG", "", None])
def test_an_unknown_direction_is_refused_by_name(make, direction):
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
    one = Position("long", CONFIG)
    with pytest.raises(ValueError, match=r"is not a valid SideType|multiplier must be"):
        one.set_amount_multiplier(side, factor)
    assert one.amount_multiplier == REST


# Margins of 1 and 1 are equal and large, so only liquidation speaks.
@pytest.mark.parametrize(
    ("liq", "expected"),
    [
        *(("0", []), ("-1", []), ("80", []), ("80.0000001", ["short Buy 0.5"])),
        *(("84", ["short Buy 0.5"]), ("84.0000001", ["long Sell 1.5"]), ("120", ["long Sell 1.5"])),
    ],
)
def test_a_long_close_to_liquidation(liq, expected):
    assert changes(evaluate({"liq": liq}, {})) == expected


@pytest.mark.parametrize(
    ("liq", "expected"),
    [
        *(("0", []), ("-1", []), ("120", []), ("119.9999999", ["long Sell 0.5"])),
        *(("114", ["long Sell 0.5"]), ("113.999999", ["short Buy 1.5"]), ("9", ["short Buy 1.5"])),
    ],
)
def test_a_short_close_to_liquidation(liq, expected):
    assert changes(evaluate({}, {"liq": liq})) == expected


def test_the_boundary_holds_for_prices_that_no_quotient_expresses():
    config = RiskConfig(0.7, 1.3, 8.0, 0.15)
    assert changes(evaluate({"liq": "2.1"}, {}, "3", config=config)) == []
    assert changes(evaluate({}, {"liq": "3.9"}, "3", config=config)) == []


def test_the_boundary_is_exact_beyond_28_digits():
    last = D("1234567890123456.78901234567890123")
    with localcontext(EXACT):
        at = D("0.8") * last
        above = at + D("1e-40")
    assert changes(evaluate({"liq": at}, {}, last)) == []
    assert changes(evaluate({"liq": above}, {}, last)) == ["short Buy 0.5"]


def test_on_a_low_balance_nothing_is_done_and_the_later_rules_are_not_asked():
    long, short = {"liq": "82", "margin": "0.1"}, {"margin": "1"}
    assert changes(evaluate(long, short)) == ["short Buy 0.5"]
    assert changes(evaluate(long, short, low_balance=True)) == []
    assert changes(evaluate({**long, "liq": "0"}, short, low_balance=True)) == ["long Buy 2.0"]


def test_a_low_balance_does_not_stop_the_first_rule():
    assert changes(evaluate({"liq": "90"}, {}, low_balance=True)) == ["long Sell 1.5"]


@pytest.mark.parametrize(
    ("opens", "expected"),
    [(True, ["long Buy 2.0", "short Sell 2.0"]), (False, ["long Sell 0.5", "short Buy 0.5"])],
)
def test_on_a_low_total_margin_both_open_more_or_close_less(opens, expected):
    config = dataclasses.replace(CONFIG, increase_same_position_on_low_margin=opens)
    assert changes(evaluate({"margin": "0.07"}, {"margin": "0.07"}, config=config)) == expected


@pytest.mark.parametrize(
    ("long", "short", "fires"),
    [
        *(("0.075", "0.075", False), ("0.0749", "0.075", True)),  # the total
        *(("0.047", "0.05", False), ("0.0470001", "0.05", True)),  # 0.94
        *(("0.0525", "0.05", False), ("0.0524999", "0.05", True)),  # 1.05
    ],
)
def test_low_total_margin_is_strict_at_each_of_its_limits(long, short, fires):
    assert (evaluate({"margin": long}, {"margin": short})[0]["Sell"] == 0.5) is fires


def mirrored(direction, own, last):
    """The multipliers of (direction, the other), with `own` against an opposite margin of 1."""
    opposite = "short" if direction == "long" else "long"
    fields = {direction: {"margin": own}, opposite: {"margin": "1"}}
    both = evaluate(fields["long"], fields["short"], last)
    return both if direction == "long" else both[::-1]


@pytest.mark.parametrize(
    ("direction", "side", "losing"), [("long", "Buy", "99.9"), ("short", "Sell", "100.1")]
)
@pytest.mark.parametrize(
    ("own", "at_a_loss", "at_par"),
    [
        *(("0.5", False, False), ("0.4999999", True, False)),
        *(("0.2", True, False), ("0.1999999", True, True), ("0", True, True)),
    ],
)
def test_a_small_position_opens_more(direction, side, losing, own, at_a_loss, at_par):
    for last, fires in ((losing, at_a_loss), ("100", at_par)):
        multiplier = mirrored(direction, own, last)[0]
        assert multiplier == {**REST, side: 2.0 if fires else 1.0}


def test_at_a_last_price_of_0_there_is_no_liquidation_and_a_long_has_lost():
    long, short = {"liq": "50", "margin": "0.4"}, {"liq": "50"}
    assert changes(evaluate(long, short, "0")) == ["long Buy 2.0"]


def test_a_leverage_of_0_makes_no_loss():
    assert changes(evaluate({"margin": "0.4", "leverage": 0}, {}, "90")) == []


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


def test_a_liquidation_price_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="liquidation_price must be a finite number"):
        evaluate({"liq": "NaN"}, {})


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
    caplog.set_level(logging.DEBUG, "gridcore.position")
    money = {
        "unrealized_pnl": D("-1.5"),
        "cur_realized_pnl": D(2),
        "cum_realized_pnl": D(-3),
        "position_value": D(500),
        "initial_margin": D(5),
        "maintenance_margin": D("2.5"),
    }
    evaluate({"liq": "50", **money}, {"entry": None})
    assert caplog.messages == [
        "long margin=1 liq_ratio=0.5000 pnl=0.00% upnl_usdt=-1.5000 realized_usdt=2.0000 "
        "cum_realized_usdt=-3.0000 pos_value_usdt=500.00 im_usdt=5.0000 mm_usdt=2.5000 "
        "low_balance=False multiplier={'Buy': 1.0, 'Sell': 1.0} position_ratio=1.0000 "
        "total_margin=2"
    ]


MARGINS = st.sampled_from(["0.01", "0.05", "0.1", "0.19", "0.2", "0.21", "0.5", "0.51", "1", "5"])
MOVES = st.integers(-60, 60)
LIQUIDATIONS = st.sampled_from([-1, 0, 3, 4, 6, 9, 10, 30])
MIRROR = RiskConfig(0.9, 1.1, 8.0, 0.15)


def mirror_case(data):
    """A liquidation `distance` percent away is below the market for a long, above for a short.

    The row 1 limits of long (0.9 * 1.05 = 0.945) and short (1.1 * 0.95 = 1.045) are no exact
    mirror images; no distance above lies between them.
    """
    own, opposite, move, distance, opens, low_balance = data
    config = dataclasses.replace(MIRROR, increase_same_position_on_low_margin=opens)
    results = []
    for sign, direction in ((1, "long"), (-1, "short")):
        last = D(100)
        entry = last - sign * move  # the same move in favour
        liq = last - sign * distance if distance >= 0 else D(0)
        own_fields = {"entry": entry, "margin": own, "liq": liq}
        fields = {direction: own_fields}
        other = "short" if direction == "long" else "long"
        fields[other] = {"entry": None, "margin": opposite}
        both = evaluate(fields["long"], fields["short"], config=config, low_balance=low_balance)
        results.append(both)
    return results


FLIP = {"Buy": "Sell", "Sell": "Buy"}


@given(st.tuples(MARGINS, MARGINS, MOVES, LIQUIDATIONS, st.booleans(), st.booleans()))
def test_a_short_does_what_a_long_does_with_the_sides_exchanged(data):
    # The band of equal sizes, 0.94 to 1.05, is not symmetric: no two margins here lie in
    # between its edges and their mirror images but those that are equal.
    (long_own, long_opposite), (short_opposite, short_own) = mirror_case(data)
    assert {FLIP[side]: x for side, x in long_own.items()} == short_own
    assert {FLIP[side]: x for side, x in long_opposite.items()} == short_opposite


def reference(long, short, last, low_balance):
    """The rules in floats and quotients, written down a second time."""
    ratio = float(long["margin"]) / (float(short["margin"]) or 0.0001)
    total = float(long["margin"]) + float(short["margin"])
    long_liq, short_liq = float(long["liq"]) / last, float(short["liq"]) / last
    low = 0.94 < ratio < 1.05 and total < 0.15
    out = {"long": dict(REST), "short": dict(REST)}
    if long_liq > 1.05 * 0.8:
        out["long"]["Sell"] = 1.5
    elif long_liq > 0.8:
        out["short"]["Buy"] = 1.0 if low_balance else 0.5
    elif low:
        out["long"]["Sell"] = 0.5
    elif (ratio < 0.5 and last < float(long["entry"])) or ratio < 0.2:
        out["long"]["Buy"] = 2.0
    if 0 < short_liq < 0.95 * 1.2:
        out["short"]["Buy"] = 1.5
    elif 0 < short_liq < 1.2:
        out["long"]["Sell"] = out["long"]["Sell"] if low_balance else 0.5
    elif low:
        out["short"]["Buy"] = 0.5
    elif (ratio > 2.0 and last > float(short["entry"])) or ratio > 5.0:
        out["short"]["Sell"] = 2.0
    return out["long"], out["short"]


# Odd last digits keep the floats of the reference away from every boundary.
FIELDS = st.fixed_dictionaries(
    {
        "entry": st.integers(50, 150).map(lambda n: f"{n}.037"),
        "margin": st.integers(0, 120).map(lambda n: f"{n / 100:.2f}7"),
        "liq": st.just("0") | st.integers(70, 130).map(lambda n: f"{n}.013"),
    }
)


@given(FIELDS, FIELDS, st.integers(80, 120), st.booleans())
def test_the_rules_decide_as_written_in_quotients(long, short, last, low_balance):
    decided = evaluate(long, short, str(last), low_balance=low_balance)
    assert decided == reference(long, short, last, low_balance)
