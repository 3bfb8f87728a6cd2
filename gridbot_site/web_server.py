"""The site in production: gunicorn's prefork processes and threads, told what gridbot knows.

A web server of the operator's stands before it and speaks https (docs/install.md). Style sheets
and scripts come from here as well, by whitenoise.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.files.storage import Storage
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import TConn, ThreadWorker

from marketdata.log_events import UNCAUGHT

logger = logging.getLogger(__name__)

# A process that shows no sign of life for this long is replaced. A single page is not ended: it
# holds one of the threads for as long as it takes.
SILENT_SECONDS: Final = 60
# A client that says nothing, or takes nothing, for this long in the middle of a request is hung up
# on: it holds one of the threads, too, and a few such clients would hold them all.
CLIENT_SECONDS: Final = 15
# How long requests under way may take when the server is told to stop; systemd's limit in
# deploy/ is longer.
GRACE_SECONDS: Final = 20
# Whoever connects to a socket says of itself what a proxy may say: its owner and group can.
SOCKET_UMASK: Final = 0o117


class WebServer(BaseApplication):
    """Serves the site on `bind` until SIGTERM or SIGINT.

    `bind` is HOST:PORT or unix:/path, a socket for this user and group alone. `run` ends the
    process: 0 after a signal, 1 where the address cannot be had, 3 where no worker could start.
    """

    def __init__(self, *, bind: str, workers: int, threads: int) -> None:
        self._options: dict[str, Any] = {
            "bind": bind,
            "umask": SOCKET_UMASK,
            "workers": workers,
            "threads": threads,
            "worker_class": Worker,
            "timeout": SILENT_SECONDS,
            "graceful_timeout": GRACE_SECONDS,
            "logger_class": LogLines,
            "proc_name": "gridbot-web",
            # Django alone judges what a proxy says of a request: see GRIDBOT_PROXIES.
            "forwarded_allow_ips": "",
            "secure_scheme_headers": {},
            "control_socket_disable": True,
        }
        super().__init__()

    def load_config(self) -> None:
        """Tell gunicorn."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> Callable[..., Any]:
        """The site, in each worker."""
        try:
            from gridbot_site.wsgi import application
        except Exception as error:  # noqa: BLE001 - gunicorn prints its text as it is
            text = "a process of the site cannot start: %s"
            UNCAUGHT.log_error(logger, error, text, type(error).__name__)
            sys.exit(Arbiter.WORKER_BOOT_ERROR)
        return cast("Callable[..., Any]", application)


class Worker(ThreadWorker):
    """Limits each wait for a client, whom gunicorn's threads would wait for without end."""

    def handle(self, conn: TConn) -> bool:
        """Answer what comes by a connection."""
        # The kernel's limit (socket(7)), for gunicorn takes any of Python's away.
        limit = struct.pack("ll", CLIENT_SECONDS, 0)
        for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            conn.sock.setsockopt(socket.SOL_SOCKET, option, limit)
        return super().handle(conn)


class LogLines(Logger):
    """What gunicorn has to say, as lines of gridbot's own log."""

    def setup(self, cfg: Config) -> None:
        """Leave the handlers, and the level, to the root logger."""
        super().setup(cfg)
        self.error_log.handlers.clear()
        self.error_log.setLevel(logging.NOTSET)
        self.error_log.propagate = True

    def exception(self, msg: object, *args: Any, **kwargs: Any) -> None:
        """Tell of an error with its traceback, but of a client that fell silent in a line."""
        if isinstance(sys.exception(), BlockingIOError):
            self.info("a client fell silent in the middle of a request: hung up on it")
        else:
            super().exception(msg, *args, **kwargs)


def uncollected() -> list[str]:
    """The static files that collectstatic has not put into STATIC_ROOT, or not as they are now."""
    found: dict[str, tuple[Storage, str]] = {}
    for finder in get_finders():
        for path, storage in finder.list([]):
            # As collectstatic takes them: under the storage's prefix, of two with one name the first.
            name = os.path.join(getattr(storage, "prefix", None) or "", path)
            found.setdefault(name, (storage, path))
    return [name for name, source in found.items() if not _is_collected(name, *source)]


def _is_collected(name: str, storage: Storage, path: str) -> bool:
    copy = Path(settings.STATIC_ROOT) / name
    with storage.open(path) as file:
        return copy.is_file() and copy.read_bytes() == file.read()
