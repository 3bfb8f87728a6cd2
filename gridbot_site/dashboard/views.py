"""The dashboard's views: whole pages, and the part of each that refreshes itself."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_safe

from gridbot_site.dashboard import account_page, first_page
from gridbot_site.dashboard.doors import name_of
from marketdata.dashboard.window import LENGTHS, Window

# Milliseconds from an answer to the next question; a long time changes less, and costs more.
REFRESH_MS = 5_000
LONG_REFRESH_MS = 30_000
LONG = timedelta(hours=6)


def first_context(request: HttpRequest) -> dict[str, Any]:
    """What the admin's index adds to Django's."""
    found = first_page.context(request)
    live = _refreshing(request, found["window"], reverse("admin:dashboard_live"))
    return found | live | {"title": "Dashboard"}


@require_safe
def first_live(request: HttpRequest) -> HttpResponse:
    """The part of the first page that refreshes itself."""
    return render(request, "admin/dashboard/first_live.html", first_page.context(request))


@require_safe
def account(request: HttpRequest, account_id: UUID) -> HttpResponse:
    """The page of an account; another's is not found."""
    found = account_page.context(request, account_id)
    live = reverse("admin:accounts_bybitaccount_dashboard_live", args=[account_id])
    title = {"title": name_of(request, found["account"]), "subtitle": "Dashboard"}
    context = (
        admin.site.each_context(request)
        | found
        | _refreshing(request, found["window"], live)
        | title
    )
    return TemplateResponse(request, "admin/dashboard/account.html", context)


@require_safe
def account_live(request: HttpRequest, account_id: UUID) -> HttpResponse:
    """The part of an account's page that refreshes itself."""
    context = account_page.context(request, account_id)
    return render(request, "admin/dashboard/account_live.html", context)


def _refreshing(request: HttpRequest, window: Window, url: str) -> dict[str, Any]:
    """Where the page fetches itself from, as it was asked for, and what the form offers."""
    query = request.GET.urlencode()
    return {
        "live_url": f"{url}?{query}" if query else url,
        "refresh_ms": LONG_REFRESH_MS if window.length > LONG else REFRESH_MS,
        "lengths": [(name, words) for name, (_, words) in LENGTHS.items()],
        "until": request.GET.get("until", ""),
    }
