"""manage.py doctor against the sandbox, and with everything wrong that it looks for."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from collections import namedtuple
from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings as django_settings
from django.core.management import call_command
from django.db import OperationalError, connection
from django.utils import timezone

from accounts.models import BybitAccount
from accounts.tests.factories import ApiCredentialFactory, BybitAccountFactory
from marketdata.bybit.environments import Endpoints
from marketdata.doctor import database, exchange, machine
from marketdata.doctor.exchange import CLOCK_ADVICE
from marketdata.doctor.findings import Finding, Level, error, gravest
from marketdata.exits import ExitCode
from marketdata.health import stored
from marketdata.models import CaptureLease, EnvironmentStamp
from marketdata.sandbox import SandboxConfig, SandboxServer
from marketdata.sandbox.exchange import now_ms

pytestmark = pytest.mark.django_db

SAFE = {"permissions": {"ContractTrade": ["Order"]}, "ips": ["127.0.0.1"], "expiredAt": ""}
WITHDRAWS = SAFE | {"permissions": {"Wallet": ["Withdraw"]}}
NOWHERE = Endpoints(
    rest="http://127.0.0.1:1", ws_public="ws://127.0.0.1:1", ws_private="ws://127.0.0.1:1"
)
Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def _own_folder(settings, tmp_path):
    settings.GRIDBOT_SPOOL_DIR = tmp_path / "spool"
    settings.GRIDBOT_SETTINGS_FILE = ""
    settings.EVENTSAVER_SYMBOLS = ["BTCUSDT"]


@pytest.fixture
def tenants(private_sandbox, settings):
    """Two of the sandbox's accounts with harmless keys, where the site looks for the exchange."""
    settings.BYBIT_ENDPOINTS = located(private_sandbox)
    made = {}
    for name in ("alice", "bob"):
        known = private_sandbox.accounts[name]
        account = BybitAccountFactory.create(
            user__username=name, account_name="main", environment="sandbox"
        )
        ApiCredentialFactory.create(account=account, api_key=known.api_key, secret=known.api_secret)
        private_sandbox.set_account(name, key=SAFE)
        made[name] = account
    return made


def located(sandbox) -> Endpoints:
    return Endpoints(
        rest=sandbox.rest_url, ws_public=sandbox.ws_public_url, ws_private=sandbox.ws_private_url
    )


@pytest.fixture
def doctor(capsys):
    """The exit code, and the findings as level, what was found and advice, by check."""

    def run(*arguments: str):
        code = 0
        try:
            call_command("doctor", "--json", *arguments)
        except SystemExit as end:
            code = int(str(end.code))
        told = json.loads(capsys.readouterr().out)
        assert told["exit_code"] == code
        assert all(each["advice"] for each in told["findings"] if each["level"] != Level.OK)
        return code, told["findings"]

    return run


def of(findings, check):
    return [each for each in findings if each["check"] == check]


def worst(findings, check):
    order = list(Level)
    return max((each["level"] for each in of(findings, check)), key=order.index)


def test_what_is_sound_is_said_to_be(tenants, doctor, private_sandbox):
    code, findings = doctor()
    assert code == 0
    assert {each["check"] for each in findings} >= {
        "settings", "files", "disk", "spool", "time zone", "database", "migrations",
        "environment", "capture", "clock", "endpoints", "keys",
    }  # fmt: skip
    assert worst(findings, "endpoints") == worst(findings, "keys") == Level.OK
    found = [each["found"] for each in of(findings, "endpoints")]
    assert "The public streams of sandbox answer. They give BTCUSDT." in found
    assert "The private streams of bob/main answer. They take the key." in found
    private_sandbox.wait_for_connections(0)


def test_nothing_that_is_secret_is_told(tenants, doctor, private_sandbox):
    _, findings = doctor()
    told = json.dumps(findings)
    secrets = [known.api_secret for known in private_sandbox.accounts.values()]
    secrets += [known.api_key for known in private_sandbox.accounts.values()]
    secrets += [django_settings.SECRET_KEY, *django_settings.GRIDBOT_CREDENTIAL_KEYS]
    assert not [secret for secret in secrets if secret in told]


