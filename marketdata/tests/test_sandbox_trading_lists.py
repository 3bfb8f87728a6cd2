"""How often a client of the sandbox may ask, who may trade, and how lists are paged."""

from __future__ import annotations

import json
import secrets
from decimal import Decimal

import pytest
import requests
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP

from marketdata.sandbox import SandboxAccount, SandboxConfig, SandboxServer
from marketdata.sandbox.limits import Addresses
from marketdata.tests import test_sandbox_trading_errors as errors
from marketdata.tests.test_sandbox_trading_errors import BATCH, CANCEL, CREATE, GOOD, LONG
from marketdata.tests.trading import Client, trade

sandbox, client = errors.sandbox, errors.client

SHORT = 2
WEEK_MS = 7 * 24 * 3600 * 1000


# --- limits --------------------------------------------------------------------------------------


def still(client):
    """Let the client ask without time going on."""
    client.clock = (lambda now: lambda: now)(client.clock())
    client.sandbox._sandbox.exchange.clock = client.clock
    return client


def test_ten_orders_a_second_then_10006_with_the_time_of_the_next(client):
    sandbox = client.sandbox
    start = still(client).clock()
    for left in range(9, -1, -1):
        client.placed("Buy", LONG, "0.01", "59000")
        assert (client.headers["X-Bapi-Limit"], client.headers["X-Bapi-Limit-Status"]) == (
            "10",
            str(left),
        )
    answer = client.place("Buy", LONG, "0.01", "59000")
    assert (answer["retCode"], answer["retMsg"]) == (10006, "Too many visits!")
    assert client.headers["X-Bapi-Limit-Reset-Timestamp"] == str(start + 1000)
    assert client.headers["X-Bapi-Limit-Status"] == "0"
    # Every endpoint has a budget of its own, and so have batches.
    assert client.post(BATCH, request=[GOOD])["retCode"] == 0
    assert client.headers["X-Bapi-Limit-Status"] == "9"
    assert client.get("/v5/order/realtime", symbol="BTCUSDT")["retCode"] == 0
    assert client.headers["X-Bapi-Limit"] == "50"
    assert client.get("/v5/account/transaction-log")["retCode"] == 0
    assert client.headers["X-Bapi-Limit"] == "25"
    client.clock = sandbox._sandbox.exchange.clock = lambda: start + 1000
    client.placed("Buy", LONG, "0.01", "59000")


def test_the_tail_of_a_batch_beyond_the_limit_fails_order_by_order(client):
    still(client)
    first = client.post(BATCH, request=[GOOD] * 7)
    second = client.post(BATCH, request=[GOOD] * 7)
    third = client.post(BATCH, request=[GOOD])
    codes = [row["code"] for answer in (first, second) for row in answer["retExtInfo"]["list"]]
    assert codes == [0] * 10 + [10006] * 4
    assert third["retCode"] == 10006
    assert len(client.listed("/v5/order/realtime", symbol="BTCUSDT")) == 10


def test_pybit_waits_for_the_reset_and_goes_on(private_sandbox):
    keys = private_sandbox.accounts["alice"]
    http = HTTP(api_key=keys.api_key, api_secret=keys.api_secret, max_retries=2, retry_delay=0)
    http.endpoint = private_sandbox.rest_url
    order = {"category": "linear", **GOOD}
    for _ in range(13):  # two seconds' worth at most: whoever waits as told is served
        assert http.place_order(**order)["retCode"] == 0
    http.place_order(**order, orderLinkId="twice")
    with pytest.raises(InvalidRequestError, match="110072") as caught:
        http.place_order(**order, orderLinkId="twice")
    assert caught.value.status_code == 110072


def test_an_address_that_asks_too_often_is_turned_away_for_ten_minutes():
    addresses = Addresses(3)
    assert [addresses.is_welcome("a", ms) for ms in (0, 1, 2, 5001, 5002)] == [True] * 5
    assert addresses.is_welcome("a", 5003)
    assert not addresses.is_welcome("a", 5004)
    assert addresses.is_welcome("b", 5004)
    assert not addresses.is_welcome("a", 5004 + 600_000 - 1)
    assert addresses.is_welcome("a", 5004 + 600_000)
    assert all(Addresses(0).is_welcome("a", 0) for _ in range(1000))


