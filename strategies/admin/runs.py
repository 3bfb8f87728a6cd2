"""Pages of runs; that of a backtest has its figures and its pictures."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_GET

from accounts.related import Relation
from accounts.tenant_admin import AccountFilter, ReadOnlyAdmin
from marketdata.admin.filters import LinkedFilter
from strategies.models import BacktestSummary, Run
from strategies.report.figures import pictures
from strategies.report.words import (
    assumptions_in_words,
    figures_in_words,
    holes_in_words,
    refusals_in_words,
)

# The tables at the foot of a run's page: what the exchange said, or what was simulated.
LIVED = (
    Relation(
        *("marketdata.PrivateExecution", "Executions", {"run": "pk"}),
        ("exchange_ts", "symbol", "exec_type", "side", "exec_price", "exec_qty", "exec_pnl"),
        order="-exchange_ts",
    ),
    Relation(
        *("marketdata.Order", "Orders", {"run": "pk"}),
        ("exchange_ts", "symbol", "side", "status", "price", "qty"),
        order="-exchange_ts",
    ),
)
SIMULATED = (
    Relation(
        *("strategies.SimulatedFill", "Simulated fills", {"run": "pk"}),
        (
            *("time", "level", "direction", "side", "opens", "price", "qty", "fee", "closed_pnl"),
            *("rule", "trade_price", "previous_price", "equity"),
        ),
        order="-time",
    ),
    Relation(
        *("strategies.FundingPayment", "Fundings", {"run": "pk"}),
        ("time", "rate", "mark_price", "long_size", "short_size", "amount"),
        order="-time",
    ),
)


class StrategyFilter(LinkedFilter):
    """By strategy."""

    title = "strategy"
    parameter_name = "strategy"


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """Runs, the newest first."""

    change_form_template = "admin/strategies/run/change_form.html"
    list_display = ("id", "account", "run_type", "strategy", "status", "started_at", "ended_at")
    list_filter = ("run_type", "status", AccountFilter, StrategyFilter)
    list_select_related = ("account", "strategy")
    search_fields = ("id__exact",)
    search_help_text = "The id of a run."
    ordering = ("-started_at",)
    related: ClassVar[tuple[Relation, ...]] = LIVED

    def related_to(self, row: Run) -> tuple[Relation, ...]:
        """What a backtest simulated, or what the exchange said."""
        return SIMULATED if row.run_type == Run.RunType.BACKTEST else LIVED

    def get_urls(self) -> list[URLPattern]:
        """Those of every page, and the data of a backtest's pictures."""
        view = self.admin_site.admin_view(require_GET(self.pictures_view))
        address = path("<uuid:run_id>/pictures/", view, name="strategies_run_pictures")
        return [address, *super().get_urls()]

    def pictures_view(self, request: HttpRequest, run_id: Any) -> HttpResponse:
        """The figures that plotly draws, with their titles; another's run is not found."""
        run = get_object_or_404(self.get_queryset(request), pk=run_id)
        if not self.has_view_permission(request, run):
            raise PermissionDenied
        summary = BacktestSummary.objects.for_account(run.account).filter(run=run).first()
        if summary is None:
            raise Http404("The run is no backtest.")
        points = run.equity_points.order_by("pk").values_list("time", "equity", "low", "high")
        drawn = pictures(
            summary,
            list(run.simulated_fills.order_by("pk")),
            list(run.funding_payments.order_by("pk")),
            points.iterator(10_000),
        )
        return JsonResponse({"pictures": [each._asdict() for each in drawn]})

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Run | None = None,
    ) -> HttpResponse:
        """The page of a run, with what a backtest came to."""
        summary = BacktestSummary.objects.unscoped().filter(run=obj).first() if obj else None
        if summary is not None:
            context["backtest"] = {
                "summary": summary,
                "figures": figures_in_words(summary),
                "assumptions": assumptions_in_words(summary),
                "coverage": holes_in_words(summary.coverage),
                "refusals": refusals_in_words(summary.refusals),
                "url": reverse("admin:strategies_run_pictures", args=[summary.run_id]),
            }
        return super().render_change_form(request, context, add, change, form_url, obj)
