"""When something is told: examples, and what holds for every course of events."""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from gridbot_site.notifications.conditions import Condition, Key, Kind, Severity
from gridbot_site.notifications.rules import AGAIN, Limits, What, heard, look, speak, unheard

START = datetime(2026, 1, 31, 14, 3, tzinfo=UTC)
LIMITS = Limits(steady=timedelta(seconds=20), quiet=timedelta(minutes=15))
STALE = Key(Kind.STREAM_STALE, "trades")
DISK = Key(Kind.DISK_LOW, "spool")
W, C = Severity.WARNING, Severity.CRITICAL
ALERTS = (What.BEGAN, What.WORSE, What.BETTER, What.LASTS)


class Teller:
    """Looks in turn, with a clock of its own."""

    def __init__(self):
        self.entries, self.now, self.said, self.untaken = {}, START, [], []

    def look(self, severities, *, after=30, unknown=(), is_taken=True):
        self.now += timedelta(seconds=after)
        found = {
            key: Condition(level, f"{level.name}") for key, level in severities.items() if level
        }
        self.entries = look(self.entries, found, unknown, self.now, LIMITS)
        after, events = speak(self.entries, self.now, LIMITS)
        if is_taken:
            self.entries = after
            self.said += [(self.now, event) for event in events]
        else:
            self.entries = unheard(self.entries, events, self.now)
            self.untaken = events or self.untaken
        return [(event.what.value, event.suppressed) for event in events]

    def looks(self, *levels, **options):
        """One look after the other at a single condition; all that was said."""
        return [said for level in levels for said in self.look({STALE: level}, **options)]


def test_what_stays_is_told_once_and_so_is_its_end():
    teller = Teller()
    assert teller.looks(C) == []
    assert teller.looks(C) == [("began", 0)]
    assert teller.looks(C, C, C) == []
    assert teller.looks(None) == []
    assert teller.looks(None) == [("over", 0)]
    assert teller.said[-1][1].lasted == timedelta(seconds=150)
    assert teller.looks(*[None] * 30) == []
    assert teller.entries == {}


def test_what_comes_and_goes_between_two_looks_is_not_believed():
    teller = Teller()
    assert teller.looks(*[C, None] * 50) == []
    assert teller.looks(None, None) == []


def test_what_comes_back_is_counted_and_told_when_it_has_been_quiet_for_long_enough():
    teller = Teller()
    assert teller.looks(W, W, None, None) == [("began", 0), ("over", 0)]
    assert teller.looks(W, W, None, None, W, W, None, None) == []
    assert teller.looks(*[None] * 40) == [("came and went", 2)]
    assert teller.looks(W, W) == [("began", 0)]


def test_what_still_is_wrong_after_the_quiet_time_is_told_with_what_came_before():
    teller = Teller()
    teller.looks(W, W, None, None, W, W, None, None)
    assert teller.looks(*[W] * 40) == [("began", 1)]


def test_what_becomes_worse_is_told_at_once_even_in_the_quiet_time():
    teller = Teller()
    assert teller.looks(W, W, C, C) == [("began", 0), ("worse", 0)]
    assert teller.looks(None, None, C, C) == [("over", 0)]
    teller = Teller()
    assert teller.looks(W, W, None, None, C, C) == [("began", 0), ("over", 0), ("began", 0)]


def test_what_becomes_better_is_told_after_the_quiet_time():
    teller = Teller()
    assert teller.looks(C, C, W, W, W) == [("began", 0)]
    assert teller.looks(*[W] * 30) == [("better", 0)]


def test_what_lasts_is_told_again():
    teller = Teller()
    teller.looks(C, C)
    assert teller.looks(C, after=AGAIN[C].total_seconds() - 1) == []
    assert teller.looks(C, C, after=1) == [("lasts", 0)]


def test_what_nobody_can_judge_stays_as_it_was():
    teller = Teller()
    teller.looks(C, C)
    assert teller.looks(None, None, None, unknown={Kind.STREAM_STALE}) == []
    assert teller.looks(None, None) == [("over", 0)]


def test_what_was_seen_once_before_nobody_could_judge_it_is_not_believed_at_once():
    teller = Teller()
    assert teller.looks(C) == []
    assert teller.looks(*[None] * 9, unknown={Kind.STREAM_STALE}) == []
    assert teller.looks(C, after=5) == []
    assert teller.looks(None, None) == []


def test_what_nobody_took_is_said_again_as_it_is_then():
    teller = Teller()
    assert teller.looks(W, W, W, is_taken=False) == [("began", 0), ("began", 0)]
    assert teller.looks(C, C, is_taken=False) == [("began", 0)]
    assert teller.looks(C) == [("began", 0)]
    assert teller.said[-1][1].severity == C


