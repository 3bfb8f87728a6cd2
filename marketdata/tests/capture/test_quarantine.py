"""Quarantine keeps what could not be stored, once, with its reason."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from marketdata.bybit.records import Reject
from marketdata.capture.quarantine import MAX_RAW_CHARACTERS, Quarantine
from marketdata.capture.tally import StreamKey, Tally
from marketdata.models import QuarantinedMessage

pytestmark = pytest.mark.django_db

TRADES = StreamKey("trades")


def kept() -> QuarantinedMessage:
    return QuarantinedMessage.objects.get()


def test_a_reject_is_counted_and_kept_with_its_text():
    tally = Tally()
    quarantine = Quarantine(tally)
    quarantine.add(TRADES, Reject("publicTrade.BTCUSDT", "price is empty", '{"p":""}'))
    quarantine.flush()
    assert (kept().reason, kept().raw_text, kept().count) == ("price is empty", '{"p":""}', 1)
    assert tally.snapshot()[TRADES]["quarantined"] == 1
    assert tally.violations() == []


def test_the_same_message_again_is_one_row_with_a_higher_count():
    quarantine = Quarantine(Tally())
    for flush in (False, True, True):
        quarantine.add(TRADES, Reject("t", "bad", "x"))
        if flush:
            quarantine.flush()
    assert kept().count == 3
    assert kept().first_seen < kept().last_seen


def test_nul_and_lone_surrogates_are_kept_as_escapes():
    quarantine = Quarantine(Tally())
    quarantine.add(TRADES, Reject("a\0b", "bad \ud800", "raw \0 \udfff"))
    quarantine.flush()
    assert kept().topic == "a\\x00b"
    assert kept().raw_text == "raw \\x00 \\udfff"


def test_a_very_long_text_keeps_its_two_ends():
    quarantine = Quarantine(Tally())
    quarantine.add(TRADES, Reject("t", "bad", "a" * 10_000_000 + "z"))
    quarantine.flush()
    assert len(kept().raw_text) < MAX_RAW_CHARACTERS + 100
    assert "characters left out" in kept().raw_text
    assert kept().raw_text.endswith("az")


def test_two_long_texts_that_differ_in_the_middle_are_two():
    quarantine = Quarantine(Tally())
    for middle in "xy":
        text = "a" * MAX_RAW_CHARACTERS + middle + "a" * MAX_RAW_CHARACTERS
        quarantine.add(TRADES, Reject("t", "bad", text))
    quarantine.flush()
    assert QuarantinedMessage.objects.count() == 2


def test_a_database_error_forgets_nothing(monkeypatch):
    quarantine = Quarantine(Tally())
    quarantine.add(TRADES, Reject("t", "bad", "x"))
    with monkeypatch.context() as patch:
        patch.setattr(
            Quarantine, "_store", lambda *_: (_ for _ in ()).throw(OperationalError("away"))
        )
        with pytest.raises(OperationalError):
            quarantine.flush()
    quarantine.add(TRADES, Reject("t", "bad", "x"))
    quarantine.flush()
    assert kept().count == 2


def test_more_than_its_capacity_is_said():
    quarantine = Quarantine(Tally(), capacity=1)
    quarantine.add(TRADES, Reject("t", "bad", "x"))
    assert not quarantine.overfull
    quarantine.add(TRADES, Reject("t", "bad", "y"))
    assert quarantine.overfull
