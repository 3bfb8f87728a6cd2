"""What the adapter notes of its calls: their codes, reconnections, the exchange's clock."""

from __future__ import annotations

from contextlib import closing, suppress

import pytest

from marketdata.bybit import rest_base, telemetry
from marketdata.bybit.environments import Endpoints
from marketdata.bybit.errors import BybitError, ExchangeRejected
from marketdata.bybit.rest_client import BybitRestClient
from marketdata.bybit.telemetry import MOST_CODES, OTHER, Telemetry
from marketdata.sandbox import SandboxConfig, SandboxServer
from marketdata.sandbox.exchange import now_ms

AHEAD_SECONDS = 7.0


@pytest.fixture
def noted(monkeypatch):
    fresh = Telemetry()
    monkeypatch.setattr(rest_base, "TELEMETRY", fresh)
    return fresh


def client_of(sandbox):
    endpoints = Endpoints(rest=sandbox.rest_url)
    return closing(BybitRestClient(environment="sandbox", endpoints=endpoints))


FAULTS = {
    "http_429": "rate_limited",
    "http_502": "unavailable",
    "bad_json": "unavailable",
    "bad_timestamp": "10002",
}


def test_calls_are_counted_by_what_became_of_them(sandbox, noted):
    with client_of(sandbox) as client:
        client.get_server_time()
        client.get_instruments()
        sandbox.fault("error_code", code=10001, count=1)
        with pytest.raises(ExchangeRejected):
            client.get_server_time()
    assert noted.rest_calls == {"0": 2, "10001": 1}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_call_without_an_answer_is_counted_by_a_word(sandbox, noted, fault):
    sandbox.fault(fault)
    with client_of(sandbox) as client, suppress(BybitError):
        client.get_server_time()
    assert noted.rest_calls == {FAULTS[fault]: 1}


def test_each_answer_tells_how_far_the_clocks_are_apart(noted):
    config = SandboxConfig(symbols=("BTCUSDT",), rate=0)
    ahead = SandboxServer(config, clock=lambda: now_ms() + int(AHEAD_SECONDS * 1000))
    with ahead as sandbox, client_of(sandbox) as client:
        client.get_instruments()
    assert noted.clock_skew == pytest.approx(-AHEAD_SECONDS, abs=telemetry.LONGEST_ROUND_TRIP)


@pytest.mark.parametrize(
    ("sent_at", "received_at", "server_ms"),
    [(10.0, 11.5, 10_000), (10.0, 9.0, 10_000), (10.0, 10.1, "10000"), (10.0, 10.1, None)],
    ids=["slow", "the clock was set back", "a text", "nothing"],
)
def test_an_answer_that_proves_nothing_of_the_clock_is_not_believed(
    sent_at, received_at, server_ms
):
    fresh = Telemetry()
    fresh.note_clock(20.0, 20.2, 19_600)
    fresh.note_clock(sent_at, received_at, server_ms)
    assert fresh.clock_skew == pytest.approx(0.5)


def test_an_exchange_that_invents_codes_makes_no_more_than_fifty_of_them():
    fresh = Telemetry()
    for code in range(MOST_CODES + 30):
        with suppress(ExchangeRejected), fresh.counting_call():
            raise ExchangeRejected("no", code=code)
    assert len(fresh.rest_calls) == MOST_CODES + 1
    assert fresh.rest_calls[OTHER] == 30
