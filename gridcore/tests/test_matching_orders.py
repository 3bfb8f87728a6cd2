"""The book: changing orders, looking at them, and what is refused."""

from __future__ import annotations

import decimal

import pytest

from gridcore import (
    DirectionType,
    DuplicateOrder,
    GridConfig,
    GridcoreError,
    GridEngine,
    InvalidNumber,
    InvalidOrder,
    MatchingBook,
    SideType,
    TickerEvent,
    UnknownOrder,
)
from gridcore.events import EventType
from gridcore.tests.test_matching import NOW, D, brief, make, place, quoted, resting, trade

BAD_NUMBERS = [D("NaN"), D("sNaN"), D("Infinity"), D(0), D(-1), "x", None, True, D("1E+500")]


# --- Amend and cancel -----------------------------------------------------------------------


def queue(*changes):
    """Which of three orders at one price is filled in which order after changes to the first."""
    book = quoted()
    for order_id in "abc":
        place(book, order_id, "Buy", 99, 2)
    for change in changes:
        book.amend("a", **change)
    return [fill.order_id for fill in trade(book, 98)]


def test_only_a_smaller_quantity_keeps_the_place_in_the_queue():
    assert queue({"qty": D(1)}) == ["a", "b", "c"]
    assert queue({"qty": D(2), "price": D(99)}) == ["a", "b", "c"]
    assert queue({"qty": D(3)}) == ["b", "c", "a"]
    assert queue({"price": D("98.5")}) == ["b", "c", "a"]
    assert queue({"price": D("98.5")}, {"price": D(99)}) == ["b", "c", "a"]


def test_an_amended_quantity_counts_what_is_filled():
    book = make()
    place(book, "a", "Buy", 100, 3)
    trade(book, 99, 2)
    with pytest.raises(InvalidOrder, match="qty must not be below the filled 2, not 1"):
        book.amend("a", qty=D(1))
    book.amend("a", qty=D("2.5"))
    assert book.order("a").leaves_qty == D("0.5")
    assert brief(book.amend("a", qty=D(2))) == [("a", "CancelByUser")]
    assert resting(book) == []


def test_an_amended_price_arrives_anew():
    book = quoted()
    place(book, "a", "Buy", 99, 2)
    place(book, "p", "Sell", 101, time_in_force="PostOnly")
    trade(book, "98.5", 1)
    assert brief(book.amend("a", price=D(101))) == [("a", 1, D("100.1"))]
    assert brief(book.amend("p", price=D(99))) == [("p", "EC_PostOnlyWillTakeLiquidity")]
    assert resting(book) == []


def test_a_larger_quantity_never_takes():
    book = quoted()
    place(book, "a", "Buy", 100)
    book.on_quote(D(98), D(99))
    assert book.amend("a", qty=D(2)) == []
    assert resting(book) == ["a"]


def test_cancel_all_may_be_narrowed():
    def full():
        book = quoted()
        place(book, "o", "Buy", None, direction="long")
        place(book, "lb", "Buy", 99, direction="long")
        place(book, "ls", "Sell", 101, direction="long")
        place(book, "ss", "Sell", 102, direction="short")
        return book

    def gone(**kwargs):
        return [each.order_id for each in full().cancel_all(**kwargs)]

    assert gone() == ["lb", "ls", "ss"]
    assert gone(direction="long") == ["lb", "ls"]
    assert gone(side="Sell") == ["ls", "ss"]
    assert gone(direction="short", side=SideType.BUY) == []


def test_an_id_may_be_used_again_once_its_order_is_over():
    book = make()
    for _ in range(2):
        place(book, "a", "Buy", 100)
        trade(book, 99)
    place(book, "a", "Sell", 101)
    book.cancel("a")
    assert place(book, "a", "Sell", 101) == []


# --- Looking --------------------------------------------------------------------------------


