"""An account's frames of a campaign: executions, orders, positions, wallets, with their truth.

One table says what the exchange documents, a line a column; frames are drawn by it, and the
oracle reads by it.
"""

from __future__ import annotations

import json
import random
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from marketdata.bybit.records import (
    ExecutionRecord,
    OrderRecord,
    PositionRecord,
    WalletRecord,
)
from marketdata.tests.mutations_shared import (
    OBJECT_MUTATORS,
    POISON,
    START_MS,
    TEXT_MUTATORS,
    YEAR_2018_MS,
    Frame,
    Message,
    break_row,
    drawn_number,
    duplicate_key,
    exact_time,
    holders_of,
    implausible_time,
    old_sequence,
    poison_value,
    shuffled,
)

SYMBOLS = ("BTCUSDT", "1000PEPEUSDT", "BTC-27NOV26")
OTHER_CATEGORIES = ("spot", "inverse", "option")
PRIVATE_POISON: tuple[Any, ...] = (
    "linear", "spot", "None", "UNKNOWN", "Trade", "Limit", "Funding", "EC_NoError", "execution",
    "execution.linear", "execution.fast.linear", "order", "position", "wallet", "USDT", "a b",
    "a\x00b", {"USDT": "1.5"}, {"USDT": ""}, {"USDT": "x"}, {"A": "1", "B": "2"}, 2, 3, "1",
)  # fmt: skip
TIMES = ("creationTime", "execTime", "createdTime", "updatedTime")
NAMES = (
    "execPrice", "execFee", "closedSize", "side", "category", "positionIdx", "size", "coin", "data",
    "walletBalance", "qty", "reduceOnly", "topic", "creationTime", "symbol", "cumFeeDetail",
)  # fmt: skip


class Column(NamedTuple):
    """A column of a record, what the wire calls it, and how it reads."""

    name: str
    wire: str
    kind: str
    longest: int = 0


EXECUTION = (
    Column("exchange_ts", "execTime", "time"),
    Column("symbol", "symbol", "symbol"),
    Column("exec_id", "execId", "id"),
    Column("order_id", "orderId", "id"),
    Column("order_link_id", "orderLinkId", "id?"),
    Column("side", "side", "side"),
    Column("exec_type", "execType", "word", 32),
    Column("order_type", "orderType", "word", 16),
    Column("exec_price", "execPrice", "+"),
    Column("exec_qty", "execQty", "+"),
    Column("exec_fee", "execFee", "-"),
    Column("fee_currency", "feeCurrency", "word?", 32),
    Column("exec_pnl", "execPnl", "-?"),
    Column("closed_pnl", "closedPnl", "-?"),
    Column("closed_size", "closedSize", "+?"),
    Column("leaves_qty", "leavesQty", "+?"),
    Column("is_maker", "isMaker", "bool?"),
)
ORDER = (
    Column("exchange_ts", "updatedTime", "time"),
    Column("symbol", "symbol", "symbol"),
    Column("order_id", "orderId", "id"),
    Column("order_link_id", "orderLinkId", "id?"),
    Column("side", "side", "side"),
    Column("status", "orderStatus", "word", 32),
    Column("order_type", "orderType", "word", 16),
    Column("time_in_force", "timeInForce", "word?", 16),
    Column("price", "price", "+"),
    Column("qty", "qty", "+"),
    Column("leaves_qty", "leavesQty", "+?"),
    Column("cum_exec_qty", "cumExecQty", "+"),
    Column("cum_exec_value", "cumExecValue", "-?"),
    Column("cum_exec_fee", "cumExecFee", "-?"),
    Column("avg_price", "avgPrice", "+?"),
    Column("closed_pnl", "closedPnl", "-?"),
    Column("reduce_only", "reduceOnly", "bool"),
    Column("position_idx", "positionIdx", "leg?"),
    Column("cancel_type", "cancelType", "word?", 48),
    Column("reject_reason", "rejectReason", "word?", 64),
    Column("created_at", "createdTime", "time?"),
)
POSITION = (
    Column("symbol", "symbol", "symbol"),
    Column("position_idx", "positionIdx", "leg"),
    Column("side", "side", "side?"),
    Column("size", "size", "+"),
    Column("entry_price", "entryPrice", "+?"),
    Column("mark_price", "markPrice", "+?"),
    Column("liq_price", "liqPrice", "-?"),
    Column("leverage", "leverage", "+?"),
    Column("position_value", "positionValue", "-?"),
    Column("initial_margin", "positionIM", "-?"),
    Column("maintenance_margin", "positionMM", "-?"),
    Column("unrealised_pnl", "unrealisedPnl", "-?"),
    Column("cur_realised_pnl", "curRealisedPnl", "-?"),
    Column("cum_realised_pnl", "cumRealisedPnl", "-?"),
)
COIN = (
    Column("coin", "coin", "word-", 32),
    Column("wallet_balance", "walletBalance", "-"),
    Column("equity", "equity", "-?"),
    Column("unrealised_pnl", "unrealisedPnl", "-?"),
    Column("cum_realised_pnl", "cumRealisedPnl", "-?"),
)
ACCOUNT = (
    Column("available_balance", "totalAvailableBalance", "-?"),
    Column("total_equity", "totalEquity", "-?"),
    Column("total_wallet_balance", "totalWalletBalance", "-?"),
    Column("total_margin_balance", "totalMarginBalance", "-?"),
    Column("total_initial_margin", "totalInitialMargin", "-?"),
    Column("total_maintenance_margin", "totalMaintenanceMargin", "-?"),
)
TABLES: dict[str, tuple[type[Any], tuple[Column, ...]]] = {
    "execution": (ExecutionRecord, EXECUTION),
    "order": (OrderRecord, ORDER),
    "position": (PositionRecord, POSITION),
    "wallet": (WalletRecord, COIN + ACCOUNT),
}
FILLS = ("Trade", "AdlTrade", "BustTrade", "BlockTrade", "Delivery", "Settle")
EXEC_TYPES = (*FILLS, "Funding", "CorporateAction", "NewThing")
STATUSES = ("New", "PartiallyFilled", "Filled", "Cancelled", "Rejected", "Untriggered", "Newer")
V5_STATUSES = frozenset(STATUSES[:-1])


