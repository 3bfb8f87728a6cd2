"""While the database is away rows go to disk, and come back before any newer ones."""

from __future__ import annotations

import signal
import threading
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import InternalError, OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from accounts.secret import Secret
from accounts.tests.factories import BybitAccountFactory
from marketdata.bybit.environments import Environment
from marketdata.capture.accounts import AccountContext
from marketdata.capture.books import Books
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import Feed
from marketdata.capture.private_writers import ExecutionWriter, OrderWriter
from marketdata.capture.public_writers import TickerWriter, TradeWriter
from marketdata.capture.service import CaptureService
from marketdata.capture.signals import stop_on_signals
from marketdata.capture.spool_log import SpoolLog
from marketdata.capture.spooling import Spooling
from marketdata.capture.tally import StreamKey
from marketdata.exits import ConfigurationError, ExitCode
from marketdata.models import (
    CaptureGap,
    CaptureLease,
    Order,
    PrivateExecution,
    PublicTrade,
    QuarantinedMessage,
    Stream,
    TickerSnapshot,
)
from marketdata.tests.capture.conftest import Running, capture_config, until
from marketdata.tests.capture.disks import FailingDisk
from marketdata.tests.capture.outages import database_away
from marketdata.tests.records import START, execution, order, ticker, trade

pytestmark = pytest.mark.django_db(transaction=True)

TRADES = StreamKey(Stream.TRADES)
NEVER = threading.Event()


@pytest.fixture(autouse=True)
def _hasty(monkeypatch):
    """Nobody waits long for a lock."""
    monkeypatch.setattr("marketdata.capture.writers.LOCK_SECONDS", 0.05)
    monkeypatch.setattr("marketdata.capture.writers.RETRY_SECONDS", (0.01, 0.05))
    monkeypatch.setattr("marketdata.capture.overflow.RETRY_SECONDS", (0.01, 0.05))


class Desk:
    """The books of a capture, its spool, and writers on demand."""

    def __init__(self, **changes):
        options = {
            "symbols": ("BTCUSDT",), "environment": Environment.SANDBOX, "spool_after": 0.0,
        }  # fmt: skip
        self.books = Books()
        self.spooling = Spooling(self.books, CaptureConfig(**options | changes))
        self.spooling.open()

    def writer(self, kind=TradeWriter, **options):
        options = {"batch_size": 50, "flush_interval": 0.05} | options
        return kind(
            self.books.tally, self.books.quarantine, overflow=self.books.overflow, **options
        )

    def replay(self, *writers):
        self.spooling.replay(writers, NEVER, lambda rows: None)
        self.books.persist()

    def counts(self, key=TRADES):
        assert self.books.tally.violations() == []
        columns = self.books.tally.snapshot().get(key, {})
        return {name: rows for name, rows in columns.items() if rows}

    def close(self):
        self.spooling.close()


@pytest.fixture
def desk():
    """Opens desks one after another, each as the next process would."""
    opened: list[Desk] = []

    def make(**changes) -> Desk:
        for each in opened:
            each.close()
        opened.append(Desk(**changes))
        return opened[-1]

    yield make
    for each in opened:
        each.close()


def away(*args):
    raise OperationalError("away")


def test_rows_that_come_while_the_database_is_away_are_all_stored_when_it_is_back(desk):
    at = desk(spool_rows=1000)
    writer = at.writer()
    writer.start_auto_flush()
    most = 0
    with database_away():
        for start in range(0, 10_000, 250):
            writer.write([trade(number) for number in range(start, start + 250)])
            until(lambda: len(writer.buffer) <= 1000)
            most = max(most, len(writer.buffer))
            assert sum(at.counts().values()) == 2 * at.counts()["received"]
        until(lambda: at.counts().get("spooled") == 10_000)
    until(lambda: at.counts() == {"received": 10_000, "stored": 10_000})
    writer.stop()
    assert PublicTrade.objects.count() == 10_000
    assert most <= 1000
    assert list(at.spooling.spool.folder.glob("*.segment")) == []


def test_a_stop_while_the_database_is_away_leaves_the_rows_to_the_next_capture(desk):
    at = desk(spool_after=0.0)
    writer, tickers = at.writer(), at.writer(TickerWriter)
    with database_away():
        writer.start_auto_flush()
        tickers.start_auto_flush()
        writer.write([trade(number) for number in range(120)])
        tickers.write([ticker(0)])
        writer.stop(timeout=5)
        tickers.stop(timeout=5)
    assert at.counts() == {"received": 120, "spooled": 120}
    assert PublicTrade.objects.count() == 0
    at = desk()
    assert at.counts() == {"received": 120, "spooled": 120}
    at.replay(at.writer())
    assert at.counts() == {"received": 120, "stored": 120}
    assert at.counts(StreamKey(Stream.TICKERS)) == {"received": 1, "stored": 1}
    assert TickerSnapshot.objects.get().exchange_ts == START


