"""Times as users type them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from marketdata.coverage.since import moment

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("30s", timedelta(seconds=30)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        (" 7d ", timedelta(days=7)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_a_number_and_a_unit_mean_so_long_ago(text, ago):
    assert moment(text, NOW) == NOW - ago


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T10:30", datetime(2026, 1, 31, 10, 30, tzinfo=UTC)),
        ("2026-01-31T10:30Z", datetime(2026, 1, 31, 10, 30, tzinfo=UTC)),
        ("2026-01-31T10:30+05:00", datetime(2026, 1, 31, 5, 30, tzinfo=UTC)),
    ],
)
def test_iso_times_without_a_zone_are_utc(text, expected):
    assert moment(text, NOW) == expected
    assert moment(text, NOW).utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2", "h2", "-2h", "2.5h", "2y", "31.1.2026", "999999w"]
)
def test_anything_else_is_refused_with_examples(text):
    with pytest.raises(ValueError, match="is no time: write 30s"):
        moment(text, NOW)
