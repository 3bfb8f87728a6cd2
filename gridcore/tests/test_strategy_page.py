"""The strategy page tells the truth: its tables and figures are what the code does."""

from __future__ import annotations

import re
import runpy
from dataclasses import fields
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from gridcore import (
    CancelIntent,
    GridConfig,
    GridEngine,
    InstrumentInfo,
    Position,
    PositionState,
    RiskConfig,
    create_qty_calculator,
)
from gridcore.tests.exchange import SYMBOL, Exchange

D = Decimal
DOCS = Path(__file__).resolve().parents[2] / "docs"
PAGE = (DOCS / "strategy.md").read_text(encoding="utf-8")
PICTURE = runpy.run_path(str(DOCS / "make_grid_picture.py"))


def table(*header):
    """The rows of the page's table with this header, as tuples of plain text."""
    line = f"| {' | '.join(header)} |\n"
    assert PAGE.count(line) == 1, line
    rows = PAGE.split(line)[1].split("\n\n")[0].splitlines()[1:]
    return [tuple(cell.strip().strip("`") for cell in row.strip("|").split("|")) for row in rows]


def signed(number):
    return f"{number:+d}" if number else "0"


def engine(config, tick="0.1"):
    return GridEngine(SYMBOL, D(tick), config, "s1")


class Example(NamedTuple):
    """The worked example as it went; `resting` and `owners` say whose the orders were."""

    first: list[Any]
    resting: list[tuple[str, str]]
    fills: list[Any]
    levels: list[Any]
    owners: dict[str, str]
    second: list[Any]
    long_sells: list[str]


@pytest.fixture(scope="module")
def example():
    traded, exchange = engine(GridConfig(4, 1.0)), Exchange()
    first = traded.on_event(exchange.ticker(D(100)), exchange.orders)
    exchange.carry_out(first)
    resting = [(name, x["side"]) for name, orders in exchange.orders.items() for x in orders]
    traded.on_event(exchange.ticker(D("98.9")), exchange.orders)
    fills = exchange.cross(D("98.9"))
    for fill in fills:
        traded.on_event(fill)
    owners = {x["orderId"]: name for name, orders in exchange.orders.items() for x in orders}
    second = traded.on_event(exchange.ticker(D("98.9")), exchange.orders)
    exchange.carry_out(second)
    sells = [x["price"] for x in exchange.orders["long"] if x["side"] == "Sell"]
    return Example(first, resting, fills, traded.snapshot()["grid"], owners, second, sells)


def test_the_settings_have_these_defaults():
    told = [(name, default) for name, default, _ in table("setting", "default", "meaning")]
    assert told == [(field.name, str(field.default)) for field in fields(GridConfig)]


def test_the_default_ladder_has_these_prices():
    traded = engine(GridConfig())
    traded.on_event(Exchange().ticker(D(100000)))
    levels = traded.snapshot()["grid"]
    prices = {signed(level["level"]): str(level["price"]) for level in levels}
    told = dict(table("level", "price"))
    assert told == {level: prices[level] for level in told}
    assert {"-25", "0", "+25"} <= told.keys()
    assert f"the ladder has {len(levels)} levels" in " ".join(PAGE.split())


def test_a_direction_opens_on_one_side_and_reduces_on_the_other(example):
    reduces = {(x.direction, x.side): x.reduce_only for x in example.first}
    for direction, buy, sell in table("direction", "a BUY level", "a SELL level"):
        assert ("reduce-only" in buy) is reduces[direction, "Buy"]
        assert ("reduce-only" in sell) is reduces[direction, "Sell"]


def test_nearer_than_half_a_step_is_too_near():
    assert "at 99.6 is too near, one at 99.4 is not" in " ".join(PAGE.split())
    for price, wanted in ((D("99.6"), False), (D("99.4"), True)):
        # A level at that price, because the grid was built one step above it.
        levels = [
            {"side": side, "price": number, "level": level}
            for level, (side, number) in enumerate((("Buy", price), ("Sell", D(102))))
        ]
        traded = GridEngine(SYMBOL, D("0.1"), GridConfig(4, 1.0), "s1", restored_grid=levels)
        said = traded.on_event(Exchange().ticker(D(100)))
        assert (price in {x.price for x in said}) is wanted


def test_the_example_asks_for_this_first(example):
    told = table("direction", "side", "price", "level", "reduce-only")
    assert told == [
        (
            *(x.direction, x.side, str(x.price), signed(x.grid_level)),
            "yes" if x.reduce_only else "no",
        )
        for x in example.first
    ]
    assert example.resting == [("long", "Buy")] * 2 + [("short", "Sell")] * 2


def test_the_example_has_one_fill_and_this_grid(example):
    assert [(x.side, x.price) for x in example.fills] == [("Buy", D("99.0"))]
    told = table("level", "side", "price")
    assert told == [
        (signed(x["level"]), str(x["side"]), str(x["price"])) for x in reversed(example.levels)
    ]