def test_turned_away_is_http_403_and_only_rest_is_counted():
    with SandboxServer(SandboxConfig(rate=0, address_limit=2)) as sandbox:
        answers = [requests.get(f"{sandbox.rest_url}/v5/market/time", timeout=20) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 403]
        assert answers[-1].text == "access too frequent"
        http = HTTP()
        http.endpoint = sandbox.rest_url
        with pytest.raises(FailedRequestError) as caught:
            http.get_server_time()
        assert caught.value.status_code == 403
        assert requests.get(f"{sandbox.rest_url}/sandbox/status", timeout=20).ok


# --- who may trade -------------------------------------------------------------------------------


def test_a_body_is_signed_byte_for_byte(client):
    body = json.dumps({"category": "linear", **GOOD}, indent=1)
    assert client.post_raw(CREATE, body, signed=json.dumps(json.loads(body)))["retCode"] == 10004
    assert client.post_raw(CREATE, body)["retCode"] == 0
    assert client.post_raw(CREATE, "[1]")["retCode"] == 10001
    assert client.post_raw(CREATE, "{broken")["retCode"] == 10001


def test_a_key_that_only_reads_cannot_trade():
    account = SandboxAccount(
        name="alice", api_key=secrets.token_hex(9), api_secret="s", read_only=True
    )
    with SandboxServer(SandboxConfig(symbols=("BTCUSDT",), rate=0, accounts=(account,))) as sandbox:
        client = Client(sandbox)
        assert client.post(CREATE, **GOOD)["retCode"] == 10005
        assert client.post(BATCH, request=[GOOD])["retCode"] == 10005
        assert client.get("/v5/order/realtime", symbol="BTCUSDT")["result"]["list"] == []
        assert client.get("/v5/user/query-api")["result"]["readOnly"] == 1
        client.close()


# --- lists ---------------------------------------------------------------------------------------


