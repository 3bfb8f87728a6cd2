"""Strips: every instant in the state that counts, and no outage too short to be seen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as some

from marketdata.coverage.spans import TICK, Span
from marketdata.dashboard.strips import (
    MISSING,
    PRECEDENCE,
    SHAPES,
    WORDS,
    State,
    duration,
    in_words,
    pieces,
    runs,
    share,
)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def span(start: float, end: float) -> Span:
    """From a minute to just before another."""
    return Span(at(start), at(end) - TICK)


WINDOW = span(0, 60)


def outline(found):
    return [(piece.state, (piece.start - NOON) / HOUR * 60) for piece in found]


def test_a_gap_counts_where_an_interval_speaks_of_it_too():
    found = pieces(WINDOW, [(State.COVERED, span(0, 60)), (State.OPEN, span(20, 30))])
    assert outline(found) == [(State.COVERED, 0), (State.OPEN, 20), (State.COVERED, 30)]
    assert share(found) == 50 / 60


def test_what_nothing_vouches_for_within_a_life_is_missing_and_outside_of_it_unknown():
    claims = [(State.UNVOUCHED, span(10, 50)), (State.COVERED, span(10, 20)),
              (State.FILLED, span(30, 50))]  # fmt: skip
    found = pieces(WINDOW, claims)
    assert outline(found) == [
        (State.UNKNOWN, 0), (State.COVERED, 10), (State.UNVOUCHED, 20), (State.FILLED, 30),
        (State.UNKNOWN, 50),
    ]  # fmt: skip
    assert share(found) == 30 / 40


def test_nothing_known_has_no_share_and_says_so():
    found = pieces(WINDOW, [(State.COVERED, span(-30, -10))])
    assert outline(found) == [(State.UNKNOWN, 0)]
    assert share(found) is None
    assert runs(found) == []
    assert in_words(found) == "Nothing is known of this time."


def test_an_outage_of_a_millisecond_is_a_column_wide():
    gap = Span(at(30), at(30))
    [before, missing, after] = runs(
        pieces(WINDOW, [(State.COVERED, WINDOW), (State.OPEN, gap)]), columns=60
    )
    assert (before.state, after.state) == (State.COVERED, State.COVERED)
    assert missing[:3] == (State.OPEN, 30, 31)
    assert missing.path == "M30 0h1v24h-1z"
    assert missing.words == "03-01 12:30:00 to 03-01 12:31:00: open gap"


def test_a_stretch_that_ends_with_a_column_leaves_the_next_one_alone():
    found = pieces(WINDOW, [(State.COVERED, span(0, 60)), (State.LOST, span(10, 11))])
    assert [run[:3] for run in runs(found, columns=60)] == [
        (State.COVERED, 0, 10),
        (State.LOST, 10, 11),
        (State.COVERED, 11, 60),
    ]


def test_each_state_has_a_shape_of_its_own():
    """So that nobody needs its colour."""
    assert len(set(SHAPES.values())) == len(State) - 1


def test_the_words_tell_of_each_state_and_of_silence():
    claims = [(State.COVERED, span(0, 40)), (State.OPEN, span(5, 6)), (State.OPEN, span(10, 12))]
    assert in_words(pieces(WINDOW, claims)) == (
        "Open gap 3 min in 2 pieces, covered live 37 min in 3 pieces, nothing since 03-01 12:40:00."
    )


def test_durations_have_two_units_at_most():
    asked = (0.001, 59.94, 60, 125, 3600, 86_399, 400_000)
    assert [duration(seconds) for seconds in asked] == [
        *("0.001 s", "59.9 s", "1 min", "2 min 5 s", "1 h", "23 h 59 min", "4 d 15 h"),
    ]


ticks = some.integers(-20, 120)
claims = some.lists(some.tuples(some.sampled_from(PRECEDENCE), ticks, ticks), max_size=12)


@given(claims)
def test_pieces_are_what_asking_each_instant_would_say(drawn):
    """A window of a hundred ticks, asked tick by tick."""
    window = Span(NOON, NOON + 99 * TICK)
    spans = [
        (state, Span(NOON + min(a, b) * TICK, NOON + max(a, b) * TICK)) for state, a, b in drawn
    ]
    found = pieces(window, spans)
    told = [piece.state for piece in found for _ in range((piece.end - piece.start) // TICK)]
    asked = []
    for n in range(100):
        speaking = {state for state, each in spans if each.start <= NOON + n * TICK <= each.end}
        asked.append(next((state for state in PRECEDENCE if state in speaking), State.UNKNOWN))
    assert told == asked
    assert all(one.end == two.start and one.state != two.state for one, two in pairwise(found))
    drawn_states = {run.state for run in runs(found, columns=7)}
    assert bool(drawn_states & MISSING) == bool(set(asked) & MISSING)
    assert set(WORDS) == set(State)
