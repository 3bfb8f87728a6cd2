"""Executions: what is kept, what is refused, what is left, and what the engine sees."""

from __future__ import annotations

import json
import logging
import re
from decimal import Decimal
from uuid import uuid4

import pytest

from gridcore.events import EventType, ExecutionEvent
from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.bybit.private import MAX_COUNTED
from marketdata.tests.private_stream import PrivateStream
from marketdata.tests.test_private_samples import RECEIVED

STREAM = PrivateStream("execution")
frame, one = STREAM.frame, STREAM.one

FUNDING = {
    "execType": "Funding", "orderType": "UNKNOWN", "orderQty": "0", "orderPrice": "0",
    "isMaker": False, "feeCurrency": "", "closedSize": "", "execPnl": "", "orderLinkId": "",
    "orderId": "1699999999-SOLUSDT-505077818-Buy", "execFee": "-0.0048", "leavesQty": "0",
}  # fmt: skip


def test_a_funding_row_is_kept_and_is_no_event(normalizer):
    record = one(normalizer, **FUNDING)
    assert (record.exec_type, record.order_type, record.position_idx) == (
        "Funding",
        "UNKNOWN",
        None,
    )
    assert (record.exec_fee, record.exec_pnl, record.closed_size) == (
        Decimal("-0.0048"),
        None,
        None,
    )
    assert (record.fee_currency, record.order_link_id) == ("", "")
    assert normalizer.normalize_execution(frame(FUNDING), received_at=RECEIVED) == []
    assert not normalizer.unknown


@pytest.mark.parametrize(
    ("side", "closed_size", "leg"),
    [("Buy", "0", 1), ("Buy", "", 1), ("Sell", "0.2", 1), ("Sell", "0", 2), ("Buy", "0.2", 2),
     ("Sell", "0.000", 2), ("Sell", None, 2)],
)  # fmt: skip
def test_the_leg_of_a_fill_follows_from_side_and_closed_size(normalizer, side, closed_size, leg):
    assert one(normalizer, side=side, closedSize=closed_size).position_idx == leg
    one_way = BybitNormalizer(hedge_mode=False)
    assert one(one_way, side=side, closedSize=closed_size).position_idx == 0


@pytest.mark.parametrize("hedge_mode", [True, False])
@pytest.mark.parametrize("kind", ["Funding", "MovePosition", "CorporateAction", "NewThing"])
def test_what_is_no_fill_has_no_leg(kind, hedge_mode):
    assert one(BybitNormalizer(hedge_mode=hedge_mode), execType=kind).position_idx is None


@pytest.mark.parametrize(
    "kind", ["AdlTrade", "BustTrade", "BlockTrade", "Delivery", "Settle", "Funding", "NewThing"]
)
def test_only_trades_of_limit_orders_are_events(normalizer, kind):
    changes = ({"execType": kind}, {"orderType": "Market"}, {})
    assert len(normalizer.execution_records(frame(*changes), RECEIVED).records) == 3
    assert len(normalizer.normalize_execution(frame(*changes), received_at=RECEIVED)) == 1


def test_an_unknown_word_is_kept_and_counted(normalizer):
    assert one(normalizer, execType="NewThing", orderType="Iceberg").exec_type == "NewThing"
    assert normalizer.unknown == {
        "execution execType NewThing": 1,
        "execution orderType Iceberg": 1,
    }


def test_unknown_words_do_not_fill_the_memory(normalizer):
    words = [{"execType": f"New{number}"} for number in range(MAX_COUNTED + 50)]
    normalizer.execution_records(frame(*words), RECEIVED)
    assert len(normalizer.unknown) == MAX_COUNTED + 1
    assert normalizer.unknown["others"] == 50


