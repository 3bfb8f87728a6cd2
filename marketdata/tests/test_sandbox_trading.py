"""Trading in the sandbox: what becomes of orders, told by REST and by the streams alike.

The quiet market stands at 59999.90 / 60000.10 until somebody moves it.
"""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal

import pytest
from pybit.unified_trading import HTTP

from marketdata.sandbox import SandboxAccount, SandboxConfig, SandboxServer
from marketdata.sandbox.private.orders import money
from marketdata.tests.test_sandbox_private import PrivateStream
from marketdata.tests.test_sandbox_replay import entry, listen, played, playing, recording
from marketdata.tests.trading import Client, Clock, trade, trading_sandbox

START = Decimal(500_000)
MAKER, TAKER = Decimal("0.0002"), Decimal("0.00055")
LONG, SHORT, ONE_WAY = 1, 2, 0


@pytest.fixture
def sandbox() -> Iterator[SandboxServer]:
    with trading_sandbox(Clock(), "alice", "bob") as server:
        yield server


@pytest.fixture
def client(sandbox) -> Iterator[Client]:
    one = Client(sandbox, clock=sandbox._clock)
    yield one
    one.close()


@pytest.fixture
def one_way() -> Iterator[Client]:
    with trading_sandbox(Clock(), hedge_mode=False) as sandbox:
        one = Client(sandbox, clock=sandbox._clock)
        yield one
        one.close()


def made(client, topic):
    return client.sandbox.private_rows("alice", topic)


def states(client, order_id):
    return [row["orderStatus"] for row in made(client, "order") if row["orderId"] == order_id]


# --- a whole life --------------------------------------------------------------------------------


def test_the_life_of_a_grid_with_the_real_pybit(private_sandbox):
    """Ladders on both legs, in batches; partial fills, closes; the stream says what REST says."""
    keys = private_sandbox.accounts["alice"]
    http = HTTP(api_key=keys.api_key, api_secret=keys.api_secret, max_retries=1)
    http.endpoint = private_sandbox.rest_url
    stream = PrivateStream(private_sandbox, "alice").listen()
    private_sandbox.wait_for_private("alice")

    def ladder(side, index, prices):
        orders = [
            {
                "symbol": "BTCUSDT", "side": side, "orderType": "Limit", "qty": "0.01",
                "price": price, "positionIdx": index, "timeInForce": "PostOnly",
                "orderLinkId": f"grid-{index}-{price}",
            }
            for price in prices
        ]  # fmt: skip
        answer = http.place_batch_order(category="linear", request=orders)
        assert [row["code"] for row in answer["retExtInfo"]["list"]] == [0] * len(orders)
        return [row["orderId"] for row in answer["result"]["list"]]

    longs = ladder("Buy", LONG, ["59900", "59800", "59700"])
    ladder("Sell", SHORT, ["60100", "60200", "60300"])
    trade(private_sandbox, "59899.9", "0.004")
    trade(private_sandbox, "59850", "5")
    trade(private_sandbox, "60150", "5")
    close = http.place_order(
        category="linear", symbol="BTCUSDT", side="Sell", orderType="Limit", qty="0.01",
        price="60250", positionIdx=LONG, reduceOnly=True, orderLinkId="close-1",
    )["result"]["orderId"]  # fmt: skip
    trade(private_sandbox, "60260", "5")
    http.cancel_all_orders(category="linear", symbol="BTCUSDT")
    private_sandbox.drain()

    listed = http.get_executions(category="linear", symbol="BTCUSDT")["result"]["list"]
    fills = [
        (row["orderLinkId"], row["execPrice"], row["execQty"], row["leavesQty"]) for row in listed
    ]
    assert fills[::-1] == [
        ("grid-1-59900", "59900", "0.004", "0.006"),
        ("grid-1-59900", "59900", "0.006", "0"),
        ("grid-2-60100", "60100", "0.01", "0"),
        ("grid-2-60200", "60200", "0.01", "0"),
        ("close-1", "60250", "0.01", "0"),
    ]
    assert [row["execId"] for row in stream.rows("execution")] == [row["execId"] for row in listed][
        ::-1
    ]
    profit = (Decimal(60250) - Decimal(59900)) * Decimal("0.01")
    fees = [Decimal(row["execFee"]) for row in listed]
    wallet = http.get_wallet_balance(accountType="UNIFIED")["result"]["list"][0]
    assert Decimal(wallet["totalWalletBalance"]) == START + profit - sum(fees)
    assert stream.rows("wallet")[-1]["totalWalletBalance"] == wallet["totalWalletBalance"]
    (closed,) = http.get_closed_pnl(category="linear")["result"]["list"]
    assert closed["orderId"] == close
    net = profit - MAKER * Decimal("0.01") * (Decimal(59900) + Decimal(60250))
    assert Decimal(closed["closedPnl"]) == net
    (last,) = [row for row in stream.rows("order") if row["orderId"] == close][-1:]
    assert (last["orderStatus"], Decimal(last["closedPnl"])) == ("Filled", net)
    long, short = http.get_positions(category="linear", symbol="BTCUSDT")["result"]["list"]
    assert (long["side"], long["size"], long["positionIdx"]) == ("", "0", LONG)
    assert (short["side"], short["size"], short["avgPrice"]) == ("Sell", "0.02", "60150")
    assert http.get_open_orders(category="linear", symbol="BTCUSDT")["result"]["list"] == []
    cancelled = {
        row["orderId"] for row in stream.rows("order") if row["orderStatus"] == "Cancelled"
    }
    assert set(longs[1:]) < cancelled
    stream.exit()


