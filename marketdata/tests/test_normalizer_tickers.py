"""The merge of ticker snapshots and deltas, and what damage does to it."""

from __future__ import annotations

import copy
from decimal import Decimal

import pytest

from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.tests.test_normalizer import RECEIVED, payload


@pytest.fixture
def started(normalizer):
    read(normalizer, payload("ws_ticker_snapshot"))
    return normalizer


def read(normalizer, message):
    return normalizer.ticker_record(message, RECEIVED)


def delta(sequence=814547789569, **data):
    message = payload("ws_ticker_delta")
    message["cs"] = sequence
    message["data"] = {"symbol": "BTCUSDT", **data}
    return message


def test_a_delta_changes_what_it_names_and_nothing_else(started):
    before = read(started, delta())
    after = read(started, payload("ws_ticker_delta"))
    assert after == before._replace(last_price=Decimal("60000.20"), ask1_size=Decimal("1.1"))


def test_a_delta_without_a_last_price_keeps_the_one_known(started):
    record = read(started, payload("ws_ticker_delta_without_last_price"))
    assert record.last_price == Decimal("60000.10")
    assert record.mark_price == Decimal("60001.50")
    assert record.open_interest == Decimal("50001")


def test_empty_fields_are_unknown_and_not_zero(normalizer):
    record = read(normalizer, payload("ws_ticker_empty_book"))
    assert record.bid1_price is record.ask1_size is record.next_funding_time is None
    assert record.mark_price == 60001


def test_an_empty_field_in_a_delta_empties_the_field(started):
    assert read(started, delta(bid1Price="", nextFundingTime="")).bid1_price is None
    assert read(started, delta()).next_funding_time is None


def test_a_new_snapshot_replaces_everything(started):
    message = payload("ws_ticker_snapshot")
    message["data"] = {"symbol": "BTCUSDT", "lastPrice": "1.5"}
    record = read(started, message)
    assert record.last_price == Decimal("1.5")
    assert record[4:] == (None,) * 9


def test_a_transport_that_merges_by_itself_gives_the_same(started):
    plain = read(started, payload("ws_ticker_delta"))
    merged, other = payload("ws_ticker_snapshot"), BybitNormalizer()
    read(other, merged)
    # As pybit does: the same object again, changed in place, always called a snapshot.
    change = payload("ws_ticker_delta")
    merged["data"].update(change["data"])
    merged.update(cs=change["cs"], ts=change["ts"])
    assert read(other, merged) == plain


def test_no_reference_to_the_message_is_kept(normalizer):
    message = payload("ws_ticker_snapshot")
    read(normalizer, message)
    untouched = copy.deepcopy(message)
    message["data"].clear()
    assert read(normalizer, delta()).mark_price == 60001
    assert untouched != message


def test_an_older_frame_changes_nothing_and_yields_nothing(started):
    read(started, delta(814547789570, lastPrice="3"))
    assert read(started, delta(814547789569, lastPrice="2")) is None
    assert read(started, payload("ws_ticker_snapshot")) is None
    assert read(started, delta(814547789570)).last_price == 3


HIGHEST = 2**63 - 1


def later(message, milliseconds):
    return message | {"ts": message["ts"] + milliseconds}


def test_a_sequence_that_is_far_too_high_silences_nothing(started):
    read(started, later(delta(HIGHEST, lastPrice="2"), 1))
    assert read(started, later(delta(814547789570, bid1Price="1.5"), 2)).bid1_price == Decimal(
        "1.5"
    )
    record = read(started, later(delta(814547789571, lastPrice="3"), 3))
    assert (record.last_price, record.bid1_price) == (3, Decimal("1.5"))


def test_after_a_sequence_that_is_far_too_high_older_frames_are_known_by_their_time(started):
    read(started, later(delta(HIGHEST, lastPrice="2"), 1))
    assert read(started, later(delta(814547789570, lastPrice="4"), 1)) is None
    assert read(started, delta(814547789570, lastPrice="4")) is None
    assert read(started, later(delta(HIGHEST), 1)).last_price == 2


def test_an_older_frame_is_known_again_once_the_sequence_is_right(started):
    read(started, later(delta(HIGHEST), 1))
    read(started, later(delta(814547789570, lastPrice="3"), 2))
    assert read(started, later(delta(814547789569, lastPrice="4"), 2)) is None


def test_a_time_that_goes_back_with_a_rising_sequence_proves_nothing_later(started):
    read(started, later(delta(814547789570, lastPrice="3"), 50))
    read(started, later(delta(814547789571, lastPrice="5"), 10))
    assert read(started, later(delta(814547789570, lastPrice="4"), 40)) is None


@pytest.mark.parametrize("moment", [None, "1790134712100", 5, 2**62])
def test_without_a_time_a_lower_sequence_is_older(started, moment):
    read(started, delta(814547789570, lastPrice="3"))
    assert read(started, delta(814547789569, lastPrice="4") | {"ts": moment}) is None


def test_frames_of_one_sequence_are_merged_in_the_order_of_arrival(started):
    read(started, delta(lastPrice="2"))
    assert read(started, delta(lastPrice="3")).last_price == 3


