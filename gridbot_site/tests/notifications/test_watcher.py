"""The watcher against a database, a file and a server, one look at a time."""

from __future__ import annotations

import io
import json
import logging
import os
import signal
from collections import namedtuple
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, ProgrammingError, connection
from django.utils import timezone

from accounts.tests.factories import ApiCredentialFactory, BybitAccountFactory
from gridbot_site.notifications import facts, sending, state
from gridbot_site.notifications.conditions import Key, Kind, Severity
from gridbot_site.notifications.rules import Limits
from gridbot_site.notifications.sending import targets_of
from gridbot_site.notifications.watcher import Watcher
from gridbot_site.tests.notifications.receiver import PASSWORD, TOKEN
from marketdata.capture.accounts import NO_CREDENTIAL
from marketdata.doctor import machine
from marketdata.doctor.findings import Finding, error, warning
from marketdata.models import CaptureGap, CaptureLease, CoverageInterval, QuarantinedMessage

pytestmark = pytest.mark.django_db
NOW = timezone.now
AT_ONCE = Limits(steady=timedelta(0), retry=timedelta(0))
CANARY = "canary-secret-of-a-key"


@pytest.fixture(autouse=True)
def _sound_machine(settings, tmp_path, monkeypatch):
    settings.GRIDBOT_SPOOL_DIR = tmp_path / "spool"
    monkeypatch.setattr(facts, "check_rest", lambda environment: iter([Finding("clock", "Good.")]))
    monkeypatch.setattr(facts, "check_disks", dict)


@pytest.fixture
def lease():
    """A capture is at work, and all streams are up to now."""
    row = CaptureLease.objects.create(
        pk=1, acquired_at=NOW(), expires_at=NOW() + timedelta(minutes=1)
    )
    CoverageInterval.objects.create(
        stream="trades", symbol="BTCUSDT", source="live", started_at=NOW(), ended_at=NOW()
    )
    return row


@pytest.fixture
def watch(tmp_path, receiver):
    def make(*urls):
        return Watcher(targets_of(urls or [receiver.url]), tmp_path / "alerts.json", AT_ONCE)

    return make


def found(now=None):
    told = facts.look_around(now or NOW()).conditions
    return {f"{key}": condition.severity.name for key, condition in told.items()}


def expired(row, seconds):
    CaptureLease.objects.filter(pk=row.pk).update(expires_at=NOW() - timedelta(seconds=seconds))


def test_nothing_is_wrong_where_nothing_was_ever_captured():
    assert found() == {}


def test_a_capture_that_nobody_holds_for_a_minute_is_down_and_hides_what_follows(lease):
    CoverageInterval.objects.update(ended_at=NOW() - timedelta(hours=1))
    assert found() == {"stream stale (trades)": "CRITICAL"}
    expired(lease, 30)
    looked = facts.look_around(NOW())
    assert {Kind.STREAM_STALE, Kind.GAP_OPEN} <= looked.unknown
    assert Key(Kind.CAPTURE_DOWN) not in looked.conditions
    expired(lease, 61)
    assert found()["capture down"] == "CRITICAL"


def test_gaps_quarantine_and_keys(lease):
    account = BybitAccountFactory.create(account_name="main", user__username="alice")
    for days, active in ((5, True), (20, True), (5, False)):
        of = account if days == 5 else BybitAccountFactory.create()
        credential = ApiCredentialFactory.create(account=of, is_active=active, secret=CANARY)
        type(credential).objects.filter(pk=credential.pk).update(
            expires_at=NOW() + timedelta(days=days)
        )
    seen = {"first_seen": NOW() - timedelta(days=1), "raw_text": "?", "reason": "odd"}
    for digest, minutes in (("0", 9), ("1", 11)):
        QuarantinedMessage.objects.create(
            digest=digest, last_seen=NOW() - timedelta(minutes=minutes), **seen
        )
    for minutes in (4, 6):
        CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", reason="lost",
            started_at=NOW() - timedelta(minutes=minutes),
        )  # fmt: skip
    looked = facts.look_around(NOW()).conditions
    assert found() == {
        "gap open (trades)": "WARNING",
        "quarantine growing": "WARNING",
        "key expiring (alice/main)": "WARNING",
    }
    texts = [condition.text for condition in looked.values()]
    assert texts[0] == "1 gap has been open for more than 5 min: manage.py coverage"
    assert texts[1].endswith("within 10 min: 1.")
    assert found(NOW() + timedelta(days=4.5))["key expiring (alice/main)"] == "CRITICAL"
    assert not any(CANARY in text or credential.api_key in text for text in texts)