def test_the_event_of_a_fill(normalizer):
    normalizer.user_id, normalizer.account_id, normalizer.run_id = uuid4(), uuid4(), uuid4()
    changes = {"side": "Sell", "closedSize": "0.2", "execPnl": "12.5", "leavesQty": "0.3"}
    [event] = normalizer.normalize_execution(frame(changes), received_at=RECEIVED)
    record = one(normalizer, **changes)
    assert event == ExecutionEvent(
        event_type=EventType.EXECUTION,
        symbol="SOLUSDT",
        exchange_ts=record.exchange_ts,
        local_ts=RECEIVED,
        user_id=normalizer.user_id,
        account_id=normalizer.account_id,
        run_id=normalizer.run_id,
        exec_id="3fb94d67-8482-58a5-91a4-154777511c1c",
        order_id="373b6927-71ff-4bde-a8a6-c3de21838f20",
        order_link_id="1759432560816495533",
        side="Sell",
        price=Decimal("233.02"),
        qty=Decimal("0.2"),
        fee=Decimal("0.0256322"),
        closed_pnl=Decimal("12.5"),
        closed_size=Decimal("0.2"),
        leaves_qty=Decimal("0.3"),
    )


def test_a_closed_pnl_of_zero_does_not_hide_what_the_fill_realised(normalizer):
    changes = {"closedPnl": "0", "execPnl": "12.5"}
    assert one(normalizer, **changes).exec_pnl == Decimal("12.5")
    [event] = normalizer.normalize_execution(frame(changes), received_at=RECEIVED)
    assert event.closed_pnl == Decimal("12.5")


@pytest.mark.parametrize(("exec_pnl", "kept"), [("", None), (None, None), ("0", Decimal(0))])
def test_no_pnl_is_not_a_pnl_of_zero(normalizer, exec_pnl, kept):
    changes = {"execPnl": exec_pnl, "closedPnl": "7", "closedSize": ""}
    assert one(normalizer, **changes).exec_pnl == kept
    [event] = normalizer.normalize_execution(frame(changes), received_at=RECEIVED)
    assert (event.closed_pnl, event.closed_size) == (0, 0)


NUMBERS = ("execPrice", "execQty", "execFee", "execPnl", "closedPnl", "closedSize", "leavesQty")


