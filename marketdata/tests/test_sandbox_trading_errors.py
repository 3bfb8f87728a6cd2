"""What the sandbox refuses, with the exchange's codes, and how its lists are paged."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from decimal import Decimal

import pytest
import requests
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP

from marketdata.sandbox import SandboxAccount, SandboxConfig, SandboxServer
from marketdata.sandbox.limits import Addresses
from marketdata.tests.trading import Client, Clock, trade, trading_sandbox

LONG, SHORT = 1, 2
WEEK_MS = 7 * 24 * 3600 * 1000
CREATE, AMEND, CANCEL = (f"/v5/order/{name}" for name in ("create", "amend", "cancel"))
BATCH = "/v5/order/create-batch"
SWITCH, LEVERAGE = "/v5/position/switch-mode", "/v5/position/set-leverage"
GOOD = {
    "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "59000",
    "positionIdx": LONG,
}  # fmt: skip


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with trading_sandbox(Clock()) as server:
        yield server


@pytest.fixture
def client(sandbox) -> Iterator[Client]:
    one = Client(sandbox, clock=sandbox._clock)
    yield one
    one.close()


def rest_of(client):
    """All that a refused request must leave as it was."""
    return (
        client.listed("/v5/order/realtime", settleCoin="USDT"),
        client.sandbox.private_rows("alice", "order"),
        client.legs(),
        client.balance(),
    )


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"category": "spot"}, 10001),
        ({"symbol": "NOPEUSDT"}, 10001),
        ({"side": "buy"}, 10001),
        ({"side": None}, 10001),
        ({"orderType": "Stop"}, 10001),
        ({"qty": ""}, 10001),
        ({"qty": "0"}, 10001),
        ({"qty": "-1"}, 10001),
        ({"qty": "1e3"}, 10001),
        ({"qty": 0.01}, 10001),
        ({"qty": "0.0105"}, 10001),
        ({"qty": "1000.001"}, 10001),
        ({"price": ""}, 10001),
        ({"price": "59000.05"}, 10001),
        ({"price": "NaN"}, 10001),
        ({"price": "2000000.1"}, 110003),
        ({"timeInForce": "FOREVER"}, 10001),
        ({"orderType": "Market", "timeInForce": "PostOnly"}, 10001),
        ({"positionIdx": 0}, 10001),
        ({"positionIdx": "1"}, 10001),
        ({"positionIdx": 3}, 10001),
        ({"reduceOnly": "true"}, 10001),
        ({"orderLinkId": "x" * 37}, 10001),
        ({"orderLinkId": "with space"}, 10001),
        ({"triggerPrice": "58000"}, 10001),
        ({"takeProfit": "70000"}, 10001),
        ({"reduceOnly": True, "side": "Sell", "price": "61000"}, 110017),
        ({"side": "Sell", "price": "61000"}, 110017),
        ({"qty": "0.001", "price": "4999.9"}, 110094),
        ({"qty": "1000"}, 110007),
        ({"qty": "84.702"}, 110007),
    ],
    ids=str,
)
def test_an_order_that_cannot_be_is_refused_and_changes_nothing(client, wrong, code):
    before = rest_of(client)
    answer = client.post(CREATE, **GOOD | wrong)
    assert (answer["retCode"], answer["result"]) == (code, {}), answer["retMsg"]
    assert rest_of(client) == before


def test_a_position_index_that_does_not_match_is_named_so(client):
    message = "position idx not match position mode"
    assert client.post(CREATE, **GOOD | {"positionIdx": 0})["retMsg"] == message


def test_the_funds_suffice_to_the_last_step(client):
    # An order ties up a tenth of its value, and must be able to pay the fee of a taker:
    # 5932.45 a coin at 59000, of 500000 at first and of 2736.20 after that.
    for too_much, enough in (("84.283", "84.282"), ("0.462", "0.461")):
        assert client.post(CREATE, **GOOD | {"qty": too_much})["retCode"] == 110007
        assert client.post(CREATE, **GOOD | {"qty": enough})["retCode"] == 0
    client.post("/v5/order/cancel-all", symbol="BTCUSDT")
    assert client.post(CREATE, **GOOD | {"qty": "84.282"})["retCode"] == 0


def test_a_client_id_is_remembered_for_ever(client):
    first = client.placed("Buy", LONG, "0.01", "59000", orderLinkId="once")
    assert client.place("Buy", LONG, "0.01", "59000", orderLinkId="once")["retCode"] == 110072
    client.post(CANCEL, symbol="BTCUSDT", orderId=first)
    client.clock.now += 30 * 24 * 3600 * 1000
    answer = client.place("Buy", LONG, "0.01", "59000", orderLinkId="once")
    assert (answer["retCode"], answer["retMsg"]) == (110072, "OrderLinkedID is duplicate")
    assert client.place("Buy", LONG, "10000", "59000", orderLinkId="two")["retCode"] == 10001
    client.placed("Buy", LONG, "0.01", "59000", orderLinkId="two")  # the first was never taken


@pytest.mark.parametrize("end", ["cancelled", "filled", "unknown"])
@pytest.mark.parametrize("path", [AMEND, CANCEL])
def test_what_is_over_can_be_neither_amended_nor_cancelled(client, path, end):
    order_id = client.placed("Buy", LONG, "0.01", "59000") if end != "unknown" else "unknown"
    if end == "cancelled":
        client.post(CANCEL, symbol="BTCUSDT", orderId=order_id)
    elif end == "filled":
        trade(client.sandbox, "58000")
    answer = client.post(path, symbol="BTCUSDT", orderId=order_id, qty="0.02")
    assert answer["retCode"] == 110001
    assert answer["retMsg"].startswith("order not exists or too late to ")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({}, 10001),
        ({"price": "59000", "qty": "0.010"}, 10001),
        ({"price": "59000.05"}, 10001),
        ({"qty": "0.004"}, 10001),
        ({"qty": "0.0055"}, 10001),
        ({"qty": "900"}, 110007),
        ({"price": "100", "qty": "0.006"}, 110094),
        ({"orderId": ""}, 10001),
        ({"symbol": "ETHUSDT", "qty": "0.02"}, 110001),
    ],
    ids=str,
)
def test_an_amendment_that_cannot_be_changes_nothing(client, change, code):
    order_id = client.placed("Buy", LONG, "0.01", "59000")
    trade(client.sandbox, "58999", "0.005")
    before = rest_of(client)
    answer = client.post(AMEND, **{"symbol": "BTCUSDT", "orderId": order_id} | change)
    assert answer["retCode"] == code, answer["retMsg"]
    assert rest_of(client) == before


def test_no_more_than_five_hundred_orders_of_a_symbol(client):
    orders = [GOOD | {"qty": "0.001", "price": f"{30000 + n}"} for n in range(500)]
    for start in range(0, 500, 10):
        answer = client.post(BATCH, request=orders[start : start + 10])
        assert {row["code"] for row in answer["retExtInfo"]["list"]} == {0}
    assert client.post(CREATE, **GOOD)["retCode"] == 110020
    assert client.post(CREATE, **GOOD | {"symbol": "ETHUSDT", "price": "2000"})["retCode"] == 0
    assert len(client.listed("/v5/order/realtime", symbol="BTCUSDT", limit=50)) == 500


def test_a_mode_cannot_be_switched_under_positions_or_orders(client):
    assert client.post(SWITCH, symbol="BTCUSDT", mode=3)["retCode"] == 110025
    order_id = client.placed("Buy", LONG, "0.01", "59000")
    assert client.post(SWITCH, symbol="BTCUSDT", mode=0)["retCode"] == 110028
    assert client.post(SWITCH, coin="USDT", mode=0)["retCode"] == 110028
    trade(client.sandbox, "58000")
    assert client.order(order_id)["orderStatus"] == "Filled"
    assert client.post(SWITCH, symbol="BTCUSDT", mode=0)["retCode"] == 110024
    assert client.post(SWITCH, symbol="BTCUSDT", mode=1)["retCode"] == 10001
    assert client.post(SWITCH, symbol="ETHUSDT", mode=0)["retCode"] == 0


@pytest.mark.parametrize(
    ("buy", "sell", "code"),
    [("10", "10", 110043), ("100.01", "100.01", 110013), ("5", "6", 10001), ("0.5", "0.5", 10001)],
)
def test_a_leverage_that_cannot_be(client, buy, sell, code):
    answer = client.post(LEVERAGE, symbol="BTCUSDT", buyLeverage=buy, sellLeverage=sell)
    assert answer["retCode"] == code
    assert client.legs()[LONG]["leverage"] == "10"


def test_cancelling_all_needs_to_know_of_what(client):
    assert client.post("/v5/order/cancel-all")["retCode"] == 10001


# --- batches -------------------------------------------------------------------------------------


def test_a_batch_fails_in_part(client):
    orders = [
        GOOD | {"orderLinkId": "a"},
        GOOD | {"qty": "0.00001", "orderLinkId": "b"},
        GOOD | {"orderLinkId": "a"},
        "nonsense",
        GOOD | {"orderLinkId": "c"},
    ]
    answer = client.post(BATCH, request=orders)
    codes = [row["code"] for row in answer["retExtInfo"]["list"]]
    assert (answer["retCode"], codes) == (0, [0, 10001, 110072, 10001, 0])
    rows = answer["result"]["list"]
    assert [row["orderLinkId"] for row in rows] == ["a", "b", "a", "", "c"]
    placed = [row["orderId"] for row in rows if row["orderId"]]
    assert [bool(row["orderId"]) for row in rows] == [bool(row["createAt"]) for row in rows]
    assert {row["orderId"] for row in client.listed("/v5/order/realtime", symbol="BTCUSDT")} == set(
        placed
    )
    amended = client.post("/v5/order/amend-batch", request=[
        {"symbol": "BTCUSDT", "orderId": placed[0], "qty": "0.02"},
        {"symbol": "BTCUSDT", "orderId": "unknown", "qty": "0.02"},
    ])  # fmt: skip
    assert [row["code"] for row in amended["retExtInfo"]["list"]] == [0, 110001]
    cancelled = client.post("/v5/order/cancel-batch", request=[
        {"symbol": "BTCUSDT", "orderLinkId": "c"}, {"symbol": "BTCUSDT", "orderLinkId": "c"},
    ])  # fmt: skip
    assert [row["code"] for row in cancelled["retExtInfo"]["list"]] == [0, 110001]
    (left,) = client.listed("/v5/order/realtime", symbol="BTCUSDT")
    assert (left["orderId"], left["qty"]) == (placed[0], "0.02")


@pytest.mark.parametrize("body", [{}, {"request": []}, {"request": [GOOD] * 21}, {"request": "x"}])
def test_a_batch_has_one_to_twenty_orders(client, body):
    assert client.post(BATCH, **body)["retCode"] == 10001


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
