"""Whatever happens to a capture and whenever retention prunes, what is vouched for is stored."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test

from marketdata.capture import books, vouching
from marketdata.capture.feeds import TICK
from marketdata.coverage.gap_rows import note_attempt, unfinished_gaps
from marketdata.coverage.ledger import Source, gaps_of, intervals_of, vouch
from marketdata.coverage.pruned import reopen
from marketdata.coverage.spans import Span
from marketdata.models import CaptureGap
from marketdata.prune.lots import Facts
from marketdata.prune.pruner import pruning_of
from marketdata.tests.coverage.test_complement import FEED, Life, examples
from marketdata.tests.records import START


class PrunedLife(Life):
    """The same life, with a prune now and then: whole, broken off, or taken back."""

    def __init__(self):
        super().__init__()
        self.claimed: list[Span] = []

    @rule(age=st.integers(0, 30), chunk=st.integers(1, 5), stops_after=st.integers(0, 4))
    def it_is_pruned(self, age: int, chunk: int, stops_after: int):
        """With 0 all of it goes; else it ends after so many transactions."""
        self._remember_claims()
        pruning = pruning_of([(Facts(FEED, FEED.symbol), self._ago(age))])
        pruning.pace.rows = chunk
        stop, gone = threading.Event(), []

        def told(rows: int) -> None:
            gone.append(rows)
            if len(gone) == stops_after:
                stop.set()

        pruning.run(stop, told)

    @rule(age=st.integers(0, 30))
    def it_is_killed_before_the_first_row_goes(self, age: int):
        self._remember_claims()
        lot = Facts(FEED, FEED.symbol)
        until = lot.until(self._ago(age))
        if any(lot.due(until).values()):
            lot.declare(until)

    @rule()
    def all_that_was_vouched_for_is_claimed_once_more(self):
        """As by a repair that was asked for before the prune."""
        for span in self.claimed:
            vouch(*FEED, span.start, span.end, Source.REST)

    @rule()
    def what_was_pruned_is_said_to_be_filled(self):
        """As by a repair of a gap that was pruned while REST was asked."""
        for gap in CaptureGap.objects.filter(state="pruned").exclude(ended_at=None):
            assert note_attempt(gap.pk, Span(gap.started_at, self._ago(0))) == {}

    @rule(age=st.integers(1, 30), length=st.integers(0, 10))
    def an_archive_brings_some_of_it_back(self, age, length):
        end = self._ago(age)
        span = Span(end - length * TICK, end)
        if reopen(FEED, span):
            self._make_again(span)
            for gap in unfinished_gaps(span, stream=FEED.stream, symbol=FEED.symbol):
                if gap.ended_at and span.start <= gap.started_at and gap.ended_at <= span.end:
                    note_attempt(gap.pk, Span(gap.started_at, gap.ended_at))

    def _fillable(self):
        return [gap for gap in super()._fillable() if gap.state != "pruned"]

    def _remember_claims(self):
        self.claimed = [Span(row.started_at, row.ended_at) for row in intervals_of(FEED)]

    def _ago(self, milliseconds: int) -> datetime:
        return START + timedelta(milliseconds=max(self.clock - milliseconds, 0))


@pytest.mark.django_db
def test_no_claim_is_ever_false_whenever_it_is_pruned(monkeypatch):
    monkeypatch.setattr(vouching, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(books.timezone, "now", lambda: Life.began_at)
    run_state_machine_as_test(PrunedLife, settings=examples)


@pytest.mark.django_db
def test_the_machine_does_prune(monkeypatch):
    """Its rules reach what they are about: a life by hand."""
    monkeypatch.setattr(vouching, "EVERY_SECONDS", 0.0)
    monkeypatch.setattr(books.timezone, "now", lambda: Life.began_at)
    life = PrunedLife()
    life.rows_are_made([1] * 6)
    life.rows_are_stored()
    life.the_books_are_kept(2)
    life.it_is_pruned(2, 1, 2)
    assert [row.state for row in gaps_of(FEED)] == ["pruned"]
    life.an_archive_brings_some_of_it_back(4, 1)
    life.every_row_within_an_interval_is_stored()
    assert len(intervals_of(FEED)) > 1
