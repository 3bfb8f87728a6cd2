"""A capture service that runs in a thread, against a sandbox."""

from __future__ import annotations

import secrets
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from accounts.models import ApiCredential, BybitAccount
from accounts.tests.factories import BybitAccountFactory
from marketdata.bybit.environments import Endpoints, Environment
from marketdata.capture.config import CaptureConfig
from marketdata.capture.report import CaptureReport
from marketdata.capture.service import CaptureService
from marketdata.sandbox import SandboxAccount, SandboxConfig, SandboxServer
from marketdata.tests.gateway import Gateway, gateway_to

JOIN_SECONDS = 40
NEVER = 3600.0


class Running:
    """A service at work; `report` is there when it has ended."""

    def __init__(self, service: CaptureService) -> None:
        self.service = service
        self.stop = threading.Event()
        self.report: CaptureReport
        self.error: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.report = self.service.run(self.stop)
        except BaseException as error:  # noqa: BLE001 - it is raised again where the test waits
            self.error = error
        finally:
            connection.close()

    def finish(self) -> CaptureReport:
        """Stop it, or wait for an end of its own."""
        self.stop.set()
        return self.wait()

    def wait(self) -> CaptureReport:
        """Wait for it to end by itself."""
        self.thread.join(JOIN_SECONDS)
        assert not self.thread.is_alive()
        if self.error is not None:
            raise self.error
        return self.report


