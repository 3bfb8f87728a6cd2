"""The site's health: /healthz and /readyz for probes, /metrics for Prometheus.

Anybody may ask whether the site lives and is ready, and is told which check failed, in words that
are the same for everybody. Figures are for superusers, for those who show the token, and for the
networks that the settings name; they are of kinds of streams, and none is of one tenant.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import cast

from django.conf import settings
from django.contrib import admin
from django.core.cache import cache
from django.db import Error as AnyDatabaseError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.urls import path
from django.utils.crypto import constant_time_compare
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from gridbot_site.addresses import client_address
from marketdata.health.checks import Check, as_json
from marketdata.health.of_store import StoredMetrics
from marketdata.health.readiness import readiness

# Whoever asks more often is given the same answer: nobody makes the database work by asking.
KEPT_SECONDS = 2
KEPT = "gridbot.readiness"
BEARER = "Bearer "


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """This process answers; nothing else is asked."""
    return JsonResponse({"status": "ok"})


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Whether database, migrations, streams and gaps are as they should be: 200 or 503."""
    checks = cast("list[Check]", cache.get_or_set(KEPT, _readiness, KEPT_SECONDS))
    status = 200 if all(check.passed for check in checks) else 503
    told = as_json(checks, with_details=may_see_figures(request))
    return JsonResponse(told, status=status)


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The metrics of the database, for those who may see them."""
    if not may_see_figures(request):
        answer = HttpResponse("Metrics need a token.\n", status=401, content_type="text/plain")
        answer.headers["WWW-Authenticate"] = 'Bearer realm="metrics"'
        return answer
    registry = CollectorRegistry()
    registry.register(StoredMetrics())
    encode, content_type = choose_encoder(request.headers.get("Accept", ""))
    return HttpResponse(encode(registry), content_type=content_type)


def may_see_figures(request: HttpRequest) -> bool:
    """Whether the request comes with the token, from a listed network, or from a superuser."""
    return _shows_token(request) or _is_listed(request) or _is_superuser(request)


def _readiness() -> list[Check]:
    return readiness(
        stale_seconds=settings.GRIDBOT_READY_STALE_SECONDS,
        gap_seconds=settings.GRIDBOT_READY_GAP_SECONDS,
    )


def _shows_token(request: HttpRequest) -> bool:
    token: str = settings.GRIDBOT_METRICS_TOKEN
    shown = request.headers.get("Authorization", "")
    return bool(token) and constant_time_compare(shown, BEARER + token)


def _is_listed(request: HttpRequest) -> bool:
    address = client_address(request)
    if address is None:
        return False
    return any(ip_address(address) in network for network in settings.GRIDBOT_METRICS_NETWORKS)


def _is_superuser(request: HttpRequest) -> bool:
    try:
        return bool(request.user.is_superuser and admin.site.has_permission(request))
    except AnyDatabaseError:
        # Nobody can say who it is: then it is nobody.
        return False


urlpatterns = [
    path("healthz", healthz, name="healthz"),
    path("readyz", readyz, name="readyz"),
    path("metrics", metrics, name="metrics"),
]
