"""What is traded over REST and captured from the streams: the lists say what is stored."""

from __future__ import annotations

from decimal import Decimal

import pytest

from marketdata.demo.ledger import Ledger
from marketdata.demo.verdict import Judge, Watermark
from marketdata.models import Order, PositionSnapshot, PrivateExecution, WalletSnapshot
from marketdata.tests.trading import Client, trade

pytestmark = pytest.mark.django_db(transaction=True)

LONG, SHORT = 1, 2


def trade_a_while(exchange, client):
    """Orders of every kind that leave positions, open orders and money behind."""
    client.placed("Buy", LONG, "0.02", "59900", orderLinkId="ladder-1")
    client.placed("Buy", LONG, "0.02", "59800", orderLinkId="ladder-2")
    client.placed("Sell", SHORT, "0.03", "60100", timeInForce="PostOnly")
    client.placed("Sell", SHORT, "0.03", "59900", timeInForce="PostOnly")
    trade(exchange, "59890", "0.005")
    trade(exchange, "59790", "0.025")
    trade(exchange, "60110", "9")
    client.placed("Sell", LONG, "0.01", reduceOnly=True)
    exchange.settle_funding("BTCUSDT")
    client.placed("Sell", LONG, "0.02", "60500", reduceOnly=True)


def test_what_rest_says_is_what_is_stored(exchange, serving, tenants):
    before, client = Watermark(), Client(exchange, "alice/main")
    with serving() as running:
        trade_a_while(exchange, client)
        exchange.drain()
        report = running.finish()
    verdict = Judge(Ledger.read(exchange.ledger()), report, running.service.config, before).judge()
    assert verdict.problems == []

    mine = {"account": tenants["alice"]}
    listed = client.listed("/v5/execution/list")
    stored = PrivateExecution.objects.filter(**mine)
    assert len(listed) == 7
    assert {
        (one.exec_id, one.exec_type, one.exec_price, one.exec_qty, one.exec_fee) for one in stored
    } == {
        (
            row["execId"],
            row["execType"],
            *(Decimal(row[n]) for n in ("execPrice", "execQty", "execFee")),
        )
        for row in listed
    }
    orders = client.listed("/v5/order/realtime", symbol="BTCUSDT") + client.listed(
        "/v5/order/history"
    )
    last = {one.order_id: one for one in Order.objects.filter(**mine).order_by("pk")}
    assert {key: (one.status, one.leaves_qty, one.position_idx) for key, one in last.items()} == {
        row["orderId"]: (row["orderStatus"], Decimal(row["leavesQty"]), row["positionIdx"])
        for row in orders
    }
    assert {row["orderStatus"] for row in orders} == {
        "New",
        "PartiallyFilled",
        "Filled",
        "Cancelled",
    }
    for index, leg in client.legs().items():
        one = PositionSnapshot.objects.filter(**mine, position_idx=index).latest("pk")
        assert (one.side, one.size, one.entry_price) == (
            leg["side"], Decimal(leg["size"]), Decimal(leg["avgPrice"]),
        )  # fmt: skip
    assert WalletSnapshot.objects.filter(**mine).latest("pk").wallet_balance == client.balance()
    client.close()
