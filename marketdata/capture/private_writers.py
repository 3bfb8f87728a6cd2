"""The writers of private streams: rows get their tenant, and executions and orders their run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

import orjson
from django.db import transaction

from accounts.models import BybitAccount
from marketdata.bybit.records import (
    ExecutionRecord,
    OrderRecord,
    PositionRecord,
    Reject,
    WalletRecord,
)
from marketdata.capture.accounts import AccountContext
from marketdata.capture.runs import runs_for
from marketdata.capture.storing import Outcome
from marketdata.capture.tally import StreamKey
from marketdata.capture.writers import Writer
from marketdata.models import Order, PositionSnapshot, PrivateExecution, Stream, WalletSnapshot

PrivateRecord = TypeVar("PrivateRecord", bound=tuple[Any, ...])

# Fields of every private record that come before its own: exchange_ts, local_ts, raw_json.
COMMON_FIELDS = 3
# Terminal order states (V5 docs, "orderStatus").
FINAL_STATUSES = frozenset(
    {"Filled", "Cancelled", "Rejected", "PartiallyFilledCanceled", "Deactivated"}
)
RACE_ATTEMPTS = 5


class PrivateWriter(Writer[PrivateRecord]):
    """Keeps one private table; each account is a lane of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._users: dict[UUID, UUID] = {}
        super().__init__(*args, **kwargs)

    def write_for(self, context: AccountContext, records: Sequence[PrivateRecord]) -> None:
        """Take `records` of the account that `context` describes."""
        self._users[context.account_id] = context.user_id
        self.write(records, context.account_id)

    def _owner(self, key: StreamKey) -> tuple[UUID, UUID]:
        if key.account_id is None:
            raise TypeError(f"a row of {key.stream} without an account")
        if key.account_id not in self._users:
            # Rows from disk came to an earlier capture.
            account = BybitAccount.objects.unscoped().only("user").get(pk=key.account_id)
            self._users[key.account_id] = account.user_id
        return self._users[key.account_id], key.account_id

    def _rows(self, key: StreamKey, batch: list[PrivateRecord]) -> list[tuple[Any, ...]]:
        user_id, account_id = self._owner(key)
        return [(user_id, account_id, *row) for row in batch]

    def _reject(self, row: PrivateRecord, reason: str) -> Reject:
        raw = orjson.dumps(row.raw_json).decode()  # type: ignore[attr-defined]
        return Reject(self.topic, reason, raw)


class RunWriter(PrivateWriter[PrivateRecord]):
    """Keeps a table whose rows belong to a run."""

    def _rows(self, key: StreamKey, batch: list[PrivateRecord]) -> list[tuple[Any, ...]]:
        user_id, account_id = self._owner(key)
        runs = runs_for(account_id, user_id, batch)  # type: ignore[arg-type]
        return [
            (user_id, account_id, *row[:COMMON_FIELDS], run, *row[COMMON_FIELDS:])
            for row, run in zip(batch, runs, strict=True)
        ]


class ExecutionWriter(RunWriter[ExecutionRecord]):
    """Executions of every type."""

    stream = Stream.EXECUTIONS
    model = PrivateExecution
    topic = "execution"
    key_fields = ("symbol", "exec_id", "order_id")
    lookup_fields = ("symbol", "exec_id")
    figure_fields = (
        "exchange_ts", "order_link_id", "side", "exec_type", "order_type", "exec_price", "exec_qty",
        "exec_fee", "fee_currency", "exec_pnl", "closed_pnl", "closed_size", "leaves_qty", "is_maker",
    )  # fmt: skip

    def _settle(self, key: StreamKey, batch: list[ExecutionRecord], stored: int) -> Outcome:
        """Complete rows that REST brought first: what they realised is said by the stream only."""
        outcome = super()._settle(key, batch, stored)
        telling = [row for row in batch if row.exec_pnl is not None]
        table = self._read_back(key, telling) if telling else {}
        for row in telling:
            known = table.get(self._identity(row))
            if known is not None and known["exec_pnl"] is None and self._agrees(row, known):
                done = self.table.filter(pk=known["pk"], exec_pnl=None).update(
                    exec_pnl=row.exec_pnl, raw_json=row.raw_json
                )
                outcome.updated += done
                outcome.duplicate -= done
        return outcome


