"""The site as an app: its admin, its sign-in, and what it refuses to start with."""

from __future__ import annotations

from django.apps import AppConfig
from django.contrib.admin.apps import AdminConfig
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from accounts.checks import START


class GridbotAdminConfig(AdminConfig):
    """Django's admin, behind a second factor."""

    default_site = "gridbot_site.admin_site.GridbotAdminSite"


class GridbotSiteConfig(AppConfig):
    """Sign-in, the audit log's page, templates, and commands of the site."""

    name = "gridbot_site"
    verbose_name = "Sign-in"

    def ready(self) -> None:
        """Listen to sign-ins, and to what nobody catches; refuse what nobody should start with.

        Those are secrets and hosts. Here and not in system checks alone: a web server runs none,
        nor do some commands. Raises ImproperlyConfigured.
        """
        from gridbot_site import checks, sign_ins  # noqa: F401
        from gridbot_site.uncaught import log_what_nobody_catches

        log_what_nobody_catches()
        wrong = [message for message in run_checks(tags=[START]) if message.is_serious()]
        if wrong:
            raise ImproperlyConfigured(
                " ".join(f"{message.msg} {message.hint} ({message.id})" for message in wrong)
            )
