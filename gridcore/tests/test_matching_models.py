"""Fill models: what each fills, what it sees, and what it may answer."""

from __future__ import annotations

import pytest

from gridcore import FILL_MODELS, InvalidNumber
from gridcore.matching import MarketTrade, Order, last_cross, trade_through_at_limit
from gridcore.tests.test_matching import D, brief, make, place, resting, trade


@pytest.mark.parametrize(
    ("side", "previous", "last", "filled"),
    [
        # previous, last; strict_cross, trade_through_at_limit, last_cross; the limit is 100
        ("Buy", None, "100.1", (False, False, False)),
        ("Buy", None, "100", (False, True, False)),
        ("Buy", None, "99.9", (True, True, False)),
        ("Buy", "100.1", "100", (False, True, True)),
        ("Buy", "100.1", "99.9", (True, True, True)),
        ("Buy", "100", "100", (False, True, False)),
        ("Buy", "100", "99.9", (True, True, False)),
        ("Buy", "99", "101", (False, False, False)),
        ("Sell", None, "99.9", (False, False, False)),
        ("Sell", None, "100", (False, True, False)),
        ("Sell", None, "100.1", (True, True, False)),
        ("Sell", "99.9", "100", (False, True, True)),
        ("Sell", "99.9", "100.1", (True, True, True)),
        ("Sell", "100", "100", (False, True, False)),
        ("Sell", "100", "100.1", (True, True, False)),
        ("Sell", "101", "99", (False, False, False)),
    ],
)
def test_each_model_fills_as_it_says(side, previous, last, filled):
    order = Order("a", side, D(100), 1000, D(3), D(2), "net", False, "GTC")
    before = None if previous is None else D(previous)
    answers = [model(order, MarketTrade(D(last)), before) for model in FILL_MODELS.values()]
    assert list(FILL_MODELS) == ["strict_cross", "trade_through_at_limit", "last_cross"]
    assert answers == [D(2) if each else D(0) for each in filled]


def test_the_default_wants_the_price_to_go_through_the_limit_and_fills_at_the_limit():
    book = make()
    place(book, "a", "Buy", 100)
    assert trade(book, 100) == []
    assert brief(trade(book, "99.95")) == [("a", 1, 100)]
    assert resting(book) == []


def test_a_market_price_between_two_ticks_is_compared_as_given():
    book = make(trade_through_at_limit)
    place(book, "b", "Buy", 100)
    place(book, "s", "Sell", "100.1")
    assert trade(book, "100.0000001") == trade(book, "100.0999999") == []
    assert brief(trade(book, "100.1")) == [("s", 1, D("100.1"))]


def test_last_cross_does_not_repeat_while_the_price_sticks():
    book = make(last_cross)
    trade(book, 101)
    place(book, "a", "Buy", 100)
    assert brief(trade(book, 100)) == [("a", 1, 100)]
    book.on_quote(None, D(101))
    place(book, "b", "Buy", 100)
    assert trade(book, 100) == []
    trade(book, 101)
    assert brief(trade(book, 100)) == [("b", 1, 100)]


class Queue:
    """A model with a memory: as much is ahead of each order as its level held."""

    def __init__(self, ahead):
        self.ahead = ahead
        self.left = {}

    def __call__(self, order, trade, previous):
        ahead = self.left.get(order.order_id, self.ahead)
        self.left[order.order_id] = max(ahead - trade.size, D(0))
        return min(max(trade.size - ahead, D(0)), order.leaves_qty)


def test_a_model_may_be_a_callable_with_a_memory():
    book = make(Queue(D(5)))
    place(book, "a", "Buy", 100, 4)
    assert trade(book, 100, 3) == []
    [fill] = trade(book, 100, 4)
    assert (fill.qty, fill.leaves_qty, fill.rule) == (2, 2, "Queue")
    assert brief(trade(book, 100, 9)) == [("a", 2, 100)]


def test_a_model_sees_every_order_that_a_trade_has_reached_and_no_other():
    seen = []

    def nosy(order, trade, previous):
        seen.append((order.order_id, trade, previous))
        return order.leaves_qty

    book = make(nosy)
    for order_id, price in (("low", 98), ("b", 99), ("a", 100), ("c", 99)):
        place(book, order_id, "Buy", price)
    trade(book, 105)
    trade(book, 99, 1, "t")
    assert seen == [(x, MarketTrade(D(99), D(1), "t"), D(105)) for x in "abc"]
    assert resting(book) == ["b", "c", "low"]


@pytest.mark.parametrize("answer", [D(2), D(-1), D("NaN"), D("Infinity"), 1, None])
def test_a_model_that_answers_nonsense_is_named_and_changes_nothing(answer):
    def odd(order, trade, previous):
        return order.leaves_qty if order.order_id == "a" else answer

    book = make(odd)
    place(book, "a", "Buy", 100)
    place(book, "b", "Buy", 99)
    before = book.snapshot()
    with pytest.raises(InvalidNumber, match="odd must answer a Decimal from 0 to 1, not"):
        trade(book, 98)
    assert book.snapshot() == before
