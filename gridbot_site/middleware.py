"""What every answer of the site gets, and who stands behind every change."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest

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


def without_nul(get_response: GetResponse) -> GetResponse:
    """Refuse URLs with a NUL byte, which no page means and PostgreSQL takes in no text."""

    def middleware(request: HttpRequest) -> HttpResponse:
        # The path comes decoded, the query does not.
        if "\0" in request.path_info or "%00" in request.META["QUERY_STRING"]:
            return HttpResponseBadRequest("There is no such URL.", content_type="text/plain")
        return get_response(request)

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
