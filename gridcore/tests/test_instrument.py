"""Instruments: steps, limits and the one rounding."""

from __future__ import annotations

import dataclasses
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcore.errors import InvalidNumber
from gridcore.instrument import (
    EXACT,
    InstrumentInfo,
    Scale,
    round_half_even,
    to_amount,
    to_decimal,
    to_price,
)

D = Decimal
INFO = InstrumentInfo("BTCUSDT", D("0.001"), D("0.10"), D("0.002"), D("100"))
ANSWER = {
    "lotSizeFilter": {"qtyStep": "0.001", "minOrderQty": "0.002", "maxOrderQty": "100"},
    "priceFilter": {"tickSize": "0.10"},
}
STEPS = st.sampled_from([D("0.1"), D("0.10"), D("0.5"), D("5"), D("10"), D("0.0000005"), D("0.3")])
PRICES = st.decimals("0.0000001", "1000000", places=7)


@pytest.mark.parametrize("value", ["0.1", 0.1, D("0.1")])
def test_a_float_means_its_text(value):
    assert to_decimal(value) == D("0.1")


NO_NUMBERS: list[Any] = [
    *("", "x", None, True, [], 1j, Fraction(1, 2), "1e999999999999999999999", "nan"),
    *(D("Infinity"), D("sNaN"), "1E+999999", "1E-999999", 10**500),
]


@pytest.mark.parametrize("value", NO_NUMBERS, ids=range(len(NO_NUMBERS)))
@pytest.mark.parametrize("read", [to_decimal, to_amount, to_price])
def test_what_is_no_finite_number_is_refused_by_name(read, value):
    with pytest.raises(InvalidNumber, match=r"^qty must be a finite number, not "):
        read(value, "qty")


def test_an_amount_is_not_negative():
    assert to_amount(0) == 0
    with pytest.raises(InvalidNumber, match=r"^amount must not be negative, not '-0\.1'$"):
        to_amount("-0.1")


@given(st.decimals(allow_nan=False, allow_infinity=False), st.decimals("0.01", 100, places=2))
def test_exact_arithmetic_loses_no_digit(number, factor):
    product, total = EXACT.multiply(number, factor), EXACT.add(number, factor)
    assert Fraction(product) == Fraction(number) * Fraction(factor)
    assert Fraction(total) == Fraction(number) + Fraction(factor)


@pytest.mark.parametrize("value", [0, -1, "-0.1"])
def test_a_price_is_positive(value):
    with pytest.raises(ValueError, match="price must be positive"):
        to_price(value)


@given(st.integers(), st.integers(1, 10**30))
def test_halves_go_to_the_even_neighbour(numerator, denominator):
    assert round_half_even(numerator, denominator) == round(Fraction(numerator, denominator))


@given(PRICES, STEPS)
def test_the_nearest_step_is_exact(price, step):
    scale = Scale(step)
    assert scale.nearest(price) == round(Fraction(price) / Fraction(step))
    assert scale.value(scale.up(price)) >= price > scale.value(scale.up(price) - 1)
    assert Fraction(*scale.ratio(price)) == Fraction(price) / Fraction(step)


@pytest.mark.parametrize(
    ("step", "text"),
    [
        ("0.10", "50000.0"),
        ("0.1", "50000.0"),
        ("0.5", "50000.0"),
        ("5", "50000"),
        ("1E+1", "50000"),
    ],
)
def test_a_price_has_the_decimals_of_the_normalised_step(step, text):
    scale = Scale(D(step))
    assert str(scale.value(scale.nearest(D("5E+4")))) == text


def test_a_long_price_keeps_all_its_digits():
    long = D("1234567890123456789012345678901234567890.1")
    assert dataclasses.replace(INFO, tick_size=D("0.1")).round_price(long) == long


@pytest.mark.parametrize(
    ("price", "rounded"), [("0.25", "0.2"), ("0.35", "0.4"), ("0.2500001", "0.3"), (0.3, "0.3")]
)
def test_a_price_is_rounded_to_the_nearest_even_tick(price, rounded):
    assert str(INFO.round_price(price)) == rounded


@given(st.integers(1, 10**12), st.decimals(0, 1, places=8))
def test_decimal_agrees_on_ticks_of_powers_of_ten(whole, part):
    price = Context(prec=50).add(D(whole), part)
    wanted = price.quantize(D("0.1"), ROUND_HALF_EVEN, Context(prec=50))
    assert INFO.round_price(price) == wanted


@pytest.mark.parametrize(
    ("qty", "rounded"),
    [
        *(("0", "0"), ("-1", "0"), ("0.0001", "0"), ("0.001", "0")),
        *(("0.0011", "0.002"), ("0.0031", "0.004"), ("0.004", "0.004")),
        *(("99.9999", "100"), ("100.0001", "100"), ("1000", "100")),
    ],
)
def test_a_quantity_is_rounded_up_and_kept_within_its_limits(qty, rounded):
    """The exchange refuses what is below its minimum or above its maximum."""
    assert INFO.round_qty(D(qty)) == D(rounded)


@pytest.mark.parametrize("name", ["qty_step", "tick_size"])
@pytest.mark.parametrize("value", [D(0), D(-1)])
def test_steps_must_be_positive(name, value):
    with pytest.raises(ValueError, match=f"{name} must be positive"):
        dataclasses.replace(INFO, **{name: value})


@pytest.mark.parametrize("name", ["qty_step", "tick_size", "min_qty", "max_qty"])
def test_an_instrument_has_finite_figures(name):
    with pytest.raises(ValueError, match=f"{name} must be a finite number"):
        dataclasses.replace(INFO, **{name: D("NaN")})


def test_limits_are_in_order():
    with pytest.raises(ValueError, match="min_qty must not be negative"):
        dataclasses.replace(INFO, min_qty=D(-1))
    with pytest.raises(ValueError, match="max_qty 1 is below min_qty 2"):
        dataclasses.replace(INFO, min_qty=D(2), max_qty=D(1))


def test_an_instrument_survives_being_written_and_read():
    written = INFO.to_dict()
    assert written["tick_size"] == "0.10"
    assert set(map(type, written.values())) == {str}
    assert InstrumentInfo.from_dict(written) == INFO


def test_bybits_answer_is_read(caplog):
    assert InstrumentInfo.from_bybit_response("BTCUSDT", ANSWER) == INFO
    assert not caplog.records


FIELDS = [(where, key) for where, part in ANSWER.items() for key in part]


@pytest.mark.parametrize(("where", "key"), FIELDS)
@pytest.mark.parametrize("value", ["", "x", None, "NaN", "Infinity", "-Infinity", "-1"])
def test_an_incomplete_answer_gives_no_instrument(where, key, value, caplog):
    """An empty minOrderQty must not raise."""
    answer = ANSWER | {where: ANSWER[where] | {key: value}}
    assert InstrumentInfo.from_bybit_response("BTCUSDT", answer) is None
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(("where", "key"), FIELDS)
def test_a_missing_field_or_filter_gives_no_instrument(where, key):
    lacking = {name: value for name, value in ANSWER[where].items() if name != key}
    for part in (lacking, None):
        assert InstrumentInfo.from_bybit_response("BTCUSDT", ANSWER | {where: part}) is None
    assert InstrumentInfo.from_bybit_response("BTCUSDT", {}) is None
