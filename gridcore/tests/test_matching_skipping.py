"""What a driver may skip: trades strictly between the nearest orders."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcore.matching import FILL_MODELS
from gridcore.tests.test_matching import make, place

D = Decimal
TICKS = st.integers(985, 1015)
ORDERS = st.tuples(st.just("place"), st.sampled_from(["Buy", "Sell"]), TICKS, st.integers(1, 3))
# Twentieths: every other price lies between two ticks.
TRADES = st.tuples(
    st.just("trade"), st.integers(1970, 2030), st.one_of(st.none(), st.integers(1, 4))
)
STEPS = st.lists(st.one_of(ORDERS, TRADES, TRADES, TRADES), max_size=60)


class Driver:
    """Hands over everything, or skips what cannot fill anything."""

    def __init__(self, model, *, skips):
        self.book = make(model)
        self.skips = skips
        self.skipped = None
        self.handed = 0

    def step(self, number, step):
        if step[0] == "place":
            _, side, ticks, qty = step
            self.catch_up()
            return place(self.book, f"o{number}", side, D(ticks) / 10, qty)
        _, twentieths, size = step
        price, size = D(twentieths) / 20, None if size is None else D(size)
        buy, sell = self.book.nearest()
        if self.skips and (buy is None or price > buy) and (sell is None or price < sell):
            self.skipped = price
            return []
        self.catch_up()
        self.handed += 1
        return self.book.on_trade(price, size, f"t{number}")

    def catch_up(self):
        if self.skipped is not None:
            assert self.book.on_trade(self.skipped) == []
        self.skipped = None


@pytest.mark.parametrize("model", FILL_MODELS.values(), ids=FILL_MODELS)
@settings(max_examples=60, deadline=None)
@given(steps=STEPS)
def test_skipping_is_not_skipping(model, steps):
    patient, hasty = Driver(model, skips=False), Driver(model, skips=True)
    for number, step in enumerate(steps):
        assert hasty.step(number, step) == patient.step(number, step)
    hasty.catch_up()
    assert hasty.book.snapshot() == patient.book.snapshot()
    assert hasty.handed <= patient.handed
