"""What is vouched for is stored, at every moment of a prune and whatever ends it."""

from __future__ import annotations

import os
import signal
import threading

import pytest
from django.db import connection

from marketdata.capture.feeds import Feed
from marketdata.coverage.frontier import frontiers
from marketdata.coverage.gap_rows import note_attempt, note_early, open_gaps, unfinished_gaps
from marketdata.coverage.ledger import Source, grow, intervals_of, vouch
from marketdata.coverage.pruned import REASON, reopen
from marketdata.coverage.report import report_on
from marketdata.coverage.spans import TICK
from marketdata.models import CaptureGap, CoverageInterval, PublicTrade
from marketdata.prune.lots import Chunk, Facts
from marketdata.tests.prune.scene import (
    FEED,
    at,
    captured,
    gap,
    minutes_left,
    missing,
    prune,
    pruning_before,
    store_trades,
    vouched,
    whole_span,
)

pytestmark = pytest.mark.django_db


class Killed(BaseException):
    """The process is no more."""


def died_at(deletions: int) -> int:
    """Prune in a process that is killed at its so many-th deletion; the signal it died of."""
    connection.close()
    child = os.fork()
    if not child:
        delete, calls = Facts._delete, []

        def killed(*args):
            calls.append(args)
            if len(calls) == deletions:
                os.kill(os.getpid(), signal.SIGKILL)
            return delete(*args)

        Facts._delete = killed  # type: ignore[method-assign]
        try:
            pruning = pruning_before(at(40))
            pruning.pace.rows = 10
            pruning.run(threading.Event(), lambda rows: None)
        finally:
            os._exit(1)
    return os.WTERMSIG(os.waitpid(child, 0)[1])


def claims_hold():
    """Whether every minute of the hour that is vouched for has its trade."""
    stored = set(minutes_left())
    return all(
        minute in stored
        for start, end in vouched()
        for minute in range(60)
        if start <= minute < end
    )


class TestOrder:
    """First the claim goes, then the rows."""

    def test_what_is_older_goes_and_the_ledger_says_so(self):
        captured()
        pruning = prune(at(40))
        assert (pruning.due, pruning.deleted, minutes_left()) == (40, 40, list(range(40, 60)))
        assert vouched() == [(40, 60)]
        assert missing() == [(0, 40, "pruned")]

    def test_a_kill_before_the_first_row_went_leaves_no_claim(self, monkeypatch):
        captured()

        def killed(*args) -> None:
            raise Killed

        with monkeypatch.context() as patched:
            patched.setattr(Facts, "_delete", killed)
            with pytest.raises(Killed):
                prune(at(40))
        assert (len(minutes_left()), vouched(), missing()) == (60, [(40, 60)], [(0, 40, "pruned")])
        assert prune(at(40)).deleted == 40
        assert missing() == [(0, 40, "pruned")]

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize(("deletions", "gone"), [(1, 0), (3, 20)])
    def test_kill_9_leaves_no_claim_over_what_went(self, monkeypatch, deletions, gone):
        """Before the first row went, and in the middle of them."""
        captured()
        monkeypatch.setattr("marketdata.prune.pruner.LEAST_ROWS", 10)
        monkeypatch.setattr("marketdata.prune.pruner.MOST_ROWS", 10)
        assert died_at(deletions) == signal.SIGKILL
        assert (len(minutes_left()), vouched()) == (60 - gone, [(40, 60)])
        assert prune(at(40)).deleted == 40 - gone
        assert (vouched(), missing()) == ([(40, 60)], [(0, 40, "pruned")])

    def test_the_claims_hold_after_every_transaction(self, monkeypatch):
        captured()
        pruning = pruning_before(at(40))
        pruning.pace.rows, held = 7, []
        monkeypatch.setattr("marketdata.prune.pruner.LEAST_ROWS", 7)
        monkeypatch.setattr("marketdata.prune.pruner.MOST_ROWS", 7)
        pruning.run(threading.Event(), lambda rows: held.append((rows, claims_hold())))
        assert held == [(7, True)] * 5 + [(5, True)]

    def test_a_stop_leaves_the_rest_to_the_next(self):
        captured()
        pruning, stop = pruning_before(at(40)), threading.Event()
        pruning.pace.rows = 10

        def told(rows: int) -> None:
            stop.set()

        pruning.run(stop, told)
        assert (pruning.is_stopped, pruning.deleted, missing()) == (True, 10, [(0, 40, "pruned")])
        assert (prune(at(40)).deleted, minutes_left()) == (30, list(range(40, 60)))

    def test_many_rows_of_one_millisecond_are_not_too_many(self):
        captured(10)
        PublicTrade.objects.filter(exchange_ts__lt=at(8)).update(exchange_ts=at(3))
        pruning = pruning_before(at(5))
        pruning.pace.rows = 2
        pruning.run(threading.Event(), lambda rows: None)
        assert minutes_left() == [8, 9]

    def test_another_prune_makes_the_same_row_longer(self):
        captured()
        prune(at(20))
        row = CaptureGap.objects.get()
        prune(at(40))
        assert CaptureGap.objects.get().pk == row.pk
        assert missing() == [(0, 40, "pruned")]

    def test_nothing_is_due_twice(self):
        captured()
        prune(at(40))
        before = list(CaptureGap.objects.values())
        pruning = prune(at(40))
        assert (pruning.due, pruning.deleted, list(CaptureGap.objects.values())) == (0, 0, before)


