"""What only a database with a server can do to a capture: fail over, or fall silent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.db import connection

from marketdata.bybit.environments import Endpoints
from marketdata.capture.tally import StreamKey
from marketdata.drill.wires import Wires
from marketdata.exits import ExitCode
from marketdata.models import PublicTrade, Stream
from marketdata.tests.capture.conftest import until
from marketdata.tests.coverage.archive_files import text_of, whole_day, write

pytestmark = pytest.mark.django_db(transaction=True)

# The command as it is, with less time for its end.
CAPTURE = """
import django
django.setup()
from django.core.management import call_command
from marketdata.capture import guard
guard.END_SECONDS = 1.0
call_command("capture", "--no-private", "--json", "--symbols", "BTCUSDT")
"""

TRADES = StreamKey(Stream.TRADES)


@pytest.fixture(autouse=True)
def _needs_a_server(transactional_db: None) -> None:
    if connection.vendor != "postgresql":
        pytest.skip("a database without a server")


@pytest.fixture
def server() -> Iterator[psycopg.Connection[Any]]:
    """A connection to the server that no test database hears of."""
    known = connection.get_connection_params()
    where = {key: known[key] for key in ("host", "port", "user", "password") if key in known}
    with psycopg.connect(dbname="postgres", autocommit=True, **where) as opened:
        yield opened


def turn(server: psycopg.Connection[Any], setting: str) -> None:
    """Have the test database come back with `setting`, as another server does after a failover."""
    name = connection.settings_dict["NAME"]
    connection.close()
    server.execute(f'ALTER DATABASE "{name}" {setting}')
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
    )


def columns(running) -> dict[str, int]:
    found = running.service.books.tally.snapshot().get(TRADES, {})
    return {name: rows for name, rows in found.items() if rows}


def send(sandbox, count: int) -> None:
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", count))


def test_a_failover_to_a_server_that_only_reads_is_waited_out(sandbox, capturing, server):
    with capturing(symbols=("BTCUSDT",), spool_after=0.0) as running:
        send(sandbox, 5)
        until(lambda: columns(running).get("stored") == 5)
        turn(server, "SET default_transaction_read_only = on")
        try:
            send(sandbox, 30)
            until(lambda: columns(running).get("spooled") == 30)
        finally:
            turn(server, "RESET default_transaction_read_only")
        until(lambda: columns(running) == {"received": 35, "stored": 35})
        report = running.finish()
    assert (report.exit_code, report.problems) == (ExitCode.OK, [])
    assert PublicTrade.objects.count() == 35


@pytest.fixture
def wires(sandbox) -> Iterator[Wires]:
    """Proxies between a capture in a process of its own and everything that it needs."""
    endpoints = Endpoints(
        rest=sandbox.rest_url, ws_public=sandbox.ws_public_url, ws_private=sandbox.ws_private_url
    )
    with Wires(endpoints, connection, seed=1) as found:
        yield found


@pytest.mark.parametrize(
    "arguments",
    [
        ["capture", "--symbols", "BTCUSDT"],
        ["reconcile", "--since", "1h", "--symbol", "BTCUSDT"],
        ["import_trades", "--environment", "sandbox", "{file}"],
    ],
)
def test_a_command_that_finds_a_server_that_only_reads_ends_with_one_sentence(
    sandbox, wires, server, spool_folder, tmp_path, arguments
):
    file = write(tmp_path / "BTCUSDT2026-01-02.csv.gz", text_of(whole_day(3)))
    turn(server, "SET default_transaction_read_only = on")
    try:
        ended = subprocess.run(
            [sys.executable, "manage.py", *(part.format(file=file) for part in arguments)],
            cwd=settings.BASE_DIR,
            env=environment_of(sandbox, wires, spool_folder), capture_output=True, text=True,
            check=False,
        )  # fmt: skip
    finally:
        turn(server, "RESET default_transaction_read_only")
    assert ended.returncode == ExitCode.UNAVAILABLE, ended.stderr
    assert "Traceback" not in ended.stderr
    assert "read-only transaction" in ended.stderr.splitlines()[-1]


def environment_of(sandbox, wires, spool_folder) -> dict[str, str]:
    inherited = {key: value for key, value in os.environ.items() if "DATABASE_URL" not in key}
    found: dict[str, str] = inherited | sandbox.environment() | wires.environment()
    return found | {
        "DJANGO_SETTINGS_MODULE": "gridbot_site.settings", "GRIDBOT_ENV_FILE": "",
        "EVENTSAVER_FLUSH_INTERVAL": "0.1", "GRIDBOT_SPOOL_DIR": str(spool_folder),
    }  # fmt: skip


@pytest.fixture
def capture(sandbox, wires, spool_folder) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen(
        [sys.executable, "-c", CAPTURE], cwd=settings.BASE_DIR,
        env=environment_of(sandbox, wires, spool_folder),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield child
    finally:
        child.kill()
        child.communicate()


def test_a_server_that_says_nothing_any_more_keeps_no_capture_from_its_end(
    sandbox, wires, capture, capturing
):
    sandbox.wait_for_topics("publicTrade.BTCUSDT")
    send(sandbox, 5)
    until(lambda: PublicTrade.objects.count() == 5)
    wires.database.set("black_hole")
    send(sandbox, 30)
    sandbox.drain()
    capture.send_signal(signal.SIGTERM)
    _, said = capture.communicate(timeout=20)
    assert capture.returncode == ExitCode.UNAVAILABLE
    assert "the database does not answer" in said
    assert "0 could not be saved" in said
    assert PublicTrade.objects.count() == 5
    with capturing(symbols=("BTCUSDT",)) as running:
        assert running.finish().exit_code == ExitCode.OK
    assert PublicTrade.objects.count() == 35
