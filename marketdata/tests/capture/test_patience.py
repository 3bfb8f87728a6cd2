"""Capture waits for another's lock for a short time only, on every connection of its own."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
from django.db import OperationalError, connection, transaction

from marketdata.capture.patience import LOCK_SECONDS, STATEMENT_SECONDS, be_impatient
from marketdata.capture.public_writers import TradeWriter
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.tally import Tally
from marketdata.models import PublicTrade
from marketdata.tests.records import trade

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def writer():
    tally = Tally()
    return TradeWriter(tally, Quarantine(tally))


@pytest.fixture(autouse=True)
def _new_connection(transactional_db):
    """Each test begins with a connection that nobody has spoken to, and leaves none behind."""
    connection.close()
    yield
    connection.close()


def lock_seconds() -> float:
    """What the connection says of itself."""
    on_sqlite = connection.vendor == "sqlite"
    with connection.cursor() as cursor:
        cursor.execute(
            "PRAGMA busy_timeout"
            if on_sqlite
            else "SELECT setting FROM pg_settings WHERE name = 'lock_timeout'"
        )
        return int(cursor.fetchone()[0]) / 1000


@contextmanager
def settings_sent():
    """The statements that set how long a lock is waited for."""
    sent: list[str] = []

    def note(execute, sql, params, many, context):
        sent.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield (found := [])
        found += [sql for sql in sent if sql.startswith(("PRAGMA busy_timeout =", "SET lock_"))]


def store(writer: TradeWriter, number: int) -> None:
    writer.write([trade(number)])
    writer.flush()


def test_a_connection_that_stores_is_impatient(writer):
    assert lock_seconds() != LOCK_SECONDS
    store(writer, 1)
    assert lock_seconds() == LOCK_SECONDS


def test_a_server_gives_no_statement_of_capture_for_ever(writer):
    if connection.vendor != "postgresql":
        pytest.skip("a database without a server")
    limit = "SELECT setting::int / 1000 FROM pg_settings WHERE name = 'statement_timeout'"
    for told, seconds in ((False, 0), (True, STATEMENT_SECONDS)):
        if told:
            store(writer, 1)
        with connection.cursor() as cursor:
            cursor.execute(limit)
            assert cursor.fetchone() == (seconds,)


def test_a_connection_is_told_once(writer):
    with settings_sent() as found:
        for number in range(3):
            store(writer, number)
    assert len(found) == 1


def test_a_new_connection_is_impatient_too(writer):
    store(writer, 1)
    connection.close()
    assert lock_seconds() != LOCK_SECONDS
    store(writer, 2)
    assert lock_seconds() == LOCK_SECONDS


def test_a_connection_that_failed_is_replaced_by_an_impatient_one(writer, monkeypatch):
    failures = iter([OperationalError("lost")])
    insert, sessions = TradeWriter._insert, []

    def flaky(self, key, batch):
        sessions.append(connection.connection)
        for error in failures:
            raise error
        assert lock_seconds() == LOCK_SECONDS
        return insert(self, key, batch)

    monkeypatch.setattr(TradeWriter, "_insert", flaky)
    monkeypatch.setattr("marketdata.capture.writers.RETRY_SECONDS", (0.001, 0.002))
    store(writer, 1)
    assert sessions[0] is not sessions[1]
    assert PublicTrade.objects.count() == 1


def test_what_a_rollback_takes_back_is_said_again():
    with transaction.atomic():
        be_impatient()
        transaction.set_rollback(True)
    be_impatient()
    assert lock_seconds() == LOCK_SECONDS
