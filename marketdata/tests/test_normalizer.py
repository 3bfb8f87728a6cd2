"""The normaliser, fed with messages as the exchange documents and sends them."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from uuid import uuid4

import pytest

from gridcore.events import EventType, PublicTradeEvent, TickerEvent
from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.bybit.records import TickerRecord, TradeRecord

PAYLOADS = Path(__file__).parent / "payloads"
RECEIVED = datetime(2026, 9, 23, 3, 38, 33, tzinfo=UTC)
TRADED = datetime(2026, 9, 23, 3, 38, 32, 126_000, tzinfo=UTC)


def payload(name):
    return json.loads((PAYLOADS / f"{name}.json").read_text())


def trades(normalizer, message):
    return normalizer.trade_records(message, RECEIVED)


def one_trade(**changes):
    message = payload("ws_public_trade")
    message["data"][0].update(changes)
    return message


def test_the_documented_trade_becomes_a_record(normalizer):
    parsed = trades(normalizer, payload("ws_public_trade"))
    assert parsed.rejects == []
    assert parsed.records == [
        TradeRecord(
            symbol="BTCUSDT",
            exchange_ts=TRADED,
            local_ts=RECEIVED,
            trade_id="0e5ae7e6-811a-5884-98c9-000000000001",
            side="Buy",
            price=Decimal("60000.10"),
            size=Decimal("0.003"),
            is_block_trade=False,
            is_rpi=False,
            sequence=814547787693,
        )
    ]


def test_block_and_rpi_trades_are_flagged(normalizer):
    block, rpi = trades(normalizer, payload("ws_public_trade_block_and_rpi")).records
    assert (block.is_block_trade, block.is_rpi) == (True, False)
    assert (rpi.is_block_trade, rpi.is_rpi) == (False, True)


def test_a_trade_without_the_newer_fields_is_accepted(normalizer):
    [record] = trades(normalizer, payload("ws_public_trade_without_rpi_and_seq")).records
    assert record.is_rpi is False
    assert record.sequence is None


def test_a_bad_row_does_not_take_its_neighbours_with_it(normalizer):
    message = payload("ws_public_trade_one_bad_row")
    parsed = trades(normalizer, message)
    assert [record.trade_id[-1] for record in parsed.records] == ["1", "3"]
    [reject] = parsed.rejects
    assert reject.topic == "publicTrade.BTCUSDT"
    assert reject.reason == "p is not a decimal number: ''"
    assert json.loads(reject.raw) == message["data"][1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"s": "ETHUSDT"}, "s is not the topic's symbol: 'ETHUSDT'"),
        ({"S": "buy"}, "S is neither Buy nor Sell: 'buy'"),
        ({"S": []}, "S is neither Buy nor Sell: a list"),
        ({"p": "0"}, "p is not positive: '0'"),
        ({"p": 60000.1}, "p is not a string: 60000.1"),
        ({"v": "-1"}, "v is not positive: '-1'"),
        ({"v": "1e5"}, "v is not a decimal number: '1e5'"),
        ({"T": "1790134712126"}, "T is not an integer: '1790134712126'"),
        ({"T": True}, "T is not an integer: True"),
        ({"T": 1790134712126.0}, "T is not an integer: 1790134712126.0"),
        ({"T": 0}, "T is before 2018: 0"),
        ({"T": 1790134773001}, "T is in the future: 1790134773001"),
        ({"BT": 0}, "BT is not a bool: 0"),
        ({"RPI": None}, "RPI is not a bool: None"),
        ({"seq": None}, "seq is not an integer: None"),
        ({"seq": 2**63}, "seq is beyond 64 bits: 9223372036854775808"),
        ({"i": "\x00"}, "i is not a trade id: '\\x00'"),
    ],
)
def test_a_row_is_refused_with_the_field_and_what_is_wrong(normalizer, changes, reason):
    parsed = trades(normalizer, one_trade(**changes))
    assert parsed.records == []
    assert [reject.reason for reject in parsed.rejects] == [reason]


@pytest.mark.parametrize("field", ["T", "s", "S", "v", "p", "i", "BT"])
def test_a_row_without_a_required_field_is_refused(normalizer, field):
    message = one_trade()
    del message["data"][0][field]
    [reject] = trades(normalizer, message).rejects
    assert reject.reason.startswith(f"{field} is ")


@pytest.mark.parametrize("row", [None, 5, "row", [], True])
def test_a_row_that_is_no_object_is_refused(normalizer, row):
    message = one_trade()
    message["data"].insert(0, row)
    parsed = trades(normalizer, message)
    assert len(parsed.records) == 1
    assert parsed.rejects[0].reason.startswith("row is not an object")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (None, "message is not an object"),
        ([], "message is not an object"),
        ({}, "topic is missing"),
        ({"topic": 1}, "topic is not a string"),
        ({"topic": "tickers.BTCUSDT"}, "topic is not publicTrade.SYMBOL"),
        ({"topic": "publicTrade.btcusdt", "data": []}, "topic is not publicTrade.SYMBOL"),
        ({"topic": "publicTrade.BTCUSDT"}, "data is missing"),
        ({"topic": "publicTrade.BTCUSDT", "data": {}}, "data is not a list"),
    ],
)
def test_a_frame_that_cannot_be_read_is_refused_as_a_whole(normalizer, message, reason):
    with pytest.raises(MalformedMessage, match=reason):
        trades(normalizer, message)


def test_a_refused_frame_names_its_topic(normalizer):
    with pytest.raises(MalformedMessage) as caught:
        trades(normalizer, {"topic": "publicTrade.BTCUSDT"})
    assert caught.value.topic == "publicTrade.BTCUSDT"


def test_a_frame_without_rows_is_a_frame_without_rows(normalizer):
    assert trades(normalizer, {"topic": "publicTrade.BTCUSDT", "data": []}) == ([], [])


def test_more_rows_than_the_exchange_promises_are_all_read(normalizer):
    message = one_trade()
    message["data"] *= 3000
    assert len(trades(normalizer, message).records) == 3000


def test_a_value_beyond_the_database_is_refused_by_its_digits():
    message = one_trade(p="1234567890.123456")
    assert len(trades(BybitNormalizer(digits=30), message).records) == 1
    [reject] = trades(BybitNormalizer(digits=15), message).rejects
    assert reject.reason == "p has more digits than can be stored: '1234567890.123456'"


def test_fields_that_nobody_knows_are_fine(normalizer):
    assert len(trades(normalizer, one_trade(mP="", newThing={"a": 1})).records) == 1


def test_trades_become_the_engines_events():
    ids = uuid4(), uuid4(), uuid4()
    [event] = BybitNormalizer(*ids).normalize_public_trade(
        payload("ws_public_trade"), received_at=RECEIVED
    )
    assert event == PublicTradeEvent(
        EventType.PUBLIC_TRADE, "BTCUSDT", TRADED, RECEIVED, *ids,
        trade_id="0e5ae7e6-811a-5884-98c9-000000000001", side="Buy",
        price=Decimal("60000.10"), size=Decimal("0.003"),
    )  # fmt: skip


def test_rows_refused_on_the_way_to_the_engine_are_logged_and_counted(normalizer, caplog):
    message = payload("ws_public_trade_one_bad_row")
    message["data"][1]["junk"] = "x" * 10_000
    with caplog.at_level(logging.WARNING):
        events = normalizer.normalize_public_trade(message, received_at=RECEIVED)
    assert len(events) == 2
    assert normalizer.rejected == {"p is not a decimal number": 1}
    assert "reason=p is not a decimal number: ''" in caplog.text
    assert len(caplog.text) < 500


def test_refused_frames_are_counted_by_the_class_of_their_reason(normalizer):
    for topic in ("a", "b"):
        with pytest.raises(MalformedMessage):
            trades(normalizer, {"topic": topic})
    assert normalizer.rejected == {"topic is not publicTrade.SYMBOL": 2}


def test_without_a_time_of_receipt_it_is_now(normalizer):
    before = datetime.now(UTC)
    [event] = normalizer.normalize_public_trade(one_trade(T=1_700_000_000_000))
    assert before <= event.local_ts <= datetime.now(UTC)


def test_a_real_ticker_snapshot_becomes_a_record(normalizer):
    received_at = datetime(2023, 1, 9, 14, 1, 2, tzinfo=UTC)
    record = normalizer.ticker_record(payload("ws_ticker_linear"), received_at)
    assert record == TickerRecord(
        symbol="BTCUSDT",
        exchange_ts=datetime(2023, 1, 9, 14, 1, 1, 686_000, tzinfo=UTC),
        local_ts=received_at,
        last_price=Decimal("17216.00"),
        mark_price=Decimal("17217.33"),
        index_price=Decimal("17227.36"),
        bid1_price=Decimal("17215.50"),
        bid1_size=Decimal("84.489"),
        ask1_price=Decimal("17216.00"),
        ask1_size=Decimal("83.020"),
        funding_rate=Decimal("-0.000212"),
        next_funding_time=datetime(2023, 1, 9, 16, tzinfo=UTC),
        open_interest=Decimal("68744.761"),
    )


def test_a_ticker_becomes_the_engines_event():
    ids = uuid4(), uuid4(), uuid4()
    event = BybitNormalizer(*ids).normalize_ticker(
        payload("ws_ticker_snapshot"), received_at=RECEIVED
    )
    assert event == TickerEvent(
        EventType.TICKER, "BTCUSDT", datetime(2026, 9, 23, 3, 38, 32, tzinfo=UTC), RECEIVED, *ids,
        last_price=Decimal("60000.10"), mark_price=Decimal("60001"),
        bid1_price=Decimal("60000"), ask1_price=Decimal("60000.1"), funding_rate=Decimal("0.0001"),
    )  # fmt: skip


def test_what_a_ticker_does_not_know_is_zero_for_the_engine(normalizer):
    event = normalizer.normalize_ticker(payload("ws_ticker_empty_book"), received_at=RECEIVED)
    assert (event.bid1_price, event.ask1_price, event.funding_rate) == (0, 0, 0)


def test_an_old_ticker_is_no_event(normalizer):
    message = payload("ws_ticker_snapshot")
    normalizer.normalize_ticker(message, received_at=RECEIVED)
    message["cs"] -= 1
    assert normalizer.normalize_ticker(message, received_at=RECEIVED) is None
