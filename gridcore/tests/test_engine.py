"""The engine: what it answers, in which order, and what it refuses whole."""

from __future__ import annotations

import copy
import logging
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gridcore._orders import MEMORY
from gridcore.config import GridConfig
from gridcore.engine import GridEngine
from gridcore.errors import InvalidOrder
from gridcore.events import (
    EventType,
    ExecutionEvent,
    OrderUpdateEvent,
    PublicTradeEvent,
    TickerEvent,
)
from gridcore.grid import GridSideType
from gridcore.intents import CancelIntent, PlaceLimitIntent

D = Decimal
NOW = datetime(2026, 1, 2, tzinfo=UTC)
GARBAGE: list[Any] = [None, "", "0", 0, "x", "NaN", [], "-1"]
NO_PRICES: list[Any] = ["x", "", None, "NaN", True, []]


def make(count=4, step=1.0, tick="0.1", threshold=0.3, **values):
    return GridEngine("BTCUSDT", D(tick), GridConfig(count, step, threshold), "s1", **values)


def ticker(price, symbol="BTCUSDT"):
    return TickerEvent(EventType.TICKER, symbol, NOW, NOW, last_price=D(price))


def fill(price):
    return ExecutionEvent(EventType.EXECUTION, "BTCUSDT", NOW, NOW, price=D(price))


def update(status, link="a-1", order_id="1"):
    return OrderUpdateEvent(
        EventType.ORDER_UPDATE,
        "BTCUSDT",
        NOW,
        NOW,
        status=status,
        order_link_id=link,
        order_id=order_id,
    )


def order(price, side="Buy", order_id=None, **values):
    return {"orderId": order_id or f"{side}{price}", "price": price, "side": side} | values


def ladder(engine):
    """The orders of a full grid."""
    return [order(str(x["price"]), str(x["side"])) for x in engine.grid.grid if x["side"] != "Wait"]


def both(orders):
    return {"long": list(orders), "short": list(orders)}


def started(price="100", **values):
    engine = make(**values)
    engine.on_event(ticker(price))
    return engine


def placed(intents, direction="long"):
    return [
        (x.side, str(x.price), x.grid_level)
        for x in intents
        if isinstance(x, PlaceLimitIntent) and x.direction == direction
    ]


def cancelled(intents):
    return [(x.order_id, x.reason) for x in intents if isinstance(x, CancelIntent)]


def everything(engine):
    return copy.deepcopy((engine.snapshot(), engine.grid_version, engine._armed))


# --- Tickers ------------------------------------------------------------------------------


def test_the_example_of_four_levels():
    intents = make().on_event(ticker("100"))
    wanted = [("Buy", "99.0", -1), ("Sell", "101.0", 1), ("Buy", "98.0", -2), ("Sell", "102.0", 2)]
    assert placed(intents, "long") == placed(intents, "short") == wanted
    assert [x.direction for x in intents] == ["long"] * 4 + ["short"] * 4
    assert intents[0].client_order_id == "7b384b02ea7e7944"
    assert all(x.qty == 0 for x in intents)


def test_closing_orders_only_reduce():
    reducing = {(x.direction, x.side) for x in make().on_event(ticker("100")) if x.reduce_only}
    assert reducing == {("long", "Sell"), ("short", "Buy")}


def test_a_hundred_wishes_are_repeated_until_they_rest():
    engine = make(50, 0.2)
    first = engine.on_event(ticker("100000"))
    assert len(first) == 100
    assert engine.on_event(ticker("100000")) == first
    assert engine.on_event(ticker("100000"), both(ladder(engine))) == []


def test_the_anchor_is_the_centre_of_the_first_grid_only():
    engine = make(anchor_price=D("100.5"))
    engine.on_event(ticker("100"))
    assert engine.get_anchor_price() == D("100.5")
    engine.on_event(ticker("200"))
    assert engine.get_anchor_price() == 200


def test_an_anchor_far_from_the_market_is_replaced_at_once(caplog):
    # Fault: a tick of one-sided orders, all cancelled by the next.
    engine = make(anchor_price="100")
    with caplog.at_level(logging.INFO, "gridcore"):
        intents = engine.on_event(ticker("200"))
    assert engine.get_anchor_price() == 200
    assert {x.side for x in intents} == {"Buy", "Sell"}
    assert "Grid out of range" in caplog.text