class PositionWriter(PrivateWriter[PositionRecord]):
    """Positions; their digest is part of the key, so one key has one content."""

    stream = Stream.POSITIONS
    model = PositionSnapshot
    topic = "position"
    key_fields = ("symbol", "position_idx", "exchange_ts", "digest")
    lookup_fields = ("symbol", "exchange_ts")
    figure_fields = ("side", "size", "entry_price", "unrealised_pnl", "cum_realised_pnl")


class WalletWriter(PrivateWriter[WalletRecord]):
    """Balances; their digest is part of the key, so one key has one content."""

    stream = Stream.WALLET
    model = WalletSnapshot
    topic = "wallet"
    key_fields = ("coin", "exchange_ts", "digest")
    lookup_fields = ("coin", "exchange_ts")
    figure_fields = ("wallet_balance", "equity", "available_balance", "total_equity")


class OrderWriter(RunWriter[OrderRecord]):
    """States of orders. Two states of one millisecond are one row: the one that `beats`.

    Never a conflict: the higher executed quantity wins, then a final status over an open one,
    then the later received. One that REST brought first gives way to the same one of the stream,
    which alone says what was realised.
    """

    stream = Stream.ORDERS
    model = Order
    topic = "order"
    key_fields = ("order_id", "exchange_ts")
    lookup_fields = ("order_id",)
    figure_fields = (
        "symbol", "order_link_id", "side", "status", "order_type", "time_in_force", "price", "qty",
        "leaves_qty", "cum_exec_qty", "cum_exec_value", "cum_exec_fee", "avg_price", "closed_pnl",
        "reduce_only", "position_idx", "cancel_type", "reject_reason", "created_at",
    )  # fmt: skip
    # What an update writes: the state, the message, and when it came.
    state_fields = ("local_ts", "raw_json", *figure_fields)

    def _insert(self, key: StreamKey, batch: list[OrderRecord]) -> Outcome:
        for _ in range(RACE_ATTEMPTS):
            with transaction.atomic():
                outcome = self._insert_or_update(key, batch)
                if outcome is not None:
                    return outcome
                transaction.set_rollback(True)
        raise RuntimeError("orders changed under every attempt to store them")

    def _insert_or_update(self, key: StreamKey, batch: list[OrderRecord]) -> Outcome | None:
        """Store `batch`; None when somebody else wrote the same keys in between."""
        outcome = Outcome()
        winners = self._winners(batch, outcome)
        present = self._read_back(key, batch)
        fresh = [row for identity, row in winners.items() if identity not in present]
        outcome.stored = self.table.bulk_insert_values(self._rows(key, fresh)) if fresh else 0
        if outcome.stored < len(fresh):
            return None
        for identity, stored in present.items():
            row = winners[identity]
            if self._repeats(row, stored):
                outcome.duplicate += 1
            elif not beats(row, stored):
                outcome.conflated += 1
            elif self._update(row, stored):
                outcome.updated += 1
            else:
                return None
        return outcome

    def _winners(
        self, batch: list[OrderRecord], outcome: Outcome
    ) -> dict[tuple[Any, ...], OrderRecord]:
        winners: dict[tuple[Any, ...], OrderRecord] = {}
        for row in batch:
            identity = self._identity(row)
            before = winners.get(identity)
            if before is None:
                winners[identity] = row
            elif self._repeats(row, before._asdict()):
                outcome.duplicate += 1
            else:
                outcome.conflated += 1
                winners[identity] = row if beats(row, before._asdict()) else before
        return winners

    def _repeats(self, row: OrderRecord, other: dict[str, Any]) -> bool:
        """Whether a row says nothing that the other one of its key does not."""
        says_more = other["closed_pnl"] is None and row.closed_pnl is not None
        return self._agrees(row, other) and not says_more

    def _update(self, row: OrderRecord, stored: dict[str, Any]) -> bool:
        """Replace the state that was read, and no other; False when it is another by now."""
        unchanged = {name: stored[name] for name in ("status", "cum_exec_qty")}
        values = {name: getattr(row, name) for name in self.state_fields}
        return bool(self.table.filter(pk=stored["pk"], **unchanged).update(**values) == 1)


def beats(row: OrderRecord, other: dict[str, Any]) -> bool:
    """Whether `row`, which was received later, is the state to keep of two with one key."""
    ours = (row.cum_exec_qty, row.status in FINAL_STATUSES)
    theirs = (other["cum_exec_qty"], other["status"] in FINAL_STATUSES)
    return bool(ours >= theirs)