def test_the_example_asks_for_this_next(example):
    wishes = []
    for x in example.second:
        if isinstance(x, CancelIntent):
            row = (example.owners[x.order_id], f"cancel: {x.reason}", x.side, str(x.price), "")
        else:
            row = (x.direction, "place", x.side, str(x.price), signed(x.grid_level))
        wishes.append(row)
    assert table("direction", "wish", "side", "price", "level") == wishes
    assert example.long_sells == ["100.0"]


def test_the_reasons_are_all_there_are():
    exchange, traded = Exchange(), engine(GridConfig(4, 1.0))
    traded.on_event(exchange.ticker(D(100)))
    for side, price in (("Buy", "99.0"), ("Buy", "99.0"), ("Sell", "98.0"), ("Buy", "90.0")):
        exchange.put("long", side, D(price))
    for _ in range(16):
        exchange.put("short", "Buy", D(90))
    said = traded.on_event(exchange.ticker(D(100)), exchange.orders)
    reasons = {x.reason for x in said if isinstance(x, CancelIntent)}
    assert {reason for reason, _ in table("reason", "the order")} == reasons


@pytest.mark.parametrize("count", [61, 62])
def test_this_many_orders_are_too_many(count):
    assert "62 or more" in PAGE
    exchange, traded = Exchange(), engine(GridConfig())
    traded.on_event(exchange.ticker(D(100000)))
    for number in range(count):
        exchange.put("long", "Buy", D(90000 + number))
    said = traded.on_event(exchange.ticker(D(100100)), exchange.orders)
    assert any(getattr(x, "reason", "") == "rebuild" for x in said) is (count == 62)


def test_amounts_make_these_orders():
    info = InstrumentInfo(SYMBOL, D("0.001"), D("0.1"), D("0.001"), D(100))
    for amount, price, wallet, order in table("amount", "price", "wallet", "order"):
        calculate = create_qty_calculator(amount.split("`")[0], info)
        wallets = [D(0), D(10**6)] if wallet == "any" else [D(wallet)]
        intent = SimpleNamespace(price=D(price))
        assert {str(calculate(intent, each)) for each in wallets} == {order}


# The state in which a row of the table is the first that holds: of a long and, where it differs,
# of a short, at a last price of 100. The opposite has a margin of 1 unless another is given.
EQUAL = {"margin": D("0.07"), "opposite": D("0.07")}
RISKS: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"margin": D(1), "liquidation_price": D("84.1")}, {"liquidation_price": D("113.9")}),
    ({"margin": D(1), "liquidation_price": D("84.0")}, {"liquidation_price": D("114.0")}),
    (EQUAL, {}),
    ({"margin": D("0.4"), "entry_price": D(101)}, {"entry_price": D(99)}),
    ({"margin": D("0.19")}, {}),
]
RISK_HEADER = ("#", "when, for the long", "then", "when, for the short", "then")
RISK_LIMITS = [("0.84", "1.14"), ("0.8", "1.2"), ("0.15", ""), ("half", "half"), ("fifth", "fifth")]


@pytest.mark.parametrize("direction", ["long", "short"])
@pytest.mark.parametrize("number", range(5))
def test_a_risk_row_has_this_effect(number, direction):
    for_long, for_short = RISKS[number]
    values = {"entry_price": D(100)} | for_long | (for_short if direction == "short" else {})
    opposite_margin = values.pop("opposite", D(1))
    own = PositionState(direction, **values)
    is_long = direction == "long"
    opposite = PositionState("short" if is_long else "long", margin=opposite_margin)
    pair = Position.create_linked_pair(RiskConfig(0.8, 1.2, 8.0, 0.15))
    both = pair.evaluate_pair(*((own, opposite) if is_long else (opposite, own)), D(100))
    effects = [
        f"{name} {side} x{factor}"
        for name, factors in zip(("long", "short"), both, strict=True)
        for side, factor in factors.items()
        if factor != 1
    ]
    row = table(*RISK_HEADER)[number]
    assert effects == [row[2] if is_long else row[4]]
    limits = RISK_LIMITS[number]
    assert limits[0] in row[1]
    assert limits[1] in row[3]


def test_the_picture_is_what_the_script_draws():
    assert PICTURE["PATH"].read_text(encoding="utf-8") == PICTURE["picture"]()
    assert f"]({PICTURE['PATH'].relative_to(DOCS)})" in PAGE


def test_the_picture_shows_the_example(example):
    _, after = PICTURE["story"]()
    assert after == example.levels
    assert {str(PICTURE["FALLEN"]), str(PICTURE["FILL"])} == {"98.9", "99.0"}


def test_links_within_the_page_lead_somewhere():
    anchors = {
        re.sub(r"[^a-z ]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.+)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)\s]+)\)", " ".join(PAGE.split()))) <= anchors
    assert all((DOCS / path).exists() for path in re.findall(r"\]\(([^#)]+)\)", PAGE))
