"""The geometry of charts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from marketdata.dashboard.charts import Scale, line, steps
from marketdata.dashboard.window import Window

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
WINDOW = Window("1h", NOON)
SCALE = Scale(Decimal(0), Decimal(100))


def at(minutes: int) -> datetime:
    return WINDOW.start + timedelta(minutes=minutes)


def test_a_line_goes_through_its_points_from_the_top_left():
    points = [(at(0), Decimal(100)), (at(30), Decimal(50)), (at(60), Decimal(0))]
    assert line(points, WINDOW, SCALE) == "M0.0 0.0 L500.0 500.0 L1000.0 1000.0"


def test_a_line_breaks_where_nothing_was_captured():
    points = [(at(0), Decimal(50)), (at(3), Decimal(50)), (at(9), Decimal(50))]
    drawn = line(points, WINDOW, SCALE, longest=timedelta(minutes=5))
    assert [part[0] for part in drawn.split() if part[0].isalpha()] == ["M", "L", "M"]


def test_a_step_holds_until_the_next_and_the_last_until_the_end():
    points = [(at(-10), Decimal(0)), (at(30), Decimal(100))]
    assert steps(points, WINDOW, SCALE) == "M0.0 1000.0 H500.0 V0.0 H1000"
    assert steps([], WINDOW, SCALE) == ""


@pytest.mark.parametrize(
    ("values", "labels"),
    [
        (["10000", "10100"], ["10,000", "10,025", "10,050", "10,075", "10,100"]),
        (["0.00012", "0.00016"], ["0.00012", "0.00013", "0.00014", "0.00015", "0.00016"]),
        (["-5", "5"], ["-5.0", "-2.5", "0.0", "2.5", "5.0"]),
    ],
)
def test_ticks_are_round_and_few(values, labels):
    assert [tick.label for tick in Scale.around(list(map(Decimal, values))).ticks()] == labels


@pytest.mark.parametrize("value", ["0", "61234.5", "-3"])
def test_a_value_that_never_changes_lies_in_the_middle(value):
    scale = Scale.around([Decimal(value)] * 3)
    assert scale.place(Decimal(value)) == pytest.approx(0.5)
    assert scale.ticks()


def test_what_lies_beyond_the_scale_is_at_its_edge():
    assert SCALE.place(Decimal(500)) == 0.0
    assert not SCALE.holds(Decimal(500))
