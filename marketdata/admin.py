"""Pages of facts: seen, never edited, on tables of any size.

A list is ordered the way an index runs, filtered by what an index begins with, searched for
equality, and counted only as far as a person would turn the pages.
"""

from __future__ import annotations

import json
from functools import cached_property
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.paginator import Paginator
from django.db import connections, models
from django.http import HttpRequest

from accounts.models import User
from accounts.tenant_admin import AccountFilter, ReadOnlyAdmin
from marketdata.models import (
    CaptureGap,
    CaptureLease,
    CoverageInterval,
    EnvironmentStamp,
    Instrument,
    Order,
    PositionSnapshot,
    PrivateExecution,
    PublicTrade,
    QuarantinedMessage,
    TickerSnapshot,
    WalletSnapshot,
)

Filters = tuple[str | type[admin.ListFilter], ...]


class EstimatingPaginator(Paginator):  # type: ignore[type-arg]
    """Counts exactly up to a bound; beyond it PostgreSQL's planner estimates.

    The estimate comes from the table's statistics (reltuples) and costs nothing, where COUNT
    would read the whole table. SQLite keeps no such figure, so there the count is always exact.
    """

    exact_up_to = 10_000

    @cached_property
    def count(self) -> int:
        """The number of rows, exact when it is small."""
        rows: models.QuerySet[Any] = self.object_list  # type: ignore[assignment]
        if connections[rows.db].vendor != "postgresql":
            return rows.count()
        keys = rows.order_by().values("pk")
        counted = keys[: self.exact_up_to + 1].count()
        if counted <= self.exact_up_to:
            return counted
        plan = json.loads(keys.explain(format="json"))
        return max(counted, int(plan[0]["Plan"]["Plan Rows"]))


class FactList(ChangeList):
    """The newest first, always."""

    def get_ordering(self, request: HttpRequest, queryset: models.QuerySet[Any]) -> list[Any]:
        """Never a click on a column: few of them could be sorted by without reading it all."""
        return list(self.model_admin.get_ordering(request))


class FactAdmin(ReadOnlyAdmin):
    """Facts of an account, for its user; `PublicFactAdmin` is for those of everybody."""

    paginator = EstimatingPaginator
    show_full_result_count = False
    # Counts beside each filter would each read the table.
    show_facets = admin.ShowFacets.NEVER
    list_per_page = 100
    list_max_show_all = 100
    sortable_by = ()
    list_filter: ClassVar[Filters] = (AccountFilter,)
    list_select_related: ClassVar[Any] = ("account",)
    search_fields: ClassVar[tuple[str, ...]] = ()
    ordering: ClassVar[tuple[str, ...]] = ("-exchange_ts", "-id")

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        """A list that keeps to its indexes."""
        return FactList


class SymbolFilter(admin.SimpleListFilter):
    """By symbol; the search box takes those that the list has no room for."""

    title = "symbol"
    parameter_name = "symbol"
    most = 30

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        """The first symbols of the table: one step in its index for each, not one row."""
        symbols: list[str] = []
        rows = model_admin.model._default_manager
        while len(symbols) < self.most:
            left = rows.filter(symbol__gt=symbols[-1] if symbols else "")
            symbol = left.aggregate(first=models.Min("symbol"))["first"]
            if symbol is None:
                break
            symbols.append(symbol)
        return [(symbol, symbol) for symbol in symbols]

    def queryset(
        self, request: HttpRequest, queryset: models.QuerySet[Any]
    ) -> models.QuerySet[Any]:
        """The rows of the symbol that was chosen."""
        chosen = self.value()
        return queryset.filter(symbol=chosen) if chosen else queryset


class PublicFactAdmin(FactAdmin):
    """Facts for everybody who may look."""

    list_filter: ClassVar[Filters] = ()
    list_select_related = False

    def own_rows(self, rows: models.QuerySet[Any], user: User) -> models.QuerySet[Any]:
        """All of them."""
        return rows

    def is_own(self, request: HttpRequest, row: Any | None) -> bool:
        """Nobody's in particular."""
        return True


