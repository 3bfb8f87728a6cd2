"""A campaign of an account's damaged frames, and the oracle that reads them beside us.

A wallet's rows are its coins; a row of another category is ignored.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.records import (
    WalletRecord,
)
from marketdata.bybit.values import reason_class
from marketdata.tests.mutations_campaign import MutationCampaign
from marketdata.tests.mutations_private_frames import (
    ACCOUNT,
    COIN,
    OBJECTS,
    TABLES,
    TEXTS,
    V5_STATUSES,
    Column,
    PrivateGenerator,
    derived_leg,
    harmless,
)
from marketdata.tests.mutations_shared import (
    Frame,
    Message,
    Unreadable,
    read_int,
    read_number,
    read_time,
    same_records,
    same_rows,
    unfit,
    written,
)

# The oracle.

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SYMBOL_LETTERS = frozenset(LETTERS + "0123456789-")
PLAIN = frozenset(LETTERS + LETTERS.lower() + "0123456789_-")
LABEL = PLAIN | {"."}
BAD = object()


class PrivateOracle:
    """An independent reading of private frames."""

    def __init__(self, digits: int) -> None:
        self.digits = digits
        self.ignored = 0

    def rows(self, stream: str, message: Any, received_at: datetime) -> list[tuple[Any, Any]]:
        """For each row of ours the row and its record, None for one that is not sound."""
        if not isinstance(message, dict):
            raise Unreadable
        topic = message.get("topic")
        if topic not in (stream, stream + ".linear") or not isinstance(message.get("data"), list):
            raise Unreadable
        common: dict[str, Any] = {"local_ts": received_at}
        if stream in ("position", "wallet"):
            common["exchange_ts"] = read_time(message.get("creationTime"), received_at, 60_000)
            if common["exchange_ts"] is None:
                raise Unreadable
        default = "linear" if topic.endswith(".linear") else None
        self.ignored = 0
        rows: list[tuple[Any, Any]] = []
        for row in message["data"]:
            if stream == "wallet":
                rows += self._wallet(row, common)
                continue
            if not isinstance(row, dict):
                rows.append((row, None))
                continue
            category = row.get("category", message.get("category", default))
            if not is_made_of(category, PLAIN, 32):
                rows.append((row, None))
            elif category != "linear":
                self.ignored += 1
            else:
                rows.append((row, self._record(stream, row, common)))
        return rows

    def _wallet(self, account: Any, common: dict[str, Any]) -> list[tuple[Any, Any]]:
        if not isinstance(account, dict) or not isinstance(account.get("coin"), list):
            return [(account, None)]
        rows = []
        totals = self._read(ACCOUNT, account, common)
        for coin in account["coin"]:
            row = {**account, "coin": [coin]}
            record = None
            if isinstance(coin, dict) and totals is not None and is_storable(row, 1):
                values = self._read(COIN, coin, common)
                if values is not None:
                    record = WalletRecord(**common, **totals, **values, digest="", raw_json=row)
            rows.append((row, record))
        return rows

    def _record(self, stream: str, row: dict[str, Any], common: dict[str, Any]) -> Any:
        kind, columns = TABLES[stream]
        if not is_storable(row, 1):
            return None
        if stream == "position" and "entryPrice" not in row:
            row_read = {**row, "entryPrice": row.get("avgPrice")}
        else:
            row_read = row
        values = self._read(columns, row_read, common)
        if values is None:
            return None
        if stream == "execution":
            values["position_idx"] = derived_leg(values)
        if stream == "order":
            fee = self._fee(row.get("cumFeeDetail"), values["cum_exec_fee"])
            if fee is BAD:
                return None
            values["cum_exec_fee"] = fee
        if stream == "position":
            values["digest"] = ""
        return kind(**{**common, **values, "raw_json": row})

    def _fee(self, detail: Any, otherwise: Any) -> Any:
        if detail in (None, "") or detail == {}:
            return otherwise
        if not isinstance(detail, dict):
            return BAD
        [amount, *others] = detail.values()
        if others or amount == "":
            return otherwise
        fee = read_number(amount, self.digits)
        return BAD if fee is None else fee

    def _read(
        self, columns: tuple[Column, ...], row: dict[str, Any], common: dict[str, Any]
    ) -> dict[str, Any] | None:
        values = {
            column.name: self._value(column, row.get(column.wire), column.wire in row, common)
            for column in columns
        }
        return None if any(value is BAD for value in values.values()) else values

    def _value(self, column: Column, value: Any, there: bool, common: dict[str, Any]) -> Any:
        kind = column.kind
        if kind.endswith("?") and value is None and (kind != "side?"):
            return "" if kind in ("id?", "word?") else None
        if not there:
            return BAD
        if kind[0] in "+-":
            if kind.endswith("?") and value == "":
                return None
            number = read_number(value, self.digits)
            return BAD if number is None or (kind[0] == "+" and number < 0) else number
        if kind.startswith("time"):
            if kind == "time?" and value in ("", "0"):
                return None
            if not is_made_of(value, frozenset("0123456789"), 19):
                return BAD
            return read_time(int(value), common["local_ts"], 60_000) or BAD
        if kind.startswith("id"):
            graphic = frozenset(map(chr, range(33, 127)))
            return value if is_made_of(value, graphic, 64) or (kind, value) == ("id?", "") else BAD
        if kind.startswith("leg"):
            return value if read_int(value) in (0, 1, 2) else BAD
        if kind.startswith("bool"):
            return value if isinstance(value, bool) else BAD
        if kind.startswith("side"):
            known = {"Buy": "Buy", "Sell": "Sell"}
            known |= {"": "", "None": ""} if kind == "side?" else {}
            return known.get(value, BAD) if isinstance(value, str) else BAD
        if kind == "symbol":
            fits = is_made_of(value, SYMBOL_LETTERS, 32) and len(value) > 1
            return value if fits else BAD
        letters = PLAIN if kind == "word-" else LABEL
        empty_fits = kind == "word?" and value == ""
        return value if empty_fits or is_made_of(value, letters, column.longest) else BAD


def is_made_of(value: Any, letters: frozenset[str], longest: int) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= longest and not set(value) - letters


def is_storable(value: Any, level: int) -> bool:
    """Whether PostgreSQL's jsonb takes it."""
    if isinstance(value, str):
        return not any(letter == "\0" or 0xD800 <= ord(letter) <= 0xDFFF for letter in value)
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        inner = [*value.keys(), *value.values()]
    elif isinstance(value, list):
        inner = value
    else:
        return True
    return level <= 16 and all(is_storable(each, level + 1) for each in inner)


