"""The window that a query string asks for, and its axis."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from marketdata.dashboard.window import LENGTHS, MOST_LABELS, Window

NOW = datetime(2026, 3, 1, 14, 3, 7, 123456, tzinfo=UTC)


def test_nothing_asked_for_is_the_last_six_hours_on_whole_milliseconds():
    window = Window.asked({}, NOW)
    assert window.end == NOW.replace(microsecond=123000)
    assert window.end - window.start == timedelta(hours=6)
    assert (window.is_past, window.problem) == (False, "")


def test_an_end_is_utc_unless_it_says_otherwise():
    asked = Window.asked({"last": "1h", "until": "2026-01-02T03:04"}, NOW)
    east = Window.asked({"last": "1h", "until": "2026-01-02T08:04+05:00"}, NOW)
    assert asked.end == east.end == datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    assert asked.is_past


@pytest.mark.parametrize(
    "query",
    [{"last": "8h"}, {"last": ""}, {"until": "yesterday"}, {"until": "2026-02-30T00:00"},
     {"until": "0001-01-01T00:00"}, {"until": "9999-12-31T23:59"}, {"until": "2026-03-01T15:03"}],
)  # fmt: skip
def test_what_cannot_be_read_is_said_and_the_last_hours_are_shown(query):
    window = Window.asked(query, NOW)
    assert window.problem
    assert (window.last, window.end, window.is_past) == (
        "6h",
        NOW.replace(microsecond=123000),
        False,
    )


@pytest.mark.parametrize("last", LENGTHS)
def test_the_axis_has_a_few_round_labels_within(last):
    labels = Window(last, NOW).labels()
    assert 3 <= len(labels) <= MOST_LABELS
    places = [float(place.rstrip("%")) for place, _ in labels]
    assert places == sorted(places)
    assert places[0] > 2
    assert places[-1] < 98


def test_labels_stand_where_their_times_are():
    window = Window("6h", datetime(2026, 3, 1, 14, tzinfo=UTC))
    assert ("50.00%", "11:00") in window.labels()


def test_moments_run_from_the_beginning_to_the_end():
    window = Window("1h", NOW)
    moments = window.moments(5)
    assert (moments[0], moments[-1], len(moments)) == (window.start, window.end, 5)
