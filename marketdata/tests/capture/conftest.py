"""A capture service that runs in a thread, against a sandbox."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.capture.service import CaptureConfig, CaptureReport, CaptureService
from marketdata.sandbox import SandboxServer

JOIN_SECONDS = 40


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


def capture_config(sandbox: SandboxServer, **changes: Any) -> CaptureConfig:
    """A config for `sandbox` that does not wait long for anything."""
    options: dict[str, Any] = {
        "symbols": ("BTCUSDT", "ETHUSDT"),
        "environment": Environment.SANDBOX,
        "endpoints": Endpoints(rest=sandbox.rest_url, ws_public=sandbox.ws_public_url),
        "flush_interval": 0.05,
        "ticker_interval_ms": 0,
        "reconnect_delay": 0.01,
        "max_reconnect_delay": 0.05,
    }
    return CaptureConfig(**options | changes)


@pytest.fixture
def capturing(sandbox: SandboxServer, transactional_db: None) -> Callable[..., Any]:
    """A context manager in whose block a service captures from the sandbox."""

    @contextmanager
    def run(service: CaptureService | None = None, **changes: Any) -> Iterator[Running]:
        config = capture_config(sandbox, **changes)
        running = Running(service or CaptureService(config))
        running.thread.start()
        try:
            topics = [
                f"{kind}.{symbol}"
                for symbol in config.symbols
                for kind in ("publicTrade", "tickers")
            ]
            sandbox.wait_for_topics(*topics)
            yield running
        finally:
            running.stop.set()
            running.thread.join(JOIN_SECONDS)

    return run