@pytest.mark.parametrize("name", NUMBERS)
def test_an_empty_number_costs_no_neighbour_its_row(normalizer, name):
    message = frame({"execId": "first"}, {name: ""}, {"execId": "last"})
    parsed = normalizer.execution_records(message, RECEIVED)
    ids = [record.exec_id for record in parsed.records]
    assert {"first", "last"} <= set(ids)
    required = name in NUMBERS[:3]
    assert (len(parsed.records), len(parsed.rejects)) == ((2, 1) if required else (3, 0))
    for reject in parsed.rejects:
        assert reject.topic == "execution"
        assert reject.reason == f"{name} is not a decimal number: ''"
        assert json.loads(reject.raw) == message["data"][1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"execPrice": 233.02}, "execPrice is not a string: 233.02"),
        ({"execPrice": "-1"}, "execPrice is negative: '-1'"),
        ({"execQty": "1e5"}, "execQty is not a decimal number: '1e5'"),
        ({"execQty": "0.1234567890123"}, "execQty has more digits"),
        ({"execFee": None}, "execFee is missing"),
        ({"execPnl": "NaN"}, "execPnl is not a decimal number: 'NaN'"),
        ({"side": ""}, "side is neither Buy nor Sell: ''"),
        ({"side": None}, "side is neither Buy nor Sell"),
        ({"execId": ""}, "execId is not an id: ''"),
        ({"execId": "x" * 65}, "execId is not an id"),
        ({"execId": "a b"}, "execId is not an id: 'a b'"),
        ({"orderId": None}, "orderId is missing"),
        ({"orderLinkId": 5}, "orderLinkId is not a string: 5"),
        ({"execType": ""}, "execType is empty"),
        ({"execType": "New Thing"}, "execType is not a short word: 'New Thing'"),
        ({"orderType": "x" * 17}, "orderType is not a short word"),
        ({"execTime": 1759432560940}, "execTime is not a string: 1759432560940"),
        ({"execTime": "1234567890"}, "execTime is before 2018: 1234567890"),
        ({"execTime": "1790134773001"}, "execTime is in the future: 1790134773001"),
        ({"execTime": "9" * 19}, "execTime is beyond 64 bits"),
        ({"isMaker": "true"}, "isMaker is not a bool: 'true'"),
        ({"category": None}, "category is missing"),
        ({"category": "li near"}, "category is not a plain word: 'li near'"),
        ({"newField": "a\x00b"}, r"row holds NUL: 'a\\x00b'"),
        ({"new\x00Field": "a"}, r"row holds NUL"),
        ({"extraFees": [{"fee": "\x00"}]}, "row holds NUL"),
        ({"newField": "\ud800"}, "row holds half of a surrogate pair"),
        ({"newField": float("nan")}, "row holds a number that is none: nan"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_alone(normalizer, changes, reason):
    records, [reject] = normalizer.execution_records(frame({}, changes, {}), RECEIVED)
    assert len(records) == 2
    assert re.match(reason, reject.reason), reject.reason
    assert reject.raw.isascii()
    assert "\x00" not in reject.raw
    assert normalizer.rejected.total() == 1


def test_a_row_nested_too_deeply_is_refused(normalizer):
    deep = "x"
    for _ in range(16):
        deep = [deep]
    fits = deep[0]
    records, [reject] = normalizer.execution_records(
        frame({"extraFees": deep}, {"extraFees": fits}), RECEIVED
    )
    assert len(records) == 1
    assert reject.reason == "row is nested deeper than 16 levels"


def test_a_number_of_sixteen_digits_does_not_fit_into_sqlite():
    changes = {"execPrice": "1234.567890123456"}
    assert one(BybitNormalizer(), **changes)
    parsed = BybitNormalizer(digits=15).execution_records(frame(changes), RECEIVED)
    assert parsed.rejects[0].reason.startswith("execPrice has more digits than can be stored")


@pytest.mark.parametrize("category", ["spot", "inverse", "option"])
def test_rows_of_other_categories_are_counted_and_left(normalizer, category):
    message = frame({"category": category, "execPnl": "x"}, {})
    records, rejects = normalizer.execution_records(message, RECEIVED)
    assert (len(records), rejects) == (1, [])
    assert normalizer.ignored == {f"execution {category}": 1}


def test_the_categorised_topic_is_read_as_well(normalizer):
    message = frame({"category": None}) | {"topic": "execution.linear"}
    [record], [] = normalizer.execution_records(message, RECEIVED)
    assert record.symbol == "SOLUSDT"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ([], "message is not an object"),
        ({}, "topic is missing"),
        ({"topic": "order", "data": []}, "topic is not execution: 'order'"),
        ({"topic": "execution.fast.linear", "data": []}, "topic is not execution"),
        ({"topic": ["execution"], "data": []}, "topic is not execution: a list"),
        ({"topic": "execution"}, "data is missing"),
        ({"topic": "execution", "data": {}}, "data is not a list: a dict"),
    ],
)
def test_a_frame_that_is_none_is_refused_whole(normalizer, message, reason):
    with pytest.raises(MalformedMessage, match=reason):
        normalizer.execution_records(message, RECEIVED)
    assert normalizer.rejected.total() == 1


def test_rows_that_the_engine_does_not_get_are_logged(normalizer, caplog):
    with caplog.at_level(logging.WARNING):
        events = normalizer.normalize_execution(
            frame({"execQty": ""}, {}, {"category": "spot"}), received_at=RECEIVED
        )
    assert len(events) == 1
    assert "reason=execQty is not a decimal number: ''" in caplog.text


def test_two_fills_in_one_frame_are_two_records_in_their_order(normalizer):
    message = frame({"execId": "a", "leavesQty": "0.1"}, {"execId": "b", "leavesQty": "0"})
    records = normalizer.execution_records(message, RECEIVED).records
    assert [(record.exec_id, record.leaves_qty) for record in records] == [
        ("a", Decimal("0.1")), ("b", Decimal(0)),
    ]  # fmt: skip
