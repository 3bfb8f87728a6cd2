"""The life of test_complement, with a topic that falls silent, audits, and leaving.

While a topic is silent and was not audited, a claim may be false. Once an audit has found it out,
nothing is: whatever was made and is not stored lies in a gap.
"""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from types import SimpleNamespace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule, run_state_machine_as_test

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.bybit.records import Parsed
from marketdata.capture import books as books_module
from marketdata.capture import vouching
from marketdata.capture.audits import Audits
from marketdata.capture.beginnings import NOT_BEGUN
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import TICK
from marketdata.capture.links import Link
from marketdata.capture.parts import NOT_RUNNING, Part
from marketdata.capture.private_part import LEFT
from marketdata.coverage import trades as trades_module
from marketdata.coverage.gap_rows import Span
from marketdata.coverage.ledger import gaps_of, intervals_of
from marketdata.coverage.reconciler import GapReconciler
from marketdata.models import PublicTrade, Stream
from marketdata.tests.coverage.test_complement import FEED, NOW, Life, examples
from marketdata.tests.records import START, trade

REACH = 6
# More of them, by hand, after a change to claims.
EXAMPLES = 5


class AuditedLife(Life):
    """A life of which REST shows the last few trades."""

    is_silent = False
    was_silent = False

    @rule(gaps=st.lists(st.integers(0, 2), min_size=1, max_size=6))
    def rows_are_made(self, gaps):
        for gap in gaps:
            self.clock += gap
            self.made.append(self.clock)
            self.was_silent |= self.is_silent and self.is_connected
            if self.is_connected and not self.is_silent:
                at = START + timedelta(milliseconds=self.clock)
                self.writer.write([trade(len(self.made) - 1, exchange_ts=at)])
                self.books.gaps.note_rows(FEED, at, at)

    @rule()
    def the_topic_falls_silent(self):
        self.is_silent = True

    @rule()
    def rows_are_stored(self):
        self.writer.flush()

    def _answer(self):
        return [
            trade(n, exchange_ts=START + at * TICK)
            for n, at in enumerate(self.made)
            if n not in self.set_aside and n not in self.rejected
        ]

    @precondition(lambda self: self.is_connected)
    @rule(is_beaten=st.booleans())
    def it_is_audited(self, is_beaten):
        if is_beaten:
            self.time_passes_with_other_topics_at_work(6000)
        one = GapReconciler(
            Environment.SANDBOX, Endpoints(rest="http://127.0.0.1:1"), lag=0.0,
            settle=lambda stream: self.audits.settle(self.link, stream),
        )  # fmt: skip
        client = SimpleNamespace(
            get_recent_trades=lambda symbol, limit: Parsed(self._answer()[-REACH:], []),
            close=lambda: None,
        )
        one._client = lambda context=None: client
        finding = self.audits.ask(self.link, one)
        for span in finding.unseen:
            self.books.voucher.revoke(FEED, span)
        self.the_books_are_kept(1)
        if not self.is_silent:
            self._check_nothing_is_lost()

    def _renew(self, life, reason):
        self.is_silent = False
        self.connected_at += 1

    def _check_nothing_is_lost(self):
        self.writer.flush()
        stored = set(PublicTrade.objects.values_list("trade_id", flat=True))
        missing = [Span(r.started_at, r.ended_at or NOW) for r in gaps_of(FEED)]
        missing += [Span(g.started_at, g.ended_at or NOW) for g in self.books.gaps.unwritten()]
        vouched = [Span(r.started_at, r.ended_at) for r in intervals_of(FEED)]
        for number, at in enumerate(self.made):
            moment = START + at * TICK
            row_is = trade(number).trade_id in stored or number in self.set_aside
            claimed = any(s.start <= moment <= s.end for s in vouched)
            if not row_is and claimed:
                assert any(s.start <= moment <= s.end for s in missing), (number, at, vouched)

    @rule()
    def it_is_left_and_served_again(self):
        at = START + timedelta(milliseconds=self.clock)
        self.books.gaps.open([FEED], LEFT, at)
        self.books.gaps.end(at, [FEED])
        self.books.leave([FEED], at)
        # The service keeps its books between the two, as the connection has to end first.
        self.the_books_are_kept(1)
        self.clock += 1
        self.connected_at += 1
        self.is_connected = True
        Life.began_at = START + self.clock * TICK
        Part._go_on(self.part, {FEED: partial(PublicTrade.objects.last_ts, FEED.symbol)})
        self._persist()

    def _begin(self):
        super()._begin()
        config = CaptureConfig(topic_silence=0.0)
        self.part = Part(config, self.books, None)
        self.audits = Audits(config, self.books)
        supervisor = SimpleNamespace(lives=1, lives_on=lambda life: True, renew=self._renew)
        self.link = Link(
            name=FEED.symbol,
            symbol=FEED.symbol,
            supervisor=supervisor,
            writers={Stream.TRADES: self.writer},
        )

    @rule()
    def it_is_killed_and_begins_anew(self):
        # Of what a silent topic did not bring nothing is known yet.
        self.is_connected = True
        self.connected_at += 1
        self.rejected.clear()
        self._begin()
        self._persist()

    @invariant()
    def intervals_and_gaps_are_a_whole(self):
        if not self.was_silent:
            super().intervals_and_gaps_are_a_whole()

    @invariant()
    def every_row_within_an_interval_is_stored(self):
        if not self.was_silent:
            super().every_row_within_an_interval_is_stored()


@pytest.fixture
def short_reach(monkeypatch):
    """No pause between looks, and REST that shows few trades."""
    monkeypatch.setattr(vouching, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(trades_module, "MOST_RECENT_TRADES", REACH)
    monkeypatch.setattr(books_module.timezone, "now", lambda: Life.began_at)


@pytest.mark.django_db
@pytest.mark.usefixtures("short_reach")
def test_what_waits_to_be_stored_when_an_account_is_served_again_is_no_hole():
    life = AuditedLife()
    life.it_is_left_and_served_again()
    life.rows_are_made([0, 2])
    life.it_is_left_and_served_again()
    life.rows_are_stored()
    life.the_books_are_kept(1)
    life.intervals_and_gaps_are_a_whole()
    assert [gap.reason for gap in gaps_of(FEED)] == [LEFT, NOT_RUNNING, LEFT, NOT_RUNNING]
    assert len(intervals_of(FEED)) == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("short_reach")
def test_the_trace_of_a_first_life_goes_also_when_it_is_vouched_for_after_it_was_left():
    life = AuditedLife()
    life.rows_are_made([0, 2])
    life.it_is_left_and_served_again()
    reasons = [NOT_BEGUN, LEFT, NOT_RUNNING]
    assert [gap.reason for gap in gaps_of(FEED)] == reasons
    life.rows_are_stored()
    life.the_books_are_kept(1)
    life.intervals_and_gaps_are_a_whole()
    assert [gap.reason for gap in gaps_of(FEED)] == reasons[1:]
    assert len(intervals_of(FEED)) == 1


@pytest.mark.django_db
@pytest.mark.usefixtures("short_reach")
def test_once_an_audit_has_found_a_silent_topic_out_nothing_is_lost():
    run_state_machine_as_test(AuditedLife, settings=settings(examples, max_examples=EXAMPLES))
