"""Capture and reconciliation against every fault of the sandbox: both live, and the law holds."""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.core.management import call_command

from marketdata.capture.service import CaptureService
from marketdata.demo.ledger import Ledger
from marketdata.demo.verdict import Judge, Watermark
from marketdata.exits import ExitCode
from marketdata.models import (
    CaptureGap,
    PrivateExecution,
    PublicTrade,
    QuarantinedMessage,
    TickerSnapshot,
)
from marketdata.sandbox import SandboxAccount, SandboxConfig, SandboxServer
from marketdata.sandbox.faults import FAULTS
from marketdata.sandbox.faults.table import REST, TRADE
from marketdata.sandbox.tcp_proxy import TcpProxy
from marketdata.tests.capture.conftest import Running, capture_config, until
from marketdata.tests.conftest import forget_pauses

pytestmark = pytest.mark.django_db(transaction=True)

ACCOUNT = "alice/main"
TOPICS = ("publicTrade.BTCUSDT", "tickers.BTCUSDT")
# Capture never trades.
STREAM_FAULTS = [name for name, fault in FAULTS.items() if fault.kind not in (REST, TRADE)]
REST_FAULTS = [name for name, fault in FAULTS.items() if fault.kind == REST]
# What each is given beside its defaults; the rest of them last until they are ended.
VALUES: dict[str, dict[str, Any]] = {
    "freeze": {"seconds": 3600},
    "refuse": {"seconds": 3600},
    "private_drop": {"seconds": 3600},
    "public_drop": {"trades": 1200},
    "replay": {"frames": 50},
    "silence": {"topic": "publicTrade"},
    "bad_number": {"count": 20},
    "garbage": {"count": 50},
    "late": {"delay": 0.05},
}
# Connections have to be made anew to meet these.
AT_THE_DOOR = ("refuse", "handshake_502", "auth_reject", "subscribe_reject", "delta_first")
ENDS_CONNECTIONS = ("close", "reset", "fin", "private_drop", "public_drop")


@pytest.fixture
def exchange() -> Iterator[SandboxServer]:
    """A quiet exchange with one symbol and one account."""
    account = SandboxAccount(
        name=ACCOUNT, api_key=secrets.token_hex(9), api_secret=secrets.token_hex(18)
    )
    config = SandboxConfig(symbols=("BTCUSDT",), rate=0, accounts=(account,))
    with SandboxServer(config) as server:
        yield server


@pytest.fixture
def service(exchange, tenants) -> CaptureService:
    return CaptureService(capture_config(exchange, symbols=("BTCUSDT",), private=True))


def is_heard(exchange) -> None:
    exchange.wait_for_topics(*TOPICS)
    exchange.wait_for_private(ACCOUNT)


def live(exchange) -> None:
    for price in range(3):
        exchange.send_trades("BTCUSDT", exchange.make_trades("BTCUSDT", 20))
        exchange.send_ticker("BTCUSDT", lastPrice=str(100 + price))
    exchange.script(ACCOUNT, 12)


def wait_until_fired(exchange, running, name) -> None:
    while not exchange.faults()["fired"].get(name):
        assert not running.stop.wait(0.01)
        assert running.thread.is_alive()


@pytest.mark.parametrize("name", STREAM_FAULTS)
def test_capture_survives_a_fault_of_streams(exchange, service, name):
    before, running = Watermark(), Running(service)
    running.thread.start()
    try:
        is_heard(exchange)
        live(exchange)
        exchange.drain()
        exchange.fault(name, **VALUES.get(name, {}))
        if name in AT_THE_DOOR:
            exchange.break_connections("reset")
        live(exchange)
        wait_until_fired(exchange, running, name)
        exchange.end_faults()
        is_heard(exchange)
        live(exchange)
        exchange.drain()
    finally:
        report = running.finish()
    assert (report.exit_code, report.violations, report.problems) == (ExitCode.OK, [], [])
    verdict = Judge(Ledger.read(exchange.ledger()), report, service.config, before).judge()
    assert (verdict.lost, verdict.duplicated, verdict.mutated) == (0, 0, 0), verdict.problems
    if name in ENDS_CONNECTIONS:
        assert CaptureGap.objects.exists()