def test_a_short_absence_needs_no_disk(desk, monkeypatch):
    at = desk(spool_after=60.0)
    answers = iter([OperationalError("away")] * 3)
    insert = TradeWriter._insert

    def flaky(self, key, batch):
        for error in answers:
            raise error
        return insert(self, key, batch)

    monkeypatch.setattr(TradeWriter, "_insert", flaky)
    monkeypatch.setattr(SpoolLog, "append", away)
    writer = at.writer()
    writer.write([trade(1)])
    writer.flush()
    assert at.counts() == {"received": 1, "stored": 1}


def test_rows_on_disk_are_stored_before_newer_ones(desk, monkeypatch):
    at = desk()
    writer = at.writer()
    insert = TradeWriter._insert
    stored = []

    def noting(self, key, batch):
        stored.extend(row.sequence - 1000 for row in batch)
        return insert(self, key, batch)

    with monkeypatch.context() as patch:
        patch.setattr(TradeWriter, "_insert", away)
        patch.setattr("marketdata.capture.writers.connection.close", lambda: None)
        writer.write([trade(1)])
        writer.flush()
    monkeypatch.setattr(TradeWriter, "_insert", noting)
    writer.write([trade(2)])
    NEVER.wait(0.1)
    writer.flush()
    assert stored == [1, 2]
    assert at.counts() == {"received": 2, "stored": 2}


def test_a_row_that_the_database_refuses_is_quarantined_by_the_replay_too(desk):
    at = desk()
    at.spooling.spool.log("trades").append(TRADES, [trade(1), trade(2, price=None), trade(3)])
    at = desk()
    at.replay(at.writer())
    assert at.counts() == {"received": 3, "stored": 2, "quarantined": 1}
    assert QuarantinedMessage.objects.count() == 1


def test_a_batch_that_was_stored_before_a_crash_is_a_duplicate_afterwards(desk):
    at = desk()
    at.spooling.spool.log("trades").append(TRADES, [trade(1), trade(2)])
    writer = at.writer()
    writer._insert(TRADES, [trade(1), trade(2)])
    at = desk()
    at.replay(at.writer())
    assert at.counts() == {"received": 2, "duplicate": 2}


def test_rows_of_accounts_find_their_tenant_and_run_in_the_next_process(desk):
    account = BybitAccountFactory.create()
    context = AccountContext(
        account_id=account.pk, user_id=account.user_id, name="a", environment=Environment.SANDBOX,
        hedge_mode=True, api_key="k", api_secret=Secret("s"),
    )  # fmt: skip
    at = desk()
    for kind, record in ((ExecutionWriter, execution(1)), (OrderWriter, order(1))):
        writer = at.writer(kind)
        writer.write_for(context, [record])
        assert writer.spill()
    at = desk()
    # No writer of accounts runs in this capture: the replay has its own.
    at.replay(at.writer())
    rows = [PrivateExecution.objects.unscoped().get(), Order.objects.unscoped().get()]
    assert {(row.user_id, row.account_id) for row in rows} == {(account.user_id, account.pk)}
    assert rows[0].raw_json == execution(1).raw_json


def test_rows_of_an_account_that_is_gone_are_quarantined(desk):
    at = desk()
    key = StreamKey(Stream.EXECUTIONS, uuid4())
    at.spooling.spool.log("executions").append(key, [execution(1)])
    at = desk()
    at.replay()
    assert at.counts(key) == {"received": 1, "quarantined": 1}


def test_a_backlog_of_a_hundred_thousand_rows_drains(desk):
    at = desk()
    rows = [trade(number) for number in range(100_000)]
    for start in range(0, 100_000, 5000):
        at.spooling.spool.log("trades").append(TRADES, rows[start : start + 5000])
    at = desk()
    at.replay(at.writer())
    assert at.counts() == {"received": 100_000, "stored": 100_000}
    assert PublicTrade.objects.count() == 100_000


