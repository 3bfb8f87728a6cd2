"""What grid engines have got wrong on real money, told to ours from the outside."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest

from gridcore.config import GridConfig
from gridcore.engine import GridEngine
from gridcore.tests.exchange import START, SYMBOL
from gridcore.tests.test_refusals import fill, ticker

D = Decimal


def started(price="100000", count=50, step=0.2, tick="0.1", **values):
    engine = GridEngine(SYMBOL, D(tick), GridConfig(count, step, **values), "s1")
    engine.on_event(ticker(last_price=D(price)))
    return engine


def levels(engine):
    return engine.snapshot()["grid"]


def prices(engine):
    return [level["price"] for level in levels(engine)]


def sides(engine):
    return "".join(level["side"][0] for level in levels(engine))


@pytest.mark.parametrize(("edge", "near", "number"), [(-1, -3, 26), (0, 2, -26)])
def test_a_fill_at_the_edge_with_levels_left_beyond_the_price_makes_no_price_twice(
    edge, near, number
):
    # Fault: the step was taken from the outermost level of a side, and met the filled one again.
    engine = started()
    edge_price, close = prices(engine)[edge], prices(engine)[near] + (1 if edge else -1)
    engine.on_event(ticker(last_price=close))
    engine.on_event(fill(price=edge_price))
    assert {"B", "S"} <= set(sides(engine))
    assert len(set(prices(engine))) == 51
    assert levels(engine)[edge]["level"] == number
    assert all(x.price != edge_price for x in engine.on_event(ticker(last_price=close)))


@pytest.mark.parametrize("price", ["100", "100.0", "100.000", "1E+2"])
@pytest.mark.parametrize("tick", ["0.1", "0.10", "1E-1"])
def test_however_the_price_is_spelt_an_order_has_one_id(price, tick):
    # Fault: three spellings of one price made three ids of one order.
    engine = started(price, count=4, step=1.0, tick=tick)
    said = engine.on_event(ticker(last_price=D(price)))
    assert [str(x.price) for x in said[:4]] == ["99.0", "101.0", "98.0", "102.0"]
    assert said[0].client_order_id == "7b384b02ea7e7944"


def test_a_level_waits_until_the_next_fill_and_no_longer():
    engine = started("100", count=6, step=1.0, rebalance_threshold=0.9)
    engine.on_event(fill(price=D("99.0")))
    assert sides(engine) == "BBWWSSS"
    for _ in range(3):
        engine.on_event(ticker(last_price=D("99.8")))
    assert sides(engine) == "BBWWSSS"
    engine.on_event(fill(price=D("98.0")))
    # The centre and the first fill's level are open again.
    assert sides(engine) == "BWBSSSS"


def test_a_level_at_the_price_keeps_a_stale_side_but_gets_no_order():
    engine = started("100", count=4, step=1.0, rebalance_threshold=0.9)
    engine.on_event(ticker(last_price=D("101.0")))
    engine.on_event(fill(price=D("99.0")))
    assert sides(engine) == "BWBSS"
    said = engine.on_event(ticker(last_price=D("101.0")))
    assert D("101.0") not in {x.price for x in said}


def test_after_a_gap_the_grid_follows_one_level_a_fill_until_the_price_leaves_it():
    engine = started()
    gap = prices(engine)[36] + 1
    engine.on_event(ticker(last_price=gap))
    lowest = levels(engine)[0]["level"]
    for moved, index in enumerate((26, 27, 28), start=1):
        engine.on_event(fill(price=prices(started())[index]))
        for _ in range(3):
            engine.on_event(ticker(last_price=gap))
        assert levels(engine)[0]["level"] == lowest + moved
    assert sides(engine).count("B") - sides(engine).count("S") > 10
    engine.on_event(ticker(last_price=prices(engine)[-1] + 1))
    assert sides(engine) == "B" * 25 + "W" + "S" * 25


def test_a_grid_that_returns_after_a_restart_finds_its_old_prices():
    # Down and up are different factors: a step down from a higher level is another price.
    engine = started("1000", count=4, step=2.5, tick="0.01")
    old = {level["level"]: level["price"] for level in levels(engine)}
    for _ in range(5):
        engine.on_event(ticker(last_price=prices(engine)[-2] + 1))
        engine.on_event(fill(price=prices(engine)[-2]))
    saved = engine.snapshot()
    assert saved["grid"][0]["level"] > max(old)
    again = GridEngine(
        *(SYMBOL, engine.tick_size, engine.config, "s1", saved["anchor_price"]),
        restored_grid=saved["grid"],
    )
    for _ in range(5):
        again.on_event(ticker(last_price=prices(again)[1] - 1))
        again.on_event(fill(price=prices(again)[1]))
    assert {level["level"]: level["price"] for level in levels(again)} == old


def test_no_price_of_any_wish_has_float_noise():
    # Fault: 565755.2000000001 as a level's price, and so in intents and ids.
    said = started("565755.2").on_event(ticker(last_price=D("565755.2")))
    assert len(said) == 100
    assert {str(x.price)[-2] for x in said} == {"."}


def test_time_is_not_read():
    """Events out of order, or all at once, do the same as events in order."""
    stories = []
    for minutes in ((0, 1, 2, 3), (3, 2, 1, 0), (0, 0, 0, 0), (-(10**6), 10**6, 5, 5)):
        engine, said = started(), []
        events = [ticker(last_price=D("99.3")), fill(price=D("99.0"))]
        events += [ticker(last_price=D("98.8")), fill(price=D("98.0"))]
        for minute, each in zip(minutes, events, strict=True):
            moment = START + timedelta(minutes=minute)
            said.append(engine.on_event(replace(each, exchange_ts=moment, local_ts=moment)))
        stories.append((said, engine.snapshot(), engine.grid_version))
    assert stories[0][1]["last_filled_price"] == 98
    assert all(story == stories[0] for story in stories)
