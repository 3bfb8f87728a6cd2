"""Pages of public facts, of the contracts, and of who captures."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import connection, models, transaction
from django.http import HttpRequest

from accounts.tenant_admin import ReadOnlyAdmin
from marketdata.admin.facts import MarketAdmin, Public, SymbolSearch
from marketdata.admin.filters import equal
from marketdata.models import (
    CaptureLease,
    EnvironmentStamp,
    Instrument,
    PublicTrade,
    TickerSnapshot,
)


@admin.register(PublicTrade)
class PublicTradeAdmin(MarketAdmin):
    """Public trades."""

    list_display = (
        *("exchange_ts", "symbol", "side", "price", "size"),
        *("trade_id", "is_block_trade", "is_rpi"),
    )
    search_help_text = "A symbol, a trade id in full, or both: BTCUSDT 5bd1f3a2-…"

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """The symbol's trades, or the one of that id; no symbol is as long as an id."""
        *symbols, last = search_term.split() or [""]
        longest = PublicTrade._meta.get_field("symbol").max_length
        if not symbols and len(last) <= (longest or 0):
            return super().get_search_results(request, queryset, search_term)
        rows, _ = super().get_search_results(request, queryset, " ".join(symbols))
        return rows.filter(pk__in=_keys_of(last)), False


def _keys_of(trade_id: str) -> list[int]:
    """The rows of a trade id."""
    rows = equal(PublicTrade.objects.all(), "trade_id", trade_id).values_list("pk", flat=True)
    if connection.vendor != "postgresql":
        return list(rows)
    with transaction.atomic(), connection.cursor() as cursor:
        # The planner knows nothing of Bloom filters: it takes the ranges of a column in random
        # order for all ranges, and would rather read the whole table.
        cursor.execute("SET LOCAL enable_seqscan = off")
        keys = list(rows)
        cursor.execute("SET LOCAL enable_seqscan TO DEFAULT")
    return keys


@admin.register(TickerSnapshot)
class TickerSnapshotAdmin(MarketAdmin):
    """Tickers."""

    list_display = (
        *("exchange_ts", "symbol", "last_price", "mark_price", "index_price"),
        *("bid1_price", "ask1_price", "funding_rate", "open_interest"),
    )


@admin.register(Instrument)
class InstrumentAdmin(Public, SymbolSearch):
    """Instruments: a few hundred rows, in order of their names."""

    list_display = (
        *("symbol", "status", "base_coin", "quote_coin", "tick_size", "qty_step"),
        *("min_qty", "min_notional", "funding_interval_minutes", "updated_at"),
    )
    list_filter = ("status",)
    ordering = ("symbol",)


@admin.register(EnvironmentStamp)
class EnvironmentStampAdmin(Public, ReadOnlyAdmin):
    """The environment that this database holds: one row."""

    list_display = ("environment", "stamped_at")
    ordering = ("id",)


@admin.register(CaptureLease)
class CaptureLeaseAdmin(Public, ReadOnlyAdmin):
    """Who captures into this database: one row. The token stays out of sight."""

    list_display = ("holder", "epoch", "acquired_at", "expires_at")
    exclude = ("token",)
    ordering = ("id",)
