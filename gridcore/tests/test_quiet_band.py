"""The quiet band: where tickers may be skipped, and where not."""

from __future__ import annotations

import copy
from decimal import Decimal

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gridcore.errors import InvalidEvent
from gridcore.tests.test_engine import (
    both,
    everything,
    fill,
    ladder,
    make,
    many,
    order,
    started,
    ticker,
)

D = Decimal
TICK = D("0.1")


def without(orders, *prices):
    return [x for x in orders if x["price"] not in prices]


def speaks(engine, price, limits, refused=frozenset()):
    """Whether a ticker is answered, or changes anything but the last price."""
    twin = copy.deepcopy(engine)
    before = everything(twin)
    intents = twin.on_event(ticker(price), limits)
    before[0]["last_close"] = twin.last_close
    said = [x for x in intents if getattr(x, "client_order_id", None) not in refused]
    return bool(said) or everything(twin) != before


def test_a_full_grid_is_quiet_within_its_bounds():
    engine = started()
    assert engine.quiet_band(both(ladder(engine))) == (D("98.0"), D("102.0"))


def test_an_ineligible_level_narrows_the_band():
    engine = started()
    engine.on_event(ticker("99.2"))
    limits = {"long": without(ladder(engine), "99.0"), "short": ladder(engine)}
    # 99.0/0.995 = 99.497…
    assert engine.quiet_band(limits) == (D("98.0"), D("99.4"))
    engine.on_event(ticker("100.6"))
    limits = {"short": without(ladder(engine), "101.0"), "long": ladder(engine)}
    # 101.0/1.005 = 100.497…
    assert engine.quiet_band(limits) == (D("100.5"), D("102.0"))


def test_an_off_tick_price_outside_the_rounded_band_is_not_quiet():
    engine = started()
    engine.on_event(ticker("99.45"))
    assert engine.quiet_band(both(without(ladder(engine), "99.0"))) is None


def test_what_was_refused_counts_as_silent():
    engine = started()
    wishes = engine.on_event(ticker("100"))
    assert engine.quiet_band(None) is None
    refused = {x.client_order_id for x in wishes}
    assert engine.quiet_band(None, refused) == (98, 102)


def test_nothing_is_quiet_before_the_first_price():
    engine = make()
    assert engine.quiet_band(None) is None
    engine.on_event(fill("100"))
    assert engine.quiet_band(None) is None


def test_a_price_outside_the_grid_is_not_quiet():
    engine = started()
    engine.last_close = D(97)
    assert engine.quiet_band(both(ladder(engine))) is None


@pytest.mark.parametrize(
    "extra", [order("99.0", order_id="twin"), order("99.05"), order("97"), *many(1)]
)
def test_a_duplicate_or_a_stray_is_not_quiet(extra):
    engine = started()
    assert engine.quiet_band({"long": [*ladder(engine), extra], "short": ladder(engine)}) is None


def test_a_wrong_side_is_not_quiet_but_an_order_on_a_waiting_level_is():
    engine = started()
    full = ladder(engine)
    assert engine.quiet_band(both([*without(full, "99.0"), order("99.0", "Sell")])) is None
    assert engine.quiet_band(both([*full, order("100.0")])) == (98, 102)


def test_an_excess_is_not_quiet_until_a_ticker_has_seen_it_end():
    engine = started()
    assert engine.quiet_band(both(many(16))) is None
    engine.on_event(ticker("100"), both(many(16)))
    assert engine.quiet_band(both(ladder(engine))) is None
    engine.on_event(ticker("100"), both(ladder(engine)))
    assert engine.quiet_band(both(ladder(engine))) is not None


def test_a_ticker_in_the_band_may_be_passed_over():
    told, spared = started(), started()
    limits = both(ladder(told))
    for engine in (told, spared):
        engine.on_event(ticker("100"), limits)
    assert told.on_event(ticker("98.7"), limits) == []
    spared.pass_over(D("98.7"))
    assert everything(spared) == everything(told)
    with pytest.raises(ValueError, match="last_price"):
        spared.pass_over(D("0"))
    assert everything(spared) == everything(told)


def test_nothing_is_passed_over_before_the_first_ticker():
    engine = make(restored_grid=started().snapshot()["grid"])
    # This fill waits for a price to be judged by.
    engine.on_event(fill("99.0"))
    before = everything(engine)
    with pytest.raises(InvalidEvent, match="ticker"):
        engine.pass_over(D(100))
    assert everything(engine) == before


def test_asking_refuses_bad_orders_and_changes_nothing():
    engine = started()
    before = everything(engine)
    with pytest.raises(ValueError, match="order"):
        engine.quiet_band({"long": [order("x")]})
    engine.quiet_band(both(ladder(engine)))
    assert everything(engine) == before


def test_a_step_beyond_any_reach_never_buys():
    saved = started().snapshot()["grid"]
    engine = make(step=250, restored_grid=saved)
    engine.on_event(ticker("100"))
    assert engine.quiet_band(None) == (98, 102)


def drawn(data):
    """An engine with a past, the orders that rest, the wishes that were declined, and its band."""
    engine = started(count=6)
    for price in data.draw(st.lists(st.decimals("97.5", "102.5", places=1), max_size=3)):
        engine.on_event(ticker(price))
        engine.on_event(fill(data.draw(st.sampled_from(engine.grid.grid))["price"]))
    engine.on_event(ticker(data.draw(st.decimals("97.5", "102.5", places=2))))
    full = ladder(engine)
    some = st.lists(st.sampled_from(full), unique_by=lambda x: x["price"]) if full else st.just([])
    limits = {"long": data.draw(some), "short": data.draw(some)}
    wishes = [x.client_order_id for x in engine.on_event(ticker(engine.last_close), limits)]
    refused = set(wishes) if data.draw(st.booleans()) else set()
    return engine, limits, refused, engine.quiet_band(limits, refused)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_the_band_is_silent_inside_and_cannot_be_wider(data):
    engine, limits, refused, band = drawn(data)
    if band is None:
        outside = engine.last_close % TICK != 0
        assert outside or speaks(engine, engine.last_close, limits, refused)
        return
    low, high = band
    inside = {low, high, engine.last_close, data.draw(st.decimals(low, high, places=3))}
    assert not any(speaks(engine, price, limits, refused) for price in inside)
    assert speaks(engine, low - TICK, limits, refused)
    assert speaks(engine, high + TICK, limits, refused)


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_what_is_passed_over_is_as_good_as_handed_over(data):
    told, limits, _, band = drawn(data)
    assume(band is not None)
    spared = copy.deepcopy(told)
    for price in data.draw(st.lists(st.decimals(*band, places=2), min_size=1, max_size=3)):
        told.on_event(ticker(price), limits)
    spared.pass_over(price)
    assert everything(spared) == everything(told)
    later = [fill(level["price"]) for level in told.grid.grid]
    later += map(ticker, data.draw(st.lists(st.decimals("96", "104", places=1), min_size=1)))
    for event in data.draw(st.permutations(later)):
        assert spared.on_event(event, limits) == told.on_event(event, limits)
        assert everything(spared) == everything(told)
        assert spared.quiet_band(limits) == told.quiet_band(limits)
