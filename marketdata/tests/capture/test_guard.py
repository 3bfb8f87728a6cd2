"""What goes on while every call of the database hangs."""

from __future__ import annotations

import threading

import pytest

from marketdata.capture.books import Books
from marketdata.capture.guard import Guard
from marketdata.capture.lease import Lease
from marketdata.capture.public_writers import TradeWriter
from marketdata.capture.tally import StreamKey
from marketdata.exits import ExitCode
from marketdata.models import PublicTrade, Stream
from marketdata.tests.capture.conftest import until
from marketdata.tests.records import trade

TRADES = StreamKey(Stream.TRADES)


@pytest.fixture
def ended(monkeypatch):
    """How often, and with what, the process was ended."""
    calls = []

    def end_process(save, code):
        save()
        calls.append(code)
        raise SystemExit(code)

    monkeypatch.setattr("marketdata.capture.guard.end_process", end_process)
    return calls


class Watched:
    """A guard of one writer, and what it saved."""

    def __init__(self):
        self.saved = threading.Event()
        self.stop = threading.Event()
        books = Books()
        self.writer = TradeWriter(books.tally, books.quarantine)
        self.guard = Guard([self.writer], books.quarantine, self.saved.set)


@pytest.mark.django_db(transaction=True)
def test_rows_go_to_disk_while_the_service_hangs_with_its_writer(sandbox, capturing, monkeypatch):
    hanging, go_on = set(), threading.Event()

    def hang(name, then):
        def call(*args):
            hanging.add(name)
            assert go_on.wait(30)
            return then(*args)

        return call

    with capturing(symbols=("BTCUSDT",), spool_rows=100) as running:

        def rows(column):
            return running.service.books.tally.snapshot().get(TRADES, {}).get(column, 0)

        monkeypatch.setattr(Lease, "renew", hang("service", Lease.renew))
        monkeypatch.setattr(TradeWriter, "_insert", hang("writer", TradeWriter._insert))
        try:
            until(lambda: "service" in hanging)
            for sent in range(100, 1100, 100):
                sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 100))
                until(lambda sent=sent: rows("received") == sent)
            until(lambda: rows("spooled") >= 500)
        finally:
            go_on.set()
        report = running.finish()
    assert hanging == {"service", "writer"}
    assert report.exit_code == ExitCode.OK
    assert PublicTrade.objects.count() == 1000


def test_who_does_not_come_to_an_end_is_ended_and_what_waits_is_saved(monkeypatch, ended):
    at = Watched()
    monkeypatch.setattr("marketdata.capture.guard.END_SECONDS", 0.0)
    with at.guard.watching(at.stop):
        assert not at.saved.wait(0.1)
        at.stop.set()
        until(lambda: ended)
    assert at.saved.is_set()
    assert ended == [ExitCode.UNAVAILABLE]


def test_the_end_counts_from_when_the_service_says_so_too(monkeypatch, ended):
    at = Watched()
    monkeypatch.setattr("marketdata.capture.guard.END_SECONDS", 0.0)
    with at.guard.watching(at.stop):
        at.guard.end_is_near()
        until(lambda: ended)


def test_more_rows_than_memory_may_hold_are_a_problem_and_then_the_end(monkeypatch, ended):
    at = Watched()
    monkeypatch.setattr("marketdata.capture.guard.END_SECONDS", 0.0)
    at.writer.buffer.capacity = 1
    with at.guard.watching(at.stop):
        at.writer.write([trade(1), trade(2)])
        until(lambda: ended)
    assert at.guard.problem == "2 rows of trades wait for the database"


def test_who_came_to_an_end_in_time_is_left_alone(monkeypatch, ended):
    at = Watched()
    with at.guard.watching(at.stop):
        at.stop.set()
        until(lambda: at.guard._ending_since is not None)
    monkeypatch.setattr("marketdata.capture.guard.END_SECONDS", 0.0)
    assert not at.saved.wait(0.1)
    assert ended == []
