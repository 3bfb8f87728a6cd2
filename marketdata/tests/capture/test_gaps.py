"""Gaps reach from the last row before an outage to the first row after it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import OperationalError

from marketdata.capture.gaps import Feed, GapBook
from marketdata.models import CaptureGap, Stream
from marketdata.tests.records import START

pytestmark = pytest.mark.django_db

FEED = Feed(Stream.TRADES, "BTCUSDT")


def seconds(number: float):
    return START + timedelta(seconds=number)


def test_a_gap_begins_with_the_last_row_and_ends_with_the_first_one_after():
    book = GapBook()
    book.note_rows(FEED, seconds(1), seconds(2))
    book.open([FEED], "the connection was lost", seconds(0))
    book.note_rows(FEED, seconds(9), seconds(10))
    book.persist()
    gap = CaptureGap.objects.get()
    assert (gap.started_at, gap.ended_at) == (seconds(2), seconds(9))
    assert (gap.state, gap.reason) == ("open", "the connection was lost")


def test_a_stream_that_never_had_a_row_has_its_gap_from_the_connection_on():
    book = GapBook()
    book.open([FEED], "lost", seconds(5))
    book.persist()
    assert CaptureGap.objects.get().started_at == seconds(5)


def test_a_second_outage_before_any_row_prolongs_the_gap():
    book = GapBook()
    book.open([FEED], "lost", seconds(5))
    book.persist()
    book.open([FEED], "lost again", seconds(7))
    book.persist()
    gap = CaptureGap.objects.get()
    assert gap.evidence == {"outages": 2}
    assert gap.ended_at is None


def test_an_older_row_sent_again_does_not_turn_a_gap_round():
    book = GapBook()
    book.note_rows(FEED, seconds(5), seconds(5))
    book.open([FEED], "lost", seconds(0))
    book.note_rows(FEED, seconds(3), seconds(3))
    book.persist()
    gap = CaptureGap.objects.get()
    assert gap.ended_at == gap.started_at == seconds(5)


def test_what_is_open_at_the_end_of_capture_ends_there():
    book = GapBook()
    book.open([FEED], "lost", seconds(5))
    book.end(seconds(8))
    book.persist()
    assert CaptureGap.objects.get().ended_at == seconds(8)


def test_a_database_error_forgets_nothing(monkeypatch):
    book = GapBook()
    book.open([FEED], "lost", seconds(5))
    with monkeypatch.context() as patch:
        patch.setattr(GapBook, "_write", lambda *_: (_ for _ in ()).throw(OperationalError("away")))
        with pytest.raises(OperationalError):
            book.persist()
    book.note_rows(FEED, seconds(9), seconds(9))
    book.persist()
    assert CaptureGap.objects.get().ended_at == seconds(9)
