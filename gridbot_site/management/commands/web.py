"""`manage.py web`: serve the site in production."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.conf import settings

from accounts.management.teaching import TeachingCommand
from gridbot_site.web_server import WebServer, uncollected
from marketdata.bybit.environments import host_and_port
from marketdata.exits import ConfigurationError
from marketdata.management.arguments import count, worded

HELP = """\
Serve the admin, its style sheets, and /healthz, /readyz and /metrics with gunicorn, until it is told
to stop. It speaks plain http on this machine: a web server before it ends https, and
GRIDBOT_PROXIES=1 says that it is to be believed.

  manage.py collectstatic --no-input             once for each version of gridbot
  manage.py web                                  on 127.0.0.1:8000
  manage.py web --bind 127.0.0.1:8001 --workers 4
  manage.py web --bind unix:/run/gridbot-web/socket     for users in the group of this one

deploy/gridbot-web.service runs it under systemd, deploy/nginx.conf is a server before it, and
docs/install.md says how to install both. On a machine of one's own `manage.py runserver` needs
neither https nor collectstatic.
Exit codes: 0 after SIGTERM or Ctrl-C, 1 the address is taken, 2 usage, 4 configuration."""


class Command(TeachingCommand):
    """Serve."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--bind",
            type=worded(address),
            default="127.0.0.1:8000",
            metavar="HOST:PORT",
            help="the address, or unix:/path; default: 127.0.0.1:8000",
        )
        parser.add_argument(
            "--workers", type=count, default=2, metavar="N", help="processes; default: 2"
        )
        parser.add_argument(
            "--threads", type=count, default=4, metavar="N", help="of each; default: 4"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Serve."""
        if settings.DEBUG:
            raise ConfigurationError(
                "GRIDBOT_DEBUG is on, which is for `manage.py runserver` on this machine."
            )
        if missing := uncollected():
            raise ConfigurationError(
                f"{len(missing)} style sheets, scripts and pictures are missing or older than this "
                f"version, {missing[0]} for one: run `manage.py collectstatic --no-input` first."
            )
        WebServer(
            bind=options["bind"], workers=options["workers"], threads=options["threads"]
        ).run()


def address(text: str) -> str:
    """What gunicorn is bound to. Raises ValueError for what is none."""
    if not text.startswith("unix:/"):
        try:
            host_and_port(text)
        except ValueError:
            raise ValueError(f"{text!r} is neither HOST:PORT nor unix:/path") from None
    return text