class TestKept:
    """What the next capture takes up is never pruned."""

    def test_the_newest_row_stays_however_old_it_is(self):
        store_trades(*range(10))
        vouch(*FEED, at(0), at(30) - TICK, Source.LIVE)
        prune(at(60))
        assert (minutes_left(), vouched()) == ([9], [(9, 30)])

    def test_what_came_after_the_last_claim_stays(self):
        store_trades(*range(20))
        vouch(*FEED, at(0), at(10), Source.LIVE)
        prune(at(60))
        assert minutes_left() == list(range(10, 20))

    @pytest.mark.parametrize("until", [20, 60])
    def test_capture_goes_on_where_it_would_have(self, until):
        captured()
        gap(60, None)
        before = frontiers([FEED])
        prune(at(until))
        assert frontiers([FEED]) == before

    def test_a_feed_without_live_claims_goes_on_behind_what_was_pruned(self):
        store_trades(*range(10))
        vouch(*FEED, at(0), at(20) - TICK, Source.ARCHIVE)
        prune(at(60))
        assert frontiers([FEED])[FEED].start == at(20)


class TestGaps:
    """What nobody will fill is asked for by nobody."""

    def test_gaps_in_it_end_as_pruned(self):
        captured()
        inside = gap(10, 20)
        across = gap(35, 45, state="partial", evidence={"outages": 2})
        filled, lasting = gap(5, 8, state="filled"), gap(30, None)
        prune(at(40))
        rows = {row.pk: row for row in CaptureGap.objects.all()}
        assert rows[inside.pk].state == "pruned"
        assert (rows[across.pk].state, rows[across.pk].started_at) == ("partial", at(40))
        assert rows[across.pk].evidence["first"]["started_at"] == at(35).isoformat()
        assert rows[across.pk].evidence["outages"] == 2
        assert rows[filled.pk].state == "filled"
        assert (rows[lasting.pk].state, rows[lasting.pk].started_at) == ("open", at(30))
        assert open_gaps(stream="trades") == []
        asked = unfinished_gaps(whole_span(0, 60), stream="trades", symbol="BTCUSDT")
        assert [row.pk for row in asked] == [lasting.pk, across.pk]

    @pytest.mark.parametrize("note", [note_attempt, note_early])
    def test_one_that_is_being_asked_for_stays_pruned(self, note):
        captured()
        asked = gap(10, 20)
        prune(at(40))
        span = whole_span(10, 20)
        told = (
            note(asked.pk, span, rows_added=3)
            if note is note_attempt
            else note(asked.pk, rows_added=3, until=span.end)
        )
        asked.refresh_from_db()
        assert (told, asked.state, asked.rows_added) == ({}, "pruned", 0)
        assert vouched() == [(40, 60)]

    def test_one_that_ends_later_vouches_for_what_is_kept_alone(self):
        captured()
        lasting = gap(30, None)
        prune(at(40))
        CaptureGap.objects.filter(pk=lasting.pk).update(ended_at=at(50) - TICK)
        note_attempt(lasting.pk, whole_span(30, 50))
        assert vouched() == [(40, 60)]
        assert missing() == [(0, 40, "pruned")]

    def test_a_prune_swallows_what_it_meets(self):
        captured()
        prune(at(10))
        reopen(FEED, whole_span(4, 6))
        assert missing() == [(0, 4, "pruned"), (4, 6, "open"), (6, 10, "pruned")]
        prune(at(20))
        assert [row for row in missing() if row[2] == "open"] == []
        assert CaptureGap.objects.filter(reason=REASON).count() == 1


