"""What capture logs of gaps, connections and rows: edges, and a summary each minute."""

from __future__ import annotations

import errno
import logging
import threading
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
from django.db import OperationalError, transaction

from marketdata.bybit.errors import ExchangeUnavailable
from marketdata.bybit.records import Reject
from marketdata.bybit.ws_client import ConnectionState
from marketdata.capture.accounts import full_name
from marketdata.capture.books import Books
from marketdata.capture.books_file import BooksFile
from marketdata.capture.config import CaptureConfig
from marketdata.capture.disk import Disk
from marketdata.capture.feeds import Feed
from marketdata.capture.gaps import GapBook
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.repairs import SWEEP, Repairs
from marketdata.capture.report import CaptureReport, StreamStatus
from marketdata.capture.spool import Spool
from marketdata.capture.spool_segment import Loss
from marketdata.capture.spooling import Spooling
from marketdata.capture.summary import Summary
from marketdata.capture.supervisor import Supervisor
from marketdata.capture.tally import StreamKey, Tally
from marketdata.exits import ExitCode
from marketdata.log_events import context_fields, ids_in, log_context
from marketdata.log_rate import Seldom
from marketdata.models import Stream
from marketdata.tests.records import START

SYMBOLS = [f"S{number}USDT" for number in range(7)]


@pytest.fixture
def events(caplog):
    """The events that were logged, each with some of its fields."""
    caplog.set_level(logging.INFO)

    def told(*fields):
        return [
            (record.event, *(record.fields.get(field) for field in fields))
            for record in caplog.records
            if hasattr(record, "event")
        ]

    return told


def at(seconds):
    return START + timedelta(seconds=seconds)


@pytest.mark.django_db
def test_gaps_that_begin_and_end_together_are_a_line_each(events):
    book, feeds = GapBook(), [Feed(Stream.TRADES, symbol) for symbol in SYMBOLS]
    for feed in feeds:
        book.note_rows(feed, at(1), at(2))
    book.open(feeds, "no pong", at(3))
    assert events() == []
    book.persist()
    assert events("gaps", "since", "reason") == [("gap_opened", 7, at(2), "no pong")]
    book.open(feeds, "no pong", at(4))
    book.persist()
    assert len(events()) == 1
    for number, feed in enumerate(feeds):
        book.note_rows(feed, at(10 + number), at(20))
    book.persist()
    book.persist()
    assert events("gaps", "until", "seconds")[1:] == [("gap_closed", 7, at(16), 14.0)]
    assert events("symbol")[1][1] == "S0USDT,S1USDT,S2USDT,S3USDT,S4USDT,and 2 more"


@pytest.mark.django_db
def test_gaps_of_streams_and_accounts_are_told_apart(events, alice_account, bob_account):
    book = GapBook()
    for account in (alice_account.pk, bob_account.pk):
        streams = (Stream.ORDERS, Stream.EXECUTIONS)
        book.open([Feed(stream, "", account) for stream in streams], "lost", at(1))
    book.open([Feed(Stream.ORDERS, "", uuid4())], "of an account that is gone", at(1))
    book.persist()
    assert sorted(events("stream", "account")) == sorted(
        ("gap_opened", stream, account)
        for stream in ("orders", "executions")
        for account in (full_name(alice_account), full_name(bob_account))
    )


@pytest.mark.django_db
def test_the_account_of_a_gap_is_named_without_asking_for_its_name(
    events, alice_account, django_assert_num_queries
):
    feed = Feed(Stream.ORDERS, "", alice_account.pk)
    book = GapBook()
    book.open([feed], "lost", at(1))
    book.persist()
    later = GapBook()
    later.resume([feed])
    later.end(at(5), [feed])
    with transaction.atomic(), django_assert_num_queries(1):
        later.write()()
    name = full_name(alice_account)
    assert events("account") == [("gap_opened", name), ("gap_closed", name)]


class Failing:
    """A connection that cannot be built, for one reason after the other, and then is lost."""

    def __init__(self, reasons):
        self.state, self.rejected_topics = ConnectionState(), {}
        self.reasons = iter(reasons)
        self.done = threading.Event()

    def connect(self):
        if reason := next(self.reasons, ""):
            raise ExchangeUnavailable(reason)

    def is_connected(self):
        self.done.set()
        return False

    def disconnect(self):
        """Nothing to close."""

    def unsubscribe(self, timeout=0.0):
        """Nobody to tell."""

    def silent_seconds(self):
        return 0.0


def test_a_connection_that_fails_again_and_again_is_said_once_for_each_reason(events):
    client = Failing(["refused"] * 5 + ["no route"] * 3)
    supervisor = Supervisor(
        "public 1", client, GapBook(), {"a": Feed(Stream.TRADES, "BTCUSDT")},
        on_connecting=lambda: None, first_delay=0.001, longest_delay=0.001,
    )  # fmt: skip
    supervisor.start()
    assert client.done.wait(20)
    supervisor.stop()
    assert events("reason", "attempts")[:3] == [
        ("connection_failed", "refused", None),
        ("connection_failed", "no route", None),
        ("connected", None, 9),
    ]


