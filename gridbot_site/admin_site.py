"""The admin, behind a second factor."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

from django.contrib.admin import AdminSite
from django.contrib.auth import REDIRECT_FIELD_NAME
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, URLResolver, include, path, reverse

from gridbot_site import second_factor


class GridbotAdminSite(AdminSite):
    """Django's admin: whoever has to give a code sees no page of it before they have."""

    site_header = site_title = "gridbot"
    # There is no other site to view.
    site_url = None

    def has_permission(self, request: HttpRequest) -> bool:
        """For active members of staff who have given a code where one is wanted."""
        return super().has_permission(request) and not second_factor.code_wanted(request.user)

    def login(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Ask for the password; whose password is known already goes on to the code."""
        halfway = super().has_permission(request) and second_factor.code_wanted(request.user)
        if halfway and request.method == "GET":
            url = reverse("admin:second_factor_verify")
            after = request.GET.get(REDIRECT_FIELD_NAME, "")
            query = f"?{urlencode({REDIRECT_FIELD_NAME: after})}" if after else ""
            return HttpResponseRedirect(url + query)
        return super().login(request, extra_context)

    def get_urls(self) -> list[URLResolver | URLPattern]:
        """Django's pages, those of the second factor, and a way out for those halfway in."""
        return [
            path("logout/", self.logout, name="logout"),
            path("second-factor/", include(second_factor.urls)),
            # It looks any row of any kind up, whosever it is, to lead to a page that none has.
            *(url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"),
        ]