@pytest.mark.parametrize(
    ("ahead", "level", "code"), [(7.0, Level.ERROR, 1), (-3.0, Level.WARNING, 0)]
)
def test_a_skewed_clock_is_found_and_no_key_is_blamed_for_it(doctor, settings, ahead, level, code):
    clock = SandboxServer(
        SandboxConfig(symbols=("BTCUSDT",), rate=0), clock=lambda: now_ms() - int(ahead * 1000)
    )
    account = BybitAccountFactory.create(environment="sandbox")
    with clock as sandbox:
        settings.BYBIT_ENDPOINTS = located(sandbox)
        got, findings = doctor()
    [found] = [each for each in of(findings, "clock") if "sandbox" in each["found"]]
    assert (found["level"], found["advice"]) == (level, CLOCK_ADVICE)
    [measured] = re.findall(r"([+-][0-9.]+) s", found["found"])
    assert float(measured) == pytest.approx(ahead, abs=1)
    if level == Level.ERROR:
        assert got == code
        assert "Of 1 accounts of sandbox they are not asked for." in [
            each["found"] for each in of(findings, "keys")
        ]
        assert BybitAccount.objects.unscoped().get(pk=account.pk).status == "enabled"


def test_a_refusal_of_the_time_alone_is_the_clocks_fault(tenants, doctor, private_sandbox):
    private_sandbox.fault("bad_timestamp")
    code, findings = doctor()
    [found] = [each for each in of(findings, "clock") if "sandbox" in each["found"]]
    assert (code, found["level"], found["advice"]) == (1, Level.ERROR, CLOCK_ADVICE)
    private_sandbox.end_faults()
    private_sandbox.fault("bad_timestamp", path="/v5/user")
    code, findings = doctor()
    assert code == 1
    assert {each["advice"] for each in of(findings, "keys")} == {CLOCK_ADVICE}
    assert not [each for each in of(findings, "keys") if "accept the key" in each["found"]]
    statuses = BybitAccount.objects.unscoped().values_list("status", flat=True)
    assert set(statuses) == {"enabled"}


def test_an_exchange_that_is_not_there_is_75_and_nothing_else_suffers(doctor, settings):
    settings.BYBIT_ENDPOINTS = NOWHERE
    code, findings = doctor()
    assert code == ExitCode.UNAVAILABLE
    assert [each["level"] for each in of(findings, "endpoints")] == [Level.ERROR] * 2
    assert worst(findings, "migrations") == Level.OK
    assert doctor("--offline")[0] == 0


def test_keys_are_not_asked_for_where_nobody_answers(doctor, settings, monkeypatch):
    settings.BYBIT_ENDPOINTS = NOWHERE
    BybitAccountFactory.create_batch(2, environment="sandbox")
    asked = []
    monkeypatch.setattr(
        exchange, "check_accounts", lambda accounts, _: asked.extend(accounts) or []
    )
    code, findings = doctor()
    assert (code, asked) == (ExitCode.UNAVAILABLE, [])
    [found] = of(findings, "keys")
    assert (found["found"], found["advice"]) == (
        "Of 2 accounts of sandbox they are not asked for.",
        f"First: {exchange.REACH_ADVICE}",
    )


def test_a_database_that_takes_no_word_of_a_key_is_said(tenants, doctor, monkeypatch):
    def refuse(*args):
        raise OperationalError("attempt to write a readonly database")

    monkeypatch.setattr("marketdata.key_check._write_down", refuse)
    code, findings = doctor()
    assert code == ExitCode.UNAVAILABLE
    assert "attempt to write a readonly database" in of(findings, "keys")[0]["found"]


def test_a_topic_that_is_refused_is_a_wrong_setting(tenants, doctor, settings):
    settings.EVENTSAVER_SYMBOLS = ["NOPEUSDT"]
    code, findings = doctor()
    [found] = [each for each in of(findings, "endpoints") if each["level"] == Level.ERROR]
    assert (code, "handler not found" in found["found"]) == (ExitCode.CONFIGURATION, True)


def test_keys_are_judged_as_check_account_judges_them(tenants, doctor, private_sandbox):
    private_sandbox.set_account("bob", key=WITHDRAWS)
    code, findings = doctor()
    assert code == ExitCode.SAFETY_STOP
    assert [(each["level"], each["found"].split(":")[0]) for each in of(findings, "keys")] == [
        (Level.OK, "alice/main"),
        (Level.ERROR, "bob/main"),
    ]
    assert not [each for each in findings if "private streams of bob" in each["found"]]


