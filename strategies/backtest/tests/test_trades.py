"""Columns of trades, and the search in them; recorded funding."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from strategies.backtest import BLOCK, RPI, Settlement, Trades, settlements_of
from strategies.backtest.terms import Contract, due_instants
from strategies.backtest.tests.markets import START_MS, D, contract, trades
from strategies.backtest.trades import FIRST_CHUNK, next_outside

I8 = np.int64


@settings(max_examples=100, deadline=None)
@given(
    size=st.sampled_from([0, 1, 300, FIRST_CHUNK, FIRST_CHUNK + 1, 5 * FIRST_CHUNK + 2]),
    at=st.integers(0, 6 * FIRST_CHUNK),
    start=st.integers(0, 400),
    price=st.sampled_from([9, 10, 20, 21]),
)
def test_the_next_outside_is_found_wherever_it_is(size, at, start, price):
    prices = np.full(size, 15, dtype=np.int32)
    if at < size:
        prices[at] = price
    found = next(
        (index for index in range(start, size) if not 10 <= prices[index] <= 20), max(size, start)
    )
    assert next_outside(prices, start, max(size, start), 10, 20) == found


def test_an_empty_band_skips_nothing():
    assert next_outside(np.array([5, 5], dtype=I8), 1, 2, 1, 0) == 1


@pytest.mark.parametrize(
    ("times", "prices", "flags", "named"),
    [
        ([1, 2], [1], None, "one length"),
        ([1, 2], [1, 2], [0], "one length"),
        ([2, 1], [1, 1], None, "must not decrease"),
        ([1], [0], None, "positive ticks"),
        ([1], [1.5], None, "signed integers"),
    ],
)
def test_columns_that_are_no_market_are_refused(times, prices, flags, named):
    marked = None if flags is None else np.array(flags, dtype=np.uint8)
    with pytest.raises(ValueError, match=named):
        Trades(np.array(times), np.array(prices), marked)


def test_block_trades_are_off_the_book_and_others_are_not():
    market = trades([10, 20, 30])
    marked = Trades(market.times, market.prices, np.array([RPI, BLOCK | RPI, 0], dtype=np.uint8))
    assert marked.on_book().prices.tolist() == [10, 30]
    assert market.on_book() is market
    assert marked.on_book().on_book().flags.tolist() == [RPI, 0]


def test_settlements_take_the_last_announcement_before_them():
    rows = [
        (1_000, D("0.1"), 5_000, None),
        (4_999, D("0.2"), 5_000, D(7)),
        (5_000, D("0.9"), 5_000, D(8)),
        (5_001, D("0.3"), 9_000, None),
        (6_000, None, None, D(9)),
    ]
    assert settlements_of(rows) == [Settlement(5_000, D("0.2"), D(7))]


def test_funding_is_due_at_whole_intervals_after_the_first_trade():
    hour = 3_600_000
    times = np.array([START_MS, START_MS + 16 * hour], dtype=I8)
    assert list(due_instants(times, 480)) == [START_MS + 8 * hour, START_MS + 16 * hour]
    assert list(due_instants(times[:0], 480)) == []


def test_a_contract_needs_an_interval():
    with pytest.raises(ValueError, match="funding_interval_minutes"):
        Contract(contract().info, funding_interval_minutes=0)