# --- orders --------------------------------------------------------------------------------------


def test_an_order_is_new_then_filled_in_part_then_filled(client):
    order_id = client.placed("Buy", LONG, "0.010", "59900", orderLinkId="mine")
    trade(client.sandbox, "59900", "1")
    assert states(client, order_id) == ["New"]  # at the limit: others may have been before us
    trade(client.sandbox, "59899", "0.004")
    trade(client.sandbox, "59899", "1", BT=True)
    row = client.order(order_id)
    assert (row["orderStatus"], row["leavesQty"], row["cumExecQty"]) == (
        "PartiallyFilled",
        "0.006",
        "0.004",
    )
    trade(client.sandbox, "59899", "1")
    assert states(client, order_id) == ["New", "PartiallyFilled", "Filled"]
    executions = made(client, "execution")
    assert [row["leavesQty"] for row in executions] == ["0.006", "0"]
    assert all(row["isMaker"] and "positionIdx" not in row for row in executions)
    assert [row["execPnl"] for row in executions] == ["0", "0"]
    assert Decimal(executions[1]["execFee"]) == money(Decimal("0.006") * 59900 * MAKER)


def test_a_market_order_is_filled_at_the_touch_as_taker(client):
    client.placed("Buy", LONG, "0.010")
    (row,) = made(client, "execution")
    assert (row["execPrice"], row["isMaker"], row["orderType"]) == ("60000.1", False, "Market")
    assert Decimal(row["execFee"]) == money(Decimal("600.001") * TAKER)
    assert client.legs()[LONG]["avgPrice"] == "60000.1"
    client.placed("Sell", LONG, "0.010", reduceOnly=True)
    assert made(client, "execution")[1]["execPrice"] == "59999.9"
    assert client.legs()[LONG]["side"] == ""


@pytest.mark.parametrize(
    ("in_force", "price", "status", "reason"),
    [
        ("PostOnly", "60000.1", "Cancelled", "EC_PostOnlyWillTakeLiquidity"),
        ("IOC", "59000", "Cancelled", "EC_NoImmediateQtyToFill"),
        ("FOK", "59000", "Cancelled", "EC_CancelForNoFullFill"),
        ("IOC", "60000.1", "Filled", "EC_NoError"),
        ("FOK", "60000.1", "Filled", "EC_NoError"),
        ("GTC", "60000.1", "Filled", "EC_NoError"),
        ("GTC", "60000", "New", "EC_NoError"),
    ],
)
def test_what_becomes_of_an_order_is_told_after_it_was_accepted(
    client, in_force, price, status, reason
):
    order_id = client.placed("Buy", LONG, "0.01", price, timeInForce=in_force)
    row = client.order(order_id)
    assert (row["orderStatus"], row["rejectReason"]) == (status, reason)
    assert states(client, order_id) == [status]


