"""The book's positions: legs of hedge mode, the net one, and orders that only reduce."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcore import Fill, NothingToReduce
from gridcore._legs import Leg, settle
from gridcore.tests.test_matching import D, brief, place, quoted, resting, trade
from gridcore.tests.test_matching_orders import refused

AMOUNTS = st.decimals("0.001", "99", places=3)
DEALS = st.lists(st.tuples(st.sampled_from(["Buy", "Sell"]), AMOUNTS, AMOUNTS), max_size=12)


def leg(book, direction="net"):
    found = book.leg(direction)
    return found.position, found.entry_price, found.realised_pnl


def deal(book, side, qty, price, direction="net"):
    """A market order that is filled at this price."""
    book.on_quote(D(str(price)), D(str(price)))
    return place(book, "deal", side, None, qty, direction)


# --- Entry and profit -----------------------------------------------------------------------


def test_the_entry_is_the_weighted_average_and_a_reduction_realises():
    book = quoted()
    deal(book, "Buy", 1, 100, "long")
    deal(book, "Buy", 3, 104, "long")
    assert leg(book, "long") == (4, 103, 0)
    [fill] = deal(book, "Sell", 1, 110, "long")
    assert (fill.closed_size, fill.closed_pnl, fill.reduce_only) == (1, 7, True)
    assert leg(book, "long") == (3, 103, 7)
    [fill] = deal(book, "Sell", 3, 100, "long")
    assert (fill.closed_size, fill.closed_pnl) == (3, -9)
    assert leg(book, "long") == (0, 0, -2)
    assert book.leg("long").side == ""


def test_a_short_leg_is_the_mirror_image():
    book = quoted()
    deal(book, "Sell", 1, 100, "short")
    deal(book, "Sell", 3, 104, "short")
    assert leg(book, "short") == (-4, 103, 0)
    assert (book.leg("short").size, book.leg("short").side) == (4, "Sell")
    [fill] = deal(book, "Buy", 1, 110, "short")
    assert (fill.closed_size, fill.closed_pnl) == (1, -7)
    [fill] = deal(book, "Buy", 3, 100, "short")
    assert (fill.closed_size, fill.closed_pnl) == (3, 9)
    assert leg(book, "short") == (0, 0, 2)


def test_the_legs_of_hedge_mode_know_nothing_of_each_other():
    book = quoted()
    deal(book, "Buy", 2, 100, "long")
    deal(book, "Sell", 3, 101, "short")
    assert leg(book, "long") == (2, 100, 0)
    assert leg(book, "short") == (-3, 101, 0)
    assert leg(book) == (0, 0, 0)


def test_the_net_leg_flips_through_zero_in_one_fill():
    book = quoted()
    deal(book, "Buy", 2, 100)
    [fill] = deal(book, "Sell", 5, 110)
    assert (fill.qty, fill.closed_size, fill.closed_pnl) == (5, 2, 20)
    assert leg(book) == (-3, 110, 20)
    [fill] = deal(book, "Buy", 4, 100)
    assert (fill.closed_size, fill.closed_pnl) == (3, 30)
    assert leg(book) == (1, 100, 50)


def test_an_entry_that_has_no_end_is_rounded_and_the_rest_is_settled_at_the_close():
    book = quoted()
    deal(book, "Buy", 1, 100)
    deal(book, "Buy", 2, 101)
    third = D("100.6666666666666666666666667")
    assert leg(book) == (3, third, 0)
    [first] = deal(book, "Sell", 1, 102)
    assert first.closed_pnl == 102 - third
    assert leg(book)[:2] == (2, third)
    [last] = deal(book, "Sell", 2, 102)
    assert first.closed_pnl + last.closed_pnl == 4
    assert leg(book) == (0, 0, 4)


@given(DEALS)
def test_money_is_neither_made_nor_lost_in_the_books(deals):
    account, cash, paid = Leg("net"), D(0), D(0)
    for side, qty, price in deals:
        before = account
        done = settle(account, side, qty, price=price, fee_rate=D("0.00055"))
        account = done.leg
        cash += qty * price if side == "Sell" else -qty * price
        paid += done.fee
        assert account.position == before.position + (qty if side == "Buy" else -qty)
        assert 0 <= done.closed_size <= min(qty, before.size)
    assert account.realised_pnl - account.cost == cash
    assert account.fees == paid
    if account.position:
        assert abs(account.cost / account.position - account.entry_price) < D("1E-20")
    else:
        assert (account.cost, account.entry_price) == (0, 0)


# --- Reduce-only ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("direction", "side"),
    [("long", "Sell"), ("long", "Buy"), ("short", "Buy"), ("net", "Buy"), ("net", "Sell")],
)
def test_with_nothing_to_reduce_a_reduce_only_order_is_refused(direction, side):
    book = quoted()
    before = book.snapshot()
    with pytest.raises(NothingToReduce, match=f"reduce_only {side} finds no {direction} position"):
        place(book, "a", side, 100, direction=direction, reduce_only=True)
    assert book.snapshot() == before


def test_an_order_that_would_increase_is_no_reduce_only_order():
    keys = {"qty": D(1), "reduce_only": True}
    refused(
        lambda book: book.place("x", side="Buy", price=D(99), direction="long", **keys),
        "reduce_only Buy finds no long position",
        NothingToReduce,
    )


def test_the_closing_side_of_a_hedge_leg_reduces_only_said_or_not():
    book = quoted()
    with pytest.raises(NothingToReduce):
        place(book, "a", "Sell", 101, direction="long")
    deal(book, "Buy", 2, 100, "long")
    place(book, "a", "Sell", 101, 5, "long")
    assert book.order("a").reduce_only
    assert brief(trade(book, 102)) == [("a", 2, 101), ("a", "CancelByReduceOnly")]
    assert leg(book, "long") == (0, 0, 2)


def test_a_fill_is_capped_and_a_flat_leg_cancels_what_can_reduce_no_more():
    book = quoted("90", "110")
    deal(book, "Buy", 3, 100)
    book.on_quote(D(90), D(110))
    for order_id, price in (("a", 101), ("b", 102), ("c", 105)):
        place(book, order_id, "Sell", price, 2, reduce_only=True)
    place(book, "other", "Sell", 106, direction="short")
    place(book, "plain", "Sell", 106)
    happened = trade(book, 104)
    assert brief(happened) == [
        ("a", 2, 101),
        ("b", 1, 102),
        ("b", "CancelByReduceOnly"),
        ("c", "CancelByReduceOnly"),
    ]
    assert happened[1].leaves_qty == happened[2].leaves_qty == 1
    assert resting(book) == ["other", "plain"]


def test_a_leg_that_becomes_flat_leaves_the_orders_of_the_others_alone():
    book = quoted()
    deal(book, "Buy", 1, 100)
    deal(book, "Buy", 1, 100, "long")
    book.on_quote(D(90), D(110))
    place(book, "net", "Sell", 101, reduce_only=True)
    place(book, "long", "Sell", 102, direction="long")
    deal(book, "Sell", 1, 100)
    assert resting(book) == ["long"]


def test_while_there_is_a_position_reduce_only_orders_may_add_up_to_more():
    book = quoted("90", "110")
    deal(book, "Buy", 3, 100)
    place(book, "a", "Sell", 101, 2, reduce_only=True)
    place(book, "b", "Sell", 102, 9, reduce_only=True)
    assert brief(trade(book, "101.5")) == [("a", 2, 101)]
    assert book.order("b").leaves_qty == 9


def test_an_order_cancelled_by_the_fill_before_is_not_filled_in_the_same_trade():
    book = quoted("90", "110")
    deal(book, "Buy", 1, 100)
    book.on_quote(D(90), D(110))
    place(book, "a", "Sell", 101, 3)
    place(book, "b", "Sell", 102, 1, reduce_only=True)
    happened = trade(book, 103)
    assert brief(happened) == [("a", 3, 101), ("b", "CancelByReduceOnly")]
    assert leg(book) == (-2, 101, 1)


def test_the_size_that_a_capped_order_leaves_goes_to_the_next():
    book = quoted("90", "110")
    deal(book, "Buy", 1, 100, "long")
    book.on_quote(D(90), D(110))
    place(book, "a", "Sell", 101, 5, "long")
    place(book, "b", "Sell", 101, 5, "short")
    happened = trade(book, 102, 3)
    assert [(x.order_id, x.qty) for x in happened if isinstance(x, Fill)] == [("a", 1), ("b", 2)]


def test_a_taker_closes_what_there_is_and_the_rest_is_cancelled():
    book = quoted()
    deal(book, "Buy", 2, 100, "long")
    place(book, "rest", "Sell", 101, 1, "long")
    fill, *gone = deal(book, "Sell", 5, 100, "long")
    assert (fill.qty, fill.leaves_qty, fill.is_maker) == (2, 3, False)
    assert [(x.order_id, x.reason) for x in gone] == [
        ("rest", "CancelByReduceOnly"),
        ("deal", "CancelByReduceOnly"),
    ]
    assert (gone[1].price, gone[1].leaves_qty) == (0, 3)


def test_fill_or_kill_is_not_filled_in_part():
    book = quoted()
    deal(book, "Buy", 2, 100, "long")
    keys = {"direction": "long", "time_in_force": "FOK"}
    assert brief(place(book, "a", "Sell", 100, 3, **keys)) == [("a", "EC_CancelForNoFullFill")]
    assert brief(place(book, "a", "Sell", 100, 2, **keys)) == [("a", 2, 100)]
