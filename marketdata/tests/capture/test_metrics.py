"""What a running capture exports, read by the parser of the official client library."""

from __future__ import annotations

import json
import socket
import struct
from datetime import timedelta

import pytest
import requests
from django.db import ProgrammingError
from django.db.models import F
from prometheus_client.parser import text_string_to_metric_families

from marketdata.capture.feeds import Feed
from marketdata.capture.service import CaptureService
from marketdata.capture.tally import StreamKey
from marketdata.exits import ConfigurationError
from marketdata.health import metrics, server
from marketdata.health.server import checked_address, serving
from marketdata.health.stored import captured_feeds
from marketdata.models import CaptureGap, CoverageInterval
from marketdata.tests.capture.conftest import Running, capture_config, until

FREE = "127.0.0.1:0"
ROWS = "gridbot_capture_rows_total"


def get(port: int, path: str = "/metrics") -> requests.Response:
    return requests.get(f"http://127.0.0.1:{port}{path}", timeout=10)


class Scraped:
    """What was told at one moment, by name and labels; None for what was not."""

    def __init__(self, port: int) -> None:
        self.families = list(text_string_to_metric_families(get(port).text))
        self._values = {
            (sample.name, *sorted(sample.labels.items())): sample.value
            for family in self.families
            for sample in family.samples
        }

    def __call__(self, name: str, **labels: str) -> float | None:
        return self._values.get((name, *sorted(labels.items())))


@pytest.mark.django_db(transaction=True)
def test_a_capture_exports_what_became_of_its_rows(sandbox, capturing):
    service = CaptureService(capture_config(sandbox))
    with serving(service, FREE) as port, capturing(service) as running:
        rows = sandbox.make_trades("BTCUSDT", 40)
        sandbox.send_trades("BTCUSDT", rows)
        sandbox.send_trades("BTCUSDT", rows[:15])
        sandbox.send_raw('{"topic": "publicTrade.BTCUSDT", "data": [')
        sandbox.drain()
        until(lambda: Scraped(port)(ROWS, stream="trades", outcome="duplicate") == 15)
        told = Scraped(port)
        assert told(ROWS, stream="trades", outcome="stored") == 40
        assert told("gridbot_capture_rows_received_total", stream="trades") == 55
        assert told(ROWS, stream="unknown", outcome="quarantined") == 1
        assert told("gridbot_capture_queue_rows", stream="trades") == 0
        assert 0 <= told("gridbot_capture_last_message_age_seconds", stream="trades") < 60
        assert 0 < told("gridbot_capture_lag_seconds", stream="trades") < 60
        assert told("gridbot_capture_connections", kind="public", state="up") == 1
        assert told("gridbot_capture_spool_limit_bytes") == 2**30
        assert told("gridbot_capture_spool_bytes") == 0
        assert told("gridbot_capture_part_silent_seconds", part="flusher") < 60
        assert told("process_resident_memory_bytes") > 10**6
        running.finish()
        assert running.report.streams


@pytest.mark.django_db(transaction=True)
def test_an_outage_shows_while_it_lasts_and_is_counted_afterwards(sandbox, capturing):
    service = CaptureService(capture_config(sandbox))
    with serving(service, FREE) as port, capturing(service) as running:
        sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 3))
        until(lambda: get(port, "/readyz").status_code == 200)
        before = Scraped(port)("gridbot_capture_reconnects_total", kind="public")
        sandbox.refuse(3600)
        sandbox.break_connections("reset")
        until(lambda: Scraped(port)("gridbot_capture_open_gaps", stream="trades") == 2)
        told, answer = Scraped(port), get(port, "/readyz")
        assert told("gridbot_capture_connections", kind="public", state="down") == 1
        assert told("gridbot_capture_open_gap_seconds", stream="trades") > 0
        assert told("gridbot_capture_gaps_total") == 4
        assert answer.status_code == 503
        assert answer.json()["checks"]["streams"] == {
            "ok": False,
            "reason": "streams have gaps that go on",
            "details": ["tickers: 2", "trades: 2"],
        }
        sandbox.refuse(0)
        sandbox.wait_for_topics("publicTrade.BTCUSDT", "publicTrade.ETHUSDT")
        for symbol in ("BTCUSDT", "ETHUSDT"):
            sandbox.send_trades(symbol, sandbox.make_trades(symbol, 3))
        until(lambda: Scraped(port)("gridbot_capture_open_gaps", stream="trades") == 0)
        assert Scraped(port)("gridbot_capture_reconnects_total", kind="public") > before
        running.finish()


