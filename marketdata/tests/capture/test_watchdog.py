"""systemd's watchdog is fed while every part of a capture comes on, and only then."""

from __future__ import annotations

import linecache
import logging
import os
import signal
import threading

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone

from marketdata.capture.feeds import Feed
from marketdata.capture.gaps import GapBook
from marketdata.capture.open_gaps import OpenGap
from marketdata.capture.public_writers import TradeWriter
from marketdata.capture.pulse import HUNG_SECONDS, Pulse
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.service import CaptureService
from marketdata.capture.tally import Tally
from marketdata.capture.watchdog import LOOK_SECONDS, Watchdog, interval_from
from marketdata.exits import ConfigurationError
from marketdata.models import CaptureGap, PublicTrade
from marketdata.tests.capture.conftest import capture_config, until
from marketdata.tests.records import trade


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    moved = Clock()
    monkeypatch.setattr("marketdata.capture.pulse.monotonic", moved)
    return moved


class Stuck(TradeWriter):
    """A flusher whose database takes a batch and never answers, until it is released."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.reached, self.released = threading.Event(), threading.Event()

    def _insert(self, key, batch):
        self.reached.set()
        self.released.wait()
        return super()._insert(key, batch)


def drained(listener):
    """Everything that systemd was told by now."""
    listener.setblocking(False)
    told = []
    while True:
        try:
            told.append(listener.recv(100).decode())
        except BlockingIOError:
            return told


def test_a_thread_at_work_must_come_on_and_one_at_rest_need_not(clock):
    pulse = Pulse("part")
    with pulse:
        clock.now += HUNG_SECONDS
        assert (pulse.silent_seconds, pulse.is_hung) == (HUNG_SECONDS, False)
        pulse.beat()
        clock.now += HUNG_SECONDS + 1
        assert pulse.is_hung
        assert pulse.hung_threads() == [threading.get_ident()]
    assert (pulse.silent_seconds, pulse.is_hung) == (0.0, False)


def test_a_part_that_must_turn_is_hung_when_nothing_begins_any_more(clock):
    pulse = Pulse("part", must_turn=True)
    clock.now += 10 * HUNG_SECONDS
    assert not pulse.is_hung, "it has not begun"
    with pulse:
        pass
    clock.now += HUNG_SECONDS + 1
    assert pulse.is_hung
    assert pulse.hung_threads() == []


def test_one_hung_thread_of_many_is_a_hung_part(clock):
    pulse, entered, released = Pulse("part"), threading.Event(), threading.Event()

    def hang():
        with pulse:
            entered.set()
            released.wait()

    thread = threading.Thread(target=hang)
    thread.start()
    entered.wait()
    clock.now += HUNG_SECONDS + 1
    with pulse:
        # Another's sign of life is not its own.
        pulse.beat()
        assert pulse.hung_threads() == [thread.ident]
    released.set()
    thread.join()
    assert not pulse.is_hung


def test_a_thread_that_is_not_at_work_leaves_no_sign(clock):
    pulse = Pulse("part")
    pulse.beat()
    clock.now += HUNG_SECONDS + 1
    assert not pulse.is_hung


def test_a_hung_part_is_not_fed_and_said_once_with_the_place(clock, caplog):
    pulse, sent = Pulse("flusher", "trades"), []
    watchdog = Watchdog(lambda: [pulse], sent.append)
    with pulse:
        assert watchdog.look()
        clock.now += HUNG_SECONDS + 1
        with caplog.at_level(logging.ERROR):
            assert not watchdog.look()
            assert not watchdog.look()
    [record] = caplog.records
    assert "the flusher of trades has made no progress for 121 s" in record.getMessage()
    assert "test_a_hung_part_is_not_fed" in record.getMessage()
    assert watchdog.look()
    assert sent == ["WATCHDOG=1"] * 2


def test_the_place_is_told_without_a_look_at_the_disk_that_may_hang(clock, caplog, monkeypatch):
    def hang(*args, **kwargs):
        raise AssertionError("the disk was asked")

    pulse = Pulse("flusher", "trades")
    with pulse:
        clock.now += HUNG_SECONDS + 1
        with monkeypatch.context() as hanging:
            for name in ("checkcache", "getline", "lazycache", "updatecache"):
                hanging.setattr(linecache, name, hang)
            assert not Watchdog(lambda: [pulse], lambda state: None).look()
    assert "test_the_place_is_told" in caplog.text


def test_systemd_is_told_twice_in_the_time_that_it_gives():
    ours = {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}
    assert interval_from(ours) == 1.5
    assert interval_from(ours | {"WATCHDOG_USEC": "60000000"}) == LOOK_SECONDS
    assert interval_from(ours | {"WATCHDOG_PID": "1"}) == LOOK_SECONDS
    assert interval_from({}) == LOOK_SECONDS


@pytest.mark.django_db(transaction=True)
def test_a_hung_flusher_stops_the_feeding_until_it_comes_on(sandbox, capturing, clock, listener):
    service = CaptureService(capture_config(sandbox), trade_writer_class=Stuck)
    stuck = service.public.writers[0]
    watchdog = Watchdog(lambda: service.pulses)
    with capturing(service) as running:
        sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 3))
        assert stuck.reached.wait(20)
        assert watchdog.look()
        assert drained(listener) == ["WATCHDOG=1"]
        clock.now += HUNG_SECONDS + 1
        # The others come on by themselves.
        until(lambda: [each.name for each in service.pulses if each.is_hung] == [stuck.pulse.name])
        assert not watchdog.look()
        assert drained(listener) == []
        stuck.released.set()
        until(watchdog.look)
        sandbox.drain()
        running.finish()
    assert drained(listener) == ["WATCHDOG=1"]
    assert PublicTrade.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_a_flusher_that_tries_again_and_again_is_not_hung(clock, monkeypatch):
    """As one does whose database is away and whose disk is full: no restart would help it."""
    attempts = []

    def refuse():
        attempts.append(clock.now)
        raise OperationalError("connection refused")

    monkeypatch.setattr("marketdata.capture.writers.RETRY_SECONDS", (0.01, 0.01))
    tally = Tally()
    writer = TradeWriter(tally, Quarantine(tally), flush_interval=0.01)
    with monkeypatch.context() as away:
        away.setattr("marketdata.capture.writers.be_impatient", refuse)
        writer.start_auto_flush()
        writer.write([trade(1)])
        until(lambda: attempts)
        clock.now += HUNG_SECONDS + 1
        until(lambda: attempts.count(clock.now) > 1)
        assert not writer.pulse.is_hung
    writer.stop()


@pytest.mark.django_db(transaction=True)
def test_a_long_flush_hangs_neither_who_makes_it_nor_who_waits_for_it(clock, monkeypatch):
    """As after an outage, when a repair has the writer store all that is on disk."""
    reached, step = threading.Semaphore(0), threading.Semaphore(0)

    class Slow(TradeWriter):
        def _insert(self, key, batch):
            reached.release()
            assert step.acquire(timeout=30)
            return super()._insert(key, batch)

    monkeypatch.setattr("marketdata.capture.writers.TURN_SECONDS", 0.01)
    tally = Tally()
    writer, repair = Slow(tally, Quarantine(tally)), Pulse("reconciler", limit=HUNG_SECONDS)
    waiting = Pulse("reconciler", "another")

    def flush(pulse):
        try:
            with pulse:
                writer.flush()
        finally:
            connection.close()

    monkeypatch.setattr("marketdata.capture.intake.MAX_BATCH_ROWS", 1)
    writer.write([trade(number) for number in range(3)])
    threads = [threading.Thread(target=flush, args=[repair])]
    threads[0].start()
    assert reached.acquire(timeout=30)
    threads.append(threading.Thread(target=flush, args=[waiting]))
    threads[1].start()
    for _ in range(2):
        clock.now += HUNG_SECONDS
        step.release()
        assert reached.acquire(timeout=30)
        assert [repair.silent_seconds, writer.pulse.silent_seconds] == [0, 0]
        until(lambda: not waiting.silent_seconds)
    clock.now += HUNG_SECONDS + 1
    assert repair.is_hung
    assert writer.pulse.hung_threads() == [threads[0].ident]
    step.release()
    for thread in threads:
        thread.join()


@pytest.mark.django_db
def test_a_service_that_writes_many_gaps_slowly_is_not_hung(clock, monkeypatch):
    """As to a server that takes a second for each, when the connections of all symbols fell."""
    pulse, book, write = Pulse("service"), GapBook(), OpenGap.write

    def slowly(gap, state):
        clock.now += HUNG_SECONDS * 2 / 3
        return write(gap, state)

    monkeypatch.setattr(OpenGap, "write", slowly)
    book.open([Feed("trades", f"S{number}USDT") for number in range(3)], "lost", timezone.now())
    with pulse:
        book.persist()
        assert not pulse.is_hung
    assert CaptureGap.objects.count() == 3


@pytest.mark.django_db(transaction=True)
def test_quiet_streams_are_fed_for_hours(sandbox, capturing, clock, listener):
    config = capture_config(
        sandbox, repair=True, sweep_interval=3600.0, audit_interval=3600.0, flush_interval=0.01
    )
    service = CaptureService(config)
    watchdog = Watchdog(lambda: service.pulses)
    with capturing(service) as running:
        until(lambda: service.repairs.pulse._turned_at is not None)
        for _ in range(3):
            clock.now += 3600.0
            until(watchdog.look)
        running.finish()
    assert drained(listener) == ["WATCHDOG=1"] * 3


@pytest.mark.django_db(transaction=True)
def test_a_hung_reconciler_stops_the_feeding(sandbox, capturing, clock, listener, monkeypatch):
    entered, released = threading.Event(), threading.Event()

    def hang(*args):
        entered.set()
        released.wait()

    monkeypatch.setattr("marketdata.capture.repairs.Repairs._sweep", hang)
    service = CaptureService(capture_config(sandbox, repair=True))
    watchdog = Watchdog(lambda: service.pulses)
    with capturing(service) as running:
        assert entered.wait(20)
        clock.now += service.repairs.pulse.limit + 1
        until(lambda: [each.name for each in service.pulses if each.is_hung] == ["the reconciler"])
        assert not watchdog.look()
        released.set()
        until(watchdog.look)
        running.finish()


@pytest.mark.django_db(transaction=True)
def test_a_service_that_hangs_stops_the_feeding(sandbox, capturing, clock, monkeypatch):
    service = CaptureService(capture_config(sandbox))
    entered, released = threading.Event(), threading.Event()
    watchdog = Watchdog(lambda: service.pulses, lambda state: None)
    with capturing(service) as running:
        until(lambda: service.is_ready)

        def hang():
            entered.set()
            released.wait()

        monkeypatch.setattr(service.lease, "renew", hang)
        assert entered.wait(20)
        clock.now += HUNG_SECONDS + 1
        until(lambda: [each.name for each in service.pulses if each.is_hung] == ["the service"])
        assert not watchdog.look()
        released.set()
        until(watchdog.look)
        running.finish()


@pytest.mark.django_db(transaction=True)
def test_a_reader_that_hangs_in_a_frame_stops_the_feeding(sandbox, capturing, clock, monkeypatch):
    service = CaptureService(capture_config(sandbox))
    tickers, entered, released = service.public.writers[1], threading.Event(), threading.Event()
    take = tickers.write

    def hang(*args):
        entered.set()
        released.wait()
        take(*args)

    watchdog = Watchdog(lambda: service.pulses, lambda state: None)
    with capturing(service) as running:
        assert service.public.supervisors[0].connected.wait(20)
        monkeypatch.setattr(tickers, "write", hang)
        sandbox.send_ticker("BTCUSDT", lastPrice="61000.5")
        assert entered.wait(20)
        clock.now += HUNG_SECONDS + 1
        until(
            lambda: (
                [each.name for each in service.pulses if each.is_hung] == ["the reader of public"]
            )
        )
        assert not watchdog.look()
        released.set()
        until(watchdog.look)
        running.finish()


@pytest.mark.django_db(transaction=True)
def test_the_command_feeds_the_watchdog_and_serves_its_metrics(
    sandbox, settings, listener, monkeypatch, caplog
):
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    settings.BYBIT_ENDPOINTS = capture_config(sandbox).endpoints
    told = set()

    def systemd():
        while not {"WATCHDOG=1", "READY=1"} <= told:
            told.update(listener.recv(100).decode().splitlines())
        os.kill(os.getpid(), signal.SIGTERM)

    thread = threading.Thread(target=systemd)
    thread.start()
    options = {"symbols": "BTCUSDT", "no_private": True, "duration": 30.0, "json": True}
    with caplog.at_level(logging.INFO, "marketdata.health.server"):
        call_command("capture", metrics_address="127.0.0.1:0", **options)
    thread.join()
    assert "STOPPING=1" in drained(listener)
    assert "health and metrics on http://127.0.0.1:" in caplog.text


@pytest.mark.django_db
def test_an_address_for_everybody_is_a_wrong_setting():
    with pytest.raises(ConfigurationError, match=r"0\.0\.0\.0 is not loopback"):
        call_command("capture", metrics_address="0.0.0.0:9464")