def test_a_frame_without_a_sequence_is_taken_as_it_comes(started):
    message = delta(lastPrice="2")
    del message["cs"]
    assert read(started, message).last_price == 2


def test_symbols_do_not_mix(started):
    other = payload("ws_ticker_snapshot")
    other["topic"], other["data"]["symbol"], other["cs"] = "tickers.ETHUSDT", "ETHUSDT", 5
    other["data"]["lastPrice"] = "3000"
    assert read(started, other).last_price == 3000
    assert read(started, delta()).last_price == Decimal("60000.10")


def test_a_list_of_one_stands_for_its_object(normalizer):
    message = payload("ws_ticker_snapshot")
    message["data"] = [message["data"]]
    assert read(normalizer, message).last_price == Decimal("60000.10")


@pytest.mark.parametrize("symbols", [None, ["BTCUSDT"], iter(["BTCUSDT", "NOPE"])])
def test_after_a_reset_a_delta_needs_a_snapshot_first(started, symbols):
    started.reset_tickers(symbols)
    with pytest.raises(MalformedMessage, match="delta before any snapshot"):
        read(started, delta())


def test_a_reset_forgets_the_sequence_too(started):
    started.reset_tickers()
    message = payload("ws_ticker_snapshot")
    message["cs"] = 1
    assert read(started, message) is not None


def test_a_reset_of_one_symbol_leaves_the_others(started):
    started.reset_tickers(["ETHUSDT"])
    assert read(started, delta()) is not None


def test_a_bad_field_is_forgotten_until_it_comes_again(started):
    with pytest.raises(MalformedMessage, match="markPrice is not a decimal number: 'NaN'"):
        read(started, delta(markPrice="NaN", indexPrice="7"))
    record = read(started, delta())
    assert (record.mark_price, record.index_price) == (None, 7)
    assert read(started, delta(markPrice="8")).mark_price == 8


def test_a_state_without_a_last_price_yields_no_record(started):
    with pytest.raises(MalformedMessage, match="lastPrice is not positive"):
        read(started, delta(lastPrice="0"))
    with pytest.raises(MalformedMessage, match="lastPrice is unknown"):
        read(started, delta(markPrice="8"))
    assert read(started, delta(lastPrice="9")).mark_price == 8


def test_a_bad_time_refuses_the_frame_but_not_its_figures(started):
    message = delta(lastPrice="2")
    message["ts"] = "1790134712100"
    with pytest.raises(MalformedMessage, match="ts is not an integer"):
        read(started, message)
    assert read(started, delta()).last_price == 2


def test_a_bad_sequence_refuses_the_frame_and_orders_nothing(started):
    message = delta(lastPrice="2")
    message["cs"] = "9" * 18
    with pytest.raises(MalformedMessage, match="cs is not an integer"):
        read(started, message)
    assert read(started, delta()).last_price == 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"type": None}, "type is unknown: None"),
        ({"type": ["delta"]}, "type is unknown: a list"),
        ({"data": None}, "data is not an object: None"),
        ({"data": []}, "data is not an object: a list"),
        ({"data": {"lastPrice": "2"}}, "symbol is not the topic's symbol: None"),
        ({"data": {"symbol": "ETHUSDT"}}, "symbol is not the topic's symbol: 'ETHUSDT'"),
        ({"topic": "tickers."}, "topic is not tickers.SYMBOL: 'tickers.'"),
    ],
)
def test_a_frame_that_cannot_be_understood_changes_nothing(started, changes, reason):
    with pytest.raises(MalformedMessage) as caught:
        read(started, delta(lastPrice="2") | changes)
    assert caught.value.reason == reason
    assert read(started, delta()).last_price == Decimal("60000.10")


@pytest.mark.parametrize("field", ["type", "ts", "data"])
def test_a_frame_without_a_part_of_its_envelope_is_refused(started, field):
    message = delta(lastPrice="2")
    del message[field]
    with pytest.raises(MalformedMessage, match=f"{field} is missing"):
        read(started, message)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lastPrice", ""),
        ("bid1Price", "-1"),
        ("openInterest", "-0.1"),
        ("fundingRate", "1e-4"),
        ("fundingRate", None),
        ("nextFundingTime", "0"),
        ("nextFundingTime", 1790150400000),
        ("nextFundingTime", "1799999999999"),
        ("nextFundingTime", "2026-09-23"),
    ],
)
def test_a_bad_value_refuses_the_frame(started, field, value):
    with pytest.raises(MalformedMessage, match=f"{field} is "):
        read(started, delta(**{field: value}))


def test_minus_zero_is_zero(started):
    assert str(read(started, delta(fundingRate="-0.00")).funding_rate) == "0.00"


def test_a_funding_rate_may_be_negative(started):
    assert read(started, delta(fundingRate="-0.0003")).funding_rate == Decimal("-0.0003")


def test_a_value_of_another_type_is_not_taken_for_the_one_known(started):
    read(started, delta(lastPrice="1"))
    with pytest.raises(MalformedMessage):
        read(started, delta(lastPrice=1))
