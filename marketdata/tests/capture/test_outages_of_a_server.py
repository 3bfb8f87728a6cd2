"""What only a database with a server can do to a capture: fail over, or fall silent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from django.db import connection

from marketdata.capture.tally import StreamKey
from marketdata.exits import ExitCode
from marketdata.models import PublicTrade, Stream
from marketdata.tests.capture.conftest import until

pytestmark = pytest.mark.django_db(transaction=True)

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