@pytest.mark.parametrize("name", ["garbage", "bad_number"])
def test_what_cannot_be_read_is_quarantined_and_costs_nothing_else(exchange, service, name):
    running = Running(service)
    running.thread.start()
    try:
        is_heard(exchange)
        exchange.fault(name, topic="publicTrade", count=30)
        for _ in range(30):
            exchange.send_trades("BTCUSDT", exchange.make_trades("BTCUSDT", 2))
        exchange.drain()
    finally:
        running.finish()
    raw = [line for line in exchange.ledger() if line["event"] == "raw"]
    assert len(raw) == 30
    assert sum(QuarantinedMessage.objects.values_list("count", flat=True)) == 30
    assert PublicTrade.objects.count() == 60


def test_a_handshake_that_hangs_is_abandoned_and_the_next_one_recovers(exchange, monkeypatch):
    monkeypatch.setattr("marketdata.bybit.ws_stream.HANDSHAKE_SECONDS", 0.3)
    streams = urlsplit(exchange.ws_public_url)
    assert streams.hostname
    assert streams.port
    with TcpProxy((streams.hostname, streams.port)) as proxy:
        config = capture_config(exchange, symbols=("BTCUSDT",))
        away = streams._replace(netloc=f"{proxy.host}:{proxy.port}").geturl()
        endpoints = dataclasses.replace(config.endpoints, ws_public=away)
        service = CaptureService(dataclasses.replace(config, endpoints=endpoints))
        before, running = Watermark(), Running(service)
        running.thread.start()
        try:
            until(TickerSnapshot.objects.exists)
            proxy.down()
            proxy.set("black_hole")
            seen = proxy.status()["counts"]["connections"]
            proxy.up()
            # The one that hung was left behind, and another came in its place.
            until(lambda: proxy.status()["counts"]["connections"] >= seen + 3)
            proxy.clear("black_hole")
            exchange.wait_for_topics(*TOPICS)
            exchange.send_trades("BTCUSDT", exchange.make_trades("BTCUSDT", 20))
            exchange.drain()
        finally:
            report = running.finish()
    assert (report.exit_code, report.violations, report.problems) == (ExitCode.OK, [], [])
    verdict = Judge(Ledger.read(exchange.ledger()), report, service.config, before).judge()
    assert (verdict.lost, verdict.duplicated, verdict.mutated) == (0, 0, 0), verdict.problems
    assert PublicTrade.objects.count() == 20
    assert CaptureGap.objects.exists()


@pytest.mark.parametrize("name", REST_FAULTS)
def test_reconciliation_survives_a_fault_of_rest(exchange, service, settings, monkeypatch, name):
    monkeypatch.setattr("marketdata.bybit.rest_base.RETRY_DELAY", 0)
    config = service.config
    settings.EVENTSAVER_ENVIRONMENT, settings.BYBIT_ENDPOINTS = config.environment, config.endpoints
    running = Running(service)
    running.thread.start()
    try:
        is_heard(exchange)
        live(exchange)
        exchange.drain()
    finally:
        running.finish()
    live(exchange)
    # A ban is said to an address: not even the public half may be asked meanwhile.
    whom = {} if name == "http_403" else {"account": ACCOUNT}
    exchange.fault(name, **whom, **VALUES.get(name, {}))
    assert reconciled() in (ExitCode.OK, ExitCode.DATA_INCOMPLETE, ExitCode.UNAVAILABLE)
    assert exchange.faults()["fired"][name] >= 1
    if name == "http_403":
        assert reconciled() == ExitCode.DATA_INCOMPLETE
        assert exchange.faults()["fired"][name] == 1
    exchange.end_faults()
    forget_pauses()
    assert reconciled() == ExitCode.OK
    made = exchange.private_rows(ACCOUNT, "execution")
    stored = PrivateExecution.objects.values_list("exec_id", flat=True)
    assert set(stored) == {row["execId"] for row in made}
    assert len(stored) == len(set(stored))


def reconciled() -> int:
    """How a reconciliation of the last hour ends."""
    try:
        call_command("reconcile", "--since", "1h", "--symbol", "BTCUSDT", "--account", ACCOUNT)
    except SystemExit as end:
        return int(end.code or 0)
    return ExitCode.OK