@pytest.mark.parametrize(("price", "anchor"), [("98.0", 100), ("102.0", 100), ("102.01", 102)])
def test_the_bounds_belong_to_the_grid(price, anchor):
    engine = started()
    engine.on_event(ticker(price))
    assert engine.get_anchor_price() == anchor


@pytest.mark.parametrize(
    ("price", "wanted"),
    [
        # A BUY at 99.0 from above 99.0/0.995 = 99.4974…, a SELL at 101.0 from below 100.4975…
        ("99.4974", ["Sell", "Buy", "Sell"]),
        ("99.4975", ["Buy", "Sell", "Buy", "Sell"]),
        ("100.4975", ["Buy", "Sell", "Buy", "Sell"]),
        ("100.4976", ["Buy", "Buy", "Sell"]),
    ],
)
def test_a_level_is_placed_when_far_enough(price, wanted):
    intents = started().on_event(ticker(price))
    assert [side for side, _, _ in placed(intents)] == wanted


@pytest.mark.parametrize(
    ("step", "price", "wanted"),
    [
        # 200*|120 - 150| = 50*120: as far as half a step, and no further.
        (50, "120", [("Buy", "50.0", -1)]),
        (50, "119.9", [("Buy", "50.0", -1), ("Sell", "150.0", 1)]),
        # 200*|75 - 60| = 40*75
        (40, "75", [("Sell", "140.0", 1)]),
        (40, "75.1", [("Buy", "60.0", -1), ("Sell", "140.0", 1)]),
    ],
)
def test_half_a_step_away_is_not_far_enough(step, price, wanted):
    assert placed(started(count=2, step=step).on_event(ticker(price))) == wanted


@settings(max_examples=60, deadline=None)
@given(st.decimals("98", "102", places=3), st.sampled_from([0.5, 1.0, 1.3]))
def test_eligibility_is_the_documented_comparison(price, step):
    engine = started(step=step)
    levels = [x for x in engine.grid.grid if x["side"] != "Wait"]
    if not engine.grid.min_grid <= price <= engine.grid.max_grid:
        return
    wanted = {
        x["price"]
        for x in levels
        if 200 * abs(price - x["price"]) > D(str(step)) * price
        and (x["price"] < price) == (x["side"] == "Buy")
    }
    assert {x.price for x in engine.on_event(ticker(price))} == wanted


def test_which_of_doubled_orders_stays_is_asked_anew_on_every_ticker():
    engine = started()
    doubled = [order("99.0", order_id="a"), order("99.0", order_id="b")]
    assert cancelled(engine.on_event(ticker("100"), {"long": doubled})) == [("b", "duplicate")]
    doubled[1]["cumExecQty"] = "0.1"
    assert cancelled(engine.on_event(ticker("100"), {"long": doubled})) == [("a", "duplicate")]


def test_excess_is_counted_beside_the_levels_there_are():
    saved = started(count=10).snapshot()["grid"]
    engine = make(restored_grid=saved)
    engine.on_event(ticker("100"), {"long": many(21)})
    assert engine.snapshot()["grid"] == saved
    assert len(cancelled(engine.on_event(ticker("100"), {"long": many(22)}))) == 22
    assert len(engine.grid.grid) == 5


def test_a_refusal_after_a_fill_was_taken_in_takes_all_of_it_back():
    # At 0.5 an anchor is possible in these restored levels, and a build is not.
    saved = [
        {"side": "Buy", "price": D("0.1"), "level": -1},
        {"side": "Wait", "price": D("0.5"), "level": 0},
        {"side": "Sell", "price": D("0.9"), "level": 1},
    ]
    engine = make(count=2, step=99.0, restored_grid=saved)
    engine.on_event(fill("0.1"))
    twin = copy.deepcopy(engine)
    with pytest.raises(ValueError, match="non-positive price"):
        engine.on_event(ticker("0.4"), {"long": many(14)})
    assert everything(engine) == everything(twin)
    after = [each.on_event(ticker("0.4")) for each in (engine, twin)]
    assert after[0] == after[1]
    assert everything(engine) == everything(twin)


@pytest.mark.parametrize("strat_id", [None, 1, UUID(int=1)])
def test_a_strategy_has_a_text_for_its_id(strat_id):
    with pytest.raises(ValueError, match="strat_id"):
        GridEngine("BTCUSDT", D("0.1"), GridConfig(), strat_id)


def test_what_is_no_event_is_refused():
    with pytest.raises(ValueError, match="None"):
        make().on_event(None)