def test_a_connection_s_lines_say_whose_it_is():
    told = []

    class Kept(logging.Handler):
        def emit(self, record):
            told.append((record.event, context_fields()))

    handler, logger = Kept(), logging.getLogger("marketdata.capture.supervisor")
    client = Failing([])
    with log_context(account="alice/main", run=7):
        supervisor = Supervisor(
            "account alice/main", client, GapBook(), {}, on_connecting=lambda: None,
            first_delay=0.001, longest_delay=0.001,
        )  # fmt: skip
    logger.addHandler(handler)
    try:
        supervisor.start()
        assert client.done.wait(20)
        supervisor.stop()
    finally:
        logger.removeHandler(handler)
    assert ("connection_lost", {"account": "alice/main", "run": 7}) in told


class Reporting:
    """A capture that has received so many rows by now."""

    def __init__(self):
        self.now, self.received, self.gaps, self.exit_code = 0.0, 0, 0, ExitCode.OK

    def report(self):
        counts = {"received": self.received, "stored": self.received - 1, "buffered": 1}
        stream = StreamStatus(stream="trades", counts=counts, lag_seconds=0.25, silent_seconds=1.0)
        return CaptureReport(
            seconds=self.now, streams=[stream, stream], gaps=self.gaps, reconnects=2,
            spool={"left": 3}, violations=[], problems=[], exit_code=self.exit_code,
        )  # fmt: skip


def test_a_summary_is_of_the_rows_of_its_minute_and_of_what_waits_now(events):
    capture = Reporting()
    summary = Summary(capture.report, lambda: capture.now)
    for capture.now, capture.received, capture.gaps in ((59, 5, 1), (60, 10, 1), (119, 20, 4), (121, 25, 4)):  # fmt: skip
        summary.tick()
    assert events("received", "buffered", "gaps", "reconnects", "lag_seconds", "seconds") == [
        ("summary", 20, 2, 1, 2, 0.25, 60),
        ("summary", 30, 2, 3, 0, 0.25, 61),
    ]


def test_the_end_is_said_with_what_was_left(events):
    capture = Reporting()
    capture.received, capture.exit_code = 7, ExitCode.UNAVAILABLE
    Summary(capture.report).end()
    assert events("exit_code", "received", "left_in_spool") == [("capture_stopped", 75, 14, 3)]


@pytest.mark.parametrize(
    ("raw", "ids"),
    [
        (
            '{"symbol": "BTCUSDT", "orderId": "5cf9-1a"}',
            {"symbol": "BTCUSDT", "order_id": "5cf9-1a"},
        ),
        ('{"T":1,"s":"ETHUSDT","p":""}', {"symbol": "ETHUSDT"}),
        (repr({"orderId": "7", "side": "Buy"}), {"order_id": "7"}),
        ("OrderRecord(symbol='BTCUSDT', order_id='a-b')", {"symbol": "BTCUSDT", "order_id": "a-b"}),
        ('{"settles": "BTC", "orderLinkId": "x"}', {}),
        ("", {}),
    ],
)
def test_a_line_about_a_row_names_its_symbol_and_its_order(raw, ids):
    assert ids_in(raw) == ids


def test_what_is_quarantined_is_named(events):
    key = StreamKey(Stream.ORDERS, uuid4())
    reject = Reject("order", "qty is odd", '{"symbol": "BTCUSDT", "orderId": "5cf9"}')
    quarantine = Quarantine(Tally())
    for _ in range(2000):
        quarantine.add(key, reject)
    told = events("account", "symbol", "order_id", "reason", "count")
    assert told[0] == ("quarantined", key.account_id, "BTCUSDT", "5cf9", "qty is odd", 1)
    assert [line[-1] for line in told] == [*range(1, 11), 1000, 2000]


def test_what_comes_again_and_again_is_said_so_often_in_a_minute():
    now = [0.0]
    seldom = Seldom(2, lambda: now[0])
    assert [seldom.is_due("a") for _ in range(4)] == [True, True, False, False]
    assert seldom.is_due("b")
    now[0] = 59.9
    assert not seldom.is_due("a")
    now[0] = 60.0
    assert [seldom.is_due("a") for _ in range(3)] == [True, True, False]


class Full(Disk):
    """A disk that takes nothing more."""

    def replace(self, path, content, *, safe=True):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_disk_that_stays_full_is_said_once(events, tmp_path):
    books = Books()
    spooling = Spooling(books, CaptureConfig(symbols=("BTCUSDT",), spool_folder=tmp_path))
    spooling._file = BooksFile(tmp_path, disk=Full())
    books.quarantine.add(StreamKey(Stream.TRADES), Reject("trade", "odd", "{}"))
    assert [spooling.save_books() for _ in range(5)] == [False] * 5
    assert events("reason") == [("quarantined", "odd"), ("spool_failed", "No space left on device")]


def test_a_spool_that_drops_batch_after_batch_says_so_once(events, tmp_path):
    spool = Spool(tmp_path, on_loss=lambda loss: None)
    for rows in (3, 4, 5):
        key = StreamKey(Stream.TRADES)
        spool.lose(Loss(Counter({key: rows}), {}, "the spool is full"))
    assert events("stream", "rows") == [("rows_dropped", "trades", 3)]


def test_repairs_that_wait_for_the_database_say_so_once(events, monkeypatch):
    repairs = Repairs(CaptureConfig(symbols=("BTCUSDT",)), Books())
    failures = iter([OperationalError("the server is gone")] * 3)

    def connect():
        if failure := next(failures, None):
            raise failure

    monkeypatch.setattr("marketdata.capture.repairs.be_impatient", connect)
    monkeypatch.setattr(repairs, "_sweep", lambda: None)
    for _ in range(5):
        repairs._do(SWEEP)
    assert events("part") == [("database_away", "repairs"), ("database_back", "repairs")]
