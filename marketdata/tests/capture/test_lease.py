"""One capture at a time: between threads of a test, and between real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from datetime import timedelta

import pytest
from django.conf import settings
from django.db import OperationalError, connection, transaction
from django.db.models.functions import Now

from marketdata.capture.books import Books
from marketdata.capture.feeds import Feed
from marketdata.capture.lease import Lease, LeaseHeld, LeaseLost, process_identity
from marketdata.coverage.spans import Span
from marketdata.exits import ExitCode
from marketdata.models import CaptureGap, CaptureLease, CoverageInterval
from marketdata.tests.capture.conftest import until
from marketdata.tests.records import START

FEED = Feed("trades", "BTCUSDT")
TIMEOUT = 50


def run_out() -> None:
    """Let the lease expire, as it does when its holder is paused."""
    CaptureLease.objects.update(expires_at=Now() - timedelta(seconds=1))


class TestLease:
    """The row and its epoch."""

    pytestmark = pytest.mark.django_db(transaction=True)

    def test_the_second_is_told_who_holds_it_and_until_when(self):
        Lease(15).acquire()
        with pytest.raises(LeaseHeld, match=rf"process {os.getpid()}, since .* until .* UTC"):
            Lease(15).acquire()
        assert LeaseHeld("x").returncode == ExitCode.UNAVAILABLE

    def test_each_holder_has_an_epoch_of_its_own(self):
        first, second = Lease(15), Lease(15)
        first.acquire()
        first.release()
        second.acquire()
        assert (first.epoch, second.epoch) == (1, 2)

    def test_one_that_ran_out_is_taken_and_the_old_holder_writes_nothing_more(self):
        old, new = Lease(15), Lease(15)
        old.acquire()
        run_out()
        new.acquire()
        with pytest.raises(LeaseLost, match="epoch 1"), old.fenced():
            raise AssertionError("never reached")
        with new.fenced():
            pass

    def test_one_that_ran_out_and_nobody_took_goes_on(self):
        lease = Lease(15)
        lease.acquire()
        run_out()
        with lease.fenced():
            pass
        with pytest.raises(LeaseHeld):
            Lease(15).acquire()

    def test_releasing_what_is_lost_takes_nothing_from_the_other(self):
        old, new = Lease(15), Lease(15)
        old.acquire()
        run_out()
        new.acquire()
        old.release()
        with pytest.raises(LeaseHeld):
            Lease(15).acquire()

    def test_a_holder_that_died_on_this_machine_is_not_waited_for(self):
        Lease(3600).acquire()
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        CaptureLease.objects.update(process=process_identity(child.pid))
        with pytest.raises(LeaseHeld):
            Lease(15).acquire()
        child.communicate(b"\n")
        Lease(15).acquire()

    def test_nothing_is_known_of_the_processes_of_another_machine(self):
        Lease(3600).acquire()
        CaptureLease.objects.update(process="another-boot/pid:[1]/999999/1")
        with pytest.raises(LeaseHeld):
            Lease(15).acquire()

    def test_a_stale_holder_s_gaps_and_claims_stay_unwritten(self):
        lease = Lease(15)
        books = Books(lease)
        lease.acquire()
        run_out()
        Lease(15).acquire()
        books.voucher._due[FEED] = [Span(START, START + timedelta(seconds=9))]
        books.gaps.open([FEED], "lost", START)
        with pytest.raises(LeaseLost):
            books.persist()
        assert not CoverageInterval.objects.exists()
        assert not CaptureGap.objects.exists()

    def test_who_stands_by_takes_over_when_it_is_free(self, monkeypatch):
        monkeypatch.setattr("marketdata.capture.lease.WAIT_SECONDS", 0.01)
        first, second = Lease(15), Lease(15)
        first.acquire()
        taken = []

        def stand_by() -> None:
            taken.append(second.wait(threading.Event()))
            connection.close()

        thread = threading.Thread(target=stand_by)
        thread.start()
        first.release()
        thread.join(20)
        assert taken == [True]

    def test_who_stands_by_outlasts_an_outage_of_the_database(self, monkeypatch, caplog):
        monkeypatch.setattr("marketdata.capture.lease.WAIT_SECONDS", 0.01)
        with away_twice():
            assert Lease(15).wait(threading.Event()) is True
        assert [record.getMessage() for record in caplog.records] == [
            "standing by: database is locked"
        ]

    def test_a_spare_tells_systemd_that_it_is_at_work(self, monkeypatch, listener):
        monkeypatch.setattr("marketdata.capture.lease.WAIT_SECONDS", 0.01)
        with away_twice():
            assert Lease(15).wait(threading.Event()) is True
        told = [listener.recv(4096).decode().split("\n") for _ in range(2)]
        assert told == [["READY=1", "STATUS=standing by"]] * 2

    def test_who_is_told_to_stop_while_waiting_stops(self):
        Lease(15).acquire()
        stop = threading.Event()
        stop.set()
        assert Lease(15).wait(stop) is False


def away_twice():
    """The first two statements are refused."""
    outage = iter([True, True])

    def execute(run, *arguments):
        if next(outage, False):
            raise OperationalError("database is locked")
        return run(*arguments)

    return connection.execute_wrapper(execute)


class Captures:
    """Real capture commands on the database of the test."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.environment = environment
        self.children: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [sys.executable, settings.BASE_DIR / "manage.py", "capture", "--json", *arguments],
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.children.append(child)
        return child

    def end(self) -> None:
        for child in self.children:
            with suppress(ProcessLookupError):
                child.kill()
            child.communicate()


