"""Rows go into their tables by position: each value must stand where its column is."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from marketdata.bulk_insert import own_fields
from marketdata.bybit.records import (
    ExecutionRecord,
    OrderRecord,
    PositionRecord,
    TickerRecord,
    TradeRecord,
    WalletRecord,
)
from marketdata.capture import private_writers
from marketdata.capture.private_writers import (
    ExecutionWriter,
    OrderWriter,
    PositionWriter,
    WalletWriter,
)
from marketdata.capture.public_writers import TickerWriter, TradeWriter
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.tally import StreamKey, Tally

WRITERS = {
    TradeWriter: TradeRecord,
    TickerWriter: TickerRecord,
    ExecutionWriter: ExecutionRecord,
    OrderWriter: OrderRecord,
    PositionWriter: PositionRecord,
    WalletWriter: WalletRecord,
}


@pytest.fixture
def owned(monkeypatch):
    """Whose a row is, and of which run, named as its columns."""
    account = SimpleNamespace(user_id="user_id")
    found = SimpleNamespace(only=lambda _: SimpleNamespace(get=lambda pk: account))
    manager = SimpleNamespace(unscoped=lambda: found)
    monkeypatch.setattr(private_writers, "BybitAccount", SimpleNamespace(objects=manager))
    monkeypatch.setattr(private_writers, "runs_for", lambda account, user, rows: ["run_id"])


@pytest.mark.usefixtures("owned")
@pytest.mark.parametrize(("writer", "record"), WRITERS.items())
def test_each_value_of_a_row_stands_at_its_column(writer, record):
    tally = Tally()
    store = writer(tally, Quarantine(tally))
    [row] = store._rows(StreamKey(store.stream, "account_id"), [record(*record._fields)])
    assert list(row) == [field.attname for field in own_fields(store.model)]


@pytest.mark.parametrize("writer", WRITERS)
def test_rows_are_looked_up_by_a_part_of_their_key(writer):
    assert set(writer.lookup_fields) <= set(writer.key_fields) <= set(WRITERS[writer]._fields)
