"""What the engine refuses: by a ValueError that names field and value, and whole."""

from __future__ import annotations

import copy
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from gridcore.config import GridConfig
from gridcore.engine import GridEngine
from gridcore.events import (
    EventType,
    ExecutionEvent,
    OrderUpdateEvent,
    PublicTradeEvent,
    TickerEvent,
)
from gridcore.tests.exchange import START, SYMBOL

D = Decimal
NO_PRICES: list[Any] = [D("NaN"), D("sNaN"), D("Infinity"), D("-Infinity"), D(0), D(-5), None, "x"]
NO_PRICES += [True, [], float("nan"), float("inf"), D("1E+999999")]


def event(kind, event_type, symbol=SYMBOL, /, **values):
    return kind(event_type, symbol, START, START, **values)


ticker = partial(event, TickerEvent, EventType.TICKER)
fill = partial(event, ExecutionEvent, EventType.EXECUTION)
update = partial(event, OrderUpdateEvent, EventType.ORDER_UPDATE)
trade = partial(event, PublicTradeEvent, EventType.PUBLIC_TRADE)


def forged(make, name, value):
    """An event whose own checks were got round."""
    made = make(**{name: D(100)})
    object.__setattr__(made, name, value)
    return made


# What makes the event, and the words that its refusal must have.
BAD_EVENTS: list[tuple[Any, tuple[str, ...]]] = [
    *((partial(forged, ticker, "last_price", x), ("last_price", repr(x))) for x in NO_PRICES),
    *((partial(forged, fill, "price", x), ("price", repr(x))) for x in NO_PRICES),
    *(
        (partial(event, kind, event_type, "ETHUSDT"), ("'ETHUSDT'", SYMBOL))
        for kind, event_type in (
            (TickerEvent, EventType.TICKER),
            (ExecutionEvent, EventType.EXECUTION),
            (OrderUpdateEvent, EventType.ORDER_UPDATE),
            (PublicTradeEvent, EventType.PUBLIC_TRADE),
        )
    ),
    *(
        (partial(update, status=status), ("status", repr(status)))
        for status in ("Active", "filled", "Unknown", " ")
    ),
    # An event that is bad already when it is built.
    *(
        (partial(make, side=side), ("side", repr(side)))
        for make in (fill, update, trade)
        for side in ("buy", "Wait", None)
    ),
    *(
        (partial(make, **{name: D(value)}), (name, value))
        for make, name in ((ticker, "last_price"), (fill, "price"), (update, "price"))
        for value in ("NaN", "Infinity", "-1")
    ),
]

GOOD: dict[str, Any] = {"orderId": "1", "price": "99.0", "side": "Buy"}
NO_ORDERS: list[Any] = [None, 1, "order", [], ()]
NO_DIRECTIONS: list[Any] = ["Long", "both", "", None, 1]
NO_FIELDS: dict[str, list[Any]] = {
    "price": [
        "",
        "x",
        "NaN",
        "-inf",
        "1E+999999",
        "99,0",
        "9_9.0",
        " 99.0",
        "٩٩",
        "0",
        "-5",
        0,
        -1.5,
        None,
        True,
        [],
        {},
        b"99.0",
    ],
    "side": ["buy", "SELL", "Wait", "", None, []],
    "orderId": ["", None, 1, b"1", []],
}
NO_FIELDS["price"] += [D("NaN"), D("sNaN"), D("Infinity"), float("nan")]
BAD_ORDERS: list[tuple[Any, tuple[str, ...]]] = [
    *(
        ({direction: [GOOD, {name: GOOD[name] for name in GOOD if name != key}]}, (key,))
        for direction in ("long", "short")
        for key in GOOD
    ),
    *(
        ({direction: [GOOD | {name: value}]}, (name, repr(value)))
        for direction in ("long", "short")
        for name, values in NO_FIELDS.items()
        for value in values
    ),
    *(({"long": [each]}, ("order", repr(each))) for each in NO_ORDERS),
    *(({name: []}, ("direction", repr(name))) for name in NO_DIRECTIONS),
    ({"long": "99.0"}, ("order", "'9'")),
    ({"long": GOOD}, ("long", "orderId")),
    ({"short": 5}, ("short", "5")),
    ([GOOD], ("limit_orders", "orderId")),
    (5, ("limit_orders", "5")),
]


def refuses(engine, attempt, words, orders):
    """Assert that the attempt raises, names what it must, and changes nothing."""

    def state():
        return engine.snapshot(), engine.grid_version, engine.quiet_band(orders)

    before = state()
    with pytest.raises(ValueError, match=r".") as caught:
        attempt()
    assert all(word in str(caught.value) for word in words)
    assert state() == before


def started():
    engine = GridEngine(SYMBOL, D("0.1"), GridConfig(4, 1.0), "s1")
    engine.on_event(ticker(last_price=D(100)))
    return engine


@pytest.mark.parametrize(("make", "words"), BAD_EVENTS)
def test_a_bad_event_is_refused_and_changes_nothing(make, words):
    engine = started()
    refuses(engine, lambda: engine.on_event(make()), words, None)


@pytest.mark.parametrize(("orders", "words"), BAD_ORDERS)
def test_bad_orders_are_refused_and_change_nothing(orders, words):
    engine = started()
    before = copy.deepcopy(orders)
    far = ticker(last_price=D(500))
    refuses(engine, lambda: engine.on_event(far, orders), words, None)
    refuses(engine, lambda: engine.quiet_band(orders), words, None)
    assert orders == before


def test_an_engine_that_knows_nothing_refuses_as_well():
    for make, words in BAD_EVENTS:
        engine = GridEngine(SYMBOL, D("0.1"), GridConfig(4, 1.0), "s1")
        refuses(engine, lambda: engine.on_event(make()), words, None)  # noqa: B023