@pytest.fixture
def captures(sandbox, transactional_db):
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        own = {"DATABASE_URL": f"sqlite:///{database['NAME']}"}
    else:
        keys = ("NAME", "HOST", "PORT", "USER", "PASSWORD")
        own = {f"GRIDBOT_DB_{key}": str(database[key]) for key in keys}
        own["GRIDBOT_DB_HOST"] = str(database["OPTIONS"].get("host", database["HOST"]))
        own["GRIDBOT_DB_TYPE"] = "postgresql"
    inherited = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    environment = inherited | sandbox.environment() | own
    environment |= {
        "DJANGO_SETTINGS_MODULE": "gridbot_site.settings", "GRIDBOT_ENV_FILE": "",
        "EVENTSAVER_SYMBOLS": "BTCUSDT", "EVENTSAVER_FLUSH_INTERVAL": "0.1",
    }  # fmt: skip
    started = Captures(environment)
    yield started
    started.end()


def epoch() -> int:
    row = CaptureLease.objects.first()
    return row.epoch if row else 0


@pytest.mark.django_db(transaction=True)
def test_of_real_captures_one_works_one_is_refused_and_one_stands_by(sandbox, captures):
    captures.environment["EVENTSAVER_LEASE_SECONDS"] = "600"
    first = captures.start()
    sandbox.wait_for_topics("publicTrade.BTCUSDT")
    spare, refused, idle = captures.start("--wait"), captures.start(), captures.start("--wait")
    _, err = refused.communicate(timeout=TIMEOUT)
    assert refused.returncode == ExitCode.UNAVAILABLE
    assert f"process {first.pid}" in err
    assert "Traceback" not in err
    wait_for_line(idle, "standing by")
    idle.send_signal(signal.SIGTERM)
    idle.communicate(timeout=TIMEOUT)
    assert idle.returncode == 0
    assert epoch() == 1
    # No clean end, and a lease of ten minutes: that it is dead is what counts.
    first.kill()
    first.communicate()
    until(lambda: epoch() == 2)
    spare.send_signal(signal.SIGTERM)
    spare.communicate(timeout=TIMEOUT)
    assert spare.returncode == 0


def wait_for_line(child, words):
    for line in child.stderr:
        if words in line:
            return
    raise AssertionError(f"it never said {words!r}")


@pytest.mark.django_db(transaction=True)
def test_a_capture_that_was_paused_finds_itself_replaced_and_claims_nothing(sandbox, captures):
    captures.environment["EVENTSAVER_LEASE_SECONDS"] = "1.5"
    paused = captures.start()
    sandbox.wait_for_topics("publicTrade.BTCUSDT")
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 3))
    until(lambda: epoch() == 1)
    # While we may write to SQLite it does not, and takes nobody's turn to with it.
    with transaction.atomic():
        paused.send_signal(signal.SIGSTOP)
    successor = captures.start("--wait")
    until(lambda: epoch() == 2)
    # These wait in the socket of the paused one, and are its first rows when it wakes up.
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 3))
    before = list(CoverageInterval.objects.filter(ended_at__gt=START).values())
    paused.send_signal(signal.SIGCONT)
    out, _ = paused.communicate(timeout=TIMEOUT)
    assert paused.returncode == ExitCode.UNAVAILABLE
    assert "Another capture has taken over from epoch 1" in out
    assert epoch() == 2
    successor.send_signal(signal.SIGTERM)
    _, err = successor.communicate(timeout=TIMEOUT)
    assert successor.returncode == 0, err
    old = {row["id"]: row for row in CoverageInterval.objects.values()}
    assert all(old[row["id"]]["ended_at"] == row["ended_at"] for row in before)
