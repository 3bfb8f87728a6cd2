"""What the sandbox refuses of orders and settings, with the exchange's codes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from marketdata.sandbox import SandboxServer
from marketdata.tests.trading import Client, Clock, trade, trading_sandbox

LONG, SHORT = 1, 2
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
        ({"closeOnTrigger": "false"}, 10001),
        ({"closeOnTrigger": True}, 10001),
        ({"smpType": "CancelAll"}, 10001),
        ({"smpType": 1}, 10001),
        ({"tpslMode": "Half"}, 10001),
        ({"mmp": "false"}, 10001),
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


@pytest.mark.parametrize(
    "more",
    [
        {"closeOnTrigger": False, "mmp": False, "smpType": None, "tpslMode": ""},
        *({"smpType": kind} for kind in ("None", "CancelMaker", "CancelTaker", "CancelBoth")),
    ],
    ids=str,
)
def test_an_order_keeps_how_it_prevents_self_matches(client, more):
    order = client.order(client.placed("Buy", LONG, "0.01", "59000", **more))
    assert order["smpType"] == (more["smpType"] or "None")
    assert order["closeOnTrigger"] is False


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