class TestCaptureAtWork:
    """A capture lengthens the interval of its life, and may claim all of it once more."""

    def test_its_interval_begins_later_and_grows_on(self):
        captured()
        [row] = intervals_of(FEED)
        prune(at(40))
        assert grow({row.pk: at(70) - TICK}) == 1
        assert vouched() == [(40, 70)]

    def test_a_life_that_is_claimed_anew_leaves_out_what_was_pruned(self):
        captured()
        prune(at(40))
        CoverageInterval.objects.all().delete()
        vouch(*FEED, at(0), at(70) - TICK, Source.LIVE)
        assert vouched() == [(40, 70)]

    def test_other_feeds_are_left_alone(self):
        captured()
        other = Feed("trades", "ETHUSDT")
        store_trades(*range(60), symbol="ETHUSDT")
        vouch(*other, at(0), at(60) - TICK, Source.LIVE)
        prune(at(40))
        assert (vouched(other), missing(other), len(minutes_left(other))) == ([(0, 60)], [], 60)

    def test_what_is_wanted_again_meanwhile_is_not_deleted(self):
        captured()
        pruning, left = pruning_before(at(40)), []
        pruning.pace.rows = 10

        def told(rows: int) -> None:
            if not left:
                reopen(FEED, whole_span(20, 30))
            left.append(rows)

        pruning.run(threading.Event(), told)
        assert sum(left) == 30
        assert minutes_left() == [*range(20, 30), *range(40, 60)]


class TestReport:
    """Coverage begins behind what was pruned, and names it where it is asked for."""

    def test_all_that_is_kept_is_complete(self):
        captured()
        prune(at(40))
        report = report_on(FEED, "BTCUSDT", None, None, at(60))
        assert (report.asked, report.holes) == (whole_span(40, 60), [])
        assert report.pruned == at(40) - TICK

    def test_what_reaches_into_it_is_not(self):
        captured()
        prune(at(40))
        report = report_on(FEED, "BTCUSDT", at(30), None, at(60))
        [hole] = report.holes
        assert (hole.span, hole.state) == (whole_span(30, 40), "pruned")
        assert hole.reason == REASON
        assert round(report.share, 3) == 0.667


def test_the_pace_follows_the_database():
    pace = pruning_before(at(0)).pace
    pace.took(Chunk(2000, 0.1))
    assert (pace.rows, pace.longest_seconds) == (4000, 0.1)
    pace.took(Chunk(4000, 0.25))
    assert (pace.rows, pace.longest_seconds) == (3200, 0.25)
    pace.took(Chunk(3200, 4.0))
    assert (pace.rows, pace.longest_seconds) == (2000, 4.0)
    for _ in range(20):
        pace.took(Chunk(pace.rows, 0.0))
    assert pace.rows == 50_000


def test_claims_before_the_first_row_are_taken_back_too():
    store_trades(5, 50)
    vouch(*FEED, at(0), at(60) - TICK, Source.LIVE)
    prune(at(40))
    assert (vouched(), missing()) == ([(40, 60)], [(0, 40, "pruned")])