@pytest.mark.django_db(transaction=True)
def test_everything_described_is_exported_and_nothing_names_a_tenant(exchange, repairing):
    with repairing(symbols=("BTCUSDT",)) as running, serving(running.service, FREE) as port:
        for name in exchange.accounts:
            exchange.script(name, 2)
        exchange.send_trades("BTCUSDT", exchange.make_trades("BTCUSDT", 2))
        assert_all_is_told(port)
        running.finish()


def assert_all_is_told(port):
    until(lambda: Scraped(port)(ROWS, stream="orders", outcome="stored"))
    until(lambda: Scraped(port)("gridbot_capture_ready") == 1)
    scraped = Scraped(port)
    told = {each.name: each for each in scraped.families if each.name.startswith("gridbot_")}
    known = {each.name.removesuffix("_total"): each for each in metrics.CAPTURE}
    assert told.keys() == known.keys()
    for name, family in told.items():
        assert (family.type, family.documentation) == (known[name].kind, known[name].meaning)
        assert {frozenset(sample.labels) for sample in family.samples} == {
            frozenset(known[name].labels)
        }
    assert scraped("gridbot_capture_accounts", state="served") == 3
    assert scraped("gridbot_capture_rest_calls_total", code="0") > 0
    assert abs(scraped("gridbot_capture_clock_skew_seconds")) < 5
    assert not [
        word for word in ("alice", "bob", "charlie", "main", "USDT") if word in get(port).text
    ]


@pytest.mark.django_db(transaction=True)
def test_a_key_that_is_refused_is_one_tenants_trouble(exchange, repairing):
    exchange.set_account("bob/main", refusal="params")
    with (
        repairing("alice/main", "charlie/main") as running,
        serving(running.service, FREE) as port,
    ):
        until(lambda: Scraped(port)("gridbot_capture_accounts", state="set_aside") == 1)
        assert running.service.books.gaps.open_since(), "bob's"
        for name in ("alice/main", "charlie/main"):
            exchange.script(name, 2)
        until(lambda: get(port, "/readyz").status_code == 200)
        told = Scraped(port)
        assert told("gridbot_capture_accounts", state="served") == 2
        assert told("gridbot_capture_connections", kind="private", state="down") == 1
        assert told("gridbot_capture_open_gaps", stream="executions") == 0
        assert told("gridbot_capture_open_gap_seconds", stream="executions") == 0
        running.finish()


@pytest.mark.django_db(transaction=True)
def test_a_table_that_takes_no_rows_shows_though_the_books_are_written(
    sandbox, capturing, monkeypatch
):
    def refuse(*args):
        raise ProgrammingError("permission denied for table public_trades")

    service = CaptureService(capture_config(sandbox))
    with serving(service, FREE) as port, capturing(service) as running:
        sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 3))
        until(lambda: get(port, "/readyz").status_code == 200)
        with monkeypatch.context() as broken:
            broken.setattr(service.public.writers[0], "_insert", refuse)
            sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 3))
            until(lambda: Scraped(port)("gridbot_capture_database_up") == 0)
            assert get(port, "/readyz").json()["checks"]["database"]["ok"] is False
        until(lambda: Scraped(port)("gridbot_capture_database_up") == 1)
        running.finish()


@pytest.mark.django_db(transaction=True)
def test_a_stream_that_never_brought_anything_grows_old(sandbox, capturing):
    service = CaptureService(capture_config(sandbox))
    age = "gridbot_capture_last_message_age_seconds"
    with serving(service, FREE) as port, capturing(service) as running:
        until(lambda: service.is_ready)
        service._began -= 500
        until(lambda: (Scraped(port)(age, stream="tickers") or 500) < 60)
        assert Scraped(port)(age, stream="trades") > 500
        running.finish()


def test_what_alerts_ask_for_is_there_before_it_rises(sandbox, db):
    """Prometheus knows no increase of what appears with its first value."""
    with serving(CaptureService(capture_config(sandbox, private=True)), FREE) as port:
        told = Scraped(port)
        for stream in ("trades", "orders", "unknown"):
            assert told(ROWS, stream=stream, outcome="quarantined") == 0
            assert told(ROWS, stream=stream, outcome="dropped") == 0
        assert told("gridbot_capture_rest_calls_total", code="rate_limited") is not None


