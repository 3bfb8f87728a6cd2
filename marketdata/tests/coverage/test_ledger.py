"""The ledger: claims merge, sources stay apart, and capture goes on where they end."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from accounts.tests.factories import BybitAccountFactory
from marketdata.capture.feeds import Feed
from marketdata.coverage.frontier import frontiers
from marketdata.coverage.gap_rows import note_attempt
from marketdata.coverage.ledger import Source, grow, vouch
from marketdata.coverage.report import report_on
from marketdata.coverage.spans import TICK, Span, minus, on_ticks, union
from marketdata.models import CaptureGap, CoverageInterval

START = datetime(2026, 1, 31, 12, tzinfo=UTC)
FEED = Feed("trades", "BTCUSDT")


def at(ms: int) -> datetime:
    return START + timedelta(milliseconds=ms)


def claim(start: int, end: int, source: Source = Source.LIVE, feed: Feed = FEED) -> None:
    vouch(*feed, at(start), at(end), source)


def ms(moment: datetime) -> int:
    return (moment - START) // TICK


def rows(feed=FEED):
    found = CoverageInterval.objects.filter(stream=feed.stream, symbol=feed.symbol)
    return [
        (ms(row.started_at), ms(row.ended_at), row.source)
        for row in found.filter(account=feed.account_id).order_by("started_at")
    ]


@pytest.mark.django_db
class TestVouch:
    """`vouch`."""

    @pytest.mark.parametrize(
        ("claims", "expected"),
        [
            ([(0, 10), (11, 20)], [(0, 20)]),
            ([(0, 10), (12, 20)], [(0, 10), (12, 20)]),
            ([(0, 10), (5, 20)], [(0, 20)]),
            ([(5, 20), (0, 30)], [(0, 30)]),
            ([(0, 30), (5, 20)], [(0, 30)]),
            ([(0, 10), (20, 30), (11, 19)], [(0, 30)]),
            ([(0, 10), (20, 30), (40, 50), (5, 45)], [(0, 50)]),
            ([(7, 7), (7, 7)], [(7, 7)]),
        ],
    )
    def test_what_touches_or_overlaps_is_one_interval(self, claims, expected):
        for start, end in claims:
            claim(start, end)
        assert rows() == [(*each, "live") for each in expected]

    def test_each_instant_keeps_the_source_that_vouched_first(self):
        claim(10, 20)
        claim(0, 30, Source.REST)
        claim(0, 100, Source.ARCHIVE)
        assert rows() == [
            (0, 9, "rest"), (10, 20, "live"), (21, 30, "rest"), (31, 100, "archive"),
        ]  # fmt: skip

    def test_other_feeds_are_left_alone(self):
        account = BybitAccountFactory.create()
        private = Feed("orders", "", account.pk)
        claim(0, 10)
        claim(5, 20, feed=Feed("trades", "ETHUSDT"))
        claim(5, 20, feed=Feed("tickers", "BTCUSDT"))
        claim(5, 20, feed=private)
        claim(5, 20, feed=Feed("orders", "", BybitAccountFactory.create().pk))
        assert rows() == [(0, 10, "live")]
        assert rows(private) == [(5, 20, "live")]

    def test_nobody_vouches_for_an_account_that_is_gone(self):
        claim(0, 10, feed=Feed("orders", "", uuid4()))
        assert not CoverageInterval.objects.exists()

    def test_parts_of_a_millisecond_are_not_claimed(self):
        vouch(*FEED, at(0) + timedelta(microseconds=1), at(9) - timedelta(microseconds=1), "live")
        assert rows() == [(1, 8, "live")]
        vouch(*FEED, at(20) + timedelta(microseconds=1), at(20) + timedelta(microseconds=2), "live")
        assert len(rows()) == 1

    def test_growing_counts_the_rows_that_are_there(self):
        claim(0, 10)
        row = CoverageInterval.objects.get()
        assert grow({row.pk: at(50)}) == 1
        assert grow({row.pk: at(60), row.pk + 1: at(60)}) == 1
        assert rows() == [(0, 60, "live")]


@pytest.mark.django_db
class TestFrontier:
    """Where the gap of a capture that was not running begins."""

    def gap(self, start: int, end: int | None, **changes) -> None:
        CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=at(start), reason="lost",
            ended_at=None if end is None else at(end), **changes,
        )  # fmt: skip

    def test_of_nothing_nothing_is_known(self):
        assert frontiers([FEED]) == {}

    def known(self) -> tuple[int, list[tuple[int, int]]]:
        start, holes = frontiers([FEED, Feed("tickers", "ETHUSDT")])[FEED]
        return ms(start), [(ms(hole.start), ms(hole.end)) for hole in holes]

    def test_it_is_where_the_last_live_interval_ends(self):
        claim(0, 10)
        claim(20, 30)
        assert self.known() == (31, [])

    def test_what_follows_without_a_break_is_known_too(self):
        claim(0, 10)
        self.gap(11, 20)
        claim(21, 30, Source.REST)
        self.gap(25, 40)
        assert self.known() == (41, [])

    def test_between_what_is_known_are_holes(self):
        claim(0, 10)
        self.gap(50, 60)
        claim(500, 900, Source.ARCHIVE)
        assert self.known() == (901, [(11, 49), (61, 499)])

    def test_a_gap_that_lasts_goes_on(self):
        claim(0, 10)
        self.gap(20, None)
        assert self.known() == (20, [(11, 19)])

    def test_a_gap_that_was_filled_is_known_by_its_interval_alone(self):
        claim(0, 10)
        self.gap(11, 20, state="filled")
        assert self.known() == (11, [])

    def test_without_an_interval_gaps_alone_say_it(self):
        self.gap(0, 10)
        self.gap(30, 40)
        assert self.known() == (41, [(11, 29)])


@pytest.mark.django_db
class TestFilling:
    """What is fetched of a gap becomes an interval of that source."""

    @pytest.fixture
    def gap(self):
        return CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=at(10), ended_at=at(90), reason="lost"
        )

    @pytest.mark.parametrize(
        ("span", "expected"),
        [
            ((0, 100), [(10, 90, "rest")]),
            ((40, 100), [(41, 90, "rest")]),
            ((0, 40), [(10, 39, "rest")]),
            ((40, 60), []),
        ],
    )
    def test_exactly_what_the_gap_has_lost_is_vouched_for(self, gap, span, expected):
        note_attempt(gap.pk, Span(at(span[0]), at(span[1])), rows_added=1)
        assert rows() == expected

    def test_between_live_spans_nothing_is_left_uncovered(self, gap):
        claim(0, 9)
        claim(91, 100)
        note_attempt(gap.pk, Span(at(10), at(90)), rows_added=1)
        assert union(Span(at(a), at(b)) for a, b, _ in rows()) == [Span(at(0), at(100))]

    def test_last_states_of_orders_do_not_make_their_stream_complete(self, gap):
        done = CaptureGap.State.PARTIAL
        note_attempt(gap.pk, Span(at(10), at(90)), rows_added=1, done=done)
        assert rows() == []

    def test_nothing_that_was_not_complete_is_vouched_for(self, gap):
        note_attempt(gap.pk, None, rows_added=1)
        assert rows() == []


numbers = st.integers(0, 40)
spans = st.lists(st.tuples(numbers, numbers).map(sorted).map(lambda p: Span(at(p[0]), at(p[1]))))


def instants(some) -> set[int]:
    return {n for span in some for n in range(ms(span.start), ms(span.end) + 1)}


@given(spans, spans)
def test_spans_are_sets_of_milliseconds(some, others):
    assert instants(union(some)) == instants(some)
    assert instants(minus(some, others)) == instants(some) - instants(others)
    joined = union(some)
    assert all(b.start - a.end > TICK for a, b in pairwise(joined))


def test_a_span_within_a_millisecond_is_none():
    assert on_ticks(at(0) + timedelta(microseconds=1), at(1) - timedelta(microseconds=1)) is None


@pytest.mark.django_db
def test_a_gap_within_an_interval_is_missing_all_the_same():
    start = datetime(2026, 1, 2, tzinfo=UTC)
    second = timedelta(seconds=1)
    vouch("trades", "BTCUSDT", None, start, start + 60 * second, Source.LIVE)
    CaptureGap.objects.create(
        stream="trades", symbol="BTCUSDT", started_at=start + 10 * second,
        ended_at=start + 11 * second, reason="the stream did not bring 3 rows that REST shows",
    )  # fmt: skip
    report = report_on(Feed("trades", "BTCUSDT"), "BTCUSDT", None, None, start + 70 * second)
    assert report is not None
    (hole,) = report.holes
    assert (hole.span.start, hole.span.end) == (start + 10 * second, start + 11 * second)
    assert report.share < 1