def test_an_account_that_is_switched_off_is_left_alone(tenants, doctor):
    BybitAccount.objects.unscoped().filter(pk=tenants["bob"].pk).update(status="disabled")
    assert "bob" not in json.dumps(doctor()[1])


def test_missing_migrations_are_a_wrong_set_up(doctor, monkeypatch):
    known = stored._known_migrations() | {("marketdata", "9999_to_come")}
    monkeypatch.setattr(stored, "_known_migrations", lambda: known)
    code, findings = doctor("--offline")
    assert (code, of(findings, "migrations")[0]["advice"]) == (4, "Run `manage.py migrate`.")


def test_a_database_that_is_away_leaves_the_rest_to_be_looked_at(doctor, monkeypatch):
    def refuse():
        raise OperationalError("connection refused\nDETAIL: and more")

    monkeypatch.setattr(connection, "ensure_connection", refuse)
    code, findings = doctor("--offline")
    assert (code, of(findings, "database")[-1]["found"]) == (75, "connection refused")
    assert of(findings, "disk")


def test_a_file_that_is_not_there_is_not_made(tmp_path):
    file = tmp_path / "none.db"
    given = os.environ | {
        "DATABASE_URL": f"sqlite:///{file}", "BYBIT_REST_URL": "http://127.0.0.1:1",
        "BYBIT_WS_PUBLIC_URL": "ws://127.0.0.1:1", "EVENTSAVER_ENVIRONMENT": "sandbox",
        "DJANGO_SETTINGS_MODULE": "gridbot_site.settings", "SECRET_KEY": "x" * 50,
    }  # fmt: skip
    command = [sys.executable, "-m", "django", "doctor", "--json"]
    told = json.loads(subprocess.run(command, env=given, stdout=subprocess.PIPE).stdout)
    [found] = of(told["findings"], "database")
    assert (found["exit_code"], found["found"]) == (4, f"There is no {file}.")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_a_folder_that_nobody_may_look_into_is_not_missing(monkeypatch):
    if connection.vendor == "postgresql":
        pytest.skip("its files are the server's")

    def refuse(path, **options):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(connection, "is_in_memory_db", lambda: False)
    monkeypatch.setattr(database.os, "access", lambda path, mode: False)
    # Root, who may run these tests, may look everywhere.
    with monkeypatch.context() as locked:
        locked.setattr(database.os, "stat", refuse)
        [found] = database.check_database()
    assert "This user may not write to" in found.found


@pytest.mark.django_db(transaction=True)
def test_a_database_that_this_user_may_not_write_to_is_found(doctor, monkeypatch):
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("CREATE ROLE reader")
            cursor.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
            cursor.execute("SET ROLE reader")
    else:
        # Root, who may run these tests, may write everywhere.
        monkeypatch.setattr(connection, "is_in_memory_db", lambda: False)
        monkeypatch.setitem(connection.settings_dict, "NAME", __file__)
        monkeypatch.setattr(database.os, "access", lambda path, mode: not mode & os.W_OK)
    try:
        code, findings = doctor("--offline")
    finally:
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("RESET ROLE; DROP OWNED BY reader; DROP ROLE reader")
    assert code == ExitCode.CONFIGURATION
    assert "may not" in of(findings, "database")[-1]["found"]
    assert not of(findings, "migrations")


@pytest.mark.django_db(transaction=True)
def test_a_database_that_may_lose_what_it_took_is_found():
    careless = {
        "sqlite": "PRAGMA synchronous = OFF",
        "postgresql": "SET synchronous_commit = off",
    }[connection.vendor]
    assert {each.level for each in database.check_database() if each.check == "database"} == {
        Level.OK
    }
    with connection.cursor() as cursor:
        cursor.execute(careless)
    findings = database.check_database()
    connection.close()
    [found] = [each for each in findings if each.level == Level.ERROR]
    assert "synchronous" in found.found
    assert gravest(findings) == ExitCode.CONFIGURATION


