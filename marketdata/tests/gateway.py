"""An HTTP server between a client and the sandbox's REST: it logs what is asked, and interferes."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

UNTOUCHED = {"connection", "host", "accept-encoding"}


class Asked(NamedTuple):
    """One request: its path, its parameters, and whose key it bore."""

    path: str
    query: dict[str, str]
    key: str


class Answer(NamedTuple):
    """What goes back."""

    status: int
    body: bytes
    headers: dict[str, str] = {}  # noqa: RUF012 - a default, never changed


# Says what comes instead of the sandbox's answer, which it can ask for; None lets it through.
Rule = Callable[[Asked, Callable[[], Answer]], Answer | None]


class Gateway(ThreadingHTTPServer):
    """Forwards to `url`; `rule` may be changed at any time."""

    daemon_threads = True

    def __init__(self, url: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target = urlsplit(url).netloc
        self.asked: list[Asked] = []
        self.rule: Rule = lambda asked, forward: None

    @property
    def url(self) -> str:
        """The base of the REST endpoints here."""
        return f"http://127.0.0.1:{self.server_port}"

    def of(self, path: str, key: str = "") -> list[Asked]:
        """The requests whose path ends so, of one key or of all."""
        return [one for one in self.asked if one.path.endswith(path) and key in ("", one.key)]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Gateway

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        asked = Asked(parts.path, query, self.headers.get("X-BAPI-API-KEY", ""))
        self.server.asked.append(asked)
        answer = self.server.rule(asked, self._forward) or self._forward()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(answer.body)
        self.close_connection = True

    def _forward(self) -> Answer:
        connection = http.client.HTTPConnection(self.server.target, timeout=10)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in UNTOUCHED}
        connection.request("GET", self.path, headers=headers)
        response = connection.getresponse()
        body = response.read()
        kept = {
            k: v for k, v in response.getheaders() if k.lower().startswith(("x-", "content-ty"))
        }
        connection.close()
        return Answer(response.status, body, kept)

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextmanager
def gateway_to(url: str) -> Iterator[Gateway]:
    """A gateway for the time of a block."""
    server = Gateway(url)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
