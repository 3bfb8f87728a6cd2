"""The strict parsing of wire values: what is accepted is exact, what is not is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.values import (
    MISSING,
    Sign,
    checked_ms,
    decimal_from,
    fits,
    flag_from,
    integer_from,
    integer_from_digits,
    latest_plausible_ms,
    milliseconds_at,
    optional_decimal_from,
    raw_text,
    reason_class,
    safe_topic,
    shown,
    symbol_from,
    time_from_ms,
    trade_id_from,
    word_from,
)

NOT_NUMBERS = [
    " ", "NaN", "sNaN", "Infinity", "-inf", "1e5", "1E-7", "1e1000000", "0x1", "1_000", "+1",
    ".5", "5.", "1.5\n", " 1", "1,5", "--1", "\uff11\uff12", "\u0661", "\u00b2", "1\x00", "\ud800",
    "9" * 21, "1." + "0" * 19,
]  # fmt: skip
NOT_TEXTS: list[Any] = [1, 1.5, True, False, None, [], {}, Decimal("1"), b"1"]


@pytest.mark.parametrize("text", ["", *NOT_NUMBERS])
def test_a_text_that_is_no_plain_decimal_number_is_refused(text):
    with pytest.raises(MalformedMessage, match="p is not a decimal number"):
        decimal_from(text, "p")


@pytest.mark.parametrize("value", NOT_TEXTS)
def test_a_number_that_is_no_text_is_refused(value):
    with pytest.raises(MalformedMessage, match="p is not a string"):
        decimal_from(value, "p")


@given(st.decimals(allow_nan=False, allow_infinity=False, places=12, max_value=10**17))
def test_a_number_is_read_exactly(number):
    text = f"{number:f}"
    if len(text.partition(".")[0].lstrip("-")) <= 18:
        assert f"{decimal_from(text, 'p'):f}" == text


@given(st.text())
def test_any_text_is_either_read_exactly_or_refused(text):
    try:
        number = decimal_from(text, "p")
    except MalformedMessage:
        return
    assert f"{number:f}" == text


def test_only_the_empty_string_means_no_value():
    assert optional_decimal_from("", "markPrice") is None
    assert optional_decimal_from("0", "markPrice") == 0
    with pytest.raises(MalformedMessage):
        optional_decimal_from(None, "markPrice")


@pytest.mark.parametrize("text", ["0", "-0", "0.000", "-1"])
def test_what_must_be_positive_is(text):
    with pytest.raises(MalformedMessage, match="is not positive"):
        decimal_from(text, "p", sign=Sign.POSITIVE)


def test_what_must_not_be_negative_may_be_zero():
    assert decimal_from("0", "bid1Size", sign=Sign.NOT_NEGATIVE) == 0
    with pytest.raises(MalformedMessage, match="is negative"):
        decimal_from("-0.1", "bid1Size", sign=Sign.NOT_NEGATIVE)


@pytest.mark.parametrize(
    ("text", "digits", "fitting"),
    [
        ("0", 15, True),
        ("0." + "0" * 18, 15, True),
        ("0." + "0" * 11 + "1", 15, True),
        ("0." + "0" * 12 + "1", 15, False),
        ("123456789012345", 15, True),
        ("1234567890123456", 15, False),
        ("1234567890123456", 30, True),
        ("123.4567890123450", 15, True),
        ("100000000000000000", 15, True),
        ("999999999999999999", 30, True),
        ("1000000000000000000", 30, False),
        ("00000000000000000001.5", 15, True),
        ("123456789012345678.123456789012", 30, True),
        ("NaN", 30, False),
        ("Infinity", 30, False),
        ("1e1000000", 30, False),
        ("1e-1000000", 30, False),
    ],
)
def test_a_value_fits_when_the_column_keeps_it_exactly(text, digits, fitting):
    assert fits(Decimal(text), digits) is fitting


@given(
    st.from_regex(r"-?[0-9]{1,20}(\.[0-9]{1,18})?", fullmatch=True, alphabet="-.0123456789"),
    st.sampled_from([15, 30]),
)
def test_a_number_is_refused_exactly_when_it_does_not_fit(text, digits):
    if fits(Decimal(text), digits):
        assert decimal_from(text, "p", digits) == Decimal(text)
    else:
        with pytest.raises(MalformedMessage, match="more digits"):
            decimal_from(text, "p", digits)


@given(st.integers(1_514_764_800_000, 7_000_000_000_000))
def test_a_time_survives_milliseconds_exactly(milliseconds):
    moment = time_from_ms(milliseconds)
    assert milliseconds_at(moment) == milliseconds
    assert moment.microsecond == milliseconds % 1000 * 1000


def test_a_time_is_read_to_the_last_millisecond():
    assert time_from_ms(1_790_134_712_126) == datetime(2026, 9, 23, 3, 38, 32, 126_000, tzinfo=UTC)


def test_a_time_before_the_exchange_or_after_now_is_refused():
    opened = milliseconds_at(datetime(2018, 1, 1, tzinfo=UTC))
    assert checked_ms(opened, "T", opened) == opened
    with pytest.raises(MalformedMessage, match="T is before 2018"):
        checked_ms(opened - 1, "T", opened)
    with pytest.raises(MalformedMessage, match="T is in the future"):
        checked_ms(opened + 1, "T", opened)


@pytest.mark.parametrize("value", [True, False, 1.0, "1", None, [], 2**63, -(2**63) - 1, 10**400])
def test_an_integer_is_a_json_integer_of_64_bits(value):
    with pytest.raises(MalformedMessage):
        integer_from(value, "seq")


@pytest.mark.parametrize("value", [0, -1, 2**63 - 1, -(2**63)])
def test_integers_of_64_bits_are_accepted(value):
    assert integer_from(value, "seq") == value


@pytest.mark.parametrize("value", ["", "-1", "1.0", "1e3", "\uff11", "9" * 19, "1" * 20, 1, True])
def test_a_string_of_digits_holds_nothing_else(value):
    with pytest.raises(MalformedMessage):
        integer_from_digits(value, "time")


@pytest.mark.parametrize("value", [0, 1, "true", "false", "", None, [], 1.0])
def test_a_flag_is_a_json_bool(value):
    with pytest.raises(MalformedMessage, match="BT is not a bool"):
        flag_from(value, "BT")


@pytest.mark.parametrize(
    "value", ["B", "btcusdt", "BTC USDT", "BTC/USDT", "A" * 33, "BTCUSDT\n", 1]
)
def test_what_is_no_symbol_is_refused(value):
    with pytest.raises(MalformedMessage):
        symbol_from(value)


@pytest.mark.parametrize("value", ["", "a b", "a" * 65, "a\x00", "\ud800", "\u00e9", 7, None])
def test_what_is_no_trade_id_is_refused(value):
    with pytest.raises(MalformedMessage):
        trade_id_from(value, "i")


@pytest.mark.parametrize("value", ["", "two words", "a" * 33, "\u00e9", 7])
def test_what_is_no_plain_word_is_refused(value):
    with pytest.raises(MalformedMessage):
        word_from(value, "status")


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists))
def test_what_is_shown_of_a_value_is_short_and_plain(value):
    assert shown(value).isascii()
    assert len(shown(value)) < 60


def test_a_huge_value_is_not_spelt_out():
    assert shown("\U0001f600" * 1_000_000) == "'\\U0001f600\\U0001f600\\U0001f600\\U0001f60..."
    assert shown(10**5000) == "an integer of 16610 bits"
    assert shown({"a": "b" * 10**6}) == "a dict"


def test_a_key_that_is_not_there_is_called_missing():
    assert repr(MISSING) == "missing"
    with pytest.raises(MalformedMessage) as caught:
        integer_from(MISSING, "T")
    assert caught.value.reason == "T is missing"


def test_the_class_of_a_reason_holds_nothing_from_the_wire():
    with pytest.raises(MalformedMessage) as caught:
        decimal_from("12: 34", "p")
    assert reason_class(caught.value.reason) == "p is not a decimal number"


def test_raw_text_keeps_what_no_database_takes_as_escapes():
    assert raw_text({"i": "\x00\ud800"}) == '{"i":"\\u0000\\ud800"}'


def test_raw_text_is_cut_and_survives_what_cannot_be_written():
    nested: list[Any] = []
    for _ in range(200_000):
        nested = [nested]
    assert len(raw_text("x" * 10**6)) == 65_536 + 3
    assert raw_text(nested) == "(not representable: a list)"
    while nested:  # by hand: some interpreters free such a chain by recursion
        nested = nested.pop()


@pytest.mark.parametrize("message", [None, [], {}, {"topic": 5}, {"topic": "a\x00"}, {"topic": ""}])
def test_a_topic_that_cannot_be_stored_is_not_passed_on(message):
    assert safe_topic(message) == ""


def test_the_clock_allowance_is_a_minute():
    at = datetime(2026, 1, 1, tzinfo=UTC)
    assert time_from_ms(latest_plausible_ms(at)) == at + timedelta(seconds=60)