def test_a_server_in_another_time_zone_is_found():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no time zone")
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'Asia/Almaty'")
    [found] = [each for each in database.check_database() if each.check == "time zone"]
    assert "Asia/Almaty" in found.found


def test_a_database_of_another_environment_is_a_wrong_setting(doctor):
    EnvironmentStamp.objects.create(environment="mainnet")
    code, findings = doctor("--offline")
    assert (code, worst(findings, "environment")) == (4, Level.ERROR)


def test_who_captures_is_said(doctor):
    now = timezone.now()
    lease = CaptureLease.objects.create(
        pk=1, holder="here, process 7", acquired_at=now, expires_at=now + timedelta(seconds=15)
    )
    assert "here, process 7" in of(doctor("--offline")[1], "capture")[0]["found"]
    type(lease).objects.update(expires_at=now - timedelta(seconds=1))
    [found] = of(doctor("--offline")[1], "capture")
    assert (found["level"], found["found"]) == (Level.WARNING, "No capture is at work.")


@pytest.mark.parametrize(("mode", "level"), [(0o600, Level.OK), (0o640, Level.ERROR)])
def test_files_with_secrets_are_their_owners_alone(settings, tmp_path, mode, level):
    keys, env = tmp_path / "keys", tmp_path / ".env"
    for path in (keys, env):
        path.touch()
        path.chmod(mode)
    settings.GRIDBOT_SETTINGS_FILE = str(env)
    given = {"GRIDBOT_CREDENTIAL_KEYS_FILE": str(keys)}
    findings = [each for each in machine.check_machine(given) if str(tmp_path) in each.found]
    assert [each.level for each in findings if each.check == "files"] == [level] * 2


@pytest.mark.parametrize(
    ("free", "level"),
    [(100 * 2**30, Level.OK), (2**30 - 1, Level.WARNING), (10 * 2**20, Level.ERROR)],
)
def test_a_disk_that_fills_is_found(monkeypatch, free, level):
    monkeypatch.setattr(machine.shutil, "disk_usage", lambda path: Usage(200 * 2**30, 0, free))
    levels = {each.level for each in machine._disks() if "for the spool" in each.found}
    assert levels == {level}


def test_what_was_set_aside_is_found(settings, doctor):
    folder = Path(settings.GRIDBOT_SPOOL_DIR) / "0123"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "1-trades.segment").write_bytes(b"x" * 2048)
    (folder / "1-trades.0.bad").touch()
    code, findings = doctor("--offline")
    assert code == ExitCode.DATA_INCOMPLETE
    waiting, aside = of(findings, "spool")
    assert waiting["found"] == "2 KiB wait on disk."
    assert "1-trades.0.bad" in aside["found"]


def test_a_spool_that_nobody_may_look_into_is_not_called_empty(tmp_path, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied", path)

    assert [each.level for each in machine._left_behind(tmp_path / "none")] == [Level.OK]
    monkeypatch.setattr(machine.os, "listdir", refuse)
    [found] = machine._left_behind(tmp_path)
    assert (found.level, found.found) == (
        Level.WARNING,
        f"{tmp_path} cannot be looked into: Permission denied.",
    )


def test_the_machines_time_is_to_be_utc(tmp_path):
    # One zone and no changes of it, as in RFC 8536.
    counts, five_hours = struct.pack(">6l", 0, 0, 0, 0, 1, 4), struct.pack(">lbb", 18_000, 0, 0)
    file = tmp_path / "localtime"
    file.write_bytes(b"TZif" + bytes(16) + counts + five_hours + b"+05\0")
    found = machine._time_zone(machine._zone_of_machine(file))
    assert (found.level, "+0500" in found.found) == (Level.WARNING, True)
    assert machine._time_zone(machine._zone_of_machine(tmp_path / "none")).level == Level.OK


def test_the_gravest_finding_decides():
    findings = [Finding("a", "b")]
    assert gravest(findings) == ExitCode.OK
    for code in (75, 6, 4, 1, 8):
        findings.append(error("a", "b", "c", ExitCode(code)))
        assert gravest(findings) == code


def test_people_are_shown_a_table(tenants, capsys):
    call_command("doctor")
    said = capsys.readouterr().out
    assert "what to do" in said
    assert "The private streams of alice/main answer." in said
    assert "0 errors, " in said
