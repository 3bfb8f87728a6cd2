"""The public market endpoints of the REST API.

Source: V5 "Market" pages. A wrong parameter is answered with HTTP 200 and retCode 10001, as
every business error is; limits out of range are refused rather than cut to size, so that a
client that asks for too much is noticed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import quote, unquote

from aiohttp import web

from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.tape import MINUTE_MS
from marketdata.sandbox.wire import envelope, limit_headers, rest_trade

Query = Mapping[str, str]
Answer = Callable[[Query], dict[str, Any]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PARAMETER_ERROR, ROUTE_NOT_FOUND = 10001, 10017
RISK_LIMITS_PER_PAGE = 15
INTERVALS = {str(n): n for n in (1, 3, 5, 15, 30, 60, 120, 240, 360, 720)} | {"D": 1440}
STATUSES = ("Trading", "PreLaunch", "Settling", "Delivering", "Closed")


class ParameterError(Exception):
    """A parameter is missing or wrong; the message is the retMsg."""


class MarketEndpoints:
    """What an exchange answers about its market."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def routes(self) -> list[web.AbstractRouteDef]:
        """The endpoints, and an answer for every other path under /v5."""
        answers: dict[str, Answer] = {
            "time": self.time,
            "instruments-info": self.instruments,
            "recent-trade": self.recent_trades,
            "tickers": self.tickers,
            "kline": self.klines,
            "risk-limit": self.risk_limits,
            "funding/history": self.fundings,
        }
        known = [
            web.get(f"/v5/market/{name}", self._endpoint(answer))
            for name, answer in answers.items()
        ]
        return [*known, web.route("*", "/v5/{rest:.*}", self._not_found)]

    def time(self, query: Query) -> dict[str, Any]:
        """The server's time; as on the exchange, both figures are strings."""
        ms = self._exchange.clock()
        return {"timeSecond": str(ms // 1000), "timeNano": str(ms * 1_000_000)}

    def instruments(self, query: Query) -> dict[str, Any]:
        """The contracts, in pages; the cursor comes percent-encoded and may be sent as it is."""
        _category(query)
        limit = number(query, "limit", default=500, least=1, most=1000)
        if (status := query.get("status", "Trading")) not in STATUSES:
            raise ParameterError("params error: status invalid")
        names = sorted(self._exchange.instruments) if status == "Trading" else []
        if symbol := query.get("symbol", ""):
            names = [name for name in names if name == self._symbol(query)]
        after = unquote(unquote(query.get("cursor", "")))
        if after and not after.startswith("last="):
            raise ParameterError("params error: cursor invalid")
        names = [name for name in names if name > after.removeprefix("last=")]
        page = names[:limit]
        more = len(names) > limit and not symbol
        return {
            "category": "linear",
            "list": [self._exchange.instruments[name].describe() for name in page],
            "nextPageCursor": quote(f"last={page[-1]}", safe="") if more else "",
        }

    def recent_trades(self, query: Query) -> dict[str, Any]:
        """The last trades, newest first: never more than 1000, and no way further back."""
        _category(query)
        symbol = self._symbol(query)
        limit = number(query, "limit", default=500, least=1, most=1000)
        rows = self._exchange.tapes[symbol].recent(limit)
        return {"category": "linear", "list": [rest_trade(row) for row in rows]}

    def tickers(self, query: Query) -> dict[str, Any]:
        """The full tickers of one symbol or of all."""
        _category(query)
        names = [self._symbol(query)] if "symbol" in query else list(self._exchange.instruments)
        return {
            "category": "linear",
            "list": [self._exchange.tickers[name].state for name in names],
        }

    def klines(self, query: Query) -> dict[str, Any]:
        """Bars of what was traded here, newest first; only `start` given: the first from there."""
        if query.get("category", "linear") != "linear":
            raise ParameterError("params error: Category is invalid")
        symbol = self._symbol(query)
        minutes = INTERVALS.get(query.get("interval", ""))
        if minutes is None:
            raise ParameterError("params error: interval invalid")
        limit = number(query, "limit", default=200, least=1, most=1000)
        now = self._exchange.market_ms()
        start = number(query, "start", default=0, least=0)
        end = number(query, "end", default=now + MINUTE_MS, least=0)
        bars = self._exchange.tapes[symbol].bars(minutes, until_ms=now)
        rows = [bar.wire(at) for at, bar in bars if start <= at <= end]
        rows = rows[:limit] if start and "end" not in query else rows[-limit:]
        return {"category": "linear", "symbol": symbol, "list": rows[::-1]}

    def risk_limits(self, query: Query) -> dict[str, Any]:
        """The one tier of risk that each contract has here; 15 contracts a page."""
        _category(query)
        names = sorted(self._exchange.instruments)
        if "symbol" in query:
            names = [self._symbol(query)]
        after = unquote(unquote(query.get("cursor", "")))
        names = [name for name in names if name > after]
        more = len(names) > RISK_LIMITS_PER_PAGE
        names = names[:RISK_LIMITS_PER_PAGE]
        return {
            "category": "linear",
            "list": [self._exchange.instruments[name].risk() for name in names],
            "nextPageCursor": quote(names[-1], safe="") if more else "",
        }

    def fundings(self, query: Query) -> dict[str, Any]:
        """What funding was, newest first; a start without an end is refused."""
        _category(query)
        symbol = self._symbol(query)
        limit = number(query, "limit", default=200, least=1, most=200)
        if query.get("startTime") and not query.get("endTime"):
            raise ParameterError("params error: endTime is required with startTime")
        start = number(query, "startTime", default=0, least=0)
        end = number(query, "endTime", default=1 << 62, least=0)
        rows = [
            row
            for row in reversed(self._exchange.fundings[symbol])
            if start <= int(row["fundingRateTimestamp"]) <= end
        ]
        return {"category": "linear", "list": rows[:limit]}

    def _symbol(self, query: Query) -> str:
        symbol = query.get("symbol", "")
        if symbol not in self._exchange.instruments:
            raise ParameterError("params error: symbol invalid")
        return symbol

    def _endpoint(self, answer: Answer) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return self._response(answer(request.query))
            except ParameterError as exc:
                return self._response({}, code=PARAMETER_ERROR, message=str(exc))

        return handle

    async def _not_found(self, request: web.Request) -> web.StreamResponse:
        message = f"route not found: {request.path}"
        return self._response({}, code=ROUTE_NOT_FOUND, message=message, status=404)

    def _response(
        self, result: dict[str, Any], *, code: int = 0, message: str = "OK", status: int = 200
    ) -> web.Response:
        now = self._exchange.clock()
        return web.Response(
            body=envelope(result, now_ms=now, code=code, message=message),
            status=status,
            content_type="application/json",
            headers=limit_headers(now),
        )


def _category(query: Query) -> None:
    if query.get("category") != "linear":
        raise ParameterError("params error: Category is invalid")


def number(query: Query, name: str, *, default: int, least: int, most: int = 1 << 62) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and least <= int(text) <= most):
        raise ParameterError(f"params error: {name} invalid")
    return int(text)