def test_hundreds_of_executions_page_by_page(client):
    ids = [
        client.placed("Buy", LONG, "0.130", "59000"),
        client.placed("Sell", SHORT, "0.13", "61000"),
    ]
    for price in ("58990", "61010"):
        for _ in range(130):
            trade(client.sandbox, price, "0.001")
        client.clock.now += 1000
    made = [row["execId"] for row in client.sandbox.private_rows("alice", "execution")]
    for limit, pages in ((100, 3), (50, 6), (7, 38)):
        rows = client.listed("/v5/execution/list", limit=limit)
        assert [row["execId"] for row in rows] == made[::-1]
        assert -(-len(rows) // limit) == pages
    (one,) = {row["orderId"] for row in client.listed("/v5/execution/list", orderId=ids[0])}
    assert one == ids[0]
    log = client.listed("/v5/account/transaction-log", limit=50)
    assert len({row["id"] for row in log}) == 260


@pytest.mark.parametrize(
    "path",
    [
        "/v5/execution/list", "/v5/order/history", "/v5/position/closed-pnl",
        "/v5/account/transaction-log",
    ],
)  # fmt: skip
def test_a_window_has_seven_days_at_most(client, path):
    client.placed("Buy", LONG, "0.01")
    client.placed("Sell", LONG, "0.01")
    now = client.clock()
    assert client.get(path, startTime=now - WEEK_MS, endTime=now)["result"]["list"]
    answer = client.get(path, startTime=now - WEEK_MS - 1, endTime=now)
    assert (answer["retCode"], answer["retMsg"]) == (
        10001, "params error: the time range must not exceed 7 days",
    )  # fmt: skip
    client.clock.now += 8 * WEEK_MS // 7
    assert client.get(path)["result"]["list"] == []
    assert client.get(path, startTime=now - 5000)["result"]["list"]


def test_orders_without_fills_are_forgotten_after_a_day(client):
    kept = client.placed("Buy", LONG, "0.01")
    gone = client.placed("Buy", LONG, "0.01", "59000")
    client.post(CANCEL, symbol="BTCUSDT", orderId=gone)
    listed = [row["orderId"] for row in client.listed("/v5/order/history")]
    assert listed == [gone, kept]
    client.clock.now += WEEK_MS // 7
    assert [row["orderId"] for row in client.listed("/v5/order/history")] == [kept]


def test_risk_limits_come_fifteen_a_page():
    symbols = tuple(f"A{n}USDT" for n in range(20))
    with SandboxServer(SandboxConfig(symbols=symbols, rate=0)) as sandbox:
        http = HTTP()
        http.endpoint = sandbox.rest_url
        first = http.get_risk_limit(category="linear")["result"]
        second = http.get_risk_limit(category="linear", cursor=first["nextPageCursor"])["result"]
        assert (len(first["list"]), len(second["list"]), second["nextPageCursor"]) == (15, 5, "")
        assert {row["symbol"] for row in first["list"] + second["list"]} == set(symbols)
        (one,) = http.get_risk_limit(category="linear", symbol="A1USDT")["result"]["list"]
        assert (one["id"], Decimal(one["maintenanceMargin"])) == (1, Decimal("0.005"))


def test_a_start_of_fundings_needs_an_end(client):
    path, now = "/v5/market/funding/history", client.clock()
    assert client.get(path, symbol="BTCUSDT", startTime=now)["retCode"] == 10001
    client.sandbox.settle_funding("BTCUSDT")
    client.clock.now += 5
    client.sandbox.settle_funding("BTCUSDT")
    both = client.listed(path, symbol="BTCUSDT")
    assert [int(row["fundingRateTimestamp"]) for row in both] == [now + 1005, now + 1000]
    assert client.listed(path, symbol="BTCUSDT", startTime=now, endTime=now + 1004) == both[1:]
    assert client.listed(path, symbol="BTCUSDT", limit=1) == both[:1]


@pytest.mark.parametrize("only", [0, 1])
def test_orders_are_listed_by_coin(client, only):
    ids = {"BTC": client.placed("Buy", LONG, "0.01", "59000")}
    ids["ETH"] = client.placed("Buy", LONG, "0.1", "1000", symbol="ETHUSDT")
    if only:
        client.post("/v5/order/cancel-all", settleCoin="USDT")

    def found(**query):
        rows = client.listed("/v5/order/realtime", openOnly=only, **query)
        return {row["orderId"] for row in rows}

    assert found(baseCoin="BTC") == found(symbol="BTCUSDT") == {ids["BTC"]}
    assert found(baseCoin="ETH", settleCoin="USDT") == {ids["ETH"]}
    assert found(settleCoin="USDT") == set(ids.values())
    assert found(baseCoin="DOGE") == found(settleCoin="USDC") == set()
    assert found(baseCoin="ETH", settleCoin="USDC") == set()


def test_positions_come_in_pages(client):
    for symbol, size in (("ETHUSDT", "0.1"), ("BTCUSDT", "0.01")):
        client.placed("Sell", SHORT, size, symbol=symbol)
        client.placed("Buy", LONG, size, symbol=symbol)
    path, coin = "/v5/position/list", {"settleCoin": "USDT"}

    def places(rows):
        return [(row["symbol"], row["positionIdx"]) for row in rows]

    everything = [("BTCUSDT", 1), ("BTCUSDT", 2), ("ETHUSDT", 1), ("ETHUSDT", 2)]
    for limit in (1, 2, 3, 4):
        assert len(client.get(path, limit=limit, **coin)["result"]["list"]) == limit
        assert places(client.listed(path, limit=limit, **coin)) == everything
    assert places(client.listed(path, limit=1, symbol="ETHUSDT")) == everything[2:]
    # A leg that is closed between two pages makes none be left out.
    cursor = client.get(path, limit=2, **coin)["result"]["nextPageCursor"]
    client.placed("Sell", LONG, "0.01")
    left = client.get(path, cursor=cursor, **coin)["result"]
    assert (places(left["list"]), left["nextPageCursor"]) == (everything[2:], "")
    for wrong in ("x", "BTCUSDT", "BTCUSDT:", "BTCUSDT:x"):
        assert client.get(path, cursor=wrong, **coin)["retCode"] == 10001
