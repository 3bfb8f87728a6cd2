"""Pages of what backtests came to: simulated fills and fundings."""

from __future__ import annotations

from typing import ClassVar

from django.contrib import admin

from accounts.tenant_admin import AccountFilter
from marketdata.admin.facts import FactAdmin, Filters
from marketdata.admin.filters import RunFilter, TimeFilter
from strategies.models import FundingPayment, SimulatedFill


class SimulationAdmin(FactAdmin):
    """What happened in a backtest, by the time of the market."""

    time_field = "time"
    list_filter: ClassVar[Filters] = (TimeFilter, AccountFilter, RunFilter)


@admin.register(SimulatedFill)
class SimulatedFillAdmin(SimulationAdmin):
    """Fills, each with its cause."""

    list_display = (
        *("time", "account", "level", "direction", "side", "opens", "price", "qty", "fee"),
        *("closed_pnl", "rule", "trade_price"),
    )
    search_fields = ("exec_id__exact", "order_id__exact")
    search_help_text = "An execution id or an order id, in full."


@admin.register(FundingPayment)
class FundingPaymentAdmin(SimulationAdmin):
    """Funding settlements."""

    list_display = ("time", "account", "rate", "mark_price", "long_size", "short_size", "amount")
