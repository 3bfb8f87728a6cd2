"""Pages of what is complete, what is missing, and what could not be stored."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.db import models
from django.http import HttpRequest

from accounts.models import User
from accounts.tenant_admin import AccountFilter
from marketdata.admin.facts import FactAdmin, Filters
from marketdata.admin.filters import TimeFilter
from marketdata.models import CaptureGap, CoverageInterval, QuarantinedMessage


class SpanAdmin(FactAdmin):
    """Spans: of a market for everybody, of an account for its user."""

    owner_path = "account__user"
    time_field = "started_at"
    list_filter: ClassVar[Filters] = (TimeFilter, "stream", AccountFilter)
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
    list_filter = (TimeFilter, "state", "stream", AccountFilter)


@admin.register(QuarantinedMessage)
class QuarantinedMessageAdmin(FactAdmin):
    """What could not be stored; without an account it is the operators' business."""

    owner_path = "account__user"
    time_field = "last_seen"
    list_display = ("last_seen", "topic", "reason", "account", "count", "first_seen")
    search_fields = ("topic__exact",)
    search_help_text = "A topic, for example publicTrade.BTCUSDT."

    def own_rows(self, rows: models.QuerySet[Any], user: User) -> models.QuerySet[Any]:
        """Those of one's own accounts."""
        return rows.filter(account__user=user)
