"""Events: fields, defaults, and what is no event."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import re
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gridcore import (
    Event,
    EventType,
    ExecutionEvent,
    OrderUpdateEvent,
    PublicTradeEvent,
    TickerEvent,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
BASE = ["event_type", "symbol", "exchange_ts", "local_ts", "user_id", "account_id", "run_id"]
FIELDS = {
    TickerEvent: ["last_price", "mark_price", "bid1_price", "ask1_price", "funding_rate"],
    PublicTradeEvent: ["trade_id", "side", "price", "size"],
    ExecutionEvent: [
        *("exec_id", "order_id", "order_link_id", "side"),
        *("price", "qty", "fee", "closed_pnl", "closed_size", "leaves_qty"),
    ],
    OrderUpdateEvent: [
        *("order_id", "order_link_id", "status", "side"),
        *("price", "qty", "leaves_qty", "reduce_only"),
    ],
}
TYPES = {
    TickerEvent: EventType.TICKER,
    PublicTradeEvent: EventType.PUBLIC_TRADE,
    ExecutionEvent: EventType.EXECUTION,
    OrderUpdateEvent: EventType.ORDER_UPDATE,
}
DECIMALS = [
    (kind, field.name)
    for kind in FIELDS
    for field in dataclasses.fields(kind)
    if field.default == Decimal(0) and isinstance(field.default, Decimal)
]
PRICES = [(kind, name) for kind, name in DECIMALS if name == "price" or name.endswith("_price")]
every_kind = pytest.mark.parametrize("kind", TYPES, ids=lambda kind: kind.__name__)


def build(kind, **values):
    return kind(**{"event_type": TYPES[kind], "symbol": "BTCUSDT", **times(), **values})


def exactly(message):
    return f"^{re.escape(message)}$"


def times():
    return {"exchange_ts": NOW, "local_ts": NOW}


@every_kind
def test_fields_stand_in_the_documented_order(kind):
    assert [field.name for field in dataclasses.fields(kind)] == BASE + FIELDS[kind]


@every_kind
def test_all_of_a_kinds_own_fields_have_defaults(kind):
    event = kind(TYPES[kind], "BTCUSDT", NOW, NOW)
    assert event.user_id is event.account_id is event.run_id is None
    for name in FIELDS[kind]:
        assert getattr(event, name) in (Decimal(0), "", False)


def test_the_base_event_takes_any_type():
    user = UUID(int=1)
    event = Event(EventType.TICKER, "BTCUSDT", NOW, NOW, user)
    assert (event.symbol, event.user_id) == ("BTCUSDT", user)


def test_the_kinds_have_their_documented_values():
    values = ["ticker", "public_trade", "execution", "order_update"]
    assert [kind.value for kind in EventType] == values


@every_kind
def test_an_event_says_its_own_kind(kind):
    for other in set(EventType) - {TYPES[kind]}:
        message = f"{kind.__name__} must have event_type={TYPES[kind].name}"
        with pytest.raises(ValueError, match=exactly(message)):
            build(kind, event_type=other)


@every_kind
def test_the_name_of_a_kind_is_not_the_kind(kind):
    with pytest.raises(ValueError, match="must have event_type="):
        build(kind, event_type=TYPES[kind].value)


@pytest.mark.parametrize(("kind", "name"), DECIMALS)
@pytest.mark.parametrize("value", [1, 1.0, "1", None, True, *map(Decimal, ("NaN", "sNaN", "-Inf"))])
def test_an_amount_is_a_finite_decimal(kind, name, value):
    message = f"{name} must be a finite Decimal, not {value!r}"
    with pytest.raises(ValueError, match=exactly(message)):
        build(kind, **{name: value})


@pytest.mark.parametrize(("kind", "name"), PRICES)
def test_a_price_is_not_negative(kind, name):
    with pytest.raises(ValueError, match=f"{name} must not be negative, not -0.5"):
        build(kind, **{name: Decimal("-0.5")})


@pytest.mark.parametrize(
    ("kind", "name"),
    [(TickerEvent, "funding_rate"), (ExecutionEvent, "fee"), (ExecutionEvent, "closed_pnl")],
)
def test_rates_fees_and_profits_may_be_negative(kind, name):
    assert getattr(build(kind, **{name: Decimal(-1)}), name) == -1


@pytest.mark.parametrize("kind", [PublicTradeEvent, ExecutionEvent, OrderUpdateEvent])
def test_a_side_is_the_exchanges_word_or_empty(kind):
    assert [build(kind, side=side).side for side in ("Buy", "Sell", "")] == ["Buy", "Sell", ""]
    for side in ("buy", "SELL", "Wait", "None", None, 1):
        with pytest.raises(ValueError, match=f"side must be Buy, Sell or empty, not {side!r}"):
            build(kind, side=side)


@pytest.mark.parametrize("kind", [Event, *TYPES])
@pytest.mark.parametrize("name", ["exchange_ts", "local_ts"])
@pytest.mark.parametrize("value", [NOW.replace(tzinfo=None), None, 1_700_000_000, "2026-01-02"])
def test_a_time_has_a_time_zone(kind, name, value):
    values = times() | {"event_type": TYPES.get(kind), "symbol": "BTCUSDT", name: value}
    message = f"{name} must be a time with a time zone, not {value!r}"
    with pytest.raises(ValueError, match=exactly(message)):
        kind(**values)


def test_an_aware_time_of_another_zone_is_the_same_moment():
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    assert build(TickerEvent, exchange_ts=elsewhere) == build(TickerEvent)


@every_kind
def test_events_are_frozen_and_slotted(kind):
    event = build(kind)
    with pytest.raises(dataclasses.FrozenInstanceError):
        event.symbol = "ETHUSDT"
    assert not hasattr(event, "__dict__")


@every_kind
def test_a_copy_is_equal_and_a_replacement_is_checked(kind):
    event = build(kind)
    assert copy.deepcopy(event) == pickle.loads(pickle.dumps(event)) == event
    assert len({event, copy.copy(event)}) == 1
    assert dataclasses.replace(event, symbol="ETHUSDT").symbol == "ETHUSDT"
    with pytest.raises(ValueError, match="must have event_type"):
        dataclasses.replace(event, event_type=None)


@given(st.sampled_from(DECIMALS), st.decimals())
def test_any_decimal_is_kept_as_it_is_or_refused(where, value):
    kind, name = where
    sound = value.is_finite() and (where not in PRICES or value >= 0)
    if sound:
        assert getattr(build(kind, **{name: value}), name) is value
    else:
        with pytest.raises(ValueError, match=name):
            build(kind, **{name: value})