def test_what_nobody_takes_is_tried_less_and_less_often_and_at_once_when_worse():
    teller, tried = Teller(), []
    for minute in range(60):
        if teller.looks(W, after=60, is_taken=False):
            tried.append(minute)
    assert tried == [1, 2, 3, 5, 9, 17, 32, 47]
    assert teller.looks(C, C, after=60, is_taken=False) == [("began", 0)]
    assert teller.looks(C, after=60) == [("began", 0)]
    assert teller.looks(*[C] * 30) == []


def test_an_answer_that_comes_late_is_one():
    teller = Teller()
    teller.looks(C, C, is_taken=False)
    teller.entries = heard(teller.entries, teller.untaken, teller.now)
    assert teller.looks(*[C] * 40) == []
    assert teller.looks(None, None) == [("over", 0)]


def test_an_answer_that_comes_when_all_is_over_leaves_nothing_uncounted():
    teller = Teller()
    teller.looks(C, C, is_taken=False)
    began = teller.untaken
    teller.looks(None, None, is_taken=False)
    teller.entries = heard(teller.entries, began, teller.now)
    assert teller.looks(None) == [("over", 0)]
    assert teller.looks(*[None] * 40) == []
    assert teller.entries == {}


def test_what_nobody_took_and_is_over_is_counted():
    teller = Teller()
    teller.looks(W, W, None, None, is_taken=False)
    assert teller.looks(None) == [("came and went", 1)]


def test_a_clock_that_is_set_back_silences_nothing():
    teller = Teller()
    teller.looks(W, W, None, None)
    teller.now -= timedelta(days=365)
    assert teller.looks(*[W] * 40) == [("began", 0)]


def test_the_gravest_is_said_first_and_what_is_over_last():
    teller = Teller()
    teller.look({DISK: C})
    teller.look({DISK: C})
    teller.look({STALE: W, Key(Kind.GAP_OPEN): C})
    teller.look({STALE: W, Key(Kind.GAP_OPEN): C})
    assert [event.key.kind for _, event in teller.said[1:]] == [
        Kind.GAP_OPEN, Kind.STREAM_STALE, Kind.DISK_LOW,
    ]  # fmt: skip


LEVEL = st.sampled_from([None, W, C])
COURSE = st.lists(
    st.tuples(LEVEL, LEVEL, st.integers(1, 900), st.booleans(), st.booleans()), max_size=60
)


def run(course):
    """A course of looks; the teller, and of each look what was seen of the first condition."""
    teller = Teller()
    for first, second, after, is_known, is_taken in course:
        unknown = () if is_known else (Kind.STREAM_STALE,)
        teller.look({STALE: first, DISK: second}, after=after, unknown=unknown, is_taken=is_taken)
    return teller


@settings(max_examples=100, deadline=None)
@given(COURSE, LEVEL, LEVEL)
def test_recipients_come_to_believe_what_is_so(course, first, second):
    teller = run(course)
    for _ in range(40):
        teller.look({STALE: first, DISK: second})
    told = {}
    for _, event in teller.said:
        told[event.key] = None if event.is_over else event.severity
    assert (told.get(STALE), told.get(DISK)) == (first, second)
    assert teller.look({STALE: first, DISK: second}) == []


@settings(max_examples=100, deadline=None)
@given(COURSE)
def test_messages_about_one_condition_make_sense_in_their_order(course):
    told = {}
    for _, event in run(course).said:
        before = told.get(event.key)
        if event.what in (What.BEGAN, What.CAME_AND_WENT):
            assert before is None
        else:
            assert before is not None
        if event.what in (What.WORSE, What.BETTER):
            assert (event.severity > before) == (event.what is What.WORSE)
            assert event.severity != before
        told[event.key] = None if event.is_over else event.severity


@settings(max_examples=100, deadline=None)
@given(COURSE)
def test_an_alert_that_is_no_worse_than_the_last_waits_for_the_quiet_time(course):
    last = {}
    for at, event in run(course).said:
        if event.what not in ALERTS:
            continue
        if event.key in last:
            before, severity = last[event.key]
            assert at - before >= LIMITS.quiet or event.severity > severity
        last[event.key] = at, event.severity


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([None, W]), st.integers(20, 900)), max_size=60))
def test_every_time_that_was_believed_is_told_or_counted(course):
    # Every look is at least `steady` after the last, so two alike in a row are believed.
    teller, episodes = Teller(), 0
    believed = before = None
    for level, after in [*course, *[(None, 30)] * 40]:
        teller.look({STALE: level}, after=after)
        if level == before and level != believed:
            episodes += level is None
            believed = level
        before = level
    counts = defaultdict(int)
    for _, event in teller.said:
        counts[event.what] += 1
        counts["suppressed"] += event.suppressed
    assert counts[What.BEGAN] + counts["suppressed"] == episodes
    assert counts[What.OVER] == counts[What.BEGAN]
    assert teller.entries == {}
