"""The journal: what is in it, that the sandbox plays it, and that it never costs capture anything."""

from __future__ import annotations

import json
import os
import stat
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command

from marketdata.capture import journal as module
from marketdata.capture.journal import Journal
from marketdata.capture.service import CaptureService
from marketdata.demo.tables import TABLES
from marketdata.exits import ConfigurationError
from marketdata.models import PublicTrade
from marketdata.sandbox import SandboxConfig, SandboxServer
from marketdata.sandbox.replay import read, scan
from marketdata.tests.capture.conftest import Running, capture_config

AT = datetime(2026, 3, 4, 12, tzinfo=UTC)
TOPICS = ("publicTrade.BTCUSDT", "tickers.BTCUSDT")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "journal"


def files_of(folder):
    return sorted(folder.glob("*.jsonl"))


def recorded(folder):
    return [one for file in files_of(folder) for one in read(file)]


def frames(folder):
    return [one.text.decode() for one in recorded(folder) if one.is_playable]


def missing(folder):
    notes = [one.message for one in recorded(folder) if not one.is_playable]
    return [note["frames"] for note in notes]


# --- with a capture --------------------------------------------------------------------------


def capture(sandbox, journal, drive):
    """Capture a symbol and all accounts while `drive` lets things happen."""
    service = CaptureService(capture_config(sandbox, symbols=("BTCUSDT",), private=True))
    service.books.journal = journal
    running = Running(service)
    running.thread.start()
    try:
        sandbox.wait_for_topics(*TOPICS)
        for name in sandbox.accounts:
            sandbox.wait_for_private(name)
        drive(sandbox)
        sandbox.drain()
    finally:
        report = running.finish()
    assert report.violations == report.problems == []


def live(sandbox):
    for price in range(100, 103):
        sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 700))
        sandbox.send_ticker("BTCUSDT", lastPrice=str(price))
    for name in sandbox.accounts:
        sandbox.script(name, 8)


def played(sandbox):
    sandbox.resume()
    sandbox.wait_for_replay()


def contents():
    """What each table holds, by account or symbol, in figures."""
    return {
        topic: sorted(
            (
                str(getattr(row, "account_id", "") or row.symbol),
                sorted((name, str(value)) for name, value in table.stored_values(row).items()),
            )
            for row in table.model._default_manager.all()
        )
        for topic, table in TABLES.items()
    }


def forget():
    for table in TABLES.values():
        table.model._default_manager.all().delete()


@pytest.mark.django_db(transaction=True)
def test_a_journal_that_is_played_again_makes_the_same_rows(exchange, tenants, folder):
    with Journal(folder) as journal:
        capture(exchange, journal, live)
    first = contents()
    forget()
    config = SandboxConfig(
        recordings=tuple(files_of(folder)),
        accounts=tuple(exchange.accounts.values()),
        paused=True,
        speed=1e6,
    )
    with SandboxServer(config) as sandbox:
        capture(sandbox, None, played)
    second = contents()
    assert len(first["publicTrade"]) == 2100
    assert all(first[topic] for topic in TABLES)
    # The sandbox begins a ticker with a snapshot of its own, older than the recorded ones.
    own = [row for row in second["tickers"] if row not in first["tickers"]]
    assert len(own) == 1
    second["tickers"].remove(own[0])
    assert second == first


@pytest.mark.django_db(transaction=True)
def test_a_journal_holds_frames_of_topics_and_no_secrets(exchange, tenants, folder):
    with Journal(folder) as journal:
        capture(exchange, journal, live)
    contents = scan(files_of(folder))
    assert contents.accounts == set(exchange.accounts)
    assert contents.topics == set(TOPICS)
    assert all(one.topic for one in recorded(folder))
    text = "".join(file.read_text() for file in files_of(folder))
    for known in exchange.accounts.values():
        assert known.api_key not in text
        assert known.api_secret not in text
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(file.stat().st_mode) for file in files_of(folder)} == {0o600}