def until(condition: Callable[[], object]) -> None:
    """Wait until the condition holds, for half a minute at most."""
    pause = threading.Event()
    for _ in range(3000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to be")


def capture_config(sandbox: SandboxServer, **changes: Any) -> CaptureConfig:
    """A config for `sandbox` that does not wait long for anything."""
    options: dict[str, Any] = {
        "symbols": ("BTCUSDT", "ETHUSDT"),
        "environment": Environment.SANDBOX,
        "endpoints": Endpoints(
            rest=sandbox.rest_url,
            ws_public=sandbox.ws_public_url,
            ws_private=sandbox.ws_private_url,
        ),
        "flush_interval": 0.05,
        "ticker_interval_ms": 0,
        "reconnect_delay": 0.01,
        "max_reconnect_delay": 0.05,
        "refused_delay": 0.05,
        "roster_interval": 0.0,
        # What the sandbox says is of this moment, as its clock is.
        "repair_margin": 0.0,
        "repair_settle": 0.0,
        # Streams alone: repairs have tests of their own.
        "repair": False,
    }
    return CaptureConfig(**options | changes)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A service in a test looks at its parts often, and never ends the process of the tests."""
    monkeypatch.setattr("marketdata.capture.service.TICK_SECONDS", 0.02)
    monkeypatch.setattr("marketdata.coverage.reconciler_base.LAG_SECONDS", 0.0)
    monkeypatch.setattr("marketdata.capture.guard.LOOK_SECONDS", 0.02)
    monkeypatch.setattr("marketdata.capture.guard.END_SECONDS", float("inf"))


@pytest.fixture(autouse=True)
def spool_folder(settings: Any, tmp_path: Path) -> Path:
    """Each test has a spool of its own."""
    settings.GRIDBOT_SPOOL_DIR = tmp_path / "spool"
    return tmp_path / "spool"


@pytest.fixture
def capturing(sandbox: SandboxServer, transactional_db: None) -> Callable[..., Any]:
    """A context manager in whose block a service captures from the sandbox."""

    @contextmanager
    def run(
        service: CaptureService | None = None, expected: tuple[str, ...] = (), **changes: Any
    ) -> Iterator[Running]:
        config = capture_config(sandbox, **changes)
        running = Running(service or CaptureService(config))
        running.thread.start()
        try:
            topics = [
                f"{kind}.{symbol}"
                for symbol in expected or config.symbols
                for kind in ("publicTrade", "tickers")
            ]
            sandbox.wait_for_topics(*topics)
            yield running
        finally:
            running.stop.set()
            running.thread.join(JOIN_SECONDS)

    return run


TENANTS = ("alice/main", "bob/main", "charlie/main")


@pytest.fixture
def exchange() -> Iterator[SandboxServer]:
    """A quiet exchange that knows an account of each of three tenants."""
    accounts = tuple(
        SandboxAccount(name=name, api_key=secrets.token_hex(9), api_secret=secrets.token_hex(18))
        for name in TENANTS
    )
    config = SandboxConfig(symbols=("BTCUSDT", "ETHUSDT"), rate=0, accounts=accounts)
    with SandboxServer(config) as server:
        yield server


def credential_for(account: BybitAccount, api_key: str, api_secret: str) -> ApiCredential:
    """Give `account` this key, in place of the one it has."""
    ApiCredential.objects.unscoped().filter(account=account, is_active=True).update(is_active=False)
    credential = ApiCredential(account=account, api_key=api_key)
    credential.seal_secret(api_secret)
    credential.save()
    return credential


@pytest.fixture
def tenants(exchange: SandboxServer, transactional_db: None) -> dict[str, BybitAccount]:
    """The same accounts in the database, each with its key."""
    accounts = {}
    for name, known in exchange.accounts.items():
        username, account_name = name.split("/")
        account = BybitAccountFactory.create(
            user__username=username, account_name=account_name, environment="sandbox"
        )
        credential_for(account, known.api_key, known.api_secret)
        accounts[username] = account
    return accounts


@pytest.fixture
def serving(exchange: SandboxServer, tenants: dict[str, BybitAccount]) -> Callable[..., Any]:
    """A context manager in whose block a service captures the accounts, and no market."""

    @contextmanager
    def run(*expected: str, **changes: Any) -> Iterator[Running]:
        config = capture_config(exchange, **{"symbols": (), "private": True} | changes)
        running = Running(CaptureService(config))
        running.thread.start()
        try:
            for name in expected or TENANTS:
                exchange.wait_for_private(name)
            yield running
        finally:
            running.stop.set()
            running.thread.join(JOIN_SECONDS)

    return run


@pytest.fixture
def gateway(exchange: SandboxServer) -> Iterator[Gateway]:
    """A way to the exchange's REST on which a test may interfere."""
    with gateway_to(exchange.rest_url) as server:
        yield server


@pytest.fixture
def repairing(
    exchange: SandboxServer, gateway: Gateway, tenants: dict[str, BybitAccount]
) -> Callable[..., Any]:
    """A context manager in whose block a service captures and repairs; nothing is due by time."""

    @contextmanager
    def run(*expected: str, **changes: Any) -> Iterator[Any]:
        endpoints = Endpoints(
            rest=gateway.url, ws_public=exchange.ws_public_url, ws_private=exchange.ws_private_url
        )
        options = {
            "symbols": (), "private": True, "repair": True, "endpoints": endpoints,
            "sweep_interval": NEVER, "audit_interval": NEVER, "repair_delay": NEVER,
            "gap_threshold": 0.0, "audit_lag": 0.0,
        }  # fmt: skip
        running = Running(CaptureService(capture_config(exchange, **options | changes)))
        running.thread.start()
        try:
            if changes.get("private", True):
                for name in expected or TENANTS:
                    exchange.wait_for_private(name)
            for symbol in changes.get("symbols", ()):
                exchange.wait_for_topics(f"publicTrade.{symbol}")
            repairs = running.service.repairs
            until(lambda: repairs is not None and repairs.is_settled)
            yield running
        finally:
            running.stop.set()
            running.thread.join(JOIN_SECONDS)

    return run


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """The socket on which systemd would listen."""
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagrams,
    ):
        path = str(Path(folder) / "notify")
        datagrams.bind(path)
        monkeypatch.setenv("NOTIFY_SOCKET", path)
        datagrams.settimeout(10)
        yield datagrams
