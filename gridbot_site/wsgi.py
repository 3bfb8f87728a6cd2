"""The WSGI entry point."""

from __future__ import annotations

import os

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from gridbot_site.databases import limit_statements

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gridbot_site.settings")
application = get_wsgi_application()
limit_statements(settings.DATABASES["default"], settings.GRIDBOT_WEB_STATEMENT_SECONDS)