def test_every_event_of_an_order_pushes_both_legs_and_the_wallet(client):
    order_id = client.placed("Buy", LONG, "0.01", "59900")
    client.post("/v5/order/amend", symbol="BTCUSDT", orderId=order_id, qty="0.02")
    client.post("/v5/order/cancel", symbol="BTCUSDT", orderId=order_id)
    assert [row["qty"] for row in made(client, "order")] == ["0.01", "0.02", "0.02"]
    assert [row["positionIdx"] for row in made(client, "position")] == [LONG, SHORT] * 3
    assert {row["side"] for row in made(client, "position")} == {""}
    assert [row["coin"][0]["totalOrderIM"] for row in made(client, "wallet")] == [
        "59.9",
        "119.8",
        "0",
    ]
    assert {row["coin"][0]["availableToWithdraw"] for row in made(client, "wallet")} == {""}


def test_an_amended_order_goes_on_with_what_is_left(client):
    order_id = client.placed("Buy", LONG, "0.010", "59900", orderLinkId="mine")
    trade(client.sandbox, "59899", "0.004")
    answer = client.post("/v5/order/amend", symbol="BTCUSDT", orderLinkId="mine", price="59800")
    assert answer["result"] == {"orderId": order_id, "orderLinkId": "mine"}
    trade(client.sandbox, "59850")
    assert client.order(order_id)["leavesQty"] == "0.006"
    client.post("/v5/order/amend", symbol="BTCUSDT", orderId=order_id, qty="0.004")
    row = client.order(order_id)
    assert (row["orderStatus"], row["cumExecQty"]) == ("Cancelled", "0.004")
    assert client.legs()[LONG]["size"] == "0.004"


def test_closing_orders_go_when_nothing_is_left_to_close(client):
    client.placed("Buy", LONG, "0.01")
    near = client.placed("Sell", LONG, "0.01", "60100", reduceOnly=True)
    far = client.placed("Sell", LONG, "0.01", "60200", reduceOnly=True)
    trade(client.sandbox, "60150")
    row = client.order(far)
    assert (row["orderStatus"], row["cancelType"]) == ("Cancelled", "CancelByReduceOnly")
    assert client.order(near)["orderStatus"] == "Filled"
    assert [row["orderId"] for row in made(client, "order")[-2:]] == [near, far]


def test_cancelling_all_is_by_symbol_coin_or_settlement(client):
    orders = {
        symbol: client.placed("Buy", LONG, "0.1", price, symbol=symbol)
        for symbol, price in (("BTCUSDT", "50000"), ("ETHUSDT", "2000"))
    }
    for query, symbol in (({"baseCoin": "ETH"}, "ETHUSDT"), ({"settleCoin": "USDT"}, "BTCUSDT")):
        result = client.post("/v5/order/cancel-all", **query)["result"]
        assert [row["orderId"] for row in result["list"]] == [orders[symbol]]
        assert result["success"] == "1"
    assert client.post("/v5/order/cancel-all", symbol="BTCUSDT")["result"]["list"] == []


def test_the_answer_comes_before_what_becomes_of_it(client):
    """What a request brings about is sent when its handler has answered, never within it."""
    desk, body = client.sandbox._sandbox.desks["alice"], {
        "category": "linear", "symbol": "BTCUSDT", "side": "Buy", "positionIdx": LONG,
        "orderType": "Limit", "price": "59000", "qty": "0.01",
    }  # fmt: skip
    answer, told = client.sandbox._call(lambda _: (desk.trader.create(body), desk.orders.total))
    assert (bool(answer["orderId"]), told) == (True, 0)
    assert states(client, answer["orderId"]) == ["New"]


# --- positions and money -------------------------------------------------------------------------


