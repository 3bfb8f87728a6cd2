"""What is written is what is read, of every record."""

from __future__ import annotations

import json
import typing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketdata.bybit.records import TradeRecord
from marketdata.capture.spool_codec import (
    PUBLIC,
    RECORDS,
    Span,
    Unreadable,
    decode,
    decode_head,
    encode,
    head_of,
)
from marketdata.capture.tally import StreamKey
from marketdata.models import Stream
from marketdata.tests.records import trade

# No halves of surrogate pairs: the normaliser lets none through, nor would a database.
TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
TIMES = st.integers(0, 2**52).map(
    lambda count: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=count)
)
JSON = st.dictionaries(
    TEXT,
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=5,
    ),
    max_size=4,
)
KINDS: dict[Any, st.SearchStrategy[Any]] = {
    str: TEXT,
    int: st.integers(),
    bool: st.booleans(),
    type(None): st.none(),
    Decimal: st.decimals(allow_nan=False, allow_infinity=False),
    datetime: TIMES,
    dict: JSON,
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    kinds = typing.get_args(hint) if type(None) in typing.get_args(hint) else (hint,)
    return st.one_of(*(KINDS[typing.get_origin(kind) or kind] for kind in kinds))


def batches(stream: str) -> st.SearchStrategy[list[Any]]:
    record = RECORDS[stream]
    hints = typing.get_type_hints(record)
    return st.lists(st.builds(record, **{name: values(hints[name]) for name in record._fields}),
                    min_size=1, max_size=4)  # fmt: skip


def exactly(rows: list[Any]) -> list[list[tuple[type, str]]]:
    """Equal numbers are not the same: 1.0 and 1.00, True and 1."""
    return [[(type(value), repr(value)) for value in row] for row in rows]


@pytest.mark.parametrize("stream", RECORDS)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data(), account_id=st.uuids())
def test_every_record_comes_back_as_it_was(stream, data, account_id):
    rows = data.draw(batches(stream))
    head = head_of(StreamKey(stream, None if stream in PUBLIC else account_id), rows)
    found, again = decode(encode(head, rows))
    assert (found, decode_head(encode(head, rows))) == (head, head)
    assert exactly(again) == exactly(rows)
    assert {type(row) for row in again} == {RECORDS[stream]}


def test_every_stream_has_its_record():
    assert set(RECORDS) == set(Stream.values)


def test_the_head_says_from_when_to_when_of_each_symbol():
    rows = [trade(5), trade(1), trade(3, symbol="ETHUSDT"), trade(9)]
    assert head_of(StreamKey("trades"), rows).spans == {
        "BTCUSDT": Span(trade(1).exchange_ts, trade(9).exchange_ts),
        "ETHUSDT": Span(trade(3).exchange_ts, trade(3).exchange_ts),
    }


def group(rows: list[list[Any]], **changes: Any) -> bytes:
    first = {"version": 1, "stream": "trades", "account": None, "rows": 1, "spans": {},
             "columns": TradeRecord._fields}  # fmt: skip
    return b"\n".join(json.dumps(part).encode() for part in (first | changes, rows))


def test_a_column_that_an_older_release_had_not_is_empty_and_one_too_many_is_left_out():
    columns = ["symbol", "exchange_ts", "local_ts", "trade_id", "colour"]
    row = ["BTCUSDT", {"time": 0}, {"time": 1}, "t1", "red"]
    _, (record,) = decode(group([row], columns=columns))
    assert (record.symbol, record.trade_id, record.price) == ("BTCUSDT", "t1", None)


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{}", b"{}\n[]", b"[]\n[]", b"\xff\n[]", group([], version=2), group([], account=7),
        group([], spans=[]), group([[1]]), group([[{"colour": 1}]]), group([[{}]]), b"null\n1",
        group([[{"decimal": "x"}] * 10]),
    ],
)  # fmt: skip
def test_what_is_no_group_is_refused(content):
    with pytest.raises(Unreadable):
        decode(content)


def test_what_has_no_place_in_a_row_is_refused():
    rows = [trade(1, price=object())]
    with pytest.raises(TypeError):
        encode(head_of(StreamKey("trades"), rows), rows)