@pytest.mark.parametrize(
    ("status", "reason", "is_told"),
    [
        ("error", f"The exchange refused the key: {CANARY}", True),
        ("error", NO_CREDENTIAL, False),
        ("disabled", "The exchange refused the key", False),
        ("enabled", "", False),
    ],
)
def test_an_account_that_is_set_aside_for_its_key(status, reason, is_told):
    BybitAccountFactory.create(
        account_name="main", user__username="alice", status=status, status_reason=reason
    )
    looked = facts.look_around(NOW()).conditions
    told = Key(Kind.ACCOUNT_SET_ASIDE, "alice/main")
    assert (told in looked) is is_told
    assert not any(CANARY in condition.text for condition in looked.values())


@pytest.mark.parametrize(("status", "is_told"), [("error", True), ("disabled", False)])
def test_that_capture_gave_up_an_account_is_no_end_of_its_key_s_expiry(status, is_told):
    account = BybitAccountFactory.create(
        account_name="main", user__username="alice", status=status, status_reason="33004"
    )
    credential = ApiCredentialFactory.create(account=account)
    type(credential).objects.filter(pk=credential.pk).update(expires_at=NOW())
    assert ("key expiring (alice/main)" in found()) is is_told


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OperationalError("connection of gridbot to db.internal failed"), "does not answer"),
        (ProgrammingError("no such table: canary"), "manage.py migrate"),
    ],
)
def test_a_database_that_is_away_leaves_all_else_open(lease, monkeypatch, error, words):
    def refuse():
        raise error

    monkeypatch.setattr(connection, "ensure_connection", refuse)
    looked = facts.look_around(NOW())
    assert [(str(key), words in told.text) for key, told in looked.conditions.items()] == [
        ("database away", True)
    ]
    assert "internal" not in repr(looked)
    assert Kind.CAPTURE_DOWN in looked.unknown


@pytest.mark.django_db(transaction=True)
def test_a_database_that_only_reads_is_away_and_capture_is_not_to_blame(lease):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite says so to nobody before they write")
    expired(lease, 120)
    with connection.cursor() as cursor:
        cursor.execute("SET default_transaction_read_only = on")
        looked = facts.look_around(NOW())
        cursor.execute("SET default_transaction_read_only = off")
    [(key, condition)] = looked.conditions.items()
    assert (key, condition.severity) == (Key(Kind.DATABASE_AWAY), Severity.CRITICAL)
    assert "only reads, as a standby does" in condition.text
    assert Kind.CAPTURE_DOWN in looked.unknown
    assert found() == {"capture down": "CRITICAL"}


def test_disks_and_clock_are_judged_as_the_doctor_judges_them(monkeypatch):
    Usage = namedtuple("Usage", "total used free")
    monkeypatch.setattr(facts, "check_disks", machine.check_disks)
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: Usage(10**12, 0, 2**20))
    assert found()["disk low (spool)"] == "CRITICAL"
    for finding, expected in (
        (error("clock", "3 s.", "NTP."), Severity.CRITICAL),
        (warning("clock", "0.6 s.", "NTP."), Severity.WARNING),
    ):
        monkeypatch.setattr(facts, "check_rest", lambda environment, it=finding: iter([it]))
        [condition] = facts.look_at_clock().conditions.values()
        assert condition.severity == expected
    monkeypatch.setattr(facts, "check_rest", lambda _: iter([error("endpoints", "Away.", "Look.")]))
    assert facts.look_at_clock() == facts.Found(unknown={Kind.CLOCK_SKEW})