def test_what_the_bound_costs_is_a_gap_with_its_exact_bounds(desk):
    at = desk(spool_max_bytes=2**20)
    writer = at.writer(TickerWriter, interval_ms=0)
    for start in range(0, 8000, 100):
        writer.write([ticker(number) for number in range(start, start + 100)])
        assert writer.spill()
    at.books.persist()
    counts = at.counts(StreamKey(Stream.TICKERS))
    assert counts["dropped"] + counts["spooled"] == 8000
    gaps = CaptureGap.objects.filter(stream="tickers", symbol="BTCUSDT").order_by("started_at")
    milliseconds = [
        ((gap.started_at - START) / timedelta(milliseconds=1),
         (gap.ended_at - START) / timedelta(milliseconds=1)) for gap in gaps
    ]  # fmt: skip
    assert milliseconds[0][0] == 0
    assert milliseconds[-1][1] == counts["dropped"] - 1
    assert sum(end - start + 1 for start, end in milliseconds) == counts["dropped"]
    assert {gap.reason for gap in gaps} == {"the spool was full"}


def test_a_drop_is_declared_also_when_the_process_dies_before_the_database_is_back(desk):
    at = desk()
    at.spooling.spool.log("trades").append(TRADES, [trade(3), trade(8)])
    assert at.spooling.spool.drop_oldest("trades")
    at = desk()
    at.books.persist()
    gap = CaptureGap.objects.get()
    assert (gap.started_at, gap.ended_at) == (trade(3).exchange_ts, trade(8).exchange_ts)
    # It was written; that the file said so to the end would not write it again.
    at.spooling.save_books()
    assert desk().books.gaps.unwritten() == []


def test_a_gap_that_was_written_before_a_crash_is_not_written_twice(desk):
    at = desk()
    at.books.gaps.cut(Feed("trades", "BTCUSDT"), "lost", START, START)
    assert at.spooling.save_books()
    at.books.persist()
    at = desk()
    at.books.persist()
    assert CaptureGap.objects.count() == 1


def test_quarantine_that_could_not_be_stored_is_kept_for_the_next_capture(desk):
    at = desk()
    at.books.quarantine.add(TRADES, TradeWriter._reject(at.writer(), trade(1), "odd"))
    assert at.spooling.save_books(closing=True)
    at = desk()
    at.books.persist()
    assert QuarantinedMessage.objects.get().reason == "odd"


def test_rows_that_end_capture_three_times_are_declared_and_capture_goes_live(desk, monkeypatch):
    at = desk()
    for number in (1, 2, 3):
        at.spooling.spool.log("trades").append(TRADES, [trade(number)])
    insert = TradeWriter._insert

    def poisoned(self, key, batch):
        if trade(2) in batch:
            raise SystemExit("a crash")
        return insert(self, key, batch)

    monkeypatch.setattr(TradeWriter, "_insert", poisoned)
    for _ in range(3):
        at = desk()
        with pytest.raises(SystemExit):
            at.replay(at.writer())
    at = desk()
    at.replay(at.writer())
    assert at.counts() == {"received": 2, "stored": 1, "dropped": 1}
    assert PublicTrade.objects.count() == 2
    gap = CaptureGap.objects.get()
    assert gap.started_at == gap.ended_at == trade(2).exchange_ts
    assert len(at.spooling.spool.set_aside) == 1


def test_rows_that_a_database_refuses_to_write_are_not_to_blame(desk, monkeypatch):
    def read_only(self, key, batch):
        raise InternalError("cannot execute INSERT in a read-only transaction")

    at = desk()
    at.spooling.spool.log("trades").append(TRADES, [trade(1)])
    with monkeypatch.context() as patch:
        patch.setattr(TradeWriter, "_insert", read_only)
        for _ in range(4):
            at = desk()
            at.replay(at.writer())
    assert at.counts() == {"received": 1, "spooled": 1}
    at = desk()
    at.replay(at.writer())
    assert at.counts() == {"received": 1, "stored": 1}


def test_damage_of_a_private_stream_is_a_gap_of_every_account(desk):
    account = BybitAccountFactory.create()
    at = desk()
    at.spooling.spool.log("executions").append(StreamKey("executions", account.pk), [execution(1)])
    (path,) = at.spooling.spool.folder.glob("*.segment")
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    desk().books.persist()
    gap = CaptureGap.objects.get()
    assert (gap.stream, gap.account_id) == ("executions", account.pk)
    assert gap.started_at == execution(1).exchange_ts


def test_where_the_disk_fails_rows_wait_in_memory_for_the_database(desk):
    at = desk()
    at.spooling.spool.disk = FailingDisk(failing=1, for_good=True)
    writer = at.writer()
    with database_away():
        writer.start_auto_flush()
        writer.write([trade(number) for number in range(200)])
        until(lambda: at.spooling.spool.disk.fired)
    writer.stop()
    assert at.counts() == {"received": 200, "stored": 200}