def test_orders_that_rest_at_the_start_are_no_excess():
    # Counted beside the grid that the first ticker builds, not beside none.
    full = ladder(started(count=50, step=0.2))
    assert make(50, 0.2).on_event(ticker("100"), both(full)) == []


def test_an_order_that_is_changed_in_place_is_noticed():
    engine = started()
    orders = {"long": ladder(engine), "short": ladder(engine)}
    assert engine.on_event(ticker("100"), orders) == []
    moved = orders["short"][0]
    moved["price"] = "98.05"
    assert cancelled(engine.on_event(ticker("100"), orders)) == [(moved["orderId"], "outside_grid")]
    moved["price"], moved["side"] = "98.0", "Sell"
    intents = engine.on_event(ticker("100"), orders)
    assert cancelled(intents) == [(moved["orderId"], "side_mismatch")]
    moved["side"] = "Buy"
    assert engine.on_event(ticker("100"), orders) == []


def test_a_level_that_is_changed_in_place_is_noticed():
    engine = started()
    orders = both(ladder(engine))
    assert engine.on_event(ticker("100"), orders) == []
    engine.grid.grid[0]["side"] = GridSideType.WAIT
    engine.grid.grid[-1]["side"] = GridSideType.BUY
    assert cancelled(engine.on_event(ticker("100"), orders)) == [("Sell102.0", "side_mismatch")] * 2


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        *[(1, True), (D(2), D("sNaN")), (D(2), D("NaN")), ("2", "2 x"), (2.0, 2j)],
        *[(2, 2 + 0j), (2, Fraction(2)), (2.0, Fraction(2))],
    ],
)
def test_what_only_looks_like_the_price_of_before_is_refused(good, bad):
    engine = make(tick="0.5", step=60.0, count=2)
    for _ in range(2):
        engine.on_event(ticker("1"), {"long": [order(good)]})
        with pytest.raises(InvalidOrder, match="price"):
            engine.on_event(ticker("1"), {"long": [order(bad, order_id=f"Buy{good}")]})


def test_tickers_do_not_move_the_grid():
    engine = started()
    before = (engine.grid_version, engine.snapshot()["grid"])
    for price in ("98.1", "101.9", "100"):
        engine.on_event(ticker(price))
    assert (engine.grid_version, engine.snapshot()["grid"]) == before


# --- Resting orders -----------------------------------------------------------------------


def test_duplicates_go_by_price_then_as_they_came():
    orders = [order("101", "Sell", x) for x in "abc"] + [order("99.0", "Buy", x) for x in "de"]
    intents = started().on_event(ticker("100"), {"long": orders})
    assert cancelled(intents) == [("e", "duplicate"), ("b", "duplicate"), ("c", "duplicate")]


@pytest.mark.parametrize(
    ("orders", "gone"),
    [
        ([order("99", "Sell", "a", cumExecQty="1"), order("99", "Buy", "b")], "a"),
        ([order("99", "Buy", "a"), order("99", "Buy", "b", cumExecQty="0.1")], "a"),
        ([order("100", "Sell", "a"), order("100", "Buy", "b")], "b"),
        ([order("99", "Sell", "a"), order("99.0", "Sell", "b", cumExecQty=1)], "a"),
        *(
            ([order("99", "Buy", "a"), order("99", "Buy", "b", cumExecQty=garbage)], "b")
            for garbage in GARBAGE
        ),
    ],
)
def test_of_duplicates_the_right_side_then_the_filled_one_survives(orders, gone):
    intents = started().on_event(ticker("100"), {"short": orders})
    assert [x for x in cancelled(intents) if x[1] == "duplicate"] == [(gone, "duplicate")]


def test_an_order_on_the_wrong_side_is_replaced_in_place():
    engine = started()
    orders = [x for x in ladder(engine) if x["price"] != "99.0"] + [order("99.0", "Sell", "x")]
    intents = engine.on_event(ticker("100"), {"long": orders, "short": ladder(engine)})
    assert intents[0] == CancelIntent("BTCUSDT", "x", "side_mismatch", D("99.0"), "Sell")
    assert placed(intents) == [("Buy", "99.0", -1)]


def test_strays_go_last_by_price_and_a_waiting_level_is_known():
    engine = started()
    strays = [order("101.5", "Sell", "b"), order("99.05", "Buy", "a"), order("100", "Buy", "ok")]
    intents = engine.on_event(ticker("100"), {"long": strays, "short": ladder(engine)})
    assert cancelled(intents) == [("a", "outside_grid"), ("b", "outside_grid")]
    assert all(isinstance(x, CancelIntent) for x in intents[-2:])


