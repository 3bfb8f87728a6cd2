"""Pages of public facts, of the contracts, and of who captures."""

from __future__ import annotations

from django.contrib import admin

from accounts.tenant_admin import ReadOnlyAdmin
from marketdata.admin.facts import MarketAdmin, Public, SymbolSearch
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
    search_help_text = "A symbol, or a symbol and a trade id: BTCUSDT 5bd1f3a2-…"
    search_second = "trade_id"


@admin.register(TickerSnapshot)
class TickerSnapshotAdmin(MarketAdmin):
    """Tickers."""

    list_display = (
        *("exchange_ts", "symbol", "last_price", "mark_price", "index_price"),
        *("bid1_price", "ask1_price", "funding_rate", "open_interest"),
    )


@admin.register(Instrument)
class InstrumentAdmin(Public, SymbolSearch, ReadOnlyAdmin):
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
