"""What must hold before capture begins."""

from __future__ import annotations

import pytest
from django.db import OperationalError, connection

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.capture import startup
from marketdata.exits import ConfigurationError, ExitCode, Unavailable
from marketdata.models import EnvironmentStamp, Instrument

pytestmark = pytest.mark.django_db


@pytest.fixture
def endpoints(sandbox):
    return Endpoints(rest=sandbox.rest_url, ws_public=sandbox.ws_public_url)


def resolve(wanted: str, endpoints: Endpoints) -> list[str]:
    return startup.resolve_symbols(wanted.split(","), Environment.SANDBOX, endpoints)


def test_symbols_are_cleaned_and_checked_against_the_exchange(endpoints):
    assert resolve(" ethusdt,BTCUSDT,,ETHUSDT", endpoints) == ["ETHUSDT", "BTCUSDT"]
    assert Instrument.objects.get(symbol="BTCUSDT").tick_size > 0


def test_all_means_every_contract_that_trades(endpoints):
    assert resolve("ALL", endpoints) == ["BTCUSDT", "ETHUSDT"]


def test_instruments_are_refreshed_and_not_doubled(endpoints):
    resolve("ALL", endpoints)
    Instrument.objects.update(status="Closed")
    resolve("ALL", endpoints)
    assert set(Instrument.objects.values_list("status", flat=True)) == {"Trading"}
    assert Instrument.objects.count() == 2


@pytest.mark.parametrize(
    ("wanted", "sentence"), [("", "No symbols"), ("NOPEUSDT", "NOPEUSDT: not")]
)
def test_no_or_unknown_symbols_are_refused(endpoints, wanted, sentence):
    with pytest.raises(ConfigurationError, match=sentence):
        resolve(wanted, endpoints)


class TestWithoutTheExchange:
    """A list that cannot be had is no reason to lose data."""

    unreachable = Endpoints(rest="http://127.0.0.1:1", ws_public="ws://127.0.0.1:1")

    def test_named_symbols_are_taken_as_they_are(self):
        assert resolve("BTCUSDT,WHOUSDT", self.unreachable) == ["BTCUSDT", "WHOUSDT"]

    def test_all_means_what_was_known_before(self, endpoints):
        resolve("ALL", endpoints)
        assert resolve("ALL", self.unreachable) == ["BTCUSDT", "ETHUSDT"]

    def test_all_means_nothing_on_a_first_start(self):
        with pytest.raises(Unavailable) as error:
            resolve("ALL", self.unreachable)
        assert error.value.returncode == ExitCode.UNAVAILABLE


def test_the_first_capture_stamps_the_database_and_the_same_environment_may_come_again():
    startup.stamp_environment(Environment.TESTNET)
    startup.stamp_environment(Environment.TESTNET)
    assert EnvironmentStamp.objects.get().environment == "testnet"
    with pytest.raises(ConfigurationError, match="holds testnet data"):
        startup.stamp_environment(Environment.MAINNET)


def test_a_sandbox_without_its_address_is_refused():
    with pytest.raises(ConfigurationError, match="BYBIT_REST_URL"):
        startup.check_endpoints(Environment.SANDBOX, Endpoints())
    startup.check_endpoints(Environment.MAINNET, Endpoints())


def test_a_migrated_database_is_accepted():
    startup.check_database()


def test_a_database_without_tables_is_refused(monkeypatch):
    monkeypatch.setattr(startup.MigrationExecutor, "migration_plan", lambda *_: [1, 2])
    with pytest.raises(ConfigurationError, match="lacks 2 migrations"):
        startup.check_database()


def test_a_database_that_does_not_answer_is_said_in_one_line(monkeypatch):
    def away():
        raise OperationalError("connection refused\nIs the server running?")

    monkeypatch.setattr(connection, "ensure_connection", away)
    with pytest.raises(Unavailable) as error:
        startup.check_database_answers()
    assert str(error.value) == "The database cannot be reached: connection refused"
