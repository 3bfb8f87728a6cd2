"""What the error pages of GRIDBOT_DEBUG, which show the environment, leave out of it."""

from __future__ import annotations

import re

from django.views.debug import SafeExceptionReporterFilter


class ReporterFilter(SafeExceptionReporterFilter):
    """Django's filter, which goes by names, and the names of addresses that hold passwords."""

    hidden_settings = re.compile(
        f"{SafeExceptionReporterFilter.hidden_settings.pattern}|NOTIFY_URLS|DATABASE_URL",
        flags=re.IGNORECASE,
    )
