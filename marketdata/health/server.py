"""The health endpoints of a capture process, on an address of this machine: /healthz, /readyz and
/metrics.

They have no password, so they are for loopback alone: whoever wants them from elsewhere puts a
proxy with one before them. They read the capture's parts in memory and answer while the database
hangs.
"""

from __future__ import annotations

import json
import logging
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, ProcessCollector, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

from marketdata.bybit.environments import host_and_port, is_loopback
from marketdata.capture.service import CaptureService
from marketdata.exits import ConfigurationError
from marketdata.health.checks import Check, as_json
from marketdata.health.of_capture import CaptureMetrics, open_gaps

logger = logging.getLogger(__name__)

Headers = list[tuple[str, str]]
StartResponse = Callable[[str, Headers], Any]


class _Server(ThreadingWSGIServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up, or said nothing for too long, is no event either."""
        logger.debug("a request for health or metrics came to nothing: %r", sys.exception())


class _IPv6Server(_Server):
    address_family = socket.AF_INET6


class _QuietHandler(WSGIRequestHandler):
    # A client that stops in the middle of its request must not keep a thread.
    timeout = 10

    def log_message(self, format: str, *arguments: Any) -> None:
        """A scrape every few seconds is no event."""


def checked_address(text: str) -> tuple[str, int]:
    """HOST:PORT as a loopback host and a port. Raises ConfigurationError."""
    try:
        host, port = host_and_port(text.strip())
    except ValueError:
        raise ConfigurationError(
            f"{text!r} is no address for metrics; write for example 127.0.0.1:9464."
        ) from None
    if not is_loopback(host):
        raise ConfigurationError(
            f"Metrics of capture have no password and stay on this machine: {host} is not loopback."
        )
    return ("127.0.0.1" if host == "localhost" else host), port


def registry_of(service: CaptureService) -> CollectorRegistry:
    """All metrics of a capture process, with those of any process (CPU, memory, open files)."""
    registry = CollectorRegistry()
    registry.register(CaptureMetrics(service))
    ProcessCollector(registry=registry)
    return registry


def liveness(service: CaptureService) -> list[Check]:
    """Whether every part comes on; the details name those that do not."""
    hung = tuple(pulse.name for pulse in service.pulses if pulse.is_hung)
    return [Check(name="progress", reason="a part makes no progress" if hung else "", details=hung)]


def readiness(service: CaptureService) -> list[Check]:
    """Whether capture does its work: repaired once, a database that takes rows, no gap open."""
    gaps = open_gaps(service)
    streams = sorted({str(feed.stream) for feed in gaps})
    return [
        *liveness(service),
        Check(name="started", reason="" if service.is_ready else "not repaired yet"),
        Check(
            name="database",
            reason="the database takes no rows" if service.is_database_away else "",
        ),
        Check(
            name="streams",
            reason="streams have gaps that go on" if gaps else "",
            details=tuple(
                f"{stream}: {sum(feed.stream == stream for feed in gaps)}" for stream in streams
            ),
        ),
    ]


@contextmanager
def serving(service: CaptureService, address: str) -> Iterator[int]:
    """Answer on `address` (HOST:PORT, port 0 for any free one) for the time of the block; the port.

    Raises ConfigurationError for an address that is not loopback, or that is taken.
    """
    host, port = checked_address(address)
    kind = _IPv6Server if ":" in host else _Server
    try:
        server = make_server(host, port, _application(service), kind, _QuietHandler)
    except OSError as error:
        raise ConfigurationError(
            f"Metrics cannot be served on {address}: {error.strerror}."
        ) from None
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    logger.info("health and metrics on http://%s:%d/metrics", host, server.server_port)
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()


def _application(service: CaptureService) -> Callable[..., Iterable[bytes]]:
    metrics = make_wsgi_app(registry_of(service))
    probes = {"/healthz": liveness, "/readyz": readiness}

    def answer(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [("Allow", "GET, HEAD")])
            return []
        if path == "/metrics":
            return metrics(environ, start_response)  # type: ignore[no-any-return]
        if path not in probes:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"There is /healthz, /readyz and /metrics.\n"]
        checks = probes[path](service)
        sound = all(check.passed for check in checks)
        status = "200 OK" if sound else "503 Service Unavailable"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps(as_json(checks, with_details=True)).encode()]

    return answer