class PrivateCampaign(MutationCampaign):
    """Executions, orders, positions and wallets."""

    object_mutators = OBJECTS
    text_mutators = TEXTS

    def __init__(self, seed: int, **options: Any) -> None:
        super().__init__(seed, **options)
        self.generator = PrivateGenerator(self.rng)
        self.oracle = PrivateOracle(self.digits)
        self.states: dict[str, int] = {}

    def next_frame(self, *, clean: bool) -> Frame:
        return self.generator.frame()

    def harmless(self, message: Message) -> str:
        return harmless(self.rng, message)

    def judge(self, frame: Frame, treatment: str, message: Any, text: str) -> list[str]:
        tally = self.tally
        method = getattr(self.normalizer, f"{frame.kind}_records")
        before = written(message)
        try:
            rows = self.oracle.rows(frame.kind, message, frame.received_at)
        except Unreadable:
            tally.sent += 1
            return self.judge_refused(method, frame, treatment, message)
        tally.sent += len(rows) + self.oracle.ignored
        ignored = self.normalizer.ignored.total()
        try:
            records, rejects = method(message, frame.received_at)
        except MalformedMessage as error:
            tally.rejected[reason_class(error.reason)] += 1
            return [f"frame refused: {error}"]
        tally.accepted += len(records)
        tally.ignored += self.normalizer.ignored.total() - ignored
        for reject in rejects:
            tally.rejected[reason_class(reject.reason)] += 1
        faults = [fault for reject in rejects for fault in unfit(reject)]
        faults += self._judge_digests(records)
        plain = [r._replace(digest="") if hasattr(r, "digest") else r for r in records]
        if not same_records(plain, [record for _, record in rows if record is not None]):
            faults.append("records differ from the text's")
        if not same_rows([row for row, record in rows if record is None], rejects):
            faults.append("raw text is not the row")
        if written(message) != before:
            faults.append("the message was changed")
        if treatment != "damaged":
            faults += self._judge_whole(frame, treatment, message, plain)
        return faults

    def _judge_whole(
        self, frame: Frame, treatment: str, message: Any, records: list[Any]
    ) -> list[str]:
        faults = []
        bare = [record._replace(raw_json={}) for record in records]
        if not same_records(bare, [record._replace(raw_json={}) for record in frame.truth]):
            faults.append("records differ from those sent")
        if treatment == "whole" and [r.raw_json for r in records] != [
            r.raw_json for r in frame.truth
        ]:
            faults.append("raw rows differ from those sent")
        if frame.kind == "execution":
            events = self.normalizer.normalize_execution(message, received_at=frame.received_at)
            due = [r for r in records if (r.exec_type, r.order_type) == ("Trade", "Limit")]
            got = [(e.exec_id, e.price, e.qty, e.closed_pnl, e.leaves_qty) for e in events]
            if got != [
                (r.exec_id, r.exec_price, r.exec_qty, r.exec_pnl or 0, r.leaves_qty or 0)
                for r in due
            ]:
                faults.append("events differ")
        if frame.kind == "order":
            updates = self.normalizer.normalize_order(message, received_at=frame.received_at)
            due = [r for r in records if r.order_type == "Limit" and r.status in V5_STATUSES]
            if [(e.order_id, e.status) for e in updates] != [(r.order_id, r.status) for r in due]:
                faults.append("events differ")
        return faults

    def _judge_digests(self, records: list[Any]) -> list[str]:
        """One digest for one state, and one state for one digest."""
        faults = []
        for record in records:
            if not hasattr(record, "digest"):
                continue
            state = hash(record[record._fields.index("digest") + 1 :])
            if not is_made_of(record.digest, frozenset("0123456789abcdef"), 32):
                faults.append("digest is none")
            if self.states.setdefault(record.digest, state) != state:
                faults.append("one digest for two states")
            # The other way round: a state that is written otherwise has the same digest.
            if self.states.setdefault(f"state {state}", hash(record.digest)) != hash(record.digest):
                faults.append("two digests for one state")
        return faults
