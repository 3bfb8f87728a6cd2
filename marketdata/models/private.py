"""Private facts: what the exchange said of an account, each row its tenant's."""

from __future__ import annotations

from typing import Any, ClassVar

from django.db import models

from accounts.tenancy import TenantOwned
from marketdata.models.fields import Side, decimal_field, plain, symbol_field
from marketdata.queries import ExecutionManager, TenantFactManager


class PrivateFact(TenantOwned):
    """What every private fact has: its tenant, its two times, and the message as sent."""

    exchange_ts = models.DateTimeField()
    local_ts = models.DateTimeField()
    raw_json = models.JSONField(help_text="The row as the exchange sent it.")

    objects: ClassVar[models.Manager[Any]] = TenantFactManager()  # type: ignore[assignment]

    class Meta:
        abstract = True


class PrivateExecution(PrivateFact):
    """One execution of any type: fills, funding, liquidation, settlement."""

    run = models.ForeignKey("strategies.Run", on_delete=models.CASCADE, related_name="executions")
    symbol = symbol_field()
    exec_id = models.CharField(max_length=64)
    order_id = models.CharField(max_length=64)
    order_link_id = models.CharField(max_length=64, blank=True)
    side = models.CharField(max_length=4, choices=Side)
    exec_type = models.CharField(max_length=32)
    order_type = models.CharField(max_length=16)
    exec_price = decimal_field()
    exec_qty = decimal_field()
    exec_fee = decimal_field(help_text="Positive: paid.")
    fee_currency = models.CharField(max_length=32, blank=True)
    exec_pnl = decimal_field(
        null=True, help_text="Realised by this fill, before fees; stream only."
    )
    closed_pnl = decimal_field(null=True, help_text="Net of fees, of the whole closing order.")
    closed_size = decimal_field(null=True, help_text="How much of a position it closed.")
    leaves_qty = decimal_field(null=True, help_text="What the order still waits for.")
    is_maker = models.BooleanField(null=True)
    position_idx = models.PositiveSmallIntegerField(
        null=True, help_text="Derived: 0 one-way, 1 long leg, 2 short leg."
    )

    objects: ClassVar[models.Manager[Any]] = ExecutionManager()

    class Meta:
        db_table = "private_executions"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "symbol", "exec_id", "order_id"], name="execution_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["account", "exchange_ts"], name="executions_of_account"),
            # From the page of an order to its executions.
            models.Index(fields=["account", "order_id"], name="executions_of_order"),
            # The admin's lists, the newest first, here and of the other private facts.
            models.Index(fields=["exchange_ts"], name="executions_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.exec_type} {self.side} {plain(self.exec_qty)} at {plain(self.exec_price)}"


class Order(PrivateFact):
    """One state of an order; its history is its rows."""

    run = models.ForeignKey("strategies.Run", on_delete=models.CASCADE, related_name="orders")
    symbol = symbol_field()
    order_id = models.CharField(max_length=64)
    order_link_id = models.CharField(max_length=64, blank=True)
    side = models.CharField(max_length=4, choices=Side)
    status = models.CharField(max_length=32)
    order_type = models.CharField(max_length=16)
    time_in_force = models.CharField(max_length=16, blank=True)
    price = decimal_field()
    qty = decimal_field()
    leaves_qty = decimal_field(null=True)
    cum_exec_qty = decimal_field()
    cum_exec_value = decimal_field(null=True)
    cum_exec_fee = decimal_field(null=True)
    avg_price = decimal_field(null=True)
    closed_pnl = decimal_field(null=True, help_text="Net of opening and closing fees.")
    reduce_only = models.BooleanField(default=False)
    position_idx = models.PositiveSmallIntegerField(null=True)
    cancel_type = models.CharField(max_length=48, blank=True)
    reject_reason = models.CharField(max_length=64, blank=True)
    created_at = models.DateTimeField(null=True, help_text="By the exchange's clock.")

    class Meta:
        db_table = "orders"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "order_id", "exchange_ts"], name="order_state_once"
            )
        ]
        indexes: ClassVar = [
            models.Index(fields=["account", "exchange_ts"], name="orders_of_account"),
            models.Index(fields=["exchange_ts"], name="orders_by_time"),
        ]

    def __str__(self) -> str:
        return f"{self.symbol} {self.side} {plain(self.qty)} at {plain(self.price)}: {self.status}"


class PositionSnapshot(PrivateFact):
    """A position as pushed; its leg is `position_idx`, never the side."""

    symbol = symbol_field()
    position_idx = models.PositiveSmallIntegerField(help_text="0 one-way, 1 long leg, 2 short leg.")
    digest = models.CharField(max_length=32, help_text="Of the exchange's values in normal form.")
    side = models.CharField(max_length=4, blank=True, help_text="Empty when flat.")
    size = decimal_field()
    entry_price = decimal_field(null=True)
    mark_price = decimal_field(null=True)
    liq_price = decimal_field(null=True)
    leverage = decimal_field(null=True)
    position_value = decimal_field(null=True)
    initial_margin = decimal_field(null=True)
    maintenance_margin = decimal_field(null=True)
    unrealised_pnl = decimal_field(null=True)
    cur_realised_pnl = decimal_field(null=True, help_text="Of the present cycle.")
    cum_realised_pnl = decimal_field(null=True, help_text="Of the account's life.")

    class Meta:
        db_table = "position_snapshots"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "symbol", "position_idx", "exchange_ts", "digest"],
                name="position_state_once",
            )
        ]
        indexes: ClassVar = [models.Index(fields=["exchange_ts"], name="positions_by_time")]

    def __str__(self) -> str:
        return f"{self.symbol} leg {self.position_idx}: {plain(self.size)}"


class WalletSnapshot(PrivateFact):
    """One coin's balance as pushed, with the account's totals of the same message."""

    coin = models.CharField(max_length=32)
    digest = models.CharField(max_length=32, help_text="Of the exchange's values in normal form.")
    wallet_balance = decimal_field()
    equity = decimal_field(null=True)
    unrealised_pnl = decimal_field(null=True)
    cum_realised_pnl = decimal_field(null=True)
    available_balance = decimal_field(null=True, help_text="Of the account, in USD.")
    total_equity = decimal_field(null=True, help_text="Of the account, in USD.")
    total_wallet_balance = decimal_field(null=True)
    total_margin_balance = decimal_field(null=True)
    total_initial_margin = decimal_field(null=True)
    total_maintenance_margin = decimal_field(null=True)

    class Meta:
        db_table = "wallet_snapshots"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["account", "coin", "exchange_ts", "digest"], name="wallet_state_once"
            )
        ]
        indexes: ClassVar = [models.Index(fields=["exchange_ts"], name="wallets_by_time")]

    def __str__(self) -> str:
        return f"{self.coin} {plain(self.wallet_balance)}"