class PrivateGenerator:
    """Frames as the exchange sends them; every value is drawn together with its meaning."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now_ms = START_MS

    def frame(self) -> Frame:
        rng = self.rng
        self.now_ms += rng.randrange(1, 200)
        stream = rng.choice(tuple(TABLES))
        received_at = exact_time(self.now_ms)
        created_ms = self.now_ms - rng.randrange(0, 300)
        envelope = {"id": "1001_x_1", "topic": stream, "creationTime": created_ms}
        if stream != "wallet" and rng.random() < 0.1:
            envelope["topic"] = f"{stream}.linear"
        rows: list[dict[str, Any]] = []
        truth: list[Any] = []
        for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
            row, records = self._row(stream, received_at, exact_time(created_ms))
            rows.append(row)
            truth += records
        return Frame(stream, envelope | {"data": rows}, truth, received_at)

    def _row(
        self, stream: str, received_at: datetime, created_at: datetime
    ) -> tuple[dict[str, Any], list[Any]]:
        kind, columns = TABLES[stream]
        common = {"exchange_ts": created_at, "local_ts": received_at}
        if stream == "wallet":
            account, totals = self._drawn(ACCOUNT)
            account |= {"accountType": "UNIFIED", "accountLTV": "0"}
            coins = [self._drawn(COIN) for _ in range(self.rng.randrange(0, 4))]
            whole = account | {"coin": [row for row, _ in coins]}
            return whole, [
                kind(**common, **totals, **values, digest="", raw_json={**whole, "coin": [row]})
                for row, values in coins
            ]
        row, values = self._drawn(columns)
        row |= {"category": "linear", "seq": self.rng.choice((-1, "-1", 5, 2**62)), "extraFees": ""}
        if stream == "execution":
            values["position_idx"] = derived_leg(values)
        if stream == "order":
            self._fee_detail(row, values)
        if stream == "position":
            values["digest"] = ""
        if self.rng.random() < 0.05:
            row["category"] = self.rng.choice(OTHER_CATEGORIES)
            return row, []
        return row, [kind(**{**common, **values, "raw_json": row})]

    def _drawn(self, columns: tuple[Column, ...]) -> tuple[dict[str, Any], dict[str, Any]]:
        row, values = {}, {}
        for column in columns:
            text, value = self._value(column)
            if text is not None:
                row[column.wire] = text
            values[column.name] = value
        return row, values

    def _fee_detail(self, row: dict[str, Any], values: dict[str, Any]) -> None:
        text, fee = drawn_number(self.rng, 4, signed=True)
        detail = self.rng.choice(({}, {}, {"USDT": text}, {"USDT": text, "BTC": text}, ""))
        row["cumFeeDetail"] = detail
        if isinstance(detail, dict) and len(detail) == 1:
            values["cum_exec_fee"] = fee

    def _value(self, column: Column) -> tuple[Any, Any]:
        """What is sent, None for nothing at all, and what it means."""
        rng, kind = self.rng, column.kind
        if kind[0] in "+-":
            if kind.endswith("?") and rng.random() < 0.1:
                return rng.choice(("", None)), None
            if rng.random() < 0.15:
                return "0", Decimal(0)
            return drawn_number(rng, rng.randrange(0, 9), signed=kind[0] == "-")
        if kind.startswith("time"):
            if kind == "time?" and rng.random() < 0.2:
                return rng.choice(("", "0", None)), None
            moment = self.now_ms - rng.randrange(0, 10**6)
            return str(moment), exact_time(moment)
        if kind.startswith("id"):
            if kind == "id?" and rng.random() < 0.3:
                return rng.choice(("", None)), ""
            text = f"{rng.getrandbits(32):08x}-{rng.getrandbits(48):012x}"
            return text, text
        if kind.startswith("leg"):
            return (leg := rng.randrange(3)), leg
        if kind.startswith("bool"):
            return (flag := rng.random() < 0.5), flag
        word = rng.choice(self._words(column))
        return word, word

    def _words(self, column: Column) -> tuple[str, ...]:
        return {
            "symbol": SYMBOLS,
            "side": ("Buy", "Sell") if column.kind == "side" else ("Buy", "Sell", ""),
            "execType": ("Trade", *EXEC_TYPES),
            "orderType": ("Limit", "Limit", "Market", "UNKNOWN"),
            "orderStatus": STATUSES,
            "coin": ("USDT", "BTC", "1INCH"),
        }.get(column.wire, ("EC_NoError", "UNKNOWN", ""))


def derived_leg(values: dict[str, Any]) -> int | None:
    """The leg in hedge mode, by the four cases of the documentation."""
    if values["exec_type"] not in FILLS:
        return None
    closes = (values["closed_size"] or 0) > 0
    return {
        ("Buy", False): 1, ("Sell", True): 1, ("Sell", False): 2, ("Buy", True): 2,
    }[values["side"], closes]  # fmt: skip


# Mutators that know the private fields.


def private_poison(rng: random.Random, message: Message) -> None:
    holder = rng.choice(holders_of(message))
    if holder:
        holder[rng.choice(list(holder))] = rng.choice(PRIVATE_POISON)


def private_time(rng: random.Random, message: Message) -> None:
    holder = rng.choice(holders_of(message))
    for name in TIMES:
        if name in holder:
            moment = rng.choice(
                (0, YEAR_2018_MS - 1, YEAR_2018_MS, START_MS * 2, START_MS // 1000, 2**63)
            )
            holder[name] = rng.choice((moment, str(moment)))


def private_duplicate_key(rng: random.Random, text: str) -> str:
    """A key twice in one object: the last one counts, for every parser that we know."""
    name = rng.choice(NAMES)
    value = json.dumps(rng.choice(POISON + PRIVATE_POISON))
    return text.replace(f'"{name}":', f'"{name}":{value},"{name}":', 1)


OBJECTS = (
    *(each for each in OBJECT_MUTATORS if each not in (implausible_time, old_sequence)),
    poison_value, poison_value, private_poison, private_poison, private_time, break_row,
)  # fmt: skip
TEXTS = (*(each for each in TEXT_MUTATORS if each is not duplicate_key), private_duplicate_key)


def harmless(rng: random.Random, message: Message) -> str:
    """Other order of keys, fields that nobody knows, blanks: the same message."""
    for row in message["data"]:
        if "coin" in row and isinstance(row["coin"], list):
            row["coin"] = [shuffled(rng, coin) for coin in row["coin"]]
    for holder in holders_of(message):
        if rng.random() < 0.3:
            holder["newField"] = rng.choice(POISON[:20])
    message["data"] = [shuffled(rng, row) for row in message["data"]]
    return json.dumps(shuffled(rng, message), indent=rng.choice((None, None, 1)))
