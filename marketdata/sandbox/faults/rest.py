"""Faults of answers: a middleware in front of every request under /v5.

A request that changes something is always carried out as it is, and only its answer may be lost:
what else may happen to it is the engine's to say.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from marketdata.sandbox.faults.book import Armed, FaultBook
from marketdata.sandbox.wire import envelope, limit_headers

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Callable[[Armed, web.Request, Handler], Awaitable[web.StreamResponse]]

RESET_MS = {"future": 500, "past": -5000}
RESET_HEADER = "X-Bapi-Limit-Reset-Timestamp"
PAGE = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
PLAIN = {
    "http_403": (403, "access too frequent"),
    "http_429": (429, "Too Many Requests"),
    "http_502": (502, PAGE),
    "html_body": (200, PAGE),
}
MAX_PAGES = 1000


class RestFaults:
    """The middleware; `account_of` says whose an API key is, empty for nobody's."""

    def __init__(
        self, book: FaultBook, clock: Callable[[], int], account_of: Callable[[str], str]
    ) -> None:
        self._book, self._clock, self._account_of = book, clock, account_of
        # What is found under the cursors that were made up here.
        self._pages: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._answers: Mapping[str, Answer] = {
            "rate_limit": self._rate_limit,
            "bad_timestamp": self._bad_timestamp,
            "error_code": self._error_code,
            "half_body": self._half_body,
            "bad_json": self._bad_json,
            "late": self._late,
        } | dict.fromkeys(PLAIN, self._plain)

    @web.middleware
    async def answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer as faults have it, else as it is."""
        if "Upgrade" in request.headers or not request.path.startswith("/v5/"):
            return await handler(request)
        target = {
            "path": request.path,
            "symbol": request.query.get("symbol", ""),
            "account": self._account_of(request.headers.get("X-BAPI-API-KEY", "")),
        }
        if request.method != "GET":
            return await self._traded(request, handler, target)
        if page := self._pages.get(request.query.get("cursor", "")):
            return self._json(page)
        for name, answer in self._answers.items():
            if armed := self._book.fires(name, **target):
                return await answer(armed, request, handler)
        response = await handler(request)
        return response if self._book.is_quiet else self._paged(response, target)

    # --- refusals ----------------------------------------------------------------------------

    async def _plain(self, armed: Armed, request: web.Request, _: Handler) -> web.StreamResponse:
        status, text = PLAIN[armed.order.name]
        kind = "text/html" if text is PAGE else "text/plain"
        return web.Response(status=status, text=text, content_type=kind)

    async def _rate_limit(
        self, armed: Armed, request: web.Request, _: Handler
    ) -> web.StreamResponse:
        now, when = self._clock(), armed.values["reset"]
        response = self._refused(10006, "Too many visits!", now)
        response.headers["X-Bapi-Limit-Status"] = "0"
        if when == "absent":
            del response.headers[RESET_HEADER]
        else:
            response.headers[RESET_HEADER] = str(now + RESET_MS[when])
        return response

    async def _bad_timestamp(
        self, armed: Armed, request: web.Request, _: Handler
    ) -> web.StreamResponse:
        words = "invalid request, please check your server timestamp or recv_window param"
        return self._refused(10002, words, self._clock())

    async def _error_code(
        self, armed: Armed, request: web.Request, _: Handler
    ) -> web.StreamResponse:
        words = "Server error, please try again later."
        return self._refused(armed.values["code"], words, self._clock())

    def _refused(self, code: int, message: str, now: int) -> web.Response:
        body = envelope({}, now_ms=now, code=code, message=message)
        return web.Response(body=body, content_type="application/json", headers=limit_headers(now))

    # --- broken answers ----------------------------------------------------------------------

    async def _bad_json(
        self, armed: Armed, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        body = _body(await handler(request))
        return web.Response(body=body[: len(body) // 2], content_type="application/json")

    async def _half_body(
        self, armed: Armed, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        body = _body(await handler(request))
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        if request.transport is not None:
            request.transport.close()
        return response

    async def _late(
        self, armed: Armed, request: web.Request, handler: Handler
    ) -> web.StreamResponse:
        response = await handler(request)
        await asyncio.sleep(armed.values["delay"])
        return response

    async def _traded(
        self, request: web.Request, handler: Handler, target: dict[str, str]
    ) -> web.StreamResponse:
        """The answer to what was carried out, unless it is lost; a refusal never is."""
        response = await handler(request)
        is_taken = _decoded(_body(response)).get("retCode") == 0
        if is_taken and (armed := self._book.fires("lost_answer", **target)):
            await asyncio.sleep(armed.values["delay"])
            if request.transport is not None:
                request.transport.close()
        return response

    # --- pages -------------------------------------------------------------------------------

    def _paged(self, response: web.StreamResponse, target: dict[str, str]) -> web.StreamResponse:
        """A page with a cursor to itself, or no rows and a cursor to the page."""
        body = _decoded(_body(response))
        if "nextPageCursor" not in body.get("result", {}):
            return response
        cursor = f"sandbox{self._book.draw.getrandbits(64):016x}"
        if self._book.fires("repeated_cursor", **target):
            shown = self._keep(cursor, body | {"result": body["result"] | _leads_to(cursor)})
        elif self._book.fires("empty_page", **target):
            self._keep(cursor, body)
            shown = body | {"result": body["result"] | {"list": []} | _leads_to(cursor)}
        else:
            return response
        return self._json(shown)

    def _keep(self, cursor: str, page: dict[str, Any]) -> dict[str, Any]:
        self._pages[cursor] = page
        if len(self._pages) > MAX_PAGES:
            self._pages.popitem(last=False)
        return page

    def _json(self, body: dict[str, Any]) -> web.Response:
        return web.Response(
            body=orjson.dumps(body),
            content_type="application/json",
            headers=limit_headers(self._clock()),
        )


def _leads_to(cursor: str) -> dict[str, str]:
    return {"nextPageCursor": cursor}


def _decoded(body: bytes) -> dict[str, Any]:
    """An answer's object; nothing of what is none."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return value if isinstance(value, dict) else {}


def _body(response: web.StreamResponse) -> bytes:
    body = response.body if isinstance(response, web.Response) else None
    return body if isinstance(body, bytes) else b""
