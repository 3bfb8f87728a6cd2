"""The commands as their users type them: real processes, real signals, exit codes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.conf import settings

TIMEOUT = 50
REAL_SETTINGS = {"DJANGO_SETTINGS_MODULE": "gridbot_site.settings", "GRIDBOT_ENV_FILE": ""}


@pytest.fixture
def environment(sandbox, tmp_path):
    """A process environment with a database of its own and the sandbox as the exchange."""
    return (
        os.environ
        | REAL_SETTINGS
        | sandbox.environment()
        | {
            "DATABASE_URL": f"sqlite:///{tmp_path / 'own.sqlite3'}",
            "EVENTSAVER_SYMBOLS": "BTCUSDT,ETHUSDT",
        }
    )


def start(
    environment: dict[str, str],
    *arguments: str,
    program: Sequence[str] = ("manage.py",),
    own_group: bool = False,
) -> subprocess.Popen[str]:
    """A command as a process, leading a group of its own if it is to be stopped as by a shell."""
    return subprocess.Popen(
        [sys.executable, *program, *arguments], env=environment, cwd=settings.BASE_DIR,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=own_group,
    )  # fmt: skip


def wait_until(process: subprocess.Popen[str], holds: Callable[[], object]) -> None:
    """Wait until `holds` while the process runs; the time limit of the test is the only one."""
    while not holds():
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.05)


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Be in the middle of writing to a SQLite database, so that nobody else can."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")
        yield


def run(environment: dict[str, str], *arguments: str) -> tuple[int, str, str]:
    with start(environment, *arguments) as process:
        out, err = process.communicate(timeout=TIMEOUT)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory) -> Path:
    """A database with its tables and nothing in them."""
    path: Path = tmp_path_factory.mktemp("template") / "empty.sqlite3"
    code, _, error = run(
        os.environ | REAL_SETTINGS | {"DATABASE_URL": f"sqlite:///{path}"}, "migrate", "-v", "0"
    )
    assert code == 0, error
    return path


@pytest.fixture
def migrated(environment, empty_database, tmp_path):
    """The environment with its tables made."""
    shutil.copy(empty_database, tmp_path / "own.sqlite3")
    return environment


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_capture_with_everything_stored(sandbox, migrated, number):
    with start(migrated, "capture", "--json") as process:
        sandbox.wait_for_topics("publicTrade.BTCUSDT", "publicTrade.ETHUSDT")
        sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 123))
        sandbox.drain()
        process.send_signal(number)
        out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    report = json.loads(out)
    assert report["streams"]["trades"]["stored"] == 123
    assert report["law_holds"] is True


# The command with less time for its end than a user's patience would bear.
HURRIED = """
import django; django.setup()
from marketdata.capture import service
service.WRITER_STOP_SECONDS = 0.5
from manage import main; main()
"""


def test_a_signal_ends_capture_though_the_database_is_locked_and_the_next_stores_the_rest(
    sandbox, migrated, tmp_path
):
    path = tmp_path / "own.sqlite3"

    def stored() -> int:
        with closing(sqlite3.connect(path)) as database:
            return int(database.execute("SELECT count(*) FROM public_trades").fetchone()[0])

    def send(count: int) -> None:
        sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", count))

    quick = migrated | {"EVENTSAVER_FLUSH_INTERVAL": "0.1"}
    with start(quick, "capture", "--json", program=("-c", HURRIED)) as process:
        sandbox.wait_for_topics("publicTrade.BTCUSDT", "publicTrade.ETHUSDT")
        send(40)
        wait_until(process, lambda: stored() == 40)
        with write_lock(path):
            send(123)
            sandbox.drain()
            process.terminate()
            out, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 75, err
    report = json.loads(out)
    trades = {name: rows for name, rows in report["streams"]["trades"].items() if rows}
    assert trades == {"received": 163, "stored": 40, "spooled": 123}
    assert any("rows are safe in" in problem for problem in report["problems"])
    assert stored() == 40
    with start(quick, "capture", "--json", "--duration", "1") as process:
        _, err = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, err
    assert stored() == 163


def test_capture_ends_by_itself_after_its_duration_and_says_what_it_did(migrated):
    code, out, err = run(migrated, "capture", "--symbols", "btcusdt", "--duration", "1")
    assert code == 0, err
    assert "Capturing 1 symbols from sandbox" in out
    assert "Every row that arrived is accounted for." in out


WRONG = {
    "no symbols": ({"EVENTSAVER_SYMBOLS": ""}, 4, "No symbols to capture"),
    "an unknown symbol": ({"EVENTSAVER_SYMBOLS": "BTCUSDT,NOPEUSDT"}, 4, "NOPEUSDT: not a trading"),
    "an unknown environment": ({"EVENTSAVER_ENVIRONMENT": "moon"}, 4, "EVENTSAVER_ENVIRONMENT"),
    "a missing secret key": ({"SECRET_KEY": ""}, 4, "SECRET_KEY"),
    "no address": ({"BYBIT_REST_URL": "", "BYBIT_WS_PUBLIC_URL": ""}, 4, "needs BYBIT_REST_URL"),
    "plain http elsewhere": ({"BYBIT_REST_URL": "http://example.com"}, 4, "BYBIT_REST_URL"),
    "a database that is away": (
        {"DATABASE_URL": "postgresql://nobody:hidden@127.0.0.1:1/none"}, 75, "cannot be reached",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_setting_ends_at_start_with_one_sentence(migrated, name):
    changes, expected, sentence = WRONG[name]
    code, out, err = run(migrated | changes, "capture", "--duration", "1")
    assert code == expected, err
    assert sentence in err
    assert "Traceback" not in err
    assert "hidden" not in err + out


def test_a_file_that_only_reads_ends_capture_with_one_sentence(migrated):
    url = f"{migrated['DATABASE_URL']}?init_command=PRAGMA+query_only%3DON"
    code, _, err = run({**migrated, "DATABASE_URL": url}, "capture", "--symbols", "BTCUSDT")
    assert code == 75, err
    assert "Traceback" not in err
    assert "attempt to write a readonly database" in err.splitlines()[-1]


@pytest.mark.parametrize(
    "command", [("capture",), ("rotate_credential_keys",), ("reset_otp", "alice")]
)
def test_a_database_without_tables_is_said_so(environment, command):
    code, _, err = run(environment, *command)
    assert code == 4, err
    assert "run `manage.py migrate` first" in err
    assert "Traceback" not in err


def test_a_database_of_another_environment_is_refused(sandbox, migrated):
    assert run(migrated, "capture", "--duration", "0.1")[0] == 0
    code, _, err = run(
        {**migrated, "EVENTSAVER_ENVIRONMENT": "testnet"}, "capture", "--symbols", "BTCUSDT"
    )
    assert code == 4
    assert "This database holds sandbox data" in err


@pytest.mark.parametrize(
    "command", ["capture", "coverage", "demo", "drill", "sandbox", "reconcile"]
)
def test_help_teaches_with_an_example(environment, command):
    code, out, _ = run(environment, command, "--help")
    assert code == 0
    assert f"manage.py {command}" in out
    assert "Exit codes" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ("capture", "--symbol-list", "X"), ("capture", "--duration", "nan"),
        ("capture", "--duration", "-1"), ("demo", "--rate", "inf"), ("demo", "--rate", "0"),
        ("reconcile", "--since", "yesterday"), ("reconcile", "--since", "1h", "--until", "2h"),
        ("capture", "--no-public", "--no-private"),
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_a_usage_error(migrated, arguments):
    code, _, err = run(migrated, *arguments)
    assert code == 2
    assert "Traceback" not in err


def test_the_test_settings_do_not_read_the_env_file():
    assert os.environ["GRIDBOT_ENV_FILE"] == ""
    assert Path(settings.DATABASES["default"]["NAME"]).name != "gridbot.db"