class MarketAdmin(PublicFactAdmin):
    """Facts of a symbol."""

    list_filter: ClassVar[Filters] = (SymbolFilter,)
    search_fields: ClassVar[tuple[str, ...]] = ("symbol__exact",)
    search_help_text = "A symbol, for example BTCUSDT."
    # The second search term, where there is one: an index serves it after the symbol alone.
    search_second: ClassVar[str] = ""

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet[Any], search_term: str
    ) -> tuple[models.QuerySet[Any], bool]:
        """The symbol's rows; with a second word, those of that id."""
        words = search_term.split()
        if not words:
            return queryset, False
        if len(words) > (2 if self.search_second else 1):
            return queryset.none(), False
        names = ("symbol", self.search_second)
        return queryset.filter(
            **dict(zip(names, [words[0].upper(), *words[1:]], strict=False))
        ), False


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
class InstrumentAdmin(MarketAdmin):
    """Instruments: a few hundred rows, in order of their names."""

    list_display = (
        *("symbol", "status", "base_coin", "quote_coin", "tick_size", "qty_step"),
        *("min_qty", "min_notional", "funding_interval_minutes", "updated_at"),
    )
    list_filter = ("status",)
    ordering = ("symbol",)


@admin.register(EnvironmentStamp)
class EnvironmentStampAdmin(PublicFactAdmin):
    """The environment that this database holds: one row."""

    list_display = ("environment", "stamped_at")
    ordering = ("id",)


@admin.register(PrivateExecution)
class PrivateExecutionAdmin(FactAdmin):
    """Executions."""

    list_display = (
        *("exchange_ts", "account", "symbol", "exec_type", "side", "exec_price", "exec_qty"),
        *("exec_fee", "exec_pnl", "closed_pnl", "order_link_id"),
    )
    search_fields = ("exec_id__exact", "order_id__exact", "order_link_id__exact")
    search_help_text = "An execution id, an order id or an order link id, in full."


@admin.register(Order)
class OrderAdmin(FactAdmin):
    """States of orders."""

    list_display = (
        *("exchange_ts", "account", "symbol", "side", "status", "price", "qty"),
        *("cum_exec_qty", "reduce_only", "order_link_id"),
    )
    search_fields = ("order_id__exact", "order_link_id__exact")
    search_help_text = "An order id or an order link id, in full."


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


class SpanAdmin(FactAdmin):
    """Spans: of a market for everybody, of an account for its user."""

    owner_path = "account__user"
    list_filter: ClassVar[Filters] = ("stream", AccountFilter)
    ordering = ("-started_at", "-id")
    search_fields = ("symbol__exact",)
    search_help_text = "A symbol, for example BTCUSDT."

    def own_rows(self, rows: models.QuerySet[Any], user: User) -> models.QuerySet[Any]:
        """Without an account it is a public matter."""
        return rows.filter(models.Q(account=None) | models.Q(account__user=user))

    def is_own(self, request: HttpRequest, row: Any | None) -> bool:
        """Without an account it is a public matter."""
        return super().is_own(request, row) or (row is not None and row.account_id is None)


@admin.register(CoverageInterval)
class CoverageIntervalAdmin(SpanAdmin):
    """What is vouched complete."""

    list_display = ("stream", "symbol", "account", "started_at", "ended_at", "source")


@admin.register(CaptureGap)
class CaptureGapAdmin(SpanAdmin):
    """What is not, and what became of it."""

    list_display = (
        *("stream", "symbol", "account", "started_at", "ended_at", "state", "reason"),
        *("rows_added", "attempts"),
    )
    list_filter = ("state", "stream", AccountFilter)


@admin.register(CaptureLease)
class CaptureLeaseAdmin(PublicFactAdmin):
    """Who captures into this database: one row. The token stays out of sight."""

    list_display = ("holder", "epoch", "acquired_at", "expires_at")
    exclude = ("token",)
    ordering = ("id",)


@admin.register(QuarantinedMessage)
class QuarantinedMessageAdmin(FactAdmin):
    """What could not be stored; without an account it is the operators' business."""

    owner_path = "account__user"
    list_display = ("last_seen", "topic", "reason", "account", "count", "first_seen")
    ordering = ("-last_seen", "-id")
    search_fields = ("topic__exact",)
    search_help_text = "A topic, for example publicTrade.BTCUSDT."

    def own_rows(self, rows: models.QuerySet[Any], user: User) -> models.QuerySet[Any]:
        """Those of one's own accounts."""
        return rows.filter(account__user=user)