def test_a_one_way_position_turns_over(one_way):
    one_way.placed("Buy", ONE_WAY, "0.010")
    one_way.placed("Sell", ONE_WAY, "0.030")
    (leg,) = one_way.legs().values()
    assert (leg["side"], leg["size"], leg["avgPrice"]) == ("Sell", "0.02", "59999.9")
    opened, turned = one_way.sandbox.private_rows("alice", "execution")
    assert (turned["closedSize"], turned["execPnl"]) == ("0.01", "-0.002")
    fees = Decimal(opened["execFee"]) + Decimal(turned["execFee"])
    assert one_way.balance() == START - Decimal("0.002") - fees
    (closed,) = one_way.listed("/v5/position/closed-pnl")
    share = money(Decimal(turned["execFee"]) / 3)
    assert Decimal(closed["closedPnl"]) == Decimal("-0.002") - Decimal(opened["execFee"]) - share


def test_funding_is_paid_by_one_leg_and_received_by_the_other(client):
    client.sandbox.send_ticker("BTCUSDT", markPrice="60000.00", fundingRate="0.000200")
    client.placed("Buy", LONG, "0.02")
    client.placed("Sell", SHORT, "0.01")
    before = client.balance()
    client.sandbox.settle_funding("BTCUSDT")
    settled = client.clock()
    rows = made(client, "execution")[2:]
    assert [(row["side"], row["execFee"], row["execQty"]) for row in rows] == [
        ("Buy", "0.24", "0.02"), ("Sell", "-0.12", "0.01"),
    ]  # fmt: skip
    assert {(row["execType"], row["orderType"], row["execPrice"]) for row in rows} == {
        ("Funding", "UNKNOWN", "60000")
    }
    assert client.balance() == before - Decimal("0.12")
    log = client.listed("/v5/account/transaction-log", type="SETTLEMENT")
    assert sorted(row["funding"] for row in log) == ["-0.24", "0.12"]
    (kept,) = client.listed("/v5/market/funding/history", symbol="BTCUSDT")
    assert (kept["fundingRate"], kept["fundingRateTimestamp"]) == ("0.000200", str(settled))


def test_funding_falls_due_at_the_end_of_every_interval():
    clock = Clock(10 * 60_000 * 100 - 5000)
    with trading_sandbox(clock, funding_minutes=10) as sandbox:
        client = Client(sandbox, clock=clock)
        client.placed("Buy", LONG, "0.02")
        (listed,) = client.listed("/v5/market/instruments-info", symbol="BTCUSDT")
        assert listed["fundingInterval"] == 10
        assert not client.listed("/v5/market/funding/history", symbol="BTCUSDT")
        clock.now += 5000
        sandbox.wait_for(lambda status: status["accounts"][0]["executions"] == 2)
        (kept,) = client.listed("/v5/market/funding/history", symbol="BTCUSDT")
        assert kept["fundingRateTimestamp"] == str(10 * 60_000 * 100)
        client.close()


def test_a_transaction_log_adds_up_to_the_wallet(client):
    client.placed("Buy", LONG, "0.02")
    client.placed("Sell", LONG, "0.01")
    client.sandbox.settle_funding("BTCUSDT")
    log = client.listed("/v5/account/transaction-log", accountType="UNIFIED")
    for row in log:
        figures = {name: Decimal(row[name]) for name in ("cashFlow", "funding", "fee", "change")}
        assert figures["change"] == figures["cashFlow"] + figures["funding"] - figures["fee"]
    assert [row["type"] for row in log] == ["SETTLEMENT", "TRADE", "TRADE"]
    assert START + sum(Decimal(row["change"]) for row in log) == client.balance()
    assert Decimal(log[0]["cashBalance"]) == client.balance()


def test_the_mode_of_positions_can_be_switched_while_there_is_nothing(client):
    path = "/v5/position/switch-mode"
    assert client.post(path, symbol="BTCUSDT", mode=0)["retCode"] == 0
    assert list(client.legs()) == [ONE_WAY]
    assert client.place("Buy", LONG, "0.01")["retMsg"] == "position idx not match position mode"
    client.placed("Buy", ONE_WAY, "0.01")
    assert client.post(path, coin="USDT", mode=0)["retCode"] == 0
    assert list(client.legs("ETHUSDT")) == [ONE_WAY]


