"""Reconciliation while somebody else writes: it waits for a time, then it says so."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db import OperationalError, connection, transaction

from marketdata.bybit.environments import Endpoints
from marketdata.capture.public_writers import TradeWriter
from marketdata.exits import ExitCode, Unavailable
from marketdata.models import PublicTrade

pytestmark = pytest.mark.django_db(transaction=True)

TRADES = 30
LONGEST_SECONDS = 40


class Writing:
    """Another connection in the middle of a transaction: nobody else can store trades.

    It ends when others have failed `ends_after` times, or when it is told to.
    """

    def __init__(self) -> None:
        self.ends_after: int | None = None
        self._held, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._hold, daemon=True)
        self.failures = 0

    def _hold(self) -> None:
        # On SQLite every transaction locks out all others that want to write.
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("LOCK TABLE public_trades IN EXCLUSIVE MODE")
            self._held.set()
            self._done.wait(LONGEST_SECONDS)
        connection.close()

    def begin(self) -> None:
        if not self._held.is_set():
            self._thread.start()
            assert self._held.wait(LONGEST_SECONDS)

    def end(self) -> None:
        self._done.set()
        if self._held.is_set():
            self._thread.join(LONGEST_SECONDS)


@pytest.fixture
def writing(monkeypatch):
    """Somebody who begins to write when the first trades are to be stored."""
    writing, insert = Writing(), TradeWriter._insert

    def locked_out(self, key, batch):
        writing.begin()
        try:
            return insert(self, key, batch)
        except OperationalError:
            writing.failures += 1
            if writing.failures == writing.ends_after:
                writing.end()
            raise

    monkeypatch.setattr(TradeWriter, "_insert", locked_out)
    monkeypatch.setattr("marketdata.capture.patience.LOCK_SECONDS", 0.02)
    monkeypatch.setattr("marketdata.capture.writers.RETRY_SECONDS", (0.01, 0.02))
    # An attempt has the patience that its connection was given when it was new.
    connection.close()
    yield writing
    writing.end()
    connection.close()


@pytest.fixture(autouse=True)
def _unheard(sandbox, settings):
    settings.BYBIT_ENDPOINTS = Endpoints(rest=sandbox.rest_url, ws_public=sandbox.ws_public_url)
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", TRADES))


def reconcile() -> int:
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    try:
        call_command("reconcile", "--since", since, "--symbol", "BTCUSDT")
    except SystemExit as error:
        return int(error.code or 0)
    return 0


def test_it_stores_everything_once_the_other_has_done(writing):
    writing.ends_after = 2
    assert reconcile() == 0
    assert writing.failures == 2
    assert PublicTrade.objects.count() == TRADES


def test_it_ends_with_75_when_the_other_takes_too_long_and_can_be_asked_again(writing, monkeypatch):
    monkeypatch.setattr("marketdata.coverage.reconciler_base.PATIENCE_SECONDS", 0)
    with pytest.raises(Unavailable, match=f"busy or away: {TRADES} rows in hand") as caught:
        reconcile()
    assert caught.value.returncode == ExitCode.UNAVAILABLE
    assert PublicTrade.objects.count() == 0
    writing.end()
    assert reconcile() == 0
    assert PublicTrade.objects.count() == TRADES
