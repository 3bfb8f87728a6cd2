"""Orders: each row a state, and the states that the engine is told."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from uuid import uuid4

import pytest

from gridcore.events import EventType, OrderUpdateEvent
from marketdata.bybit.orders import STATUSES
from marketdata.tests.private_stream import PrivateStream
from marketdata.tests.test_private_samples import RECEIVED

STREAM = PrivateStream("order")
frame, one = STREAM.frame, STREAM.one


def refusal(normalizer, **changes):
    records, [reject] = normalizer.order_records(frame({}, changes, {}), RECEIVED)
    assert len(records) == 2
    return reject.reason


NEW = {
    "orderStatus": "New", "avgPrice": "", "leavesQty": "0.2", "cumExecQty": "0", "cumFeeDetail": {},
    "cumExecValue": "0", "cumExecFee": "0", "updatedTime": "1759432560941", "positionIdx": 2,
}  # fmt: skip


def test_a_new_order_has_no_average_price(normalizer):
    record = one(normalizer, **NEW)
    assert (record.avg_price, record.cum_exec_fee, record.position_idx) == (None, Decimal(0), 2)
    assert one(normalizer, **NEW | {"avgPrice": "0"}).avg_price == 0
    assert one(normalizer, **NEW | {"avgPrice": None}).avg_price is None


def test_a_market_order_has_the_price_zero_and_is_no_event(normalizer):
    changes = {"orderType": "Market", "price": "0", "timeInForce": "IOC"}
    record = one(normalizer, **changes)
    assert (record.price, record.order_type, record.time_in_force) == (0, "Market", "IOC")
    assert normalizer.normalize_order(frame(changes), received_at=RECEIVED) == []


@pytest.mark.parametrize("status", sorted(STATUSES))
def test_every_documented_status_is_an_event(normalizer, status):
    changes = {"orderStatus": status}
    [event] = normalizer.normalize_order(frame(changes), received_at=RECEIVED)
    assert event.status == status
    assert not normalizer.unknown


@pytest.mark.parametrize("status", ["Active", "Created", "NewThing"])
def test_an_unknown_status_is_kept_and_counted_and_is_no_event(normalizer, status):
    assert one(normalizer, orderStatus=status).status == status
    assert normalizer.unknown == {f"order orderStatus {status}": 1}
    assert normalizer.normalize_order(frame({"orderStatus": status}), received_at=RECEIVED) == []


def test_the_event_of_a_state(normalizer):
    normalizer.user_id, normalizer.account_id, normalizer.run_id = uuid4(), uuid4(), uuid4()
    changes = {**NEW, "reduceOnly": True, "orderLinkId": ""}
    [event] = normalizer.normalize_order(frame(changes), received_at=RECEIVED)
    assert event == OrderUpdateEvent(
        event_type=EventType.ORDER_UPDATE,
        symbol="SOLUSDT",
        exchange_ts=datetime(2025, 10, 2, 19, 16, 0, 941_000, tzinfo=UTC),
        local_ts=RECEIVED,
        user_id=normalizer.user_id,
        account_id=normalizer.account_id,
        run_id=normalizer.run_id,
        order_id="373b6927-71ff-4bde-a8a6-c3de21838f20",
        order_link_id="",
        status="New",
        side="Buy",
        price=Decimal("240"),
        qty=Decimal("0.2"),
        leaves_qty=Decimal("0.2"),
        reduce_only=True,
    )


@pytest.mark.parametrize(
    ("detail", "fee", "kept"),
    [({"USDT": "0.5"}, "7", "0.5"), ({"USDT": "0.5"}, "", "0.5"), ({"USDT": ""}, "7", "7"),
     ({"USDT": "1", "BTC": "2"}, "7", "7"), ({}, "7", "7"), ("", "7", "7"), (None, "7", "7"),
     ({}, "", None), ({"USDT": "-0.5"}, "7", "-0.5")],
)  # fmt: skip
def test_the_fee_is_that_of_the_one_coin_if_there_is_one(normalizer, detail, fee, kept):
    record = one(normalizer, cumFeeDetail=detail, cumExecFee=fee)
    assert record.cum_exec_fee == (None if kept is None else Decimal(kept))


@pytest.mark.parametrize(
    "name", ["leavesQty", "cumExecValue", "cumExecFee", "avgPrice", "closedPnl", "positionIdx",
             "cancelType", "rejectReason", "timeInForce", "orderLinkId", "createdTime"],
)  # fmt: skip
def test_what_may_be_absent_is_empty(normalizer, name):
    assert one(normalizer, **{name: None, "cumFeeDetail": {}})
    if name != "positionIdx":
        assert one(normalizer, **{name: "", "cumFeeDetail": {}})


@pytest.mark.parametrize("name", ["price", "qty", "cumExecQty"])
def test_an_empty_figure_that_every_order_has_costs_that_row_alone(normalizer, name):
    assert refusal(normalizer, **{name: ""}) == f"{name} is not a decimal number: ''"
    assert refusal(normalizer, **{name: None}) == f"{name} is missing"
    assert refusal(normalizer, **{name: "-1"}) == f"{name} is negative: '-1'"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"orderStatus": ""}, "orderStatus is empty"),
        ({"updatedTime": None}, "updatedTime is missing"),
        ({"updatedTime": ""}, "updatedTime is not a string of digits: ''"),
        ({"createdTime": "soon"}, "createdTime is not a string of digits: 'soon'"),
        ({"positionIdx": 3}, "positionIdx is none of 0, 1 and 2: 3"),
        ({"positionIdx": True}, "positionIdx is not an integer: True"),
        ({"positionIdx": "1"}, "positionIdx is not an integer: '1'"),
        ({"positionIdx": 2**63}, f"positionIdx is beyond 64 bits: {2**63}"),
        ({"reduceOnly": None}, "reduceOnly is missing"),
        ({"reduceOnly": "false"}, "reduceOnly is not a bool: 'false'"),
        ({"cumFeeDetail": ["0.5"]}, "cumFeeDetail is not an object: a list"),
        ({"cumFeeDetail": {"USDT": "x"}}, "cumFeeDetail is not a decimal number: 'x'"),
        ({"cancelType": "x" * 49}, f"cancelType is not a short word: '{'x' * 39}..."),
        ({"rejectReason": "\u00e9"}, r"rejectReason is not a short word: '\xe9'"),
        ({"symbol": "sol"}, "symbol is not a symbol: 'sol'"),
    ],
)
def test_a_state_that_cannot_be_read_is_refused_alone(normalizer, changes, reason):
    assert refusal(normalizer, **changes) == reason
