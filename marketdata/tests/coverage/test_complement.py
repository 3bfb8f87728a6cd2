"""Whatever happens to a capture, what is vouched for and what is missing are a whole.

A feed lives through rows, outages, heartbeats, rows in quarantine, kills and fills in any order.
At every moment, from the first thing known of it to the last: intervals and unfilled gaps have
nothing in common, and are everything together but for what has come and waits to be stored (of
which nothing is left after a kill). And every row within an interval is stored.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from marketdata.bybit.records import Reject
from marketdata.capture import books, vouching
from marketdata.capture.beginnings import NOT_BEGUN
from marketdata.capture.books import Books
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import BEAT_MARGIN, TICK, Feed
from marketdata.capture.parts import Part
from marketdata.capture.public_writers import TradeWriter
from marketdata.capture.tally import StreamKey
from marketdata.coverage.gap_rows import Span, note_attempt
from marketdata.coverage.ledger import gaps_of, intervals_of, vouch
from marketdata.coverage.spans import minus, union
from marketdata.models import CaptureGap, CoverageInterval, PublicTrade
from marketdata.tests.records import START, trade

FEED = Feed("trades", "BTCUSDT")
NOW = START + timedelta(days=1)
examples = settings(
    max_examples=15,
    stateful_step_count=30,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


class Life(RuleBasedStateMachine):
    """One feed, its exchange, and the capture that follows it."""

    began_at = START

    def __init__(self):
        super().__init__()
        for model in (CoverageInterval, CaptureGap, PublicTrade):
            model.objects.all().delete()
        self.clock = 0
        self.made: list[int] = []
        # Those of them that are in quarantine: in memory, and safe in the database.
        self.rejected: list[int] = []
        self.set_aside: set[int] = set()
        self.connected_at = 0
        self.is_connected = True
        self._begin()

    def _begin(self):
        self.books = Books()
        self.writer = TradeWriter(self.books.tally, self.books.quarantine)
        part = Part(CaptureConfig(), self.books, None)
        Life.began_at = START + self.clock * TICK
        part._go_on({FEED: partial(PublicTrade.objects.last_ts, FEED.symbol)})

    @rule(gaps=st.lists(st.integers(0, 2), min_size=1, max_size=6))
    def rows_are_made(self, gaps):
        """Several may share their millisecond, also with the last one before."""
        for gap in gaps:
            self.clock += gap
            self.made.append(self.clock)
            if self.is_connected:
                at = START + timedelta(milliseconds=self.clock)
                self.writer.write([trade(len(self.made) - 1, exchange_ts=at)])
                self.books.gaps.note_rows(FEED, at, at)

    @rule(milliseconds=st.integers(1, 20_000))
    def time_passes_with_other_topics_at_work(self, milliseconds: int):
        self.clock += milliseconds
        if self.is_connected:
            at = START + timedelta(milliseconds=self.clock)
            self.books.gaps.beat([FEED], at, START + timedelta(seconds=self.connected_at))

    @rule()
    def the_connection_is_lost_or_made_again(self):
        self.is_connected = not self.is_connected
        if self.is_connected:
            self.connected_at += 1
        else:
            at = START + timedelta(milliseconds=self.clock)
            self.books.gaps.open([FEED], "lost", at)

    @rule()
    def rows_are_stored(self):
        self.writer.flush()

    @rule()
    def a_row_cannot_be_stored(self):
        if self.is_connected:
            self.clock += 1
            reject = Reject("publicTrade.BTCUSDT", "bad", str(self.clock))
            self.books.quarantine.add(StreamKey("trades"), reject)
            self.rejected.append(len(self.made))
            self.made.append(self.clock)

    @rule(times=st.integers(1, 3))
    def the_books_are_kept(self, times):
        for _ in range(times):
            self.books.voucher.look([self.writer])
            self._persist()

    def _persist(self):
        self.books.persist()
        self.set_aside.update(self.rejected)

    @rule()
    def it_is_killed_and_begins_anew(self):
        self.is_connected = True
        self.connected_at += 1
        self.rejected.clear()
        self._begin()
        self._persist()
        stored = set(PublicTrade.objects.values_list("trade_id", flat=True))
        missing = [Span(row.started_at, row.ended_at or NOW) for row in gaps_of(FEED)]
        for number, at in enumerate(self.made):
            moment = START + at * TICK
            if trade(number).trade_id not in stored and number not in self.set_aside:
                assert any(span.start <= moment <= span.end for span in missing), (number, missing)

    @rule()
    def it_stops_and_begins_anew(self):
        # By our own clock, which is finer than the exchange's.
        self.books.gaps.end(START + timedelta(milliseconds=self.clock, microseconds=500))
        self.writer.flush()
        self.books.voucher.look([self.writer], closing=True)
        self._persist()
        self.books.end()
        self.it_is_killed_and_begins_anew()

    @rule(share=st.sampled_from([0.0, 0.5]))
    def a_gap_is_filled(self, share):
        """All of it or its later part, with the rows that belong there."""
        gaps = self._fillable()
        if not gaps:
            return
        gap = gaps[0]
        milliseconds = int((gap.ended_at - gap.started_at) / TICK * share)
        start = gap.started_at + milliseconds * TICK
        rows = self._make_again(Span(start, gap.ended_at))
        # Who asks for a span asks after it: its last millisecond is over by then.
        self.clock = max(self.clock, (gap.ended_at - START) // TICK + 1)
        note_attempt(gap.pk, Span(start, gap.ended_at), rows_added=rows)

    def _fillable(self):
        return [gap for gap in gaps_of(FEED) if gap.ended_at is not None]

    def _make_again(self, span):
        """Store what was made within a span; how many rows that is."""
        rows = [
            trade(number, exchange_ts=START + at * TICK)
            for number, at in enumerate(self.made)
            if span.start <= START + at * TICK <= span.end
        ]
        PublicTrade.objects.bulk_insert([PublicTrade(None, *row) for row in rows])
        return len(rows)

    @invariant()
    def intervals_and_gaps_are_a_whole(self):
        vouched = [Span(row.started_at, row.ended_at) for row in intervals_of(FEED)]
        missing = [Span(row.started_at, row.ended_at or NOW) for row in gaps_of(FEED)]
        # What has come and waits to be stored is not to be vouched for yet, and not missing; gaps
        # wait to be written, too.
        waiting = [Span(life.started_at, life.frontier) for life in self.books.gaps.lives()]
        waiting += [
            Span(gap.started_at, gap.ended_at or NOW) for gap in self.books.gaps.unwritten()
        ]
        waiting = [span for span in waiting if span.start <= span.end]
        whole = union([*vouched, *missing, *(waiting if vouched or missing else [])])
        assert len(whole) <= 1, (vouched, missing, waiting)
        # The trace of a first life lies over all that becomes known before it is gone or filled.
        has_trace = CaptureGap.objects.filter(reason=NOT_BEGUN).exists()
        assert has_trace or minus(vouched, missing) == union(vouched), (vouched, missing)
        total = sum((span.end - span.start + TICK for span in vouched), timedelta())
        assert total == sum(
            (span.end - span.start + TICK for span in union(vouched)), timedelta()
        ), "intervals overlap"

    @invariant()
    def every_row_within_an_interval_is_stored(self):
        vouched = [Span(row.started_at, row.ended_at) for row in intervals_of(FEED)]
        stored = set(PublicTrade.objects.values_list("trade_id", flat=True))
        for number, at in enumerate(self.made):
            moment = START + at * TICK
            if any(span.start <= moment <= span.end for span in vouched):
                assert trade(number).trade_id in stored, (number, at, vouched)


@pytest.mark.django_db
def test_what_is_vouched_for_and_what_is_missing_are_a_whole(monkeypatch):
    monkeypatch.setattr(vouching, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(books.timezone, "now", lambda: Life.began_at)
    assert timedelta(seconds=20) > 2 * BEAT_MARGIN
    run_state_machine_as_test(Life, settings=examples)


@pytest.mark.django_db
def test_a_kill_before_the_rows_around_a_gap_were_vouched_for_leaves_no_hole():
    at = [START + n * TICK for n in range(1000)]
    vouch(*FEED, at[0], at[10], "live")
    CaptureGap.objects.create(
        stream="trades", symbol="BTCUSDT", started_at=at[50], ended_at=at[60], reason="lost"
    )
    books = Books()
    Part(CaptureConfig(), books, None)._go_on({FEED: lambda: at[999]})
    books.gaps.note_rows(FEED, at[500], at[500])
    books.persist()
    missing = [Span(row.started_at, row.ended_at) for row in gaps_of(FEED)]
    assert missing == [Span(at[11], at[49]), Span(at[50], at[60]), Span(at[61], at[500])]