def test_a_writer_that_hangs_is_relieved_by_others(desk, monkeypatch):
    at = desk(spool_rows=100)
    writer = at.writer()
    hangs, go_on = threading.Event(), threading.Event()
    insert = TradeWriter._insert

    def hanging(self, key, batch):
        hangs.set()
        assert go_on.wait(30)
        return insert(self, key, batch)

    monkeypatch.setattr(TradeWriter, "_insert", hanging)
    writer.start_auto_flush()
    writer.write([trade(number) for number in range(50)])
    assert hangs.wait(30)
    writer.write([trade(number) for number in range(50, 350)])
    writer.relieve()
    assert at.counts() == {"received": 350, "spooled": 350}
    group = at.spooling.spool.log("trades").first()
    # The batch that hangs comes first: newer rows alone on disk would hide its loss.
    assert group.records == [trade(number) for number in range(50)]
    at.spooling.spool.log("trades").postpone(group)
    go_on.set()
    writer.stop()
    assert at.counts() == {"received": 350, "stored": 300, "duplicate": 50}


def test_a_folder_that_cannot_be_used_is_a_wrong_setting(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="GRIDBOT_SPOOL_DIR"):
        Desk(spool_folder=tmp_path / "file" / "spool")


def test_a_database_made_anew_is_another(desk):
    at = desk()
    at.spooling.spool.log("trades").append(TRADES, [trade(1)])
    first = MigrationRecorder(connection).Migration.objects.filter(app="marketdata")
    pk, applied = first.order_by("pk").values_list("pk", "applied")[0]
    first.filter(pk=pk).update(applied=applied + timedelta(microseconds=1))
    try:
        assert desk().spooling.recovered == 0
    finally:
        first.filter(pk=pk).update(applied=applied)
    assert desk().spooling.recovered == 1


class TestService:
    """The whole of it, against a sandbox."""

    def test_a_capture_that_is_stopped_without_its_database_exits_75_and_loses_nothing(
        self, sandbox, capturing, spool_folder
    ):
        with capturing(spool_after=0.0) as running:
            sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 10))
            sandbox.drain()
            with database_away():
                sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 30))
                sandbox.drain()
                report = running.finish()
        (problem,) = [each for each in report.problems if "rows are safe" in each]
        assert problem.startswith(f"{report.spool['left']} rows are safe in {spool_folder}")
        assert (report.exit_code, report.violations) == (ExitCode.UNAVAILABLE, [])
        assert report.spool["left"] >= 30
        # Its process would be gone, and with it its right to the database.
        CaptureLease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
        shown: list[int] = []
        service = CaptureService(capture_config(sandbox))
        report = service.run(threading.Event(), duration=0.01, on_replay=shown.append)
        connection.close()
        assert (report.exit_code, report.violations) == (ExitCode.OK, [])
        assert report.spool == {"recovered": shown[0], "left": 0, "set_aside": 0}
        assert PublicTrade.objects.count() == 40

    def test_an_outage_of_the_database_costs_nothing(self, sandbox, capturing):
        with capturing(spool_after=0.0) as running:
            with database_away():
                for _ in range(10):
                    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 100))
                    sandbox.drain()
                tally = running.service.books.tally
                until(lambda: tally.snapshot()[TRADES]["spooled"] == 1000)
                assert tally.waiting(TRADES) == 1000
            until(lambda: tally.waiting(TRADES) == 0)
            report = running.finish()
        assert (report.exit_code, report.violations) == (ExitCode.OK, [])
        assert PublicTrade.objects.count() == 1000
        assert CaptureGap.objects.count() == 0

    def test_rows_set_aside_show_in_the_exit_code(self, sandbox, monkeypatch):
        at = Desk()
        at.spooling.spool.log("trades").append(TRADES, [trade(1)])
        (path,) = at.spooling.spool.folder.glob("*.segment")
        path.write_bytes(path.read_bytes()[:-1] + b"?")
        at.close()
        running = Running(CaptureService(capture_config(sandbox)))
        running.thread.start()
        report = running.finish()
        assert report.exit_code == ExitCode.DATA_INCOMPLETE
        assert report.spool["set_aside"] == 1
        assert str(path.with_suffix("")) in report.problems[0]

    def test_a_second_signal_has_what_waits_put_on_disk(self, sandbox, desk, monkeypatch):
        ended = []
        monkeypatch.setattr("marketdata.capture.signals.os._exit", ended.append)
        service = CaptureService(capture_config(sandbox))
        service.spooling.open()
        service.public.writers[0].write([trade(1), trade(2)])
        with stop_on_signals(service.abandon):
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
        assert ended[0] == ExitCode.INTERRUPTED
        service.spooling.close()
        assert desk().counts() == {"received": 2, "spooled": 2}
