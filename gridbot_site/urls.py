"""The site's URLs: the admin is the site; beside it there are answers for probes."""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView

handler500 = "gridbot_site.error_pages.server_error"
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="admin:index")),
    path("favicon.ico", RedirectView.as_view(url=f"{settings.STATIC_URL}gridbot_site/favicon.svg")),
    path("", include("gridbot_site.health")),
    path("admin/", admin.site.urls),
]
