"""The books: rows that arrived are rows that are accounted for."""

from __future__ import annotations

from marketdata.capture.tally import StreamKey, Tally

TRADES = StreamKey("trades")


def test_the_law_holds_when_every_row_is_accounted_for():
    tally = Tally()
    tally.watch(lambda: {TRADES: 2})
    tally.add(TRADES, received=10, stored=4, duplicate=3, quarantined=1)
    assert tally.violations() == []


def test_a_row_that_nobody_holds_breaks_the_law():
    tally = Tally()
    tally.add(TRADES, received=10, stored=9)
    assert tally.violations() == ["trades: received 10, accounted for 9"]


def test_a_row_that_is_booked_twice_breaks_the_law():
    tally = Tally()
    tally.add(TRADES, received=1, stored=1, duplicate=1)
    assert tally.violations() == ["trades: received 1, accounted for 2"]


def test_a_snapshot_shows_what_writers_hold():
    tally = Tally()
    tally.watch(lambda: {TRADES: 2})
    tally.add(TRADES, received=2)
    assert tally.snapshot()[TRADES]["buffered"] == 2