def test_a_spare_that_waits_for_its_turn_misses_nothing(sandbox, db):
    service = CaptureService(capture_config(sandbox))
    service.books.tally.add(StreamKey("orders"), received=2, spooled=2)
    with serving(service, FREE) as port:
        told = Scraped(port)
        assert told("gridbot_capture_spooled_rows", stream="orders") == 2
        assert told("gridbot_capture_ready") == 0
        assert told("gridbot_capture_last_message_age_seconds", stream="trades") is None


@pytest.mark.django_db(transaction=True)
def test_the_database_knows_what_is_captured_and_what_is_no_longer(sandbox, capturing):
    known = {
        Feed(stream, symbol)
        for stream in ("trades", "tickers")
        for symbol in ("BTCUSDT", "ETHUSDT")
    }
    with capturing() as running:
        assert captured_feeds() == known, "before the first row"
        for symbol in ("BTCUSDT", "ETHUSDT"):
            sandbox.send_trades(symbol, sandbox.make_trades(symbol, 3))
            sandbox.send_ticker(symbol, lastPrice="61000.5")
        sandbox.drain()
        running.finish()
    an_hour = timedelta(hours=1)
    # Or it would have to be waited for.
    CoverageInterval.objects.update(
        started_at=F("started_at") - an_hour, ended_at=F("ended_at") - an_hour
    )
    CaptureGap.objects.update(created_at=F("created_at") - an_hour)
    sandbox.refuse(3600)
    service = CaptureService(capture_config(sandbox, symbols=("BTCUSDT",)))
    again = Running(service)
    again.thread.start()
    until(lambda: service.books.gaps.open_since())
    until(lambda: captured_feeds() == {feed for feed in known if feed.symbol == "BTCUSDT"})
    again.finish()


def test_a_hung_part_is_no_healthy_process(sandbox, monkeypatch, db):
    service = CaptureService(capture_config(sandbox))
    now = 0.0
    monkeypatch.setattr("marketdata.capture.pulse.monotonic", lambda: now)
    with serving(service, FREE) as port, service.pulse:
        assert get(port, "/healthz").json() == {
            "status": "ok",
            "checks": {"progress": {"ok": True}},
        }
        now = 121.0
        answer = get(port, "/healthz")
    assert answer.status_code == 503
    assert answer.json()["checks"]["progress"]["details"] == ["the service"]


def test_there_is_nothing_else_to_ask_for(sandbox, db):
    with serving(CaptureService(capture_config(sandbox)), FREE) as port:
        assert get(port, "/admin").status_code == 404
        posted = requests.post(f"http://127.0.0.1:{port}/metrics", timeout=10)
        assert posted.status_code == 405
        assert json.loads(get(port, "/readyz").text)["status"] == "failing"


@pytest.mark.parametrize(
    "address", ["0.0.0.0:9464", "192.0.2.7:9464", "example.com:9464", "[::]:9464", ":9464"]
)
def test_metrics_stay_on_this_machine(address):
    with pytest.raises(ConfigurationError):
        checked_address(address)


@pytest.mark.parametrize("address", ["9464", "127.0.0.1", "127.0.0.1:", "::1:9464", "a b"])
def test_what_is_no_address_is_refused(address):
    with pytest.raises(ConfigurationError, match="no address for metrics"):
        checked_address(address)


def test_loopback_has_three_spellings():
    assert checked_address("localhost:1") == checked_address("127.0.0.1:1") == ("127.0.0.1", 1)
    assert checked_address("[::1]:9464") == ("::1", 9464)


def test_a_client_that_hangs_up_or_says_nothing_is_no_event(sandbox, db, monkeypatch, capfd):
    monkeypatch.setattr(server._QuietHandler, "timeout", 0.01)
    with serving(CaptureService(capture_config(sandbox)), FREE) as port:
        with socket.create_connection(("127.0.0.1", port)) as silent:
            silent.settimeout(10)
            assert silent.recv(1) == b""
        with socket.create_connection(("127.0.0.1", port)) as rude:
            rude.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            rude.sendall(b"GET /metrics")
        assert get(port, "/healthz").status_code == 200
    assert "Traceback" not in capfd.readouterr().err


def test_an_address_that_is_taken_is_said(sandbox, db):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        service = CaptureService(capture_config(sandbox))
        with pytest.raises(ConfigurationError, match="already in use"), serving(service, address):
            pass
