"""How the rows of the wire stand in the tables; written for the verdict, not shared with capture.

One entry a topic: which column holds what the exchange wrote under which name, and what makes
two rows the same row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from marketdata.models import (
    Order,
    PositionSnapshot,
    PrivateExecution,
    PublicTrade,
    Stream,
    TickerSnapshot,
    WalletSnapshot,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
Values = dict[str, Any]
Key = tuple[Any, ...]


class WireRow(NamedTuple):
    """A row of a frame, and the frame's own time in ms."""

    row: dict[str, Any]
    frame_ms: int


Reader = Callable[[WireRow], Any]


def at(milliseconds: int | str) -> datetime:
    """The time that the exchange writes as milliseconds since 1970."""
    return EPOCH + timedelta(milliseconds=int(milliseconds))


@dataclass(frozen=True)
class Table:
    """A topic's table. `key` names its identity within a symbol or account; none: all it holds."""

    stream: Stream
    model: Any
    columns: dict[str, Reader]
    key: tuple[str, ...] = ()

    @property
    def is_private(self) -> bool:
        """Whether its rows belong to accounts."""
        return "account" in {field.name for field in self.model._meta.fields}

    def values_of(self, wire: WireRow) -> Values:
        """What the table must hold for a row of the wire."""
        return {name: read(wire) for name, read in self.columns.items()}

    def stored_values(self, row: Any) -> Values:
        """What the table does hold."""
        return {name: getattr(row, name) for name in self.columns}

    def key_of(self, values: Values) -> Key:
        """What makes two rows the same."""
        return tuple(values[name] for name in self.key or self.columns)


def _texts(**names: str) -> dict[str, Reader]:
    return {ours: _reader(theirs, lambda value: value) for ours, theirs in names.items()}


def _figures(**names: str) -> dict[str, Reader]:
    return {ours: _reader(theirs, _figure) for ours, theirs in names.items()}


def _times(**names: str) -> dict[str, Reader]:
    return {
        ours: _reader(theirs, lambda ms: at(ms) if ms else None) for ours, theirs in names.items()
    }


def _flags(**columns: str) -> dict[str, Reader]:
    """What an older message lacks is not so."""
    return {column: _flag(name) for column, name in columns.items()}


def _flag(name: str) -> Reader:
    return lambda wire: wire.row.get(name, False)


def _reader(name: str, convert: Callable[[Any], Any]) -> Reader:
    return lambda wire: convert(wire.row.get(name, ""))


def _figure(text: Any) -> Decimal | None:
    return Decimal(text) if text not in ("", None) else None


FRAME_TIME: dict[str, Reader] = {"exchange_ts": lambda wire: at(wire.frame_ms)}

TABLES = {
    "publicTrade": Table(
        Stream.TRADES,
        PublicTrade,
        _texts(symbol="s", trade_id="i", side="S", sequence="seq")
        | _flags(is_block_trade="BT", is_rpi="RPI")
        | _figures(price="p", size="v")
        | _times(exchange_ts="T"),
        key=("trade_id",),
    ),
    "tickers": Table(
        Stream.TICKERS,
        TickerSnapshot,
        _texts(symbol="symbol")
        | _figures(
            last_price="lastPrice", mark_price="markPrice", index_price="indexPrice",
            bid1_price="bid1Price", bid1_size="bid1Size", ask1_price="ask1Price",
            ask1_size="ask1Size", funding_rate="fundingRate", open_interest="openInterest",
        )
        | _times(next_funding_time="nextFundingTime")
        | FRAME_TIME,
        key=("exchange_ts",),
    ),
    "execution": Table(
        Stream.EXECUTIONS,
        PrivateExecution,
        _texts(
            symbol="symbol", exec_id="execId", order_id="orderId", order_link_id="orderLinkId",
            side="side", exec_type="execType", order_type="orderType", fee_currency="feeCurrency",
            is_maker="isMaker",
        )
        | _figures(
            exec_price="execPrice", exec_qty="execQty", exec_fee="execFee", exec_pnl="execPnl",
            closed_size="closedSize", leaves_qty="leavesQty",
        )
        | _times(exchange_ts="execTime"),
        key=("symbol", "exec_id", "order_id"),
    ),
    "order": Table(
        Stream.ORDERS,
        Order,
        _texts(
            symbol="symbol", order_id="orderId", order_link_id="orderLinkId", side="side",
            status="orderStatus", order_type="orderType", time_in_force="timeInForce",
            reduce_only="reduceOnly", position_idx="positionIdx", cancel_type="cancelType",
            reject_reason="rejectReason",
        )
        | _figures(
            price="price", qty="qty", leaves_qty="leavesQty", cum_exec_qty="cumExecQty",
            cum_exec_value="cumExecValue", avg_price="avgPrice", closed_pnl="closedPnl",
        )
        | _times(exchange_ts="updatedTime", created_at="createdTime"),
        key=("order_id", "exchange_ts"),
    ),
    "position": Table(
        Stream.POSITIONS,
        PositionSnapshot,
        _texts(symbol="symbol", position_idx="positionIdx", side="side")
        | _figures(
            size="size", entry_price="entryPrice", mark_price="markPrice", liq_price="liqPrice",
            leverage="leverage", position_value="positionValue", initial_margin="positionIM",
            maintenance_margin="positionMM", unrealised_pnl="unrealisedPnl",
            cur_realised_pnl="curRealisedPnl", cum_realised_pnl="cumRealisedPnl",
        )
        | FRAME_TIME,
    ),
    # One row a coin; the ledger's reader puts a coin's entry over the account's.
    "wallet": Table(
        Stream.WALLET,
        WalletSnapshot,
        _texts(coin="coin")
        | _figures(
            wallet_balance="walletBalance", equity="equity", unrealised_pnl="unrealisedPnl",
            cum_realised_pnl="cumRealisedPnl", available_balance="totalAvailableBalance",
            total_equity="totalEquity", total_wallet_balance="totalWalletBalance",
            total_margin_balance="totalMarginBalance", total_initial_margin="totalInitialMargin",
            total_maintenance_margin="totalMaintenanceMargin",
        )
        | FRAME_TIME,
    ),
}  # fmt: skip
