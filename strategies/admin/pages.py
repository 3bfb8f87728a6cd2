"""Pages of strategies, and of the runs and grids that programs leave behind."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from accounts.models import BybitAccount
from accounts.related import Relation
from accounts.tenant_admin import AccountFilter, ReadOnlyAdmin, TenantAdmin
from marketdata.models import Instrument, TickerSnapshot, WalletSnapshot
from strategies.admin.forms import StrategyForm
from strategies.admin.preview import Market, Preview, preview
from strategies.config import GRID_KEYS, RISK_KEYS, StrategyConfig
from strategies.models import GridState, Strategy

# Bybit's maker fee of linear perpetuals without a VIP level, in percent (help centre, "Trading
# Fee Structure"); and what people mostly set.
MAKER_FEE = Decimal("0.02")
LEVERAGE = Decimal(10)


@admin.register(Strategy)
class StrategyAdmin(TenantAdmin):
    """Strategies; the account is settled when one is added."""

    form = StrategyForm
    change_form_template = "admin/strategies/strategy/change_form.html"
    list_display = ("name", "symbol", "account", "is_enabled", "updated_at")
    list_filter = ("is_enabled", AccountFilter)
    list_select_related = ("account",)
    search_fields = ("name", "symbol__exact")
    ordering = ("account", "name")
    related = (
        Relation(
            *("strategies.Run", "Runs", {"strategy": "pk"}),
            ("started_at", "run_type", "status", "ended_at"),
            order="-started_at",
        ),
    )

    def get_readonly_fields(
        self, request: HttpRequest, obj: Strategy | None = None
    ) -> tuple[str, ...]:
        """Runs and their fills hang on the strategy: it stays where it is."""
        return ("account",) if obj else ()

    def get_fieldsets(self, request: HttpRequest, obj: Strategy | None = None) -> Any:
        """A box for each key; where nothing may be changed, the configuration as it is stored."""
        about = ("account", "name", "symbol", "is_enabled")
        if obj is not None and not self.has_change_permission(request, obj):
            return [(None, {"fields": (*about, *self.readable_columns(["config"]))})]
        prices = (("preview_price", "preview_wallet"), ("preview_leverage", "preview_maker_fee"))
        return [
            (None, {"fields": about}),
            ("Grid", {"fields": GRID_KEYS}),
            ("Orders", {"fields": ("amount",)}),
            ("Risk", {"fields": tuple(f"risk_{key}" for key in RISK_KEYS)}),
            ("Preview", {"fields": prices, "classes": ("preview-assumptions",)}),
        ]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Strategy | None = None,
    ) -> HttpResponse:
        """The page of a strategy, with the grid that its configuration would build."""
        form = context["adminform"].form
        context["can_preview"] = obj is None or self.has_change_permission(request, obj)
        if isinstance(form, StrategyForm) and form.is_bound:
            form.is_valid()
            given = form.cleaned_data
            symbol, config = str(given.get("symbol") or ""), form.config()
            account = obj.account if obj else given.get("account")
        else:
            given, account = {}, obj.account if obj else None
            symbol, config = (obj.symbol, obj.config) if obj else ("", None)
        if symbol and isinstance(config, dict):
            context["preview"] = self._preview(symbol, config, account, given)
        return super().render_change_form(request, context, add, change, form_url, obj)

    def _preview(
        self, symbol: str, config: dict[str, Any], account: BybitAccount | None, given: Any
    ) -> dict[str, Any]:
        try:
            read = StrategyConfig.from_json(config)
        except ValueError as error:
            return {"missing": f"The stored configuration is refused: {error}."}
        market = market_of(symbol, account, given)
        if isinstance(market, str):
            return {"missing": market}
        found: Preview = preview(read, market)
        return {"market": market, "found": found}


def market_of(symbol: str, account: BybitAccount | None, given: dict[str, Any]) -> Market | str:
    """What was entered, or else what was captured last; a sentence when something is missing."""
    rules = Instrument.objects.filter(symbol=symbol).first()
    if rules is None:
        return (
            f"The rules of {symbol} are not known: capture stores them when it starts, if the "
            "exchange has such a contract."
        )
    price = given.get("preview_price")
    if price is None:
        newest = TickerSnapshot.objects.filter(symbol=symbol).order_by("exchange_ts").last()
        price = newest.last_price if newest else None
    if not price:
        return f"No ticker of {symbol} was captured: enter a last price."
    wallet = given.get("preview_wallet")
    if wallet is None and account is not None:
        balances = WalletSnapshot.objects.for_account(account).filter(coin=rules.quote_coin)
        last = balances.order_by("exchange_ts", "id").last()
        wallet = last.wallet_balance if last else None
    fee, leverage = given.get("preview_maker_fee"), given.get("preview_leverage")
    return Market(
        symbol=symbol,
        tick_size=rules.tick_size,
        qty_step=rules.qty_step,
        min_qty=rules.min_qty,
        min_notional=rules.min_notional or Decimal(0),
        last_price=price,
        wallet=wallet,
        leverage=LEVERAGE if leverage is None else leverage,
        maker_fee=MAKER_FEE if fee is None else fee,
    )


@admin.register(GridState)
class GridStateAdmin(ReadOnlyAdmin):
    """The grid of each strategy."""

    list_display = ("strategy", "account", "anchor_price", "grid_step", "grid_count", "updated_at")
    list_filter = (AccountFilter,)
    list_select_related = ("account", "strategy")
    ordering = ("-updated_at",)
