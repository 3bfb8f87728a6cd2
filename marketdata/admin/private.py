"""Pages of private facts, and the links between an order, its executions and their run."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin

from accounts.related import Relation
from accounts.tenant_admin import AccountFilter
from marketdata.admin.facts import FactAdmin, Filters
from marketdata.admin.filters import OrderFilter, RunFilter, TimeFilter
from marketdata.models import Order, PositionSnapshot, PrivateExecution, WalletSnapshot

# An order id means nothing without its account.
SAME_ORDER = {"account": "account_id", "order_id": "order_id"}
STATES = Relation(
    *("marketdata.Order", "States of the order", SAME_ORDER),
    ("exchange_ts", "status", "side", "price", "qty", "cum_exec_qty", "closed_pnl"),
    order="exchange_ts",
)
EXECUTIONS = Relation(
    *("marketdata.PrivateExecution", "Executions of the order", SAME_ORDER),
    ("exchange_ts", "exec_type", "side", "exec_price", "exec_qty", "exec_fee", "exec_pnl"),
    order="exchange_ts",
)


@admin.register(PrivateExecution)
class PrivateExecutionAdmin(FactAdmin):
    """Executions."""

    list_display = (
        *("exchange_ts", "account", "symbol", "exec_type", "side", "exec_price", "exec_qty"),
        *("exec_fee", "exec_pnl", "closed_pnl", "order_link_id"),
    )
    list_filter: ClassVar[Filters] = (TimeFilter, AccountFilter, OrderFilter, RunFilter)
    search_fields = ("exec_id__exact", "order_id__exact", "order_link_id__exact")
    search_help_text = "An execution id, an order id or an order link id, in full."
    related = (STATES, EXECUTIONS)


@admin.register(Order)
class OrderAdmin(FactAdmin):
    """States of orders."""

    list_display = (
        *("exchange_ts", "account", "symbol", "side", "status", "price", "qty"),
        *("cum_exec_qty", "reduce_only", "order_link_id"),
    )
    list_filter: ClassVar[Filters] = (TimeFilter, AccountFilter, OrderFilter, RunFilter)
    search_fields = ("order_id__exact", "order_link_id__exact")
    search_help_text = "An order id or an order link id, in full."
    related = (STATES, EXECUTIONS)


@admin.register(PositionSnapshot)
class PositionSnapshotAdmin(FactAdmin):
    """Positions."""

    list_display = (
        *("exchange_ts", "account", "symbol", "position_idx", "side", "size", "entry_price"),
        *("liq_price", "unrealised_pnl", "cum_realised_pnl"),
    )
    search_fields = ("symbol__exact",)
    search_help_text = "A symbol, for example BTCUSDT."


@admin.register(WalletSnapshot)
class WalletSnapshotAdmin(FactAdmin):
    """Balances."""

    list_display = (
        *("exchange_ts", "account", "coin", "wallet_balance", "equity"),
        *("available_balance", "total_equity", "unrealised_pnl"),
    )
    search_fields = ("coin__exact",)
    search_help_text = "A coin, for example USDT."