def test_an_order_gets_one_cancel_only():
    twins = [order("99.05", "Buy", "a"), order("99.050", "Buy", "b")]
    intents = started().on_event(ticker("100"), {"long": twins})
    assert cancelled(intents) == [("b", "duplicate"), ("a", "outside_grid")]


def test_prices_of_orders_may_be_numbers():
    engine = started()
    orders = [order(float(x["price"]), x["side"]) for x in ladder(engine)]
    before = copy.deepcopy(orders)
    assert engine.on_event(ticker("100"), both(orders)) == []
    assert orders == before


def test_what_is_remembered_is_bounded():
    engine = started()
    engine._reader._known = dict.fromkeys(range(MEMORY), 0)
    engine._comparers["long"]._wishes = dict.fromkeys(range(MEMORY))
    engine.on_event(ticker("100"), {"long": [order("99.07")]})
    assert (len(engine._reader._known), len(engine._comparers["long"]._wishes)) == (1, 4)


@pytest.mark.parametrize(
    "limits",
    [
        *({"long": [{k: v for k, v in order("99").items() if k != key}]} for key in order("99")),
        *({"short": [order(price)]} for price in NO_PRICES),
        *({"short": [order("99", side)]} for side in ("buy", "", None, "Wait")),
        {"long": [order("99") | {"orderId": 1}]},
        {"long": [None]},
        {"sideways": []},
    ],
)
def test_orders_that_cannot_be_read_are_refused_whole(limits):
    engine = started()
    before = everything(engine)
    with pytest.raises(ValueError, match=r"order|direction"):
        engine.on_event(ticker("500"), limits)
    assert everything(engine) == before


# --- Too many -----------------------------------------------------------------------------


def many(count):
    return [order("50", "Buy", str(index)) for index in range(count)]


def test_ten_more_than_the_levels_are_not_too_many():
    intents = started().on_event(ticker("100"), {"long": many(15)})
    assert {x.reason for x in intents if isinstance(x, CancelIntent)} == {
        "duplicate",
        "outside_grid",
    }


def test_an_excess_rebuilds_once_and_only_cancels(caplog):
    # Fault: the excess of short rebuilt after long had been compared with the old grid.
    engine = started()
    with caplog.at_level(logging.INFO, "gridcore"):
        intents = engine.on_event(ticker("100.5"), {"short": many(16)})
    assert engine.get_anchor_price() == D("100.5")
    assert [x.grid_level for x in intents[:4]] == [-1, 1, -2, 2]
    assert intents[0].price == D("99.5")
    assert cancelled(intents) == [(str(index), "rebuild") for index in range(16)]
    assert len(intents) == 20
    engine.on_event(ticker("101"), {"short": many(16)})
    assert engine.get_anchor_price() == D("100.5")
    engine.on_event(ticker("101"))
    engine.on_event(ticker("101"), both(many(16)))
    assert engine.get_anchor_price() == 101


def test_both_in_excess_place_nothing():
    intents = started().on_event(ticker("100"), both(many(16)))
    assert [x.reason for x in intents] == ["rebuild"] * 32


# --- Executions and updates ---------------------------------------------------------------


def test_a_fill_moves_the_grid_and_says_nothing():
    engine = started(threshold=0.9)
    version = engine.grid_version
    assert engine.on_event(fill("99.0")) == []
    assert [x["side"][0] for x in engine.grid.grid] == ["B", "W", "W", "S", "S"]
    assert engine.last_filled_price == 99
    assert engine.grid_version == version + 1


def test_a_fill_before_any_price_waits_for_one():
    engine = make()
    engine.on_event(fill("99.0"))
    assert engine.grid.grid == []
    engine.on_event(ticker("100.2"))
    assert engine.grid.grid[1]["side"] == "Wait" or engine.grid.grid[0]["level"] != -2
    before = everything(engine)
    engine.on_event(ticker("100.2"))
    assert everything(engine) == before


def test_an_id_survives_centring():
    engine = started(count=6)
    before = {x.price: x.client_order_id for x in engine.on_event(ticker("100"))}
    engine.on_event(ticker("98.5"))
    engine.on_event(fill("98.0"))
    assert engine.grid.grid[0]["level"] == -4
    after = {x.price: x.client_order_id for x in engine.on_event(ticker("98.5"))}
    kept = before.keys() & after.keys() - {D("100.0"), D("99.0")}
    assert kept
    assert all(before[price] == after[price] for price in kept)