@pytest.mark.django_db(transaction=True)
def test_a_journal_that_cannot_be_written_costs_capture_nothing(
    exchange, tenants, folder, monkeypatch
):
    def full(*_):
        raise OSError(28, "No space left on device")

    with Journal(folder) as journal:
        monkeypatch.setattr(module.os, "write", full)
        capture(exchange, journal, live)
        monkeypatch.undo()
    assert PublicTrade.objects.count() == 2100
    assert journal.written + journal.dropped > 100


@pytest.mark.django_db(transaction=True)
def test_the_command_says_what_the_journal_holds(sandbox, folder, settings, capsys):
    settings.EVENTSAVER_ENVIRONMENT = capture_config(sandbox).environment
    settings.BYBIT_ENDPOINTS = capture_config(sandbox).endpoints
    call_command(
        "capture", "--symbols", "BTCUSDT", "--no-private", "--duration", "0.5", "--json",
        "--journal", str(folder),
    )  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    kept = report["journal"]
    assert kept == {
        "directory": str(folder), "files": 1, "frames": len(frames(folder)), "dropped": 0,
    }  # fmt: skip
    assert kept["frames"] >= 1


# --- by itself -------------------------------------------------------------------------------


def test_what_was_received_is_written_to_the_letter(folder):
    texts = ['{"topic": "a",  "n": 1.50, "u": "\\u00e9é"}', '{"topic": "b", "s": "\\ud800"}']
    with Journal(folder) as journal:
        for number, text in enumerate(texts):
            journal.record("private:alice/main", text, AT + timedelta(milliseconds=number))
        journal.record("public", '{"topic": "\ud800"}', AT)
    first, second, odd = recorded(folder)
    assert [first.text.decode(), second.text.decode()] == texts
    assert (first.account, first.ms, second.ms - first.ms) == (
        "alice/main", int(AT.timestamp() * 1000), 1,
    )  # fmt: skip
    assert odd.topic == "\\ud800" or odd.message is None
    assert journal.summary()["frames"] == 3


def test_a_full_queue_drops_frames_and_says_where(folder):
    journal = Journal(folder, max_waiting_bytes=3 * module.OVERHEAD_BYTES)
    for letter in "abcde":
        journal.record("public", letter, AT)
    with journal:
        while journal.written < 2:
            pass
        journal.record("public", "f", AT)
    assert frames(folder) == ["a", "b", "f"]
    assert (missing(folder), journal.dropped) == ([3], 3)


def test_what_is_missing_at_the_end_is_said_at_the_end(folder):
    journal = Journal(folder, max_waiting_bytes=module.OVERHEAD_BYTES + 1)
    for letter in "abc":
        journal.record("public", letter, AT)
    with journal:
        pass
    assert (frames(folder), missing(folder), journal.dropped) == (["a"], [2], 2)


def test_a_full_disk_costs_its_frames_and_leaves_whole_lines(folder, monkeypatch, caplog):
    write, failed = os.write, threading.Event()

    def full(file, data):
        if failed.is_set():
            return write(file, data)
        failed.set()
        write(file, data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "write", full)
    monkeypatch.setattr(module, "RETRY_SECONDS", 0)
    journal = Journal(folder)
    journal.record("public", "lost", AT)
    with journal:
        assert failed.wait(10)
        journal.record("public", "kept", AT)
    assert (frames(folder), missing(folder)) == (["kept"], [1])
    assert (journal.written, journal.dropped) == (1, 1)
    assert "No space left" in caplog.text


@pytest.mark.parametrize(
    ("most", "expected"),
    [(10_000, [["day 0", "day 0"], ["day 1"]]), (1, [["day 0"], ["day 0"], ["day 1"]])],
)
def test_files_end_with_their_day_and_their_size(folder, monkeypatch, most, expected):
    monkeypatch.setattr(module, "BATCH_BYTES", 1)
    journal = Journal(folder, max_file_bytes=most)
    for day in (0, 0, 1):
        journal.record("public", f"day {day}", AT + timedelta(days=day))
    with journal:
        pass
    assert [[one.text.decode() for one in read(file)] for file in files_of(folder)] == expected
    assert journal.files == len(expected)


def test_a_folder_that_others_may_read_is_refused(tmp_path):
    tmp_path.chmod(0o755)
    with pytest.raises(ConfigurationError, match="chmod 700"):
        Journal(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be made"):
        Journal(tmp_path / "file" / "journal")
