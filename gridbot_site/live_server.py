"""The site on a free port of 127.0.0.1, and a session for a browser: for pictures and figures."""

from __future__ import annotations

import threading
from http.cookies import SimpleCookie
from types import TracebackType
from typing import Any, Self
from wsgiref.simple_server import WSGIServer

# For headless chromium: nothing of it asks the network, and it runs as whoever runs it.
CHROMIUM_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)


class LiveServer:
    """Serves the site and its static files in threads, as long as the context lasts."""

    def __enter__(self) -> Self:
        from django.contrib.staticfiles.handlers import StaticFilesHandler
        from django.core.servers.basehttp import ThreadedWSGIServer
        from django.core.wsgi import get_wsgi_application
        from django.test.testcases import QuietWSGIRequestHandler

        self._server: WSGIServer = ThreadedWSGIServer(("127.0.0.1", 0), QuietWSGIRequestHandler)
        self._server.set_app(StaticFilesHandler(get_wsgi_application()))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://127.0.0.1:{self._server.server_port}"

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def session_cookie(user: Any, url: str) -> Any:
    """A cookie, as playwright takes it, of a session in which `user` is signed in."""
    from django.conf import settings
    from django.test import Client

    client = Client()
    client.force_login(user)
    cookies: SimpleCookie = client.cookies
    morsel = cookies[settings.SESSION_COOKIE_NAME]
    return {"name": morsel.key, "value": morsel.value, "url": url}