def test_leverage_decides_what_is_tied_up(client):
    body = {"symbol": "BTCUSDT", "buyLeverage": "20", "sellLeverage": "20"}
    assert client.post("/v5/position/set-leverage", **body)["retCode"] == 0
    assert {leg["leverage"] for leg in client.legs().values()} == {"20"}
    client.placed("Buy", LONG, "0.01", "59000")
    assert made(client, "wallet")[-1]["coin"][0]["totalOrderIM"] == "29.5"


def test_accounts_trade_apart(client):
    bob = Client(client.sandbox, "bob", clock=client.clock)
    bob.placed("Buy", LONG, "0.01", "59900", orderLinkId="same")
    order_id = client.placed("Buy", LONG, "0.01", "59900", orderLinkId="same")
    assert bob.post("/v5/order/cancel", symbol="BTCUSDT", orderId=order_id)["retCode"] == 110001
    trade(client.sandbox, "59800", "0.01")
    assert bob.legs()[LONG]["size"] == client.legs()[LONG]["size"] == "0.01"
    bob.close()


def test_a_story_and_a_client_share_one_account(client):
    for number in range(20):
        client.sandbox.events("alice", 15)
        client.place("Buy" if number % 2 else "Sell", 1 + number % 2, "0.02")
    sizes = {LONG: Decimal(), SHORT: Decimal()}
    index = {row["orderId"]: row["positionIdx"] for row in made(client, "order")}
    for row in made(client, "execution"):
        if row["execType"] == "Trade" and row["symbol"] == "BTCUSDT":
            sign = 1 if row["side"] == "Buy" else -1
            sizes[index[row["orderId"]]] += sign * Decimal(row["execQty"])
    assert {i: abs(size) for i, size in sizes.items()} == {
        i: Decimal(leg["size"]) for i, leg in client.legs().items()
    }
    money = sum(Decimal(r["execPnl"]) - Decimal(r["execFee"]) for r in made(client, "execution"))
    assert client.balance() == START + money


# --- markets -------------------------------------------------------------------------------------


def test_a_replayed_market_fills_orders_too(tmp_path):
    """Its quotes are the touch, its trades fill; block trades and what is no trade do not."""
    quotes = {"symbol": "XRPUSDT", "lastPrice": "0.5", "bid1Price": "0.4999", "ask1Price": "0.5001"}
    row = {"T": 1, "s": "XRPUSDT", "S": "Sell", "v": "30", "p": "0.4", "i": "1", "seq": 1}
    trades = [row | {"BT": True}, row | {"p": "nonsense"}, {}, row | {"p": "0.4497", "i": "2"}]
    frames = [
        {"topic": "tickers.XRPUSDT", "type": "snapshot", "cs": 1, "ts": 1, "data": quotes},
        {"topic": "publicTrade.XRPUSDT", "type": "snapshot", "ts": 2, "data": trades},
    ]
    file = recording(tmp_path / "market.jsonl", *map(entry, frames))
    account = SandboxAccount(name="alice", api_key="key", api_secret="secret")
    with playing(file, accounts=(account,)) as sandbox:
        client = Client(sandbox)
        order = {"symbol": "XRPUSDT", "orderLinkId": "rests"}
        client.placed("Buy", LONG, "100", "0.45", **order)
        client.placed("Buy", LONG, "10", "0.51", symbol="XRPUSDT")
        played(sandbox, listen(sandbox, "publicTrade.XRPUSDT"))
        fills = sandbox.private_rows("alice", "execution")
        assert [(row["execPrice"], row["execQty"], row["isMaker"]) for row in fills] == [
            ("0.5001", "10", False), ("0.45", "30", True),
        ]  # fmt: skip
        client.close()


def test_the_random_market_fills_orders_too():
    account = SandboxAccount(name="alice", api_key="key", api_secret="secret")
    config = SandboxConfig(symbols=("BTCUSDT",), rate=2000, accounts=(account,))
    with SandboxServer(config) as sandbox:
        client = Client(sandbox)
        for side, leg, price in (("Buy", LONG, "59999.5"), ("Sell", SHORT, "60000.5")):
            client.placed(side, leg, "0.001", price, timeInForce="GTC")
        sandbox.wait_for(lambda status: status["accounts"][0]["executions"])
        client.close()
