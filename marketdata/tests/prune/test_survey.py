"""What a dry run foretells, and how chunks are read."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection

from marketdata.prune import survey as surveys
from marketdata.prune.lots import Facts
from marketdata.prune.survey import DAY, Line, survey
from marketdata.tests.prune.scene import FEED, START, at, store_trades


def line(**values) -> Line:
    return Line("trades", "every symbol", 30 * DAY, **values)


@pytest.mark.parametrize(
    ("lasted", "now", "due", "days", "expected"),
    [
        # Full at 30 days of 10 a day: as much goes as comes.
        (60, 600.0, 300.0, 30, 300.0),
        (60, 600.0, 300.0, 90, 300.0),
        # A database of ten days fills up first, then stays.
        (10, 100.0, 0.0, 20, 300.0),
        (10, 100.0, 0.0, 90, 300.0),
        # Before anything ages out all stays.
        (10, 100.0, 0.0, 5, 150.0),
        # It had grown faster before: that ages out.
        (60, 1800.0, 900.0, 15, 600.0),
    ],
)
def test_what_there_will_be(lasted, now, due, days, expected):
    told = line(lasted=lasted * DAY, bytes_now=now, bytes_due=due, bytes_lately=70.0)
    assert told.bytes_a_day == 10.0
    assert told.bytes_in(days) == pytest.approx(expected)


def test_a_young_table_s_growth_is_of_its_life():
    assert line(lasted=2 * DAY, bytes_lately=70.0).bytes_a_day == 35.0


@pytest.mark.django_db
def test_symbols_are_one_line(monkeypatch):
    monkeypatch.setattr(surveys, "table_bytes", lambda table: 6000)
    store_trades(*range(20))
    store_trades(*range(40), symbol="ETHUSDT")
    lots = [(Facts(FEED._replace(symbol=s), s), 10 * DAY) for s in ("BTCUSDT", "ETHUSDT")]
    [told] = survey(lots, at(30) + 10 * DAY)
    assert (told.subject, told.rows, told.due) == ("every symbol", 60, 19 + 30)
    assert (told.first, told.last) == (START, at(29))
    assert (told.bytes_now, told.bytes_due) == (6000.0, 4900.0)
    assert told.lasted == 10 * DAY + timedelta(minutes=30)


@pytest.mark.django_db
def test_bytes_that_nobody_knows_are_not_made_up(monkeypatch):
    monkeypatch.setattr(surveys, "table_bytes", lambda table: None)
    store_trades(*range(20))
    [told] = survey([(Facts(FEED, "BTCUSDT"), DAY)], at(10) + DAY)
    assert told.due == 10
    assert told.bytes_now != told.bytes_now


@pytest.mark.skipif(connection.vendor != "sqlite", reason="counts the steps of SQLite's machine")
@pytest.mark.django_db
def test_a_chunk_reads_no_more_than_itself():
    def steps(rows: int) -> int:
        store_trades(*range(rows))
        chunks = Facts(FEED, "BTCUSDT")
        chunks.declare(at(rows - 1))
        counted = []
        connection.connection.set_progress_handler(lambda: counted.append(1), 100)
        try:
            assert next(chunks.chunks(at(rows - 1), lambda: 50)).rows == 50
        finally:
            connection.connection.set_progress_handler(None, 0)
        return len(counted)

    few = steps(200)
    assert steps(20_000) < 2 * few
