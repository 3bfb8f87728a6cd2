"""Equity, margins and where they meet: worked out by hand, and searched tick by tick."""

from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gridcore import MatchingBook, RiskConfig
from gridcore.instrument import Scale
from strategies.backtest.account import Account
from strategies.backtest.margins import MarginTerms
from strategies.backtest.risk import Risk
from strategies.backtest.tests.markets import FLAT_TIERS, D

TICK = D("0.1")
TIERS = [
    (D(1_000), D("0.01"), D(0), D("0.02")),
    (D(3_000), D("0.03"), D(20), D("0.06")),
    (D("Infinity"), D("0.1"), D(230), D("0.2")),
]


def account(balance, *, long=None, short=None, tiers=FLAT_TIERS):
    """An account that has bought and sold (coins, price) without fees."""
    scale = Scale(TICK)
    book = MatchingBook(TICK, maker_fee=D(0), taker_fee=D(0))
    made = Account(book, scale, D(balance), MarginTerms(tiers))
    for direction, side, leg in (("long", "Buy", long), ("short", "Sell", short)):
        if leg and leg[0]:
            coins, price = map(D, leg)
            book.on_quote(price, price)
            (fill,) = book.place(direction, side=side, price=None, qty=coins, direction=direction)
            made.on_fill(fill)
    made.refresh()
    return made


def test_equity_is_wallet_and_unrealised_profit():
    pair = account(500, long=(3, 1000), short=(1, 1010))
    assert pair.wallet_balance() == D(500)
    assert pair.equity(D(900)) == D(500) - 300 + 110


def test_a_net_long_pair_is_liquidated_below():
    # 500 - 3*1000 + 1010 + 2p = 4p * 0.005 at p = 1490 / 1.98 = 752.52...
    state = account(500, long=(3, 1000), short=(1, 1010)).state(10_000)
    assert (state.liquidated_below, state.liquidated_above) == (7_525, None)


def test_a_net_short_pair_is_liquidated_above():
    # 500 + 3*1000 - 990 - 2p = 4p * 0.005 at p = 2510 / 2.02 = 1242.57...
    state = account(500, long=(1, 990), short=(3, 1000)).state(10_000)
    assert (state.liquidated_below, state.liquidated_above) == (None, 12_426)


def test_a_balanced_pair_is_liquidated_by_its_own_weight():
    # Equity stays 110, the margin of both is 0.01p.
    state = account(100, long=(1, 1000), short=(1, 1010)).state(10_000)
    assert (state.liquidated_below, state.liquidated_above) == (None, 110_000)


def test_equity_that_equals_the_maintenance_margin_is_liquidated():
    # 104.5 - 1000 + 900 = 900 * 0.005
    long = account("104.5", long=(1, 1000))
    assert long.equity(D(900)) == long.maintenance_margin(D(900))
    assert long.is_liquidated(D(900))
    assert not long.is_liquidated(D("900.1"))
    assert long.state(10_000).liquidated_below == 9_000


def test_each_leg_has_the_tier_of_its_own_value():
    pair = account(5_000, long=(2, 1000), short=(1, 1000), tiers=TIERS)
    assert pair.maintenance_margin(D(1000)) == (2000 * D("0.03") - 20) + 1000 * D("0.01")
    assert pair.initial_rate("long", D(1000)) == D("0.1")  # the leverage's
    assert pair.initial_rate("long", D(1501)) == D("0.2")


def test_initial_margin_counts_resting_orders():
    pair = account(5_000, long=(2, 1000))
    free = pair.free_margin(D(1010), long_orders=D(300), short_orders=D(50))
    assert free == D(5_020) - (2020 + 300 + 50) * D("0.1")


@pytest.mark.parametrize(
    ("tiers", "leverage", "named"),
    [
        ([], 10, "Infinity"),
        ([(D(5), D(0), D(0), D(0)), (D(5), D(0), D(0), D(0)), *FLAT_TIERS], 10, "ascend"),
        ([(D(5), D(0), D(0), D(0)), (D("Infinity"), D("0.01"), D(1), D(0))], 10, "deduction"),
        (FLAT_TIERS, 0, "leverage"),
    ],
)
def test_margin_terms_that_make_no_sense_are_refused(tiers, leverage, named):
    with pytest.raises(ValueError, match=named):
        MarginTerms(tiers, leverage)


LEGS = st.tuples(st.integers(0, 40).map(lambda tenths: D(tenths) / 10), st.integers(20, 180))
PAIRS = st.tuples(st.integers(5, 2_000), LEGS, LEGS)
REACH = range(1, 2_500)


def made_of(pair):
    balance, long, short = pair
    return account(balance, long=long, short=short, tiers=TIERS)


@settings(max_examples=40, deadline=None)
@given(pair=PAIRS)
def test_liquidation_is_where_a_search_tick_by_tick_finds_it(pair):
    made, scale = made_of(pair), Scale(TICK)
    assume(not made.is_flat and not made.is_liquidated(D(100)))
    state = made.state(1_000)
    lost = [ticks for ticks in REACH if made.is_liquidated(scale.value(ticks))]
    below = [ticks for ticks in lost if ticks < 1_000]
    above = [ticks for ticks in lost if ticks > 1_000]
    assert state.liquidated_below == max(below, default=None)
    if above or (state.liquidated_above or REACH[-1] + 1) in REACH:
        assert state.liquidated_above == min(above, default=None)


@settings(max_examples=40, deadline=None)
@given(pair=PAIRS, wanted=st.dictionaries(st.sampled_from(["long", "short"]), st.integers(1, 900)))
def test_margin_lacks_up_to_where_a_search_tick_by_tick_finds_enough(pair, wanted):
    made, scale = made_of(pair), Scale(TICK)
    orders = {"long": D(120), "short": D(70)}

    def carries(ticks):
        price = scale.value(ticks)
        free = made.free_margin(price, long_orders=orders["long"], short_orders=orders["short"])
        return any(
            D(value) * made.initial_rate(name, price) <= free for name, value in wanted.items()
        )

    assume(not carries(1_000))
    low, high = made.quiet_ticks(1_000, {name: D(value) for name, value in wanted.items()}, orders)
    enough = [ticks for ticks in REACH if carries(ticks)]
    assert low == max((ticks + 1 for ticks in enough if ticks < 1_000), default=1)
    if high + 1 in REACH or any(ticks > 1_000 for ticks in enough):
        assert high == min(ticks - 1 for ticks in enough if ticks > 1_000)


RISKS = st.builds(
    RiskConfig,
    st.sampled_from([0.0, 0.3, 0.8]),
    st.sampled_from([1.2, 1.9]),
    st.just(8.0),
    st.sampled_from([0.15, 5.0]),
    st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(pair=PAIRS, config=RISKS)
def test_multipliers_hold_as_far_as_they_say(pair, config):
    made, scale = made_of(pair), Scale(TICK)
    assume(not made.is_liquidated(D(100)))
    state = made.state(1_000)
    risk = Risk(config, made, scale)
    sizing = risk.evaluate(state, 1_000)
    assert sizing.low <= 1_000 <= sizing.high
    for ticks in range(max(sizing.low, 1), min(sizing.high, 3_000) + 1, 7):
        assert risk.evaluate(state, ticks).multipliers == sizing.multipliers
    for ticks in (sizing.low, min(sizing.high, 3_000)):
        assert risk.evaluate(state, ticks) == sizing
