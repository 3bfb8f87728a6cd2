"""Positions: legs known by their index, flat ones too, and the digest of a state."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest

from marketdata.bybit.digest import digest_of
from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.tests.private_stream import PrivateStream
from marketdata.tests.test_private_samples import RECEIVED

STREAM = PrivateStream("position")
frame, one = STREAM.frame, STREAM.one

FLAT = {
    "side": "", "size": "0", "entryPrice": "0", "liqPrice": "", "positionValue": "", "leverage": "10",
    "positionIM": "0", "positionMM": "0", "unrealisedPnl": "", "positionStatus": "Normal",
}  # fmt: skip


@pytest.mark.parametrize("entry_price", ["", "0"])
@pytest.mark.parametrize("leg", [1, 2])
def test_a_flat_leg_is_known_by_its_index(normalizer, leg, entry_price):
    record = one(normalizer, **FLAT | {"positionIdx": leg, "entryPrice": entry_price})
    assert (record.position_idx, record.side, record.size) == (leg, "", 0)
    assert record.entry_price == (None if entry_price == "" else 0)
    assert (record.liq_price, record.position_value, record.unrealised_pnl) == (None, None, None)


def test_two_legs_of_one_frame_are_two_records(normalizer):
    message = frame({"positionIdx": 1}, {"positionIdx": 2, **FLAT})
    records = normalizer.position_records(message, RECEIVED).records
    assert [(record.position_idx, record.size) for record in records] == [
        (1, Decimal("0.2")), (2, Decimal(0)),
    ]  # fmt: skip


def test_an_older_account_s_word_for_flat_is_the_same(normalizer):
    assert one(normalizer, **FLAT | {"side": "None"}).side == ""


@pytest.mark.parametrize(
    "name", ["entryPrice", "markPrice", "liqPrice", "leverage", "positionValue", "positionIM",
             "positionMM", "unrealisedPnl", "curRealisedPnl", "cumRealisedPnl"],
)  # fmt: skip
@pytest.mark.parametrize("value", ["", None])
def test_what_may_be_empty_is(normalizer, name, value):
    assert None in one(normalizer, **{name: value})


@pytest.mark.parametrize("seq", ["-1", -1, 2**63, "", None])
def test_a_sequence_is_not_read(normalizer, seq):
    assert one(normalizer, seq=seq)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"size": ""}, "size is not a decimal number: ''"),
        ({"size": "-0.1"}, "size is negative: '-0.1'"),
        ({"side": "Long"}, "side is neither Buy nor Sell nor empty: 'Long'"),
        ({"side": None}, "side is neither Buy nor Sell nor empty"),
        ({"side": ["Buy"]}, "side is neither Buy nor Sell nor empty: a list"),
        ({"positionIdx": None}, "positionIdx is missing"),
        ({"positionIdx": 3}, "positionIdx is none of 0, 1 and 2: 3"),
        ({"markPrice": "x"}, "markPrice is not a decimal number: 'x'"),
        ({"newField": "\x00"}, r"row holds NUL: '\x00'"),
    ],
)
def test_a_leg_that_cannot_be_read_is_refused_alone(normalizer, changes, reason):
    records, [reject] = normalizer.position_records(frame({}, changes), RECEIVED)
    assert len(records) == 1
    assert reject.reason == reason
    assert json.loads(reject.raw)["symbol"] == "SOLUSDT"


@pytest.mark.parametrize("moment", [None, "1759432560944", 1234567890, 2**63, True])
def test_without_its_time_a_frame_is_refused_whole(normalizer, moment):
    with pytest.raises(MalformedMessage, match="creationTime"):
        normalizer.position_records(frame() | {"creationTime": moment}, RECEIVED)


def test_other_categories_are_left(normalizer):
    message = frame({"category": "inverse", "size": "x"}, {})
    assert len(normalizer.position_records(message, RECEIVED).records) == 1
    assert normalizer.ignored == {"position inverse": 1}


def test_a_frame_sent_twice_has_one_digest(normalizer):
    again = frame()
    again["creationTime"] += 1
    again["data"] = [dict(reversed(again["data"][0].items()))]
    first = normalizer.position_records(frame(), RECEIVED).records[0]
    second = BybitNormalizer().position_records(again, RECEIVED).records[0]
    assert first.digest == second.digest
    assert first.exchange_ts != second.exchange_ts
    assert len(first.digest) == 32


def test_one_state_has_one_digest_whoever_tells_it(normalizer):
    """REST calls the entry price otherwise, and has fields that the stream has not."""
    told = frame({"autoAddMargin": 0, "isReduceOnly": False})
    row = told["data"][0]
    row["avgPrice"] = row.pop("entryPrice")
    pushed = normalizer.position_records(frame(), RECEIVED).records[0]
    asked = normalizer.position_records(told, RECEIVED).records[0]
    assert asked.digest == pushed.digest


@pytest.mark.parametrize(
    ("first", "second"),
    [("1.50", "1.5"), ("100", "100.000"), ("-0", "0"), ("-0.00", "0"), ("007", "7"),
     ("-1.20", "-1.2"), ("1E+2", "100"),
     ("1" * 18 + ".123456789012", "1" * 18 + ".1234567890120")],
)  # fmt: skip
def test_numbers_count_by_value(first, second):
    assert digest_of(["Buy", Decimal(first)]) == digest_of(["Buy", Decimal(second)])


@pytest.mark.parametrize(
    ("first", "second"),
    [(Decimal(0), None), (Decimal(1), Decimal(10)), (Decimal(1), Decimal(-1)),
     (Decimal("0.1"), Decimal("0.01")), (Decimal(100), Decimal(1)), (Decimal(1), "1"),
     (None, ""), ("", "x"), (Decimal("1" * 18 + ".123456789012"), Decimal("1" * 18 + ".123456789013"))],
)  # fmt: skip
def test_states_that_differ_have_two_digests(first, second):
    assert digest_of([first, None]) != digest_of([second, None])
    assert digest_of([first, second]) != digest_of([second, first])


def test_the_digest_is_the_same_in_every_process():
    assert digest_of(["Buy", Decimal("1.50"), None]) == "620d0a74716ed29c9da3f4d1097ceaf6"
