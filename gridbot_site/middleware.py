"""What every answer of the site gets, and who stands behind every change."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse

from accounts.audit import acting
from gridbot_site.addresses import client_address

GetResponse = Callable[[HttpRequest], HttpResponse]


def private_pages(get_response: GetResponse) -> GetResponse:
    """Let no browser and no proxy keep a page: each is one tenant's."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers["Cache-Control"] = "private, no-store"
        return response

    return middleware


def audited(get_response: GetResponse) -> GetResponse:
    """Record what a request changes as its user's doing, from its address.

    In place of django-auditlog's own middleware, which believes whatever address the client
    writes into X-Forwarded-For.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        with acting(request, address=client_address(request)):
            return get_response(request)

    return middleware