def test_the_nearest_prices_follow_the_orders():
    book = quoted("90", "110")
    assert book.nearest() == (None, None)
    for order_id, side, price in (("a", "Buy", 99), ("b", "Buy", 98), ("c", "Sell", 103)):
        place(book, order_id, side, price)
    assert book.nearest() == (99, 103)
    place(book, "d", "Sell", 102)
    book.cancel("a")
    assert book.nearest() == (98, 102)
    book.cancel_all()
    assert book.nearest() == (None, None)


def test_limit_orders_are_what_the_engine_reads():
    book = quoted("90", "110")
    engine = GridEngine("X", D("0.1"), GridConfig(4, 1.0), "s1")
    ticker = TickerEvent(EventType.TICKER, "X", NOW, NOW, last_price=D(100))
    for intent in engine.on_event(ticker, book.limit_orders()):
        if not intent.reduce_only:
            place(book, intent.client_order_id, intent.side, intent.price, 2, intent.direction)
    place(book, "n", "Buy", 91)
    left = engine.on_event(ticker, book.limit_orders())
    assert left
    assert all(intent.reduce_only for intent in left)
    trade(book, "98.9", "0.5")
    row = book.limit_orders()["long"][0]
    assert {name: row[name] for name in ("price", "side", "qty", "cumExecQty")} == {
        "price": "99.0",
        "side": "Buy",
        "qty": "2",
        "cumExecQty": "0.5",
    }


def test_limit_orders_are_made_anew_only_after_a_change():
    book = quoted()
    place(book, "a", "Buy", 99, direction="long")
    first = book.limit_orders()
    trade(book, 100)
    book.on_quote(D(1), D(2))
    assert book.limit_orders() is first
    for change in (
        lambda: place(book, "b", "Buy", 1, direction="long"),
        lambda: book.amend("a", qty=D("0.5")),
        lambda: trade(book, 98, "0.2"),
        lambda: book.cancel("a"),
    ):
        before = book.limit_orders()
        change()
        assert book.limit_orders() != before


def test_whoever_changes_an_answer_changes_no_order():
    book = make()
    place(book, "a", "Buy", 99, direction="long")
    answer, before = book.limit_orders(), book.snapshot()
    answer["long"][0]["price"] = "1"
    answer["long"].clear()
    book.orders().clear()
    book.snapshot()["orders"].clear()
    book.snapshot()["legs"].clear()
    assert book.snapshot() == before
    place(book, "b", "Buy", 98, direction="long")
    assert [(x["orderId"], x["price"]) for x in book.limit_orders()["long"]] == [
        ("a", "99.0"),
        ("b", "98.0"),
    ]


# --- What is refused ------------------------------------------------------------------------


def busy():
    book = quoted()
    place(book, "a", "Buy", 99, 3, "long")
    place(book, "o", "Buy", None, 5, "long")
    place(book, "r", "Sell", 101, 3, "long", reduce_only=True)
    trade(book, "98.5", 1)
    return book


def refused(call, match, error=GridcoreError):
    """The call raises and changes nothing."""
    book = busy()
    before = book.snapshot()
    with pytest.raises(error, match=match) as caught:
        call(book)
    assert isinstance(caught.value, ValueError)
    assert book.snapshot() == before
    assert book.nearest() == busy().nearest()
    assert book.limit_orders() == busy().limit_orders()


