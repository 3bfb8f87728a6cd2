"""Whatever is asked and traded, the exchange agrees with itself.

Any sequence of requests, of trades of the market, of fundings and of the account's own story: then
positions are the sums of executions, the wallet is what came and went, the open orders are those
that were taken and are not over, and who has only read the streams knows what REST says.
"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from marketdata.tests.trading import Client, Clock, trade, trading_sandbox

START = Decimal(500_000)
MIDDLE, TICK, STEP = 600_000, Decimal("0.1"), Decimal("0.001")
KNOWN = {0, 10001, 110001, 110007, 110017, 110024, 110025, 110028, 110094}
OVER = ("Filled", "Cancelled", "Rejected")
# What REST leaves out of a streamed row, and what it calls otherwise.
UNTOLD = {"category", "closedPnl", "feeCurrency", "avgPrice", "stopOrderType"}
MOVING = {"markPrice", "unrealisedPnl"}

near, sizes = st.integers(-30, 30), st.integers(1, 40)
legs, one_of_many = st.sampled_from([1, 2]), st.integers(0, 20)
in_force = st.sampled_from(["GTC", "GTC", "PostOnly", "IOC", "FOK"])
sides = st.sampled_from(["Buy", "Sell"])
kinds = st.one_of(
    st.tuples(st.just("place"), sides, legs, near, sizes, st.booleans(), in_force),
    st.tuples(st.just("market"), sides, legs, sizes, st.booleans()),
    st.tuples(st.just("close"), legs, near, sizes),
    st.tuples(st.just("close"), legs, near, sizes),
    st.tuples(st.just("amend"), one_of_many, near, sizes),
    st.tuples(st.just("cancel"), one_of_many),
    st.tuples(st.just("trade"), near, sizes),
    st.tuples(st.just("trade"), near, st.integers(40, 120)),
    st.tuples(st.just("quote"), near),
    st.tuples(st.sampled_from(["cancel_all", "fund", "story", "switch"])),
)


class Player:
    """Does one thing after the other, and keeps which orders were taken."""

    def __init__(self, sandbox, client):
        self.sandbox, self.client = sandbox, client
        self.taken = set()
        self.is_hedged = len(client.legs()) == 2

    def play(self, kind, *values):
        answer = getattr(self, kind)(*values)
        if answer is not None:
            assert answer["retCode"] in KNOWN, answer
            if order_id := answer["result"].get("orderId"):
                self.taken.add(order_id)

    def place(self, side, leg, away, size, reduces, in_force):
        return self.client.place(
            side, self.index(leg), qty(size), price(away), reduceOnly=reduces, timeInForce=in_force
        )

    def market(self, side, leg, size, reduces):
        return self.client.place(side, self.index(leg), qty(size), reduceOnly=reduces)

    def close(self, leg, away, size):
        legs = self.client.legs()
        side = "Buy" if legs[self.index(leg)]["side"] == "Sell" else "Sell"
        return self.place(side, leg, away, size, True, "GTC")

    def index(self, leg):
        """A leg of the mode that the symbol is in."""
        return leg if self.is_hedged else 0

    def amend(self, number, away, size):
        ids = self.pick(number)
        return self.client.post("/v5/order/amend", **ids, price=price(away), qty=qty(size))

    def cancel(self, number):
        return self.client.post("/v5/order/cancel", **self.pick(number))

    def pick(self, number):
        known = sorted(self.taken) or ["unknown"]
        return {"symbol": "BTCUSDT", "orderId": known[number % len(known)]}

    def cancel_all(self):
        return self.client.post("/v5/order/cancel-all", symbol="BTCUSDT")

    def switch(self):
        mode = 0 if self.is_hedged else 3
        answer = self.client.post("/v5/position/switch-mode", symbol="BTCUSDT", mode=mode)
        self.is_hedged ^= answer["retCode"] == 0
        assert self.client.legs().keys() == ({1, 2} if self.is_hedged else {0})
        return answer

    def trade(self, away, size):
        trade(self.sandbox, price(away), qty(size))

    def quote(self, away):
        bid, ask = price(away - 1), price(away + 1)
        self.sandbox.send_ticker("BTCUSDT", bid1Price=bid, ask1Price=ask, markPrice=price(away))

    def fund(self):
        self.sandbox.settle_funding("BTCUSDT")

    def story(self):
        self.sandbox.events("alice", 3)


def price(away):
    return str(TICK * (MIDDLE + away))


def qty(steps):
    return str(STEP * steps)


def last_by(rows, *names):
    return {tuple(row[name] for name in names): row for row in rows}


def common(row, *, without):
    return {name: value for name, value in row.items() if name not in without}


def check(sandbox, client, taken):
    made = {
        t: sandbox.private_rows("alice", t) for t in ("execution", "order", "position", "wallet")
    }
    fills = [row for row in made["execution"] if row["execType"] == "Trade"]
    check_positions(client, made, fills)
    check_wallet(client, made)
    check_orders(client, made, fills, taken)
    listed = client.listed("/v5/execution/list", limit=100)
    assert sorted(row["execId"] for row in listed) == sorted(r["execId"] for r in made["execution"])


def check_positions(client, made, fills):
    index = {row["orderId"]: row["positionIdx"] for row in made["order"]}
    sums = defaultdict(Decimal)
    for row in fills:
        sign = 1 if row["side"] == "Buy" else -1
        sums[row["symbol"], index[row["orderId"]]] += sign * Decimal(row["execQty"])
    streamed = last_by(made["position"], "symbol", "positionIdx")
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for leg in client.legs(symbol).values():
            key = (symbol, leg["positionIdx"])
            signed = Decimal(leg["size"]) * (-1 if leg["side"] == "Sell" else 1)
            assert signed == sums.pop(key, 0)
            assert (leg["side"] == "") == (signed == 0)
            if key in streamed:
                told = streamed[key] | {"avgPrice": streamed[key]["entryPrice"]}
                named = {"category", "entryPrice", *MOVING}
                assert common(leg, without=MOVING) == common(told, without=named)
    assert not any(sums.values())


def check_wallet(client, made):
    (wallet,) = client.get("/v5/account/wallet-balance", accountType="UNIFIED")["result"]["list"]
    balance = Decimal(wallet["totalWalletBalance"])
    profits = sum(Decimal(row["execPnl"]) for row in made["execution"])
    paid = sum(Decimal(row["execFee"]) for row in made["execution"])
    assert balance == START + profits - paid
    log = client.listed("/v5/account/transaction-log", limit=50)
    assert balance == START + sum(Decimal(row["change"]) for row in log)
    if made["wallet"]:
        (coin,), (told,) = wallet["coin"], made["wallet"][-1]["coin"]
        for name in ("walletBalance", "totalOrderIM", "totalPositionIM", "cumRealisedPnl"):
            assert coin[name] == told[name], name


def check_orders(client, made, fills, taken):
    states = last_by(sorted(made["order"], key=lambda row: int(row["updatedTime"])), "orderId")
    filled, ended = defaultdict(Decimal), set()
    for row in fills:
        filled[row["orderId"],] += Decimal(row["execQty"])
    for key, row in states.items():
        assert Decimal(row["cumExecQty"]) == filled[key]
        if row["orderStatus"] in OVER:
            ended.add(key)
        else:
            assert Decimal(row["leavesQty"]) == Decimal(row["qty"]) - filled[key] > 0
    assert {(order_id,) for order_id in taken} <= states.keys()
    still = last_by(client.listed("/v5/order/realtime", settleCoin="USDT", limit=50), "orderId")
    assert still.keys() == states.keys() - ended
    for row in still.values():
        if row["reduceOnly"]:  # else there would be nothing for it to reduce
            assert client.legs(row["symbol"])[row["positionIdx"]]["side"] not in ("", row["side"])
    over = last_by(client.listed("/v5/order/history", limit=50), "orderId")
    assert over.keys() == ended
    for key, row in (still | over).items():
        assert common(row, without=UNTOLD) == common(states[key], without=UNTOLD)


@pytest.mark.parametrize("hedge_mode", [True, False])
# An exchange is started for each example: to shrink one would take minutes.
@settings(max_examples=40, deadline=None, phases=[Phase.reuse, Phase.generate])
@given(st.lists(kinds, min_size=5, max_size=40))
def test_the_exchange_agrees_with_itself(hedge_mode, played):
    clock = Clock()
    with trading_sandbox(clock, hedge_mode=hedge_mode) as sandbox:
        client = Client(sandbox, clock=clock)
        player = Player(sandbox, client)
        for one in played:
            player.play(*one)
        check(sandbox, client, player.taken)
        client.close()
