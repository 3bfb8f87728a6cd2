"""Who may ask, how often, and in what the answers are wrapped.

Sources: V5 Integration Guidance for signatures, the window of time and the envelope; "Rate Limit
Rules" for the limits and their headers. Whoever is refused gets HTTP 200 and a retCode.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson
from aiohttp import web

from marketdata.sandbox.bodies import UnreadableBody, read_body
from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.limits import Rate
from marketdata.sandbox.private.desk import Desk, Desks
from marketdata.sandbox.private.refusals import PARAMETER_ERROR, Refused
from marketdata.sandbox.private.signing import is_in_window, is_signed
from marketdata.sandbox.rest import ParameterError, Query
from marketdata.sandbox.wire import envelope

DEFAULT_WINDOW_MS = 5000


class Reply(NamedTuple):
    """What is answered: `result`, and `ext` as `retExtInfo`."""

    result: dict[str, Any]
    ext: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked: a query or a body, and how many of its orders the rate limit grants."""

    query: Query
    body: Mapping[str, Any]
    granted: int


Answer = Callable[[Desk, Asked], Reply]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Weight = Callable[[Mapping[str, Any]], int]


class Gate:
    """Lets an account's signed requests through to their answers."""

    def __init__(self, exchange: Exchange, desks: Desks) -> None:
        self._exchange = exchange
        self._desks = desks
        self._rate = Rate()

    def endpoint(
        self,
        answer: Answer,
        *,
        limit: int,
        trades: bool = False,
        weight: Weight = lambda body: 1,
    ) -> Handler:
        """A handler that answers so often a second; what `trades` is not for keys that only read.

        `weight` is how many orders a body counts for.
        """

        async def handle(request: web.Request) -> web.StreamResponse:
            left, now, name = limit - 1, self._exchange.clock(), ""
            try:
                raw = await _read(request)
                desk = self._caller(request, raw)
                body = _body(raw) if request.method == "POST" else {}
                wanted, name = max(1, weight(body)), desk.name
                granted, left = self._rate.take(name, request.path, now, limit=limit, wanted=wanted)
                if granted <= 0:
                    raise Refused(10006)
                if trades and desk.read_only:
                    raise Refused(10005)
                reply = answer(desk, Asked(request.query, body, granted))
                return self._response(request, name, reply, limit=limit, left=left)
            except (Refused, ParameterError) as exc:
                code = exc.code if isinstance(exc, Refused) else PARAMETER_ERROR
                left = 0 if code == 10006 else left
                return self._response(
                    request, name, Reply({}), code=code, message=str(exc), limit=limit, left=left
                )

        return handle

    def _caller(self, request: web.Request, body: bytes) -> Desk:
        """Whose signature the request bears. Raises Refused."""
        key, timestamp, sign, window = (
            request.headers.get(f"X-BAPI-{name}", "")
            for name in ("API-KEY", "TIMESTAMP", "SIGN", "RECV-WINDOW")
        )
        desk, now = self._desks.of_key(key), self._exchange.clock()
        if desk is None:
            raise Refused(10003)
        if not (is_number(timestamp) and is_number(window or "0")):
            raise Refused(PARAMETER_ERROR, "params error: timestamp or recv_window invalid")
        if not is_in_window(int(timestamp), int(window or DEFAULT_WINDOW_MS), now):
            raise Refused(
                10002,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{timestamp}],server_timestamp[{now}],recv_window[{window}]",
            )
        # The query counts as it stands in the request line, and the body byte for byte.
        raw_query = request.raw_path.partition("?")[2]
        payload = body.decode(errors="surrogateescape") if request.method == "POST" else raw_query
        if not is_signed(desk.secret, f"{timestamp}{key}{window}{payload}", sign):
            raise Refused(10004)
        if desk.refusal.isdigit():
            raise Refused(int(desk.refusal))
        return desk

    def _response(
        self,
        request: web.Request,
        account: str,
        reply: Reply,
        *,
        limit: int,
        left: int,
        code: int = 0,
        message: str = "OK",
    ) -> web.Response:
        now = self._exchange.clock()
        reset = now if left else self._rate.reset_ms(account, request.path, now)
        return web.Response(
            body=envelope(reply.result, now_ms=now, code=code, message=message, ext=reply.ext),
            content_type="application/json",
            headers={
                "X-Bapi-Limit": str(limit),
                "X-Bapi-Limit-Status": str(left),
                "X-Bapi-Limit-Reset-Timestamp": str(reset),
            },
        )


async def _read(request: web.Request) -> bytes:
    try:
        return await read_body(request)
    except UnreadableBody as exc:
        raise Refused(PARAMETER_ERROR, f"params error: {exc}") from None


def _body(raw: bytes) -> Mapping[str, Any]:
    try:
        body = orjson.loads(raw or b"{}")
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise Refused(PARAMETER_ERROR, "params error: the body is not an object")
    return body


def is_number(text: str) -> bool:
    """Whether it is a whole number of less than twenty digits."""
    return text.isascii() and text.isdigit() and len(text) < 20
