"""What tests that trade in the sandbox share: a client by hand, and a clock of their own."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import requests

from marketdata.sandbox import SandboxAccount, SandboxConfig, SandboxServer

BEGINNING = 1_790_000_000_000


class Clock:
    """A clock that goes when it is told to, in ms."""

    def __init__(self, now: int = BEGINNING) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now


def clock_ms() -> int:
    """The machine's own time."""
    return time.time_ns() // 1_000_000


class Client:
    """A signed REST client without a library; every request a second after the one before.

    With the machine's own clock it does not wait.
    """

    def __init__(
        self, sandbox: SandboxServer, account: str = "alice", clock: Callable[[], int] = clock_ms
    ) -> None:
        self.sandbox = sandbox
        self.keys = sandbox.accounts[account]
        self.clock = clock
        self.headers: dict[str, str] = {}
        self._session = requests.Session()
        self._session.trust_env = False

    def get(self, path: str, **query: Any) -> dict[str, Any]:
        """The answer to a GET."""
        return self._ask("GET", path, urlencode({"category": "linear", **query}))

    def post(self, path: str, **body: Any) -> dict[str, Any]:
        """The answer to a POST."""
        return self.post_raw(path, json.dumps({"category": "linear", **body}))

    def post_raw(self, path: str, body: str, *, signed: str | None = None) -> dict[str, Any]:
        """The answer to a POST of any text."""
        return self._ask("POST", path, body, signed=signed)

    def listed(self, path: str, **query: Any) -> list[dict[str, Any]]:
        """All rows of a list, page by page."""
        rows, cursor = [], ""
        while True:
            answer = self.get(path, **query, **({"cursor": cursor} if cursor else {}))
            assert answer["retCode"] == 0, answer
            rows += answer["result"]["list"]
            if not (cursor := answer["result"].get("nextPageCursor", "")):
                return rows

    def place(
        self, side: str, index: int, qty: str, price: str = "", **more: Any
    ) -> dict[str, Any]:
        """The answer to a new order for BTCUSDT: a limit order when there is a price."""
        kind = {"orderType": "Limit", "price": price} if price else {"orderType": "Market"}
        body = {"symbol": "BTCUSDT", "side": side, "positionIdx": index, "qty": qty} | kind | more
        return self.post("/v5/order/create", **body)

    def placed(self, *args: Any, **more: Any) -> str:
        """The id of a new order that was accepted."""
        answer = self.place(*args, **more)
        assert answer["retCode"] == 0, answer
        order_id: str = answer["result"]["orderId"]
        return order_id

    def order(self, order_id: str) -> dict[str, Any]:
        """An order as it is now, open or over."""
        (row,) = self.get("/v5/order/realtime", orderId=order_id)["result"]["list"]
        return row  # type: ignore[no-any-return]

    def legs(self, symbol: str = "BTCUSDT") -> dict[int, dict[str, Any]]:
        """The legs of a symbol by their index."""
        rows = self.get("/v5/position/list", symbol=symbol)["result"]["list"]
        return {row["positionIdx"]: row for row in rows}

    def balance(self) -> Decimal:
        """The wallet's balance."""
        (row,) = self.get("/v5/account/wallet-balance", accountType="UNIFIED")["result"]["list"]
        return Decimal(row["totalWalletBalance"])

    def close(self) -> None:
        """Leave the connection."""
        self._session.close()

    def _ask(
        self, method: str, path: str, text: str, *, signed: str | None = None
    ) -> dict[str, Any]:
        if isinstance(self.clock, Clock):
            self.clock.now += 1000
        stamp, window, key = str(self.clock()), "5000", self.keys.api_key
        payload = f"{stamp}{key}{window}{text if signed is None else signed}"
        sign = hmac.new(self.keys.api_secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
        headers = {
            "X-BAPI-API-KEY": key, "X-BAPI-TIMESTAMP": stamp, "X-BAPI-RECV-WINDOW": window,
            "X-BAPI-SIGN": sign, "Content-Type": "application/json",
        }  # fmt: skip
        url = f"{self.sandbox.rest_url}{path}"
        if method == "GET":
            answer = self._session.get(f"{url}?{text}", headers=headers, timeout=20)
        else:
            answer = self._session.post(url, data=text.encode(), headers=headers, timeout=20)
        self.headers = dict(answer.headers)
        told: dict[str, Any] = answer.json()
        return told


def trading_sandbox(
    clock: Clock, *names: str, hedge_mode: bool = True, **more: Any
) -> SandboxServer:
    """A quiet exchange at a test's own time, whose clients need not wait."""
    accounts = tuple(
        SandboxAccount(name=name, api_key=f"key-{name}", api_secret="secret", hedge_mode=hedge_mode)
        for name in names or ("alice",)
    )
    options: dict[str, Any] = {"symbols": ("BTCUSDT", "ETHUSDT"), "rate": 0, "address_limit": 0}
    return SandboxServer(SandboxConfig(accounts=accounts, **options | more), clock=clock)


def trade(
    sandbox: SandboxServer, price: str, size: str = "100", symbol: str = "BTCUSDT", **more: Any
) -> None:
    """Let somebody else trade."""
    (row,) = sandbox.make_trades(symbol, 1)
    sandbox.send_trades(symbol, [row | {"p": price, "v": size} | more])