def test_a_folder_that_may_not_be_looked_at_ends_no_look(settings, tmp_path, monkeypatch):
    # Longer than a name may be: as with a folder of somebody else's, asking for it is an error.
    settings.GRIDBOT_SPOOL_DIR = tmp_path / ("x" * 300)
    monkeypatch.setattr(facts, "check_disks", machine.check_disks)
    assert Kind.CAPTURE_DOWN not in facts.look_around(NOW()).unknown


def test_an_alert_is_told_once_and_its_end_across_processes(lease, watch, receiver):
    expired(lease, 120)
    watch().step()
    watch().step()
    [alert] = receiver.received
    assert alert["title"].endswith(": 1 wrong")
    assert alert["message"].startswith("CRITICAL capture down: Nobody captures since ")
    expired(lease, -60)
    watch().step()
    watch().step()
    assert [message["type"] for message in receiver.received] == ["failure", "success"]
    assert receiver.received[1]["message"].startswith("RECOVERED capture down, after ")


def test_what_nobody_took_is_told_later(lease, watch, receiver, caplog):
    expired(lease, 120)
    receiver.status = 500
    watcher = watch()
    for _ in range(3):
        assert watcher.step().failed
    receiver.status = 200
    assert not watcher.step().failed
    assert not watcher.step().events
    assert len(receiver.received) == 4
    messages = [record.getMessage() for record in caplog.records if record.levelno > logging.INFO]
    assert [text.partition(":")[0] for text in messages] == [
        "CRITICAL capture down",
        "address 1 did not take a message",
        "address 1 takes messages again, after 3 that it did not",
    ]
    assert not any(canary in caplog.text for canary in (TOKEN, PASSWORD))


def test_one_that_took_it_is_enough(lease, watch, receiver, unused_port):
    expired(lease, 120)
    gone = sending.Secret(f"json://127.0.0.1:{unused_port}/{TOKEN}")
    watcher = watch(gone, receiver.url)
    assert [each.position for each in watcher.step().failed] == [1]
    assert not watcher.step().events


def test_a_hanging_address_holds_up_no_look(lease, watch, receiver, monkeypatch):
    monkeypatch.setattr(sending, "SEND_SECONDS", 0.1)
    receiver.status = 0
    expired(lease, 120)
    watcher = watch()
    problems = [watcher.step().failed[0].problem for _ in range(2)]
    assert problems == [sending.LATE.format(0.1), sending.BUSY]


def test_what_was_taken_late_is_not_sent_again(lease, watch, receiver, monkeypatch):
    monkeypatch.setattr(sending, "SEND_SECONDS", 0.1)
    receiver.status = 0
    expired(lease, 120)
    watcher = watch()
    assert watcher.step().failed
    receiver.status = 200
    receiver.release.set()
    [target] = watcher._targets
    target._late._thread.join()
    assert not watcher.step().events
    assert len(receiver.received) == 1


def test_what_nobody_takes_is_not_sent_at_every_look(lease, tmp_path, receiver):
    receiver.status = 500
    expired(lease, 120)
    for _ in range(4):
        limits = Limits(steady=timedelta(0))
        Watcher(targets_of([receiver.url]), tmp_path / "alerts.json", limits).step()
    assert len(receiver.received) == 2


@pytest.mark.parametrize("content", ["", "{}", "[1]", '[{"key": {}}]', "[{", '[{"a": 1}]', "\xff"])
def test_a_state_that_cannot_be_read_is_no_reason_to_stay_silent(
    lease, watch, receiver, tmp_path, content
):
    (tmp_path / "alerts.json").write_bytes(content.encode("latin-1"))
    expired(lease, 120)
    watch().step()
    assert len(receiver.received) == 1


