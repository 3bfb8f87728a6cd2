"""Intents: their fields, and the names of orders."""

from __future__ import annotations

import dataclasses
from decimal import Decimal
from enum import Enum
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcore.grid import GridSideType
from gridcore.instrument import Scale
from gridcore.intents import CancelIntent, PlaceLimitIntent, extract_client_order_prefix

D = Decimal


def create(**values):
    order = {"symbol": "BTCUSDT", "side": "Buy", "price": D("99.0"), "qty": D(0)}
    return PlaceLimitIntent.create(**order | {"grid_level": -1, "direction": "long"} | values)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("price", D(0)), ("price", D(-99)), ("price", D("NaN"))],
        *[("qty", D(-1)), ("qty", D("Infinity")), ("strat_id", 7)],
    ],
)
def test_an_intent_of_no_price_or_no_quantity_is_refused(name, value):
    values = {"price": D(99), "qty": D(0), "strat_id": "s1"} | {name: value}
    with pytest.raises(ValueError, match=name):
        PlaceLimitIntent.create("BTCUSDT", "Buy", grid_level=-1, direction="long", **values)


def test_fields_stand_in_the_documented_order():
    names = [field.name for field in dataclasses.fields(PlaceLimitIntent)]
    assert names[:5] == ["symbol", "side", "price", "qty", "reduce_only"]
    assert names[5:8] == ["client_order_id", "grid_level", "direction"]
    assert names[8:] == ["order_link_id", "post_only"]
    names = [field.name for field in dataclasses.fields(CancelIntent)]
    assert names == ["symbol", "order_id", "reason", "price", "side"]


def test_the_name_of_an_order_is_bit_exact():
    assert create(strat_id="s1").client_order_id == "7b384b02ea7e7944"


def test_an_empty_strategy_counts_as_given():
    text = "BTCUSDT_Buy_99.0_-1_long"
    named = {None: text, "": f"_{text}"}
    for strat_id, salted in named.items():
        wanted = sha256(salted.encode()).hexdigest()[:16]
        assert create(strat_id=strat_id).client_order_id == wanted


@pytest.mark.parametrize(
    "value", [{"symbol": "X"}, {"side": "Sell"}, {"price": D(1)}, {"grid_level": 0}]
)
def test_identity_is_made_of_these(value):
    assert create(**value).client_order_id != create().client_order_id
    assert create(direction="short").client_order_id != create().client_order_id


def test_quantity_and_flags_are_not_part_of_the_identity():
    other = create(qty=D(5), reduce_only=True, post_only=True)
    assert other.client_order_id == create().client_order_id
    assert (other.qty, other.reduce_only, other.post_only) == (5, True, True)


def test_an_enum_is_its_value():
    class Direction(Enum):
        LONG = "long"

    order = create(side=GridSideType.BUY, direction=Direction.LONG)
    assert order == create()
    assert type(order.side) is type(order.direction) is str


def test_one_price_has_one_name_in_plain_notation():
    # Fault: 100, 100.0 and 1E+2 were three orders.
    scale = Scale(D("0.10"))
    prices = [scale.value(scale.nearest(D(text))) for text in ("100", "100.0", "1E+2")]
    assert len({create(price=price).client_order_id for price in prices}) == 1
    assert create(price=D("1E+2")).client_order_id == create(price=D(100)).client_order_id
    assert create(price=D("5E-7")).client_order_id == create(price="0.0000005").client_order_id


@given(st.decimals(allow_nan=False, min_value="0.00001", max_value=10**9), st.integers(-99, 99))
def test_a_name_is_16_hex_digits(price, level):
    name = create(price=price, grid_level=level).client_order_id
    assert len(name) == 16
    assert int(name, 16) >= 0


@pytest.mark.parametrize("value", ["buy", "Wait", "", None])
def test_an_unknown_side_is_refused_by_name(value):
    with pytest.raises(ValueError, match=f"side must be Buy or Sell, not '?{value}"):
        create(side=value)
    with pytest.raises(ValueError, match="direction must be long or short, not 'LONG'"):
        create(direction="LONG")
    with pytest.raises(ValueError, match="side must be Buy or Sell, not 'Wait'"):
        CancelIntent("BTCUSDT", "1", "rebuild", side="Wait")


def test_an_intent_is_a_frozen_value():
    order = create()
    with pytest.raises(dataclasses.FrozenInstanceError):
        order.qty = D(1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        CancelIntent("BTCUSDT", "1", "rebuild").reason = ""
    sized = dataclasses.replace(order, qty=D(1))
    assert (sized.qty, sized.client_order_id) == (1, order.client_order_id)


def test_link_and_post_only_are_not_compared():
    order = create()
    sent = dataclasses.replace(order, order_link_id="a-1", post_only=True)
    assert sent == order
    assert hash(sent) == hash(order)
    assert dataclasses.replace(order, qty=D(1)) != order


def test_a_cancellation_may_leave_price_and_side_out():
    cancel = CancelIntent("BTCUSDT", "1", "rebuild")
    assert (cancel.price, cancel.side) == (None, None)


@pytest.mark.parametrize(
    ("link", "prefix"),
    [("abc-123", "abc"), ("abc", "abc"), ("a-b-c", "a"), ("-foo", None), ("", None), (None, None)],
)
def test_a_link_id_begins_with_the_orders_name(link, prefix):
    assert extract_client_order_prefix(link) == prefix
