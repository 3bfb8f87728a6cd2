"""The private stream: authentication first, then the account's own topics.

Source: V5 "Connect". What the exchange says to somebody who subscribes without having
authenticated is not documented; here it is a refusal like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from aiohttp import web

from marketdata.sandbox import wire
from marketdata.sandbox.connections import Connection
from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.private import wire as private_wire
from marketdata.sandbox.private.desk import Desk, Desks
from marketdata.sandbox.private.signing import is_stream_signed
from marketdata.sandbox.private.wire import CATEGORISED, TOPICS
from marketdata.sandbox.sockets import Session, converse
from marketdata.sandbox.wire import Request

REFUSED = "Params Error"
UNKNOWN_CALLER = "error:request not authorized"
MIXED = "error:all-in-one and categorised topics in one request"


async def serve_private(
    exchange: Exchange, desks: Desks, request: web.Request
) -> web.StreamResponse:
    """One private connection, from handshake to end."""
    return await converse(exchange, request, "private", partial(PrivateSession, desks=desks))


class PrivateSession(Session):
    """The conversation on one private connection."""

    slow = frozenset({"auth", "subscribe"})

    def __init__(self, exchange: Exchange, connection: Connection, *, desks: Desks) -> None:
        super().__init__(exchange, connection)
        self._desks = desks
        self._operations = {
            "auth": self._authenticate,
            "ping": self._ping,
            "subscribe": self._when_known(self._subscribe),
            "unsubscribe": self._when_known(self._unsubscribe),
        }

    @property
    def topics(self) -> set[str]:
        """What an account can subscribe to."""
        return self._exchange.private_topics

    def _unknown(self, request: Request) -> None:
        self._when_known(super()._unknown)(request)

    def _when_known(self, operation: Callable[[Request], None]) -> Callable[[Request], None]:
        def check(request: Request) -> None:
            if self._connection.account:
                operation(request)
            else:
                self._answer(request, UNKNOWN_CALLER)

        return check

    def _authenticate(self, request: Request) -> None:
        desk, faults = self._caller(request.values), self._exchange.faults
        if desk is not None and (drop := faults.works("private_drop", account=desk.name)):
            faults.goes_on(drop, {"connections": [self._connection.number]})
            self._connection.cut()
            return
        if desk is not None and faults.fires("auth_reject", account=desk.name):
            desk = None
        if desk is not None:
            self._connection.account = desk.name
            self._exchange.audience.changed()
        answer = private_wire.auth_answer(
            conn_id=self._connection.conn_id,
            req_id=request.req_id,
            error="" if desk else REFUSED,
        )
        self._connection.send(wire.frame(answer))

    def _caller(self, values: Any) -> Desk | None:
        """Whose key signed these arguments: a key, the ms at which it expires, a signature."""
        if not (isinstance(values, list) and len(values) == 3):
            return None
        key, expires, signature = values
        if not (isinstance(key, str) and isinstance(signature, str)):
            return None
        if isinstance(expires, bool) or not isinstance(expires, int):
            return None
        desk = self._desks.of_key(key)
        if desk is None or desk.refuses_streams or expires <= self._exchange.clock():
            return None
        # A connection belongs to one account for all its life.
        if self._connection.account not in ("", desk.name):
            return None
        return desk if is_stream_signed(desk.secret, expires, signature) else None

    def _ping(self, request: Request) -> None:
        pong = private_wire.pong(
            conn_id=self._connection.conn_id,
            req_id=request.req_id,
            now_ms=self._exchange.clock(),
        )
        self._connection.send(wire.frame(pong))

    def _objection(self, args: list[str] | None) -> str:
        asked = set(args or ())
        if asked & set(TOPICS) and asked & set(CATEGORISED.values()):
            return MIXED
        return super()._objection(args)
