"""The demo, whole: a child process for the exchange, real pybit, the verdict."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import threading
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from accounts.models import User
from marketdata.capture.public_writers import TradeWriter
from marketdata.demo.database import make_operator, make_tenants, prepare_database
from marketdata.demo.display import verdict_text
from marketdata.demo.runner import Demo
from marketdata.demo.sabotage import ONE_IN, sabotaged_writer
from marketdata.demo.sandbox_process import SandboxProcess
from marketdata.demo.tables import TABLES, Table
from marketdata.exits import ConfigurationError
from marketdata.models import EnvironmentStamp
from marketdata.tests.test_commands import (
    REAL_SETTINGS,
    TIMEOUT,
    run,
    start,
    wait_until,
    write_lock,
)

FILE = "own.sqlite3"
# Symbols, and accounts, of a demo.
EACH = 3
NOTHING_WRONG = {"lost": 0, "duplicated": 0, "mutated": 0, "quarantined": 0}


def demo(**changes) -> Demo:
    changes.setdefault("accounts", make_tenants())
    options: dict[str, Any] = {
        "seconds": 2,
        "seed": 3,
        "rate": 1500,
        "trade_writer_class": TradeWriter,
    }
    return Demo(**options | changes)


@pytest.mark.django_db(transaction=True)
def test_a_demo_loses_doubles_and_alters_nothing_although_the_connection_breaks():
    report, verdict = demo().run(threading.Event(), lambda service: None)
    assert verdict.problems == []
    assert verdict.is_green
    assert report.reconnects == 4
    assert verdict.stored["public_trades"] > 500
    assert "nothing was lost" in verdict_text(verdict)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("way", "kind"), [("drop", "lost"), ("double", "duplicated"), ("alter", "mutated")]
)
def test_one_row_in_ten_thousand_that_a_writer_spoils_turns_the_verdict_red(way, kind):
    _, verdict = demo(trade_writer_class=sabotaged_writer(way)).run(
        threading.Event(), lambda service: None
    )
    # On a slow machine the demo is longer.
    assert 1 <= getattr(verdict, kind) <= 1 + verdict.stored["public_trades"] // ONE_IN
    assert not verdict.is_green
    assert "NOT what was sent" in verdict_text(verdict)


@pytest.mark.django_db(transaction=True)
def test_a_demo_whose_connection_did_not_break_proves_nothing(monkeypatch):
    monkeypatch.setattr(SandboxProcess, "break_connections", lambda self, how: None)
    _, verdict = demo(accounts=()).run(threading.Event(), lambda service: None)
    assert verdict.problems == ["the connection was not broken, as it should have been"]
    assert not verdict.is_green


def test_the_command_ends_with_one_json_line_and_exit_code_zero(tmp_path):
    code, out, err = run(environment(tmp_path / FILE, "2"), "demo", "--seed", "1")
    assert code == 0, err
    answer = json.loads(out.splitlines()[-1])
    assert answer.pop("stored")["public_trades"] > 100
    assert answer == NOTHING_WRONG
    assert "as user demo with password" in out


def environment(path: Path, seconds: str) -> dict[str, str]:
    own = {"DATABASE_URL": f"sqlite:///{path}", "DEMO_SECONDS": seconds}
    return os.environ | REAL_SETTINGS | own


def has_rows(path: Path, *tables: Table) -> bool:
    """Whether these tables hold something of every symbol or account."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            return all(
                database.execute(
                    f"SELECT count(DISTINCT {'account_id' if table.is_private else 'symbol'}) "
                    f"FROM {table.model._meta.db_table}"
                ).fetchone()[0]
                == EACH
                for table in tables
            )
    except sqlite3.OperationalError:
        # The file, or its tables, are not there yet.
        return False


def demo_process(path: Path) -> subprocess.Popen[str]:
    """A demo that would outlast the test."""
    return start(environment(path, "120"), "demo", "--seed", "1", own_group=True)


def test_ctrl_c_ends_the_demo_early_with_its_verdict(tmp_path):
    path = tmp_path / FILE
    with demo_process(path) as process:
        wait_until(process, lambda: has_rows(path, *TABLES.values()))
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, out + err
    answer = json.loads(out.splitlines()[-1])
    assert answer.pop("stored")["public_trades"] > 0
    assert answer == NOTHING_WRONG


def test_ctrl_c_twice_ends_the_demo_at_once_and_its_exchange_too(tmp_path):
    path = tmp_path / FILE
    with demo_process(path) as process:
        wait_until(process, lambda: has_rows(path, TABLES["publicTrade"]))
        # The first one alone now takes as long as rows may wait for the database.
        with write_lock(path):
            while process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(0.05)
        # The exchange has inherited the standard error: the end of that is its end.
        out, _ = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 130
    assert "{" not in out


@pytest.mark.django_db
def test_a_database_with_other_data_is_refused():
    with pytest.raises(ConfigurationError, match="neither"):
        prepare_database()


@pytest.mark.django_db
def test_a_database_with_sandbox_data_is_taken_again():
    EnvironmentStamp.objects.create(environment="sandbox")
    prepare_database()


@pytest.mark.django_db
def test_the_tenant_gets_a_new_password_each_time():
    first, second = make_operator(), make_operator()
    user = User.objects.get()
    assert not user.check_password(first)
    assert user.check_password(second)
