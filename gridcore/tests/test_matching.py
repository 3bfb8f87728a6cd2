"""The book: orders against the market's trades and quotes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from gridcore import Cancelled, Fill, MatchingBook
from gridcore.events import EventType
from gridcore.matching import strict_cross, trade_through_at_limit

D = Decimal
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def make(model=strict_cross, **fees):
    fees = {"maker_fee": D("0.0002"), "taker_fee": D("0.00055")} | fees
    return MatchingBook(D("0.1"), fill_model=model, **fees)


def place(book, order_id, side, price, qty=1, direction="net", **kwargs):
    number = None if price is None else D(str(price))
    return book.place(
        order_id, side=side, price=number, qty=D(str(qty)), direction=direction, **kwargs
    )


def trade(book, price, size=None, trade_id=""):
    return book.on_trade(D(str(price)), None if size is None else D(str(size)), trade_id)


def brief(happened):
    """What happened, in short: fills with quantity and price, cancellations with reason."""
    return [
        (each.order_id, each.qty, each.price)
        if isinstance(each, Fill)
        else (each.order_id, each.reason)
        for each in happened
    ]


def resting(book):
    return [order.order_id for order in book.orders()]


def quoted(bid="99.9", ask="100.1", **kwargs):
    book = make(**kwargs)
    book.on_quote(D(bid), D(ask))
    return book


# --- Priority and size ----------------------------------------------------------------------


def test_the_best_price_is_filled_first_then_the_oldest_order():
    book = make()
    for order_id, price in (("b", 99), ("d", 98), ("a", 100), ("c", 99), ("far", 97)):
        place(book, order_id, "Buy", price)
    assert [x.order_id for x in trade(book, "97.5")] == ["a", "b", "c", "d"]
    for order_id, price in (("w", 103), ("y", 104), ("v", 102), ("x", 103), ("z", 109)):
        place(book, order_id, "Sell", price)
    assert [x.order_id for x in trade(book, 105)] == ["v", "w", "x", "y"]


def test_the_size_of_a_trade_is_shared_by_priority():
    book = make()
    for order_id, price in (("a", 100), ("b", 99), ("c", 98)):
        place(book, order_id, "Buy", price, 2)
    first, second = trade(book, 97, 3)
    assert (first.order_id, first.qty, first.leaves_qty) == ("a", 2, 0)
    assert (second.order_id, second.qty, second.leaves_qty) == ("b", 1, 1)
    assert book.order("b").leaves_qty == 1
    assert brief(trade(book, 97, "1.5")) == [("b", 1, 99), ("c", D("0.5"), 98)]


def test_a_partly_filled_order_keeps_its_place_in_the_queue():
    book = make()
    place(book, "a", "Buy", 100, 2)
    place(book, "b", "Buy", 100, 2)
    trade(book, 99, 1)
    assert brief(trade(book, 99, 2)) == [("a", 1, 100), ("b", 1, 100)]


def test_own_orders_that_cross_share_a_trade_buys_first():
    book = quoted("90", "110", model=trade_through_at_limit)
    place(book, "s", "Sell", 100, direction="short")
    place(book, "b", "Buy", 101, direction="long")
    assert brief(trade(book, "100.5", "1.5")) == [("b", 1, 101), ("s", D("0.5"), 100)]


# --- What a fill says -----------------------------------------------------------------------


def test_a_fill_names_its_cause():
    book = make()
    trade(book, "100.5")
    place(book, "a", "Buy", 100, 2, "long")
    [fill] = trade(book, "99.95", "0.5", "t7")
    assert (fill.rule, fill.trade_id) == ("strict_cross", "t7")
    assert (fill.trade_price, fill.previous_price) == (D("99.95"), D("100.5"))
    assert str(fill) == (
        "a: Buy 0.5 long at 100.0 (strict_cross, trade t7 at 99.95 after 100.5),"
        " leaves 1.5, closed 0 for 0, fee 0.010000"
    )
    with pytest.raises(AttributeError):
        fill.qty = D(1)


def test_a_taker_and_a_first_trade_are_told_apart_in_words():
    book = make()
    place(book, "a", "Buy", 100)
    [fill] = trade(book, 99)
    assert "(strict_cross, trade at 99)" in str(fill)
    book.on_quote(D(99), D("99.25"))
    [fill] = place(book, "b", "Buy", None)
    assert "Buy 1 net at 99.25 (taker, touch at 99.25)" in str(fill)


def test_a_fill_becomes_an_execution_event():
    book = make()
    place(book, "a", "Buy", 100, 2)
    [fill] = trade(book, 99, 1)
    event = fill.to_event("BTCUSDT", NOW, "e1")
    assert (event.event_type, event.symbol, event.exec_id) == (EventType.EXECUTION, "BTCUSDT", "e1")
    assert (event.order_id, event.order_link_id, event.side) == ("a", "a", "Buy")
    assert (event.price, event.qty, event.leaves_qty, event.fee) == (100, 1, 1, D("0.02"))
    assert (event.exchange_ts, event.local_ts) == (NOW, NOW)
    assert fill.to_event("X", NOW, "e1", NOW + timedelta(1)).local_ts == NOW + timedelta(1)


def test_a_cancellation_says_why():
    book = make()
    place(book, "a", "Sell", 100, 2, "short")
    trade(book, 101, "0.5")
    [gone] = book.cancel("a")
    assert isinstance(gone, Cancelled)
    assert (gone.reason, gone.qty, gone.leaves_qty) == ("CancelByUser", 2, D("1.5"))
    assert str(gone) == "a: Sell short at 100.0 cancelled (CancelByUser), 1.5 of 2 unfilled"


def test_a_rebate_is_a_negative_fee():
    book = quoted(maker_fee=D("-0.0001"))
    place(book, "a", "Buy", 99)
    [maker] = trade(book, 98)
    [taker] = place(book, "b", "Buy", None)
    assert (maker.fee, maker.is_maker) == (D("-0.0099"), True)
    assert (taker.fee, taker.is_maker) == (D("100.1") * D("0.00055"), False)
    assert book.leg("net").fees == maker.fee + taker.fee


# --- Arrival --------------------------------------------------------------------------------


def test_an_order_that_reaches_the_touch_is_filled_there_as_taker():
    book = quoted()
    [fill] = place(book, "a", "Buy", 105, 1000)
    assert (fill.price, fill.qty) == (D("100.1"), 1000)
    assert (fill.rule, fill.trade_price) == ("taker", D("100.1"))
    assert brief(place(book, "b", "Sell", "99.9")) == [("b", 1, D("99.9"))]
    assert place(book, "c", "Buy", 100) == place(book, "d", "Sell", 100) == []
    assert resting(book) == ["c", "d"]


def test_without_a_quote_the_last_trade_is_the_touch_on_either_side():
    book = make()
    assert place(book, "early", "Buy", 200) == []
    book.cancel("early")
    trade(book, "100.05")
    assert brief(place(book, "a", "Buy", "100.1")) == [("a", 1, D("100.05"))]
    assert brief(place(book, "b", "Sell", 100)) == [("b", 1, D("100.05"))]
    book.on_quote(None, D(101))
    assert place(book, "c", "Buy", "100.9") == []
    assert brief(place(book, "d", "Sell", 100)) == [("d", 1, D("100.05"))]


def test_quotes_may_cross_and_fill_nothing_that_rests():
    book = quoted()
    place(book, "a", "Buy", 100)
    book.on_quote(D(99), D(98))
    assert resting(book) == ["a"]
    assert brief(place(book, "b", "Buy", None)) == [("b", 1, 98)]
    assert brief(place(book, "c", "Sell", None)) == [("c", 1, 99)]


@pytest.mark.parametrize(("side", "price"), [("Buy", "100.1"), ("Sell", "99.9")])
def test_a_post_only_order_that_would_take_is_cancelled(side, price):
    book = quoted()
    assert brief(place(book, "a", side, price, time_in_force="PostOnly")) == [
        ("a", "EC_PostOnlyWillTakeLiquidity")
    ]
    assert place(book, "a", side, 100, time_in_force="PostOnly") == []
    assert resting(book) == ["a"]


@pytest.mark.parametrize(
    ("price", "time_in_force", "reason"),
    [
        (100, "IOC", "EC_NoImmediateQtyToFill"),
        (100, "FOK", "EC_CancelForNoFullFill"),
        (None, "GTC", "EC_NoEnoughQtyToFill"),
        (None, "IOC", "EC_NoEnoughQtyToFill"),
    ],
)
def test_what_cannot_be_filled_at_once_and_must_not_rest_is_cancelled(price, time_in_force, reason):
    book = make()
    assert brief(place(book, "a", "Buy", price, time_in_force=time_in_force)) == [("a", reason)]
    if price:
        book.on_quote(D(99), D(101))
        assert brief(place(book, "a", "Buy", price, time_in_force=time_in_force)) == [("a", reason)]
    assert resting(book) == []


@pytest.mark.parametrize("time_in_force", ["IOC", "FOK"])
def test_an_immediate_order_at_the_touch_is_filled(time_in_force):
    book = quoted()
    assert brief(place(book, "a", "Buy", "100.1", 7, time_in_force=time_in_force)) == [
        ("a", 7, D("100.1"))
    ]
