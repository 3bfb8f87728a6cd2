"""The risk rules: the table row by row, the boundaries, and long as the mirror of short."""

from __future__ import annotations

import dataclasses
from decimal import Decimal, localcontext

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcore.instrument import EXACT
from gridcore.position import RiskConfig
from gridcore.tests.positions import CONFIG, REST, changes, evaluate

D = Decimal


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


MARGIN = st.decimals("0.0002", "100", places=4)  # above what stands for a short margin of 0
FLAT = {"entry": None, "liq": "0"}


@given(MARGIN, MARGIN, st.decimals("-50", "50", places=2))
def test_sizes_count_alike_for_a_long_and_a_short(own, opposite, move):
    """Rows 4 and 5: a short's ratios 2 and 5 are a long's 0.5 and 0.2."""
    config = dataclasses.replace(CONFIG, min_total_margin=0)
    other = {**FLAT, "margin": opposite}
    long = evaluate({"margin": own, "entry": 100 - move}, other, config=config)
    short = evaluate(other, {"margin": own, "entry": 100 + move}, config=config)
    opens = own * 5 < opposite or (own * 2 < opposite and move < 0)
    assert changes(long) == (["long Buy 2.0"] if opens else [])
    assert changes(short) == (["short Sell 2.0"] if opens else [])


TINY = D("1E-30")
PRICE = st.decimals("0.0001", "1000000", places=4)


@given(PRICE)
def test_the_limits_of_liquidation_are_strict_at_every_price(last):
    """0.8 and 1.05 times it below the market, 1.2 and 0.95 times it above, to the last digit."""

    def long(liq):
        return changes(evaluate({"liq": liq, "entry": last}, {}, last))

    def short(liq):
        return changes(evaluate({}, {"liq": liq, "entry": last}, last))

    with localcontext(EXACT):
        assert (long(D("0.80") * last), long(D("0.80") * last + TINY)) == ([], ["short Buy 0.5"])
        assert long(D("0.84") * last) == ["short Buy 0.5"]
        assert long(D("0.84") * last + TINY) == ["long Sell 1.5"]
        assert (short(D("1.20") * last), short(D("1.20") * last - TINY)) == ([], ["long Sell 0.5"])
        assert short(D("1.14") * last) == ["long Sell 0.5"]
        assert short(D("1.14") * last - TINY) == ["short Buy 1.5"]


@given(MARGIN)
def test_the_limits_of_size_are_strict_at_every_margin(other):
    """Half at a loss and a fifth at par, of a long (0.5, 0.20) and of a short (2, 5)."""
    config = dataclasses.replace(CONFIG, min_total_margin=0)
    opposite = {**FLAT, "margin": other}

    def long(own, last):
        return changes(evaluate({"margin": own}, opposite, last, config=config))

    def short(own, last):
        return changes(evaluate(opposite, {"margin": own}, last, config=config))

    with localcontext(EXACT):
        half, fifth = other / 2, other / 5
        assert (long(half, "99"), long(half - TINY, "99")) == ([], ["long Buy 2.0"])
        assert (long(fifth, "100"), long(fifth - TINY, "100")) == ([], ["long Buy 2.0"])
        assert (short(half, "101"), short(half - TINY, "101")) == ([], ["short Sell 2.0"])
        assert (short(fifth, "100"), short(fifth - TINY, "100")) == ([], ["short Sell 2.0"])


@given(MARGIN)
def test_the_limits_of_a_low_total_are_strict_at_every_margin(short):
    """Equal is between 0.94 and 1.05; low is below `min_total_margin`."""

    def is_low(long, limit):
        config = dataclasses.replace(CONFIG, min_total_margin=limit)
        return evaluate({"margin": long}, {"margin": short}, config=config)[0] != REST

    with localcontext(EXACT):
        lower, upper = D("0.94") * short, D("1.05") * short
        assert (is_low(lower, 1000), is_low(lower + TINY, 1000)) == (False, True)
        assert (is_low(upper, 1000), is_low(upper - TINY, 1000)) == (False, True)
        assert (is_low(short, 2 * short), is_low(short, 2 * short + TINY)) == (False, True)


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
