"""The networks of a drill: capture reaches the exchange, and a PostgreSQL, through proxies."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

from marketdata.bybit.environments import Endpoints
from marketdata.sandbox.tcp_proxy import TcpProxy

LOOPBACK = "127.0.0.1"


class Wires:
    """A proxy each for the streams, for REST, and for the database where it is a server."""

    def __init__(self, endpoints: Endpoints, connection: Any, *, seed: int) -> None:
        self._endpoints, self._connection, self._seed = endpoints, connection, seed
        self._exits = ExitStack()
        self.database: TcpProxy | None = None

    def __enter__(self) -> Self:
        place = urlsplit(self._endpoints.rest)
        target = (place.hostname or LOOPBACK, place.port or 80)
        self.streams = self._exits.enter_context(TcpProxy(target, seed=self._seed))
        self.rest = self._exits.enter_context(TcpProxy(target, seed=self._seed))
        if self._connection.vendor == "postgresql":
            self.database = self._exits.enter_context(
                TcpProxy(_server_of(self._connection.settings_dict), seed=self._seed)
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    def environment(self) -> dict[str, str]:
        """Where capture finds everything."""
        ends = self._endpoints
        return {
            "BYBIT_REST_URL": _through(self.rest, ends.rest),
            "BYBIT_WS_PUBLIC_URL": _through(self.streams, ends.ws_public),
            "BYBIT_WS_PRIVATE_URL": _through(self.streams, ends.ws_private),
            "DATABASE_URL": self._database_url(),
        }

    def clear(self) -> None:
        """Have all of them work."""
        for proxy in (self.streams, self.rest, self.database):
            if proxy is not None:
                proxy.clear()

    def _database_url(self) -> str:
        given = self._connection.settings_dict
        if self.database is None:
            return f"sqlite:///{given['NAME']}"
        user, password = (quote(str(given[part]), safe="") for part in ("USER", "PASSWORD"))
        whose = f"{user}:{password}" if password else user
        name = quote(str(given["NAME"]), safe="")
        return f"postgresql://{whose}@{LOOPBACK}:{self.database.port}/{name}"


def _server_of(given: dict[str, Any]) -> tuple[str, int] | str:
    """Where a PostgreSQL listens: a host and a port, or the path of its socket."""
    host = given["HOST"] or given.get("OPTIONS", {}).get("host", "") or "/var/run/postgresql"
    port = int(given["PORT"] or 5432)
    return f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)


def _through(proxy: TcpProxy, url: str) -> str:
    return urlsplit(url)._replace(netloc=f"{proxy.host}:{proxy.port}").geturl()
