"""Quantities: the amount, the floor, the rounding, and the early imbalance."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import ROUND_UP, Decimal
from fractions import Fraction
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcore.position import Position, RiskConfig
from gridcore.qty import apply_early_imbalance, apply_notional_floor, create_qty_calculator

D = Decimal
PRICES = st.decimals("0.0001", "1000000", places=4)


@dataclass(frozen=True)
class Steps:
    """An instrument as far as quantities go."""

    step: Decimal

    def round_qty(self, qty):
        return qty.quantize(self.step, ROUND_UP)


def at(price):
    return SimpleNamespace(price=price)


def positions(long, short, *, long_liq="0", short_liq="0"):
    pair = Position.create_linked_pair(RiskConfig(0.8, 1.2, 8.0, 0.15))
    pair.long.size, pair.short.size = D(long), D(short)
    pair.long.liquidation_price, pair.short.liquidation_price = D(long_liq), D(short_liq)
    return pair


def test_a_fixed_amount_ignores_the_wallet():
    calculate = create_qty_calculator("50")
    assert calculate(at(D(100)), D(0)) == calculate(at(D(100)), D(1000)) == D("0.5")


def test_a_share_of_the_wallet_is_rounded_up_to_the_step():
    calculate = create_qty_calculator("x0.01", Steps(D("0.001")))
    assert calculate(at(D(30000)), D(10000)) == D("0.004")


def test_without_an_instrument_nothing_is_rounded():
    assert create_qty_calculator("x0.01")(at(D(400)), D(10000)) == D("0.25")


@pytest.mark.parametrize("price", [0, -1])
@pytest.mark.parametrize("amount", ["50", "x0.01"])
def test_without_a_price_there_is_no_order(amount, price):
    assert create_qty_calculator(amount)(at(D(price)), D(1000)) == 0


@pytest.mark.parametrize("wallet", [0, -1])
def test_a_share_of_nothing_is_no_order(wallet):
    assert create_qty_calculator("x0.01")(at(D(100)), D(wallet)) == 0


def test_an_empty_amount_is_refused():
    with pytest.raises(ValueError, match=r"^amount string must not be empty$"):
        create_qty_calculator("")


@pytest.mark.parametrize(
    "amount",
    [
        *("x", "xfoo", "b0.005", "X0.01", "xx1", "foo", " ", "-5", "0", "x-1", "x0"),
        *("NaN", "xNaN", "sNaN", "Infinity", "xInfinity", "-Infinity", "x1E+999999999"),
    ],
)
def test_an_amount_that_is_no_positive_number_is_refused_at_creation(amount):
    """NaN would fail at the first order, infinity order it; -5 and 0 would be raised to 5 USDT."""
    with pytest.raises(ValueError, match="invalid amount string '" + re.escape(amount)):
        create_qty_calculator(amount)


@pytest.mark.parametrize("value", [D("NaN"), D("Infinity"), None])
def test_a_price_or_a_wallet_that_is_no_number_is_refused(value):
    with pytest.raises(ValueError, match="price must be a finite number"):
        create_qty_calculator("50")(at(value), D(1))
    with pytest.raises(ValueError, match="wallet_balance must be a finite number"):
        create_qty_calculator("x0.5")(at(D(1)), value)


@pytest.mark.parametrize(
    ("amount", "qty"), [("5", "0.05"), ("4.99", "0.05"), ("0.01", "0.05"), ("5.01", "0.0501")]
)
def test_an_order_is_worth_5_usdt_at_least(amount, qty):
    assert create_qty_calculator(amount)(at(D(100)), D(0)) == D(qty)


def test_the_floor_comes_before_the_rounding():
    calculate = create_qty_calculator("1", Steps(D("0.01")))
    assert calculate(at(D(400)), D(0)) == D("0.02")


def test_the_floor_is_strict_and_exact():
    just_below = D("0.04999999999999999999999999999999999999")
    assert apply_notional_floor(D("0.05"), D(100)) == D("0.05")
    assert apply_notional_floor(just_below, D(100)) == D("0.05")


@pytest.mark.parametrize(("qty", "price"), [(0, 100), (-1, 100), (1, 0), (1, -1)])
def test_the_floor_makes_no_order_of_nothing(qty, price):
    assert apply_notional_floor(D(qty), D(price)) == 0


@given(PRICES, st.decimals("0.01", "10000", places=2))
def test_a_rounded_order_never_falls_below_the_floor_nor_the_amount(price, amount):
    qty = create_qty_calculator(str(amount), Steps(D("0.000001")))(at(price), D(0))
    wanted = max(amount, D(5))
    assert wanted - price * D("1e-20") <= qty * price <= wanted + price * D("0.000001")


@given(PRICES, st.decimals("1", "100000", places=2))
def test_a_share_of_the_wallet_is_that_amount(price, wallet):
    share = create_qty_calculator("x0.5")(at(price), wallet)
    assert share == create_qty_calculator(str(wallet / 2))(at(price), D(0))


@pytest.mark.parametrize(
    ("long", "short", "qty"),
    [
        *(("1.1", "1", 10), ("1.1000001", "1", 15), ("9.9999999", "1", 15), ("10", "1", 10)),
        *(("1", "0", 10), ("0", "0", 10), ("0", "1", 10), ("1", "2", 10)),
    ],
)
def test_an_early_imbalance_lies_strictly_between_its_limits(long, short, qty):
    assert apply_early_imbalance(D(10), *positions(long, short), 1.5) == qty


@pytest.mark.parametrize("side", ["long_liq", "short_liq"])
def test_where_liquidation_threatens_it_is_early_no_more(side):
    assert apply_early_imbalance(D(10), *positions("2", "1", **{side: "50"}), 1.5) == 10


def test_a_multiplier_of_1_gives_the_quantity_itself():
    qty = D(10)
    assert apply_early_imbalance(qty, *positions("2", "1"), 1.0) is qty


def test_the_multiplier_counts_as_it_was_written():
    assert apply_early_imbalance(D(10), *positions("2", "1"), 1.1) == D(11)


@pytest.mark.parametrize("multiplier", [math.nan, math.inf, -0.5, None])
def test_a_useless_multiplier_is_refused(multiplier):
    with pytest.raises(ValueError, match="multiplier must"):
        apply_early_imbalance(D(10), *positions("1", "1"), multiplier)


@given(st.decimals("0", "100", places=2), st.decimals("0", "100", places=2))
def test_products_decide_as_the_ratio_would(long, short):
    ratio = Fraction(long) / Fraction(short) if short else math.inf if long else 1
    changed = apply_early_imbalance(D(10), *positions(long, short), 2) == 20
    assert changed == (Fraction(11, 10) < ratio < 10)
