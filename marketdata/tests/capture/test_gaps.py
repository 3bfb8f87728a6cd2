"""Gaps reach from the last row before an outage to the first row after it."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import OperationalError

from marketdata.capture.books_file import BooksFile
from marketdata.capture.feeds import BEAT_MARGIN, CLOCK_MARGIN, PRIVATE_LATENESS, TICK, Feed
from marketdata.capture.gaps import GapBook
from marketdata.capture.open_gaps import OpenGap
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


def test_an_older_row_sent_again_does_not_end_a_gap():
    book = GapBook()
    book.note_rows(FEED, seconds(5), seconds(5))
    book.open([FEED], "lost", seconds(0))
    book.note_rows(FEED, seconds(3), seconds(3))
    book.persist()
    assert CaptureGap.objects.get().ended_at is None
    book.note_rows(FEED, seconds(4), seconds(8))
    book.persist()
    gap = CaptureGap.objects.get()
    assert (gap.started_at, gap.ended_at) == (seconds(5), seconds(8))


def test_a_beginning_by_our_own_clock_gives_way_to_a_row_by_the_exchange_s():
    book = GapBook()
    book.open([FEED], "lost", seconds(3600))
    book.note_rows(FEED, seconds(5), seconds(6))
    book.persist()
    assert CaptureGap.objects.get().ended_at == seconds(5)


PRIVATE = Feed(Stream.ORDERS, "", uuid4())


class TestBeats:
    """A quiet feed is as far as its connection has come."""

    def test_a_quiet_feed_s_gap_begins_where_its_connection_had_come_to(self):
        book = GapBook()
        book.note_rows(FEED, seconds(1), seconds(2))
        book.beat([FEED], seconds(60), seconds(0))
        book.open([FEED], "lost", seconds(0))
        book.persist()
        assert CaptureGap.objects.get().started_at == seconds(60) - BEAT_MARGIN

    def test_a_gap_ends_without_a_row_when_later_things_came(self):
        book = GapBook()
        book.note_rows(FEED, seconds(1), seconds(2))
        book.open([FEED], "lost", seconds(0))
        for at in (10, 20, 40):
            book.beat([FEED], seconds(at), seconds(9))
        book.persist()
        assert CaptureGap.objects.get().ended_at == seconds(20) + BEAT_MARGIN
        (life,) = [life for life in book.lives() if not life.is_over]
        assert life.frontier == seconds(40) - BEAT_MARGIN

    def test_what_an_earlier_connection_brought_ends_no_gap(self):
        book = GapBook()
        book.open([FEED], "lost", seconds(0))
        book.beat([FEED], seconds(10), seconds(9))
        book.beat([FEED], seconds(20), seconds(9))
        book.open([FEED], "lost again", seconds(0))
        book.beat([FEED], seconds(40), seconds(30))
        book.persist()
        assert CaptureGap.objects.get().ended_at is None

    def test_the_life_of_a_stream_that_is_silent_from_the_start_begins_too(self):
        book = GapBook()
        for at in (10, 20, 40):
            book.beat([PRIVATE], seconds(at), seconds(9))
        (life,) = book.lives()
        assert life.started_at == seconds(20) + BEAT_MARGIN + TICK
        assert life.frontier == seconds(40) - BEAT_MARGIN


def test_a_private_gap_begins_a_little_before_the_last_row_for_rows_come_late():
    book = GapBook()
    book.note_rows(PRIVATE, seconds(1), seconds(9))
    book.open([PRIVATE], "lost", seconds(0))
    (life,) = book.lives()
    assert life.frontier == seconds(9) - PRIVATE_LATENESS


def test_a_private_gap_ends_a_little_after_the_first_row_which_may_be_a_late_one():
    book, feed = GapBook(), Feed(Stream.ORDERS, "", uuid4())
    book.note_rows(feed, seconds(1), seconds(1))
    book.open([feed], "lost", seconds(0))
    # Sent after subscribing at 11, though made at 10: what was made at 10.5 went to nobody.
    book.note_rows(feed, seconds(10), seconds(10))
    book.note_rows(feed, seconds(11.5), seconds(11.5))
    [life] = [life for life in book.lives() if not life.is_over]
    assert life.started_at == seconds(10) + PRIVATE_LATENESS + TICK
    [gap] = book.unwritten()
    assert gap.ended_at == seconds(10) + PRIVATE_LATENESS


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
        patch.setattr(OpenGap, "write", lambda *_: (_ for _ in ()).throw(OperationalError("away")))
        with pytest.raises(OperationalError):
            book.persist()
    book.note_rows(FEED, seconds(9), seconds(9))
    book.persist()
    assert CaptureGap.objects.get().ended_at == seconds(9)


def test_a_gap_that_another_capture_has_ended_stays_as_it_ended_it(tmp_path):
    """A leader that was paused keeps its word on disk; the next one must not write it over."""
    paused, second, third = GapBook(), GapBook(), GapBook()
    paused.open([FEED], "lost", seconds(5))
    paused.persist()
    second.resume([FEED])
    second.end(seconds(10), [FEED])
    second.persist()
    paused.end(seconds(600))
    BooksFile(tmp_path).save(paused.unwritten(), [])
    third.take_over(BooksFile(tmp_path).read()[0])
    third.persist()
    ends = CaptureGap.objects.order_by("pk").values_list("ended_at", flat=True)
    assert list(ends) == [seconds(10), seconds(600)]


def test_a_feed_is_quiet_for_as_long_as_others_have_brought_something():
    book = GapBook()
    assert book.quiet(FEED) is None
    book.note_rows(FEED, seconds(1), seconds(2))
    assert book.quiet(FEED) == (seconds(2), 0.0)
    book.beat([FEED], seconds(40) + BEAT_MARGIN, seconds(0))
    assert book.quiet(FEED) == (seconds(2), 38.0)
    book.note_rows(FEED, seconds(41), seconds(41))
    assert book.quiet(FEED) == (seconds(41), 0.0)


def test_a_feed_without_any_row_is_quiet_since_it_was_first_listened_to():
    book = GapBook()
    for second in (0, 1, 20, 30):
        book.beat([FEED], seconds(second), seconds(0))
    began = book.quiet(FEED).since
    book.open([FEED], "lost", seconds(30))
    for second in (31, 32, 50, 60):
        book.beat([FEED], seconds(second), seconds(31))
    assert book.quiet(FEED).since == began < book.claimed(FEED)[-1].start


def test_a_life_is_claimed_up_to_its_frontier_and_no_further_than_a_gap_from_within_it():
    book = GapBook()
    book.note_rows(FEED, seconds(1), seconds(2))
    book.beat([FEED], seconds(40) + BEAT_MARGIN, seconds(0))
    assert [(span.start, span.end) for span in book.claimed(FEED)] == [
        (seconds(1) + TICK, seconds(40) - TICK)
    ]
    book.open_from(FEED, "its topic was silent", seconds(7))
    assert book.claimed(FEED)[0].end == seconds(7) - TICK
    assert book.open_since() == {FEED: seconds(7)}


@pytest.mark.parametrize("is_first", [True, False])
def test_no_row_proves_what_has_not_come_yet(is_first):
    now, feed = START, FEED
    book = GapBook(now=lambda: now)
    if not is_first:
        book.note_rows(feed, now, now)
    book.note_rows(feed, now + timedelta(seconds=59), now + timedelta(seconds=59))
    book.beat([feed], now + timedelta(seconds=59), now)
    (life,) = book.lives()
    assert life.frontier == now + CLOCK_MARGIN
    book.open([feed], "the connection was lost", now)
    (gap,) = book.unwritten()
    assert gap.started_at == now + CLOCK_MARGIN


def test_between_a_gap_that_our_clock_ended_and_what_comes_next_there_is_no_millisecond():
    end = seconds(3) + timedelta(microseconds=478_500)
    by_stop, by_rest = GapBook(), GapBook()
    for book in (by_stop, by_rest):
        book.open([FEED], "the connection was lost", seconds(1) + timedelta(microseconds=1))
    by_stop.end(end)
    by_rest.hand_over(end, [FEED], lambda: True)
    (stopped,), (gap,), (life,) = by_stop.unwritten(), by_rest.unwritten(), by_rest.lives()
    assert stopped.started_at == gap.started_at == seconds(1)
    assert stopped.ended_at == gap.ended_at == seconds(3) + timedelta(milliseconds=478)
    assert life.started_at == gap.ended_at + TICK
