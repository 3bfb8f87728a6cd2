"""An HTTP server on loopback that takes messages, refuses them, or never answers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from accounts.secret import Secret

TOKEN = "canary-token-4711"
PASSWORD = "canary%2Fpass"


class Receiver:
    """What arrived at the server on `port`, and how it answers; 0 is never."""

    def __init__(self) -> None:
        self.received: list[dict[str, str]] = []
        self.status = 200
        self.release = threading.Event()
        self.arrived = threading.Event()
        self.port = 0

    @property
    def url(self) -> Secret:
        """Its address, with secrets in it."""
        return Secret(f"json://user:{PASSWORD}@127.0.0.1:{self.port}/{TOKEN}?rto=30")


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A server for the time of the block."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.received.append(json.loads(body))
            receiver.arrived.set()
            if not receiver.status:
                receiver.release.wait()
                if not receiver.status:
                    return
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.release.set()
        server.shutdown()
        server.server_close()
