"""Bare clients of a sandbox: WebSockets frame by frame, HTTP request by request."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode

import requests
from websocket import WebSocket, WebSocketTimeoutException, create_connection

from marketdata.sandbox import SandboxServer

TRADES, TICKERS = "publicTrade.BTCUSDT", "tickers.BTCUSDT"
PRIVATE = ("execution", "order", "position", "wallet")
SECONDS = 20
# Long enough for what was written before, over loopback.
NOTHING_SECONDS = 0.2


class Clients:
    """Connections to one sandbox, all closed at the end."""

    def __init__(self, sandbox: SandboxServer) -> None:
        self.sandbox = sandbox
        self._open: list[WebSocket] = []

    def public(self, *topics: str) -> WebSocket:
        """A connection that is subscribed, each topic by a request of its own."""
        ws = self.connect(self.sandbox.ws_public_url)
        for topic in topics:
            assert ask(ws, op="subscribe", args=[topic])["success"]
        return ws

    def private(self, account: str = "alice") -> WebSocket:
        """A connection of an account, subscribed to all its topics."""
        ws = self.connect(self.sandbox.ws_private_url)
        assert self.authenticate(ws, account)["success"]
        assert ask(ws, op="subscribe", args=PRIVATE)["success"]
        return ws

    def authenticate(self, ws: WebSocket, account: str = "alice") -> dict[str, Any]:
        """Say whose the connection is; the answer."""
        keys, expires = self.sandbox.accounts[account], int(time.time() * 1000) + 60_000
        signature = _signed(keys.api_secret, f"GET/realtime{expires}")
        return ask(ws, op="auth", args=[keys.api_key, expires, signature])

    def connect(self, url: str) -> WebSocket:
        """A connection that says nothing."""
        ws = create_connection(url, timeout=SECONDS)
        self._open.append(ws)
        return ws

    def get(self, path: str, **query: Any) -> requests.Response:
        """A request of the public half."""
        return requests.get(f"{self.sandbox.rest_url}{path}", params=query, timeout=SECONDS)

    def signed(self, path: str, account: str = "alice", **query: Any) -> requests.Response:
        """A request of an account."""
        keys, now = self.sandbox.accounts[account], str(int(time.time() * 1000))
        text = urlencode({"category": "linear"} | query)
        headers = {
            "X-BAPI-API-KEY": keys.api_key,
            "X-BAPI-TIMESTAMP": now,
            "X-BAPI-RECV-WINDOW": "60000",
            "X-BAPI-SIGN": _signed(keys.api_secret, f"{now}{keys.api_key}60000{text}"),
        }
        url = f"{self.sandbox.rest_url}{path}?{text}"
        return requests.get(url, headers=headers, timeout=SECONDS)

    def close(self) -> None:
        """Close all that is open."""
        for ws in self._open:
            with contextlib.suppress(OSError):
                ws.close(timeout=1)
            ws.shutdown()


def ask(ws: WebSocket, **frame: Any) -> dict[str, Any]:
    """Send a request and read the next frame."""
    ws.send(json.dumps(frame))
    answer: dict[str, Any] = json.loads(ws.recv())
    return answer


def read(ws: WebSocket, count: int) -> list[dict[str, Any]]:
    """The next frames."""
    return [json.loads(ws.recv()) for _ in range(count)]


def is_silent(ws: WebSocket) -> bool:
    """Whether nothing that was written before arrives."""
    ws.settimeout(NOTHING_SECONDS)
    try:
        ws.recv()
    except WebSocketTimeoutException:
        return True
    finally:
        ws.settimeout(SECONDS)
    return False


def _signed(secret: str, text: str) -> str:
    return hmac.new(secret.encode(), text.encode(), hashlib.sha256).hexdigest()