@pytest.mark.parametrize("value", BAD_NUMBERS)
def test_a_bad_number_is_refused_by_name(value):
    refused(lambda book: book.on_trade(value), "^price must be", InvalidNumber)
    refused(lambda book: book.amend("a", qty=D(4), price=value or D(0)), "^price must be")
    refused(lambda book: book.amend("a", qty=value or D(0)), "^qty must be", InvalidNumber)
    keys = {"side": "Buy", "direction": "long"}
    refused(lambda book: book.place("x", price=value or D(0), qty=D(1), **keys), "^price must be")
    refused(lambda book: book.place("x", price=D(1), qty=value, **keys), "^qty must be")
    if value is not None:
        refused(lambda book: book.on_trade(D(100), value), "^size must be", InvalidNumber)
        refused(lambda book: book.on_quote(D(1), value), "^ask must be", InvalidNumber)
        refused(lambda book: book.on_quote(value, D(1)), "^bid must be", InvalidNumber)


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        ({"side": "buy"}, "side must be one of Buy, Sell, not 'buy'"),
        ({"side": []}, "side must be one of"),
        ({"direction": "both"}, "direction must be one of long, short, net, not 'both'"),
        ({"time_in_force": "RPI"}, "time_in_force must be one of GTC, PostOnly, IOC, FOK, not"),
        ({"reduce_only": "False"}, "reduce_only must be one of False, True, not 'False'"),
        ({"price": D("100.05")}, "price must be whole ticks of 0.1, not 100.05"),
        ({"order_id": "a"}, "order_id 'a' rests already"),
        ({"order_id": ""}, "order_id must not be empty, not ''"),
        ({"order_id": 7}, "order_id must be a text, not 7"),
        ({"price": None, "time_in_force": "PostOnly"}, "of a market order must not be 'PostOnly'"),
    ],
)
def test_an_order_that_cannot_be_taken_is_refused(wrong, match):
    order = {"order_id": "x", "side": "Buy", "price": D(98), "qty": D(1), "direction": "long"}
    error = DuplicateOrder if "rests" in match else InvalidOrder
    refused(lambda book: book.place(**(order | wrong)), match, error)


def test_what_does_not_rest_cannot_be_changed():
    for call in (
        lambda book: book.cancel("o"),
        lambda book: book.order("o"),
        lambda book: book.amend("o", qty=D(1)),
    ):
        refused(call, "order_id 'o' does not rest", UnknownOrder)
    refused(lambda book: book.cancel(7), "order_id must be a text, not 7", InvalidOrder)
    refused(lambda book: book.amend("a"), "neither price nor qty is given", InvalidOrder)
    refused(lambda book: book.amend("a", qty=D(9), price=D("98.01")), "price must be whole ticks")
    refused(lambda book: book.cancel_all(side="Both"), "side must be", InvalidOrder)
    refused(lambda book: book.cancel_all(direction="Both"), "direction must be", InvalidOrder)
    refused(lambda book: book.leg("Buy"), "direction must be", InvalidOrder)


@pytest.mark.parametrize("price", [D(1), D(100), D(1000)])
def test_a_trade_that_cannot_be_named_is_refused(price):
    refused(lambda book: book.on_trade(price, None, 7), "trade_id must be a text, not 7")


@pytest.mark.parametrize("name", ["tick_size", "maker_fee", "taker_fee"])
def test_the_book_refuses_figures_that_are_none(name):
    figures = {"tick_size": D(1), "maker_fee": D(0), "taker_fee": D(0), name: D("NaN")}
    with pytest.raises(InvalidNumber, match=name):
        MatchingBook(**figures)


def test_numbers_may_be_given_as_texts():
    book = make()
    book.place("a", side="Buy", price="100.0", qty="0.5", direction="net")
    assert brief(book.on_trade("99.5", "0.2")) == [("a", D("0.2"), 100)]


def test_an_enums_member_is_kept_as_its_plain_text():
    book = make()
    book.place("a", side=SideType.BUY, price=D(9), qty=D(1), direction=DirectionType.LONG)
    order = book.order("a")
    assert (type(order.side), type(order.direction)) == (str, str)


def test_the_callers_precision_is_nothing_to_the_book():
    def run():
        book = make()
        place(book, "a", "Buy", "12345.6", "1.23456789")
        trade(book, "12345", "1.03456781")
        book.amend("a", qty=D("1.23456788"))
        place(book, "b", "Sell", 12345, "0.77777777")
        size = book.leg("net").size
        return size, book.snapshot(), trade(book, 12346), book.leg("net")

    expected = run()
    with decimal.localcontext(decimal.Context(prec=3, rounding=decimal.ROUND_UP)):
        assert run() == expected
