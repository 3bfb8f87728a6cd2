"""Pages of strategies, and of the runs and grids that programs leave behind."""

from __future__ import annotations

import json
from typing import Any

from django import forms
from django.contrib import admin
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.http import HttpRequest

from accounts.tenant_admin import AccountFilter, ReadOnlyAdmin, TenantAdmin, TenantForm
from strategies.config import DEFAULT_GRID, DEFAULT_RISK
from strategies.models import GridState, Run, Strategy


class ConfigField(forms.JSONField):
    """A JSON object.

    Django's field lets two errors of the parser through as an error page: an integer of
    thousands of digits, and thousands of open brackets.
    """

    def to_python(self, value: Any) -> Any:
        """The parsed value."""
        try:
            return super().to_python(value)
        except (ValueError, RecursionError):
            raise ValidationError(self.error_messages["invalid"], code="invalid") from None

    def bound_data(self, data: Any, initial: Any) -> Any:
        """What a refused form shows again: the text as it was typed."""
        try:
            return super().bound_data(data, initial)
        except (ValueError, RecursionError):
            return InvalidJSONInput(data)


class StrategyForm(TenantForm):
    """A strategy, its configuration checked as the core itself would."""

    config = ConfigField(
        initial={**DEFAULT_GRID, "risk": DEFAULT_RISK},
        required=False,
        widget=forms.Textarea(attrs={"rows": 12, "cols": 60}),
        help_text="A JSON object. What is left out is the default: "
        + ", ".join(f"{name} {value}" for name, value in DEFAULT_GRID.items())
        + "; risk "
        + ", ".join(f"{name} {json.dumps(value)}" for name, value in DEFAULT_RISK.items())
        + '. grid_step is in percent; "amount": "50" is 50 USDT an order, "x0.01" a hundredth '
        + "of the wallet.",
    )

    class Meta:
        model = Strategy
        fields = ("account", "name", "symbol", "config", "is_enabled")

    def clean_config(self) -> Any:
        """An empty box means the defaults."""
        config = self.cleaned_data["config"]
        return {} if config is None else config

    def clean_symbol(self) -> str:
        """The exchange's spelling, so that one symbol is not two."""
        return str(self.cleaned_data["symbol"]).upper()


@admin.register(Strategy)
class StrategyAdmin(TenantAdmin):
    """Strategies; the account is settled when one is added."""

    form = StrategyForm
    fields = ("account", "name", "symbol", "config", "is_enabled")
    list_display = ("name", "symbol", "account", "is_enabled", "updated_at")
    list_filter = ("is_enabled", AccountFilter)
    list_select_related = ("account",)
    search_fields = ("name", "symbol__exact")
    ordering = ("account", "name")

    def get_readonly_fields(
        self, request: HttpRequest, obj: Strategy | None = None
    ) -> tuple[str, ...]:
        """Runs and their fills hang on the strategy: it stays where it is."""
        return ("account",) if obj else ()


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    """Runs, the newest first."""

    list_display = ("id", "account", "run_type", "strategy", "status", "started_at", "ended_at")
    list_filter = ("run_type", "status", AccountFilter)
    list_select_related = ("account", "strategy")
    search_fields = ("id__exact",)
    search_help_text = "The id of a run."
    ordering = ("-started_at",)


@admin.register(GridState)
class GridStateAdmin(ReadOnlyAdmin):
    """The grid of each strategy."""

    list_display = ("strategy", "account", "anchor_price", "grid_step", "grid_count", "updated_at")
    list_filter = (AccountFilter,)
    list_select_related = ("account", "strategy")
    ordering = ("-updated_at",)