def test_a_gap_and_a_fill_never_ask_for_a_price_of_zero():
    # Fault: a level at 0 was bought at, and stopped the guard from rebuilding on a crash.
    engine = started("100000", count=50, step=0.2)
    for price in ("105100", "105100"):
        engine.on_event(ticker(price))
        engine.on_event(fill("105121.8"))
    assert all(x.price > 0 for x in engine.on_event(ticker("105100")))
    engine.on_event(ticker("50000"))
    assert engine.get_anchor_price() == 50000


def test_pending_orders_follow_their_states():
    engine = make()
    for status in ("New", "PartiallyFilled"):
        assert engine.on_event(update(status, order_id=status)) == []
        assert engine.pending_orders == {"a-1": status}
    for status in ("", "Untriggered", "Triggered", "Deactivated", "PartiallyFilledCanceled"):
        engine.on_event(update(status))
        assert engine.pending_orders == {"a-1": "PartiallyFilled"}
    for status in ("Filled", "Cancelled", "Rejected"):
        engine.on_event(update("New"))
        engine.on_event(update(status))
        engine.on_event(update(status))
        assert engine.pending_orders == {}


def test_a_public_trade_is_nothing_to_us():
    trade = PublicTradeEvent(EventType.PUBLIC_TRADE, "BTCUSDT", NOW, NOW, price=D(1))
    assert started().on_event(trade) == []


@pytest.mark.parametrize(
    "event",
    [ticker("0"), fill("0"), ticker("100", "ETHUSDT"), update("Active"), ticker("0.01")],
)
def test_what_is_refused_changes_nothing(event):
    for engine in (started(), make()):
        before = everything(engine)
        with pytest.raises(ValueError, match=r"positive|traded here|status|in the grid"):
            engine.on_event(event)
        assert everything(engine) == before


def test_a_grid_that_cannot_be_rebuilt_is_left_as_it_was():
    # Fault: the failed grid stayed, and was traded on the next tick.
    engine = make(step=0.2, restored_grid=started("1", step=20.0).snapshot()["grid"])
    engine.on_event(ticker("1"))
    for event, limits in (
        (ticker("5"), None),
        (ticker("1"), {"long": many(16)}),
    ):
        before = everything(engine)
        with pytest.raises(ValueError, match="duplicate prices"):
            engine.on_event(event, limits)
        assert everything(engine) == before
    low = engine.grid.min_grid
    engine.on_event(ticker(low))
    before = everything(engine)
    with pytest.raises(ValueError, match="duplicate prices"):
        engine.on_event(fill("1"))
    assert everything(engine) == before


def test_a_failure_after_the_first_change_takes_it_back():
    engine = make(step=0.2, anchor_price=D(1000))
    before = everything(engine)
    with pytest.raises(ValueError, match="duplicate prices"):
        engine.on_event(ticker("5"))
    assert everything(engine) == before


# --- Restoring ----------------------------------------------------------------------------


def test_a_restored_grid_goes_on(caplog):
    engine = started()
    engine.on_event(fill("99.0"))
    saved = engine.snapshot()
    again = make(anchor_price=saved["anchor_price"], restored_grid=saved["grid"])
    assert again.snapshot()["grid"] == saved["grid"]
    assert again.on_event(ticker("100")) == engine.on_event(ticker("100"))
    assert not [x for x in caplog.records if x.levelname == "WARNING"]


@pytest.mark.parametrize("grid", [[], [{"side": "Buy", "price": "NaN", "level": 0}]])
def test_a_grid_that_cannot_be_restored_warns_once(grid, caplog):
    engine = make(restored_grid=grid)
    warnings = [x.getMessage() for x in caplog.records if x.levelname == "WARNING"]
    assert len(warnings) == 1
    assert all(text in warnings[0] for text in ("s1", "BTCUSDT", "Restored grid failed"))
    assert engine.on_event(ticker("100"))


@pytest.mark.parametrize("anchor", ["-1", "NaN", "x"])
def test_an_anchor_is_a_price(anchor):
    with pytest.raises(ValueError, match="anchor_price must be"):
        make(anchor_price=anchor)


def test_a_snapshot_shares_nothing():
    engine = started()
    taken = engine.snapshot()
    assert list(taken)[:4] == ["anchor_price", "grid_step", "grid_count", "grid"]
    taken["grid"][0]["side"] = taken["pending_orders"]["x"] = "y"
    assert engine.grid.grid[0]["side"] == "Buy"
    assert engine.pending_orders == {}
