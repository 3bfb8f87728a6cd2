"""A backtest that skips trades is the backtest that looks at all of them."""

from __future__ import annotations

import random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcore.matching import FILL_MODELS
from strategies.backtest import Fees, Settlement, Trades, run_backtest
from strategies.backtest.tests.markets import START_MS, D, config, contract

TIERS = [
    (D(3_000), D("0.01"), D(0), D("0.02")),
    (D(9_000), D("0.03"), D(60), D("0.06")),
    (D("Infinity"), D("0.1"), D(690), D("0.2")),
]
RATES = st.sampled_from([D("0.0001"), D("-0.0003"), D("0.01"), D("-0.02")])
MARKS = st.sampled_from([None, D("998.7"), D("1003.4")])


@st.composite
def markets(draw):
    """A walk around 1000.0 with gaps, ticks that repeat and trades at one time."""
    chance = random.Random(draw(st.integers(0, 1 << 30)))
    size = draw(st.sampled_from([60, 200, 350]))
    sd = draw(st.sampled_from([4, 15, 40]))
    gap = draw(st.sampled_from([0.0, 0.01]))
    drift = draw(st.sampled_from([-3, 0, 0, 4]))
    ticks, times, price, now = [], [], 10_000, START_MS
    for _ in range(size):
        price += round(chance.gauss(drift, sd))
        if chance.random() < gap:
            price += round(price * chance.uniform(-0.08, 0.08))
        price = max(price, 2000)
        now += chance.choice([0, 100, 5_000, 90_000])
        ticks.append(price)
        times.append(now)
    return Trades(np.array(times, dtype=np.int64), np.array(ticks, dtype=np.int64))


OPTIONS = st.fixed_dictionaries(
    {
        "starting_balance": st.sampled_from([D(90), D(400), D(2_000), D(100_000)]),
        "fees": st.builds(
            Fees,
            maker=st.sampled_from([D("0.0002"), D("-0.0001"), D("0.01")]),
            taker=st.just(D("0.00055")),
        ),
        "tiers": st.sampled_from([TIERS, None]),
        "leverage": st.sampled_from([1, 3, 10, 100]),
        "fill_model": st.sampled_from(list(FILL_MODELS.values())),
    }
)
CONFIGS = st.builds(
    config,
    grid_count=st.sampled_from([4, 10, 30]),
    grid_step=st.sampled_from([0.2, 0.5, 1.0]),
    amount=st.sampled_from(["100", "x0.1", "x3", "6"]),
    risk=st.fixed_dictionaries(
        {
            "min_liq_ratio": st.sampled_from([0.8, 0.95, 0.0]),
            "max_liq_ratio": st.sampled_from([1.2, 1.05]),
            "min_total_margin": st.sampled_from([0.15, 3.0]),
            "increase_same_position_on_low_margin": st.booleans(),
        }
    ),
)
FUNDING = st.lists(
    st.builds(Settlement, st.integers(START_MS, START_MS + 10_000_000), RATES, MARKS), max_size=6
)
CONTRACTS = st.builds(
    contract, step=st.sampled_from(["0.001", "0.05"]), min_notional=st.sampled_from([D(5), D(20)])
)


@settings(max_examples=30, deadline=None)
@given(market=markets(), strategy=CONFIGS, options=OPTIONS, funding=FUNDING, instrument=CONTRACTS)
def test_skipping_gives_the_run_that_looks_at_every_trade(
    market, strategy, options, funding, instrument
):
    quick, slow = (
        run_backtest(market, instrument, strategy, funding=funding, every_trade=every, **options)
        for every in (False, True)
    )
    assert quick.fills == slow.fills
    assert quick.final == slow.final
    assert quick.curve == slow.curve
    assert (quick.funding, quick.liquidation) == (slow.funding, slow.liquidation)
    assert (quick.refusals, quick.placed) == (slow.refusals, slow.placed)
    assert quick.metrics == slow.metrics
    assert quick.handed_over <= slow.handed_over == quick.trades
