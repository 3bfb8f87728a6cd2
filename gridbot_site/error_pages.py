"""Error pages: of a page that took too long, and what those of GRIDBOT_DEBUG leave out."""

from __future__ import annotations

import logging
import re
import sys
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views import defaults
from django.views.debug import SafeExceptionReporterFilter

from marketdata.exits import is_cut_off
from marketdata.log_events import PAGE_CUT_OFF

logger = logging.getLogger(__name__)


def server_error(request: HttpRequest) -> HttpResponse:
    """The answer to a request that ended in an error, which is the current one.

    One that the database cut off (GRIDBOT_WEB_STATEMENT_SECONDS) is no error of the program.
    """
    error = sys.exc_info()[1]
    if error is None or not is_cut_off(error):
        return defaults.server_error(request)
    PAGE_CUT_OFF.log(logger, "the database took too long over %s", request.path, path=request.path)
    return render(request, "503.html", status=HTTPStatus.SERVICE_UNAVAILABLE)


class ReporterFilter(SafeExceptionReporterFilter):
    """Django's filter, which goes by names, and the names of addresses that hold passwords."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|NOTIFY_URLS|DATABASE_URL",
        flags=re.IGNORECASE,
    )
