"""The exchange's own private messages: every number of a message is the record's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from marketdata.bybit import records
from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.models import private as models
from marketdata.tests.test_normalizer import payload

RECEIVED = datetime(2026, 9, 23, 3, 38, 33, tzinfo=UTC)

EXECUTION = {
    "exec_id": "execId", "order_id": "orderId", "order_link_id": "orderLinkId", "symbol": "symbol",
    "side": "side", "exec_type": "execType", "order_type": "orderType", "exec_price": "execPrice",
    "exec_qty": "execQty", "exec_fee": "execFee", "fee_currency": "feeCurrency",
    "exec_pnl": "execPnl", "closed_pnl": "closedPnl", "closed_size": "closedSize",
    "leaves_qty": "leavesQty", "is_maker": "isMaker", "exchange_ts": "execTime",
}  # fmt: skip
ORDER = {
    "order_id": "orderId", "order_link_id": "orderLinkId", "symbol": "symbol", "side": "side",
    "status": "orderStatus", "order_type": "orderType", "time_in_force": "timeInForce",
    "price": "price", "qty": "qty", "leaves_qty": "leavesQty", "cum_exec_qty": "cumExecQty",
    "cum_exec_value": "cumExecValue", "cum_exec_fee": "cumExecFee", "avg_price": "avgPrice",
    "closed_pnl": "closedPnl", "reduce_only": "reduceOnly", "position_idx": "positionIdx",
    "cancel_type": "cancelType", "reject_reason": "rejectReason", "exchange_ts": "updatedTime",
    "created_at": "createdTime",
}  # fmt: skip
POSITION = {
    "symbol": "symbol", "position_idx": "positionIdx", "side": "side", "size": "size",
    "entry_price": "entryPrice", "mark_price": "markPrice", "liq_price": "liqPrice",
    "leverage": "leverage", "position_value": "positionValue", "initial_margin": "positionIM",
    "maintenance_margin": "positionMM", "unrealised_pnl": "unrealisedPnl",
    "cur_realised_pnl": "curRealisedPnl", "cum_realised_pnl": "cumRealisedPnl",
}  # fmt: skip
COIN = {
    "coin": "coin", "wallet_balance": "walletBalance", "equity": "equity",
    "unrealised_pnl": "unrealisedPnl", "cum_realised_pnl": "cumRealisedPnl",
}  # fmt: skip
ACCOUNT = {
    "available_balance": "totalAvailableBalance", "total_equity": "totalEquity",
    "total_wallet_balance": "totalWalletBalance", "total_margin_balance": "totalMarginBalance",
    "total_initial_margin": "totalInitialMargin",
    "total_maintenance_margin": "totalMaintenanceMargin",
}  # fmt: skip


def meaning(value, wire):
    """What the wire says, read the plain way."""
    if isinstance(value, datetime):
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=int(wire))
    if isinstance(value, Decimal):
        return Decimal(wire)
    return None if value is None and wire in ("", None) else wire


def assert_says(record, row, names):
    for name, wire in names.items():
        value = getattr(record, name)
        if wire in row or value is not None:
            assert value == meaning(value, row[wire]), name


def parsed(kind, name, **options):
    method = getattr(BybitNormalizer(**options), f"{kind}_records")
    result = method(payload(name), RECEIVED)
    assert result.rejects == []
    return result.records


def test_the_execution_is_stored_as_it_was_sent():
    [row] = payload("ws_private_execution")["data"]
    [record] = parsed("execution", "ws_private_execution")
    assert_says(record, row, EXECUTION)
    assert record.raw_json == row
    assert (record.closed_pnl, record.position_idx, record.local_ts) == (None, 1, RECEIVED)


def test_the_order_is_stored_as_it_was_sent():
    [row] = payload("ws_private_order")["data"]
    [record] = parsed("order", "ws_private_order")
    assert_says(record, row, ORDER)
    assert record.raw_json == row


@pytest.mark.parametrize("name", ["ws_private_position", "ws_position_short"])
def test_the_position_is_stored_as_it_was_sent(name):
    frame = payload(name)
    [record] = parsed("position", name)
    assert_says(record, frame["data"][0], POSITION)
    assert record.exchange_ts == meaning(record.exchange_ts, frame["creationTime"])
    assert record.raw_json == frame["data"][0]


def test_the_wallet_is_stored_as_it_was_sent():
    frame = payload("ws_private_wallet")
    [account] = frame["data"]
    [record] = parsed("wallet", "ws_private_wallet")
    assert_says(record, account["coin"][0], COIN)
    assert_says(record, account, ACCOUNT)
    assert record.exchange_ts == meaning(record.exchange_ts, frame["creationTime"])
    assert record.raw_json == account


@pytest.mark.parametrize(
    ("record", "model"),
    [
        (records.ExecutionRecord, models.PrivateExecution),
        (records.OrderRecord, models.Order),
        (records.PositionRecord, models.PositionSnapshot),
        (records.WalletRecord, models.WalletSnapshot),
    ],
)
def test_a_record_is_its_table_without_what_the_writer_adds(record, model):
    columns = [field.name for field in model._meta.concrete_fields]
    added = {"id", "user", "account", "run"}
    assert list(record._fields) == [name for name in columns if name not in added]