def test_a_state_that_cannot_be_written_is_kept_in_memory(lease, watch, receiver, monkeypatch):
    def fail(path, entries):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "save", fail)
    expired(lease, 120)
    watcher = watch()
    watcher.step()
    watcher.step()
    assert len(receiver.received) == 1


def test_nothing_of_an_address_is_kept_or_said(
    lease, settings, receiver, caplog, tmp_path, monkeypatch
):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr("gridbot_site.notifications.watcher.Limits", lambda: AT_ONCE)
    settings.GRIDBOT_NOTIFY_URLS = (receiver.url,)
    receiver.status = 401
    expired(lease, 120)
    said = io.StringIO()
    for options in (("--once",), ("--once", "--json")):
        with pytest.raises(SystemExit, match="1"):
            call_command("watch", *options, stdout=said, stderr=said)
    left = "".join(path.read_text() for path in tmp_path.rglob("*") if path.is_file())
    assert "capture_down" in left
    assert "Address 1 (json): " in said.getvalue()
    for canary in (TOKEN, PASSWORD):
        assert canary not in left + said.getvalue() + caplog.text


def test_the_command_says_what_is_wrong(lease, settings):
    settings.GRIDBOT_NOTIFY_URLS = ()
    said = io.StringIO()
    call_command("watch", "--once", stdout=said)
    assert said.getvalue() == "All is well.\n"
    expired(lease, 120)
    said = io.StringIO()
    call_command("watch", "--once", "--json", stdout=said)
    told = json.loads(said.getvalue())
    assert [(each["kind"], each["severity"]) for each in told["wrong"]] == [
        ("capture_down", "critical")
    ]
    assert (told["said"], told["exit_code"]) == ([], 0)


def test_a_second_watch_is_refused(settings):
    path = state.in_folder(settings.GRIDBOT_SPOOL_DIR)
    with state.locked(path), pytest.raises(CommandError, match="Another") as caught:
        call_command("watch", "--once")
    assert caught.value.returncode == 75
    assert os.stat(f"{path}.lock").st_mode & 0o077 == 0


def test_a_folder_that_takes_no_file_keeps_nobody_from_looking(lease, settings, tmp_path, caplog):
    (tmp_path / "file").touch()
    settings.GRIDBOT_SPOOL_DIR = tmp_path / "file" / "spool"
    settings.GRIDBOT_NOTIFY_URLS = ()
    expired(lease, 120)
    said = io.StringIO()
    call_command("watch", "--once", stdout=said)
    assert "CRITICAL capture down" in said.getvalue()
    assert "alerts.json cannot be locked: " in caplog.text


def stop_when_fed(times, told, monkeypatch):
    """Keep what systemd is told, and stop when its watchdog was fed so often on end."""

    def note(state):
        told.append(state)
        if told[-times:] == ["WATCHDOG=1"] * times:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("gridbot_site.management.commands.watch.notify", note)


def test_the_service_looks_until_it_is_told_to_stop(lease, settings, monkeypatch):
    settings.GRIDBOT_NOTIFY_URLS = ()
    states = []

    stop_when_fed(2, states, monkeypatch)
    call_command("watch", "--interval", "0.001", stdout=io.StringIO())
    assert states == ["READY=1", "WATCHDOG=1", "WATCHDOG=1", "STOPPING=1"]


def test_a_long_wait_between_two_looks_is_no_hanging_one(lease, settings, monkeypatch):
    settings.GRIDBOT_NOTIFY_URLS = ()
    monkeypatch.setenv("WATCHDOG_USEC", "20000")
    events = []
    monkeypatch.setattr(Watcher, "step", lambda self: events.append("look"))

    stop_when_fed(3, events, monkeypatch)
    call_command("watch", "--interval", "86400", stdout=io.StringIO())
    assert events == ["READY=1", "look", *["WATCHDOG=1"] * 3, "STOPPING=1"]
