"""The private endpoints of the REST API that only read.

Sources: the V5 pages of each endpoint, and Integration Guidance for signatures, the window of
time and the rate headers. Whoever is refused gets HTTP 200 and a retCode.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote

import orjson
from aiohttp import web

from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.private.desk import Desk, Desks
from marketdata.sandbox.private.history import Entry, Place
from marketdata.sandbox.private.rows import position_row, rest_position, wallet_row
from marketdata.sandbox.private.signing import is_in_window, is_signed
from marketdata.sandbox.rest import PARAMETER_ERROR, ParameterError, Query, number
from marketdata.sandbox.wire import envelope

WEEK_MS = 7 * 24 * 3600 * 1000
DEFAULT_WINDOW_MS = 5000
REQUESTS_PER_SECOND = 50
RECENTLY_CLOSED = 500
# The client's clock may be a little behind: the reset lies far enough ahead for it, too.
RESET_AFTER_MS = 100

MESSAGES = {
    10003: "API key is invalid.",
    10004: "error sign! please check your signature generation algorithm.",
    10005: "Permission denied, please check your API key permissions.",
    10006: "Too many visits!",
    10010: "Unmatched IP, please check your API key's bound IP addresses.",
    33004: "Your api key has expired.",
}

Answer = Callable[[Desk, Query], dict[str, Any]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Refused(Exception):
    """The caller is not served; `code` is the retCode."""

    def __init__(self, code: int, message: str = "") -> None:
        super().__init__(message or MESSAGES[code])
        self.code = code


class Rate:
    """How often each account asked each endpoint within the last second."""

    def __init__(self) -> None:
        self._asked: dict[tuple[str, str], deque[int]] = {}

    def left(self, account: str, path: str, now_ms: int) -> int:
        """Count a request; how many more there may be, less than zero for one too many."""
        asked = self._asked.setdefault((account, path), deque())
        while asked and asked[0] <= now_ms - 1000:
            asked.popleft()
        if len(asked) >= REQUESTS_PER_SECOND:
            return -1
        asked.append(now_ms)
        return REQUESTS_PER_SECOND - len(asked)


class AccountEndpoints:
    """What an exchange answers an account about itself."""

    def __init__(self, exchange: Exchange, desks: Desks) -> None:
        self._exchange = exchange
        self._desks = desks
        self._rate = Rate()

    def routes(self) -> list[web.AbstractRouteDef]:
        """The endpoints."""
        answers: dict[str, Answer] = {
            "/v5/execution/list": self.executions,
            "/v5/order/history": self.order_history,
            "/v5/order/realtime": self.open_orders,
            "/v5/position/list": self.positions,
            "/v5/account/wallet-balance": self.wallet,
            "/v5/user/query-api": self.key,
        }
        return [web.get(path, self._endpoint(answer)) for path, answer in answers.items()]

    # --- answers -----------------------------------------------------------------------------

    def executions(self, desk: Desk, query: Query) -> dict[str, Any]:
        """Executions, newest first, of seven days at most."""
        return self._page(
            desk.executions.newest_first,
            query,
            {"symbol": "symbol", "execType": "kind"},
            default=50,
            most=100,
        )

    def order_history(self, desk: Desk, query: Query) -> dict[str, Any]:
        """Orders that are over, in their last state, of seven days at most."""
        return self._page(
            desk.orders.newest_first,
            query,
            {"symbol": "symbol", "orderStatus": "kind"},
            default=20,
            most=50,
            condition=lambda entry: entry.is_final,
        )

    def open_orders(self, desk: Desk, query: Query) -> dict[str, Any]:
        """Orders that are open; with openOnly 1 those that were over not long ago."""
        _linear(query)
        limit = number(query, "limit", default=20, least=1, most=50)
        only = number(query, "openOnly", default=0, least=0, most=2)
        before = _cursor(query)
        if not any(query.get(name) for name in ("orderId", "orderLinkId")):
            _one_of(query, "symbol", "baseCoin", "settleCoin")
            everything = desk.orders.newest_first(0, _END)
            either = (one for one in everything if one.is_final == bool(only))
            recent = islice(either, RECENTLY_CLOSED if only else None)
            entries = _matching(recent, query, {"symbol": "symbol"})
        else:
            entries = _matching(desk.orders.newest_first(0, _END), query, {})
        later = (one for one in entries if before is None or one.place < before)
        return _listed(later, limit)

    def positions(self, desk: Desk, query: Query) -> dict[str, Any]:
        """Legs: flat ones, too, of one symbol, only those with a size of a coin."""
        _linear(query)
        _one_of(query, "symbol", "settleCoin")
        number(query, "limit", default=20, least=1, most=200)
        symbol, book = query.get("symbol", ""), desk.story.book
        if symbol and symbol not in self._exchange.instruments:
            raise ParameterError("params error: symbol invalid")
        legs = book.legs_of(symbol) if symbol else [leg for leg in book.legs.values() if leg.size]
        if not symbol and query["settleCoin"] != "USDT":
            legs = []
        rows = [rest_position(position_row(leg, desk.story.mark(leg.symbol))) for leg in legs]
        return {"category": "linear", "list": rows, "nextPageCursor": ""}

    def wallet(self, desk: Desk, query: Query) -> dict[str, Any]:
        """The wallet of a unified account."""
        if query.get("accountType") != "UNIFIED":
            raise ParameterError("accountType only support UNIFIED.")
        row = wallet_row(desk.story.book, desk.story.marks())
        if coins := query.get("coin", ""):
            row["coin"] = [coin for coin in row["coin"] if coin["coin"] in coins.split(",")]
        return {"list": [row]}

    def key(self, desk: Desk, query: Query) -> dict[str, Any]:
        """What the key may do."""
        return {
            "id": str(desk.uid),
            "note": "sandbox",
            "apiKey": desk.api_key,
            "readOnly": 0,
            "secret": "",
            "permissions": {"ContractTrade": ["Order", "Position"], "Wallet": [], "Spot": []},
            "ips": ["*"],
            "type": 1,
            "deadlineDay": 90,
            "expiredAt": "2099-01-01T00:00:00Z",
            "createdAt": "2024-01-01T00:00:00Z",
            "unified": 0,
            "uta": 1,
            "userID": desk.uid,
            "inviterID": 0,
            "vipLevel": "No VIP",
            "mktMakerLevel": "0",
            "affiliateID": 0,
            "rsaPublicKey": "",
            "isMaster": True,
            "parentUid": "0",
        }

    # --- inside ------------------------------------------------------------------------------

    def _page(
        self,
        newest_first: Callable[[int, int, Place | None], Iterator[Entry]],
        query: Query,
        filters: Mapping[str, str],
        *,
        default: int,
        most: int,
        condition: Callable[[Entry], bool] = lambda entry: True,
    ) -> dict[str, Any]:
        """A page of a list; who asks for one order asks for nothing else."""
        _linear(query)
        limit = number(query, "limit", default=default, least=1, most=most)
        before = _cursor(query)
        if any(query.get(name) for name in ("orderId", "orderLinkId")):
            start, end, filters = 0, _END, {}
        else:
            start, end = _span(query, self._exchange.clock())
        entries = (one for one in newest_first(start, end, before) if condition(one))
        return _listed(_matching(entries, query, filters), limit)

    def _endpoint(self, answer: Answer) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            left = REQUESTS_PER_SECOND - 1
            try:
                desk = self._caller(request)
                left = self._rate.left(desk.name, request.path, self._exchange.clock())
                if left < 0:
                    raise Refused(10006)
                return self._response(answer(desk, request.query), left=left)
            except Refused as exc:
                left = 0 if exc.code == 10006 else left
                return self._response({}, code=exc.code, message=str(exc), left=left)
            except ParameterError as exc:
                return self._response({}, code=PARAMETER_ERROR, message=str(exc), left=left)

        return handle

    def _caller(self, request: web.Request) -> Desk:
        """Whose signature the request bears. Raises Refused."""
        key, timestamp, sign, window = (
            request.headers.get(f"X-BAPI-{name}", "")
            for name in ("API-KEY", "TIMESTAMP", "SIGN", "RECV-WINDOW")
        )
        desk, now = self._desks.of_key(key), self._exchange.clock()
        if desk is None:
            raise Refused(10003)
        if not (_is_number(timestamp) and _is_number(window or "0")):
            raise Refused(PARAMETER_ERROR, "params error: timestamp or recv_window invalid")
        if not is_in_window(int(timestamp), int(window or DEFAULT_WINDOW_MS), now):
            raise Refused(
                10002,
                "invalid request, please check your server timestamp or recv_window param. "
                f"req_timestamp[{timestamp}],server_timestamp[{now}],recv_window[{window}]",
            )
        # The query counts as it stands in the request line, before anything is decoded.
        raw_query = request.raw_path.partition("?")[2]
        if not is_signed(desk.secret, f"{timestamp}{key}{window}{raw_query}", sign):
            raise Refused(10004)
        if desk.refusal.isdigit():
            raise Refused(int(desk.refusal))
        return desk

    def _response(
        self, result: dict[str, Any], *, left: int, code: int = 0, message: str = "OK"
    ) -> web.Response:
        now = self._exchange.clock()
        reset = now if left else now + RESET_AFTER_MS
        return web.Response(
            body=envelope(result, now_ms=now, code=code, message=message),
            content_type="application/json",
            headers={
                "X-Bapi-Limit": str(REQUESTS_PER_SECOND),
                "X-Bapi-Limit-Status": str(left),
                "X-Bapi-Limit-Reset-Timestamp": str(reset),
            },
        )


_END = 1 << 62


def _linear(query: Query) -> None:
    if query.get("category") != "linear":
        raise ParameterError("params error: Category is invalid")


def _one_of(query: Query, *names: str) -> None:
    if not any(query.get(name) for name in names):
        raise ParameterError(f"params error: one of {', '.join(names)} is required")


def _span(query: Query, now_ms: int) -> tuple[int, int]:
    """Seven days at most: up to now, from the start, up to the end, or as they are both given."""
    given = (bool(query.get("startTime")), bool(query.get("endTime")))
    start = number(query, "startTime", default=0, least=0)
    end = number(query, "endTime", default=0, least=0)
    if given == (False, False):
        # What happens at this very moment may bear a time a little ahead.
        return now_ms - WEEK_MS, now_ms + WEEK_MS
    if given == (True, False):
        return start, start + WEEK_MS
    if given == (False, True):
        return end - WEEK_MS, end
    if start > end:
        raise ParameterError("params error: startTime is later than endTime")
    if end - start > WEEK_MS:
        raise ParameterError("params error: the time range must not exceed 7 days")
    return start, end


def _matching(
    entries: Iterable[Entry], query: Query, filters: Mapping[str, str]
) -> Iterator[Entry]:
    filters = {**filters, "orderId": "order_id", "orderLinkId": "link_id"}
    wanted = [(field, query[name]) for name, field in filters.items() if query.get(name)]
    return (one for one in entries if all(getattr(one, field) == v for field, v in wanted))


def _listed(entries: Iterator[Entry], limit: int) -> dict[str, Any]:
    """One page, and a cursor, percent-encoded, when there is more."""
    page = list(islice(entries, limit + 1))
    more, page = len(page) > limit, page[:limit]
    time_ms, count = page[-1].place if more else (0, 0)
    return {
        "category": "linear",
        "list": [orjson.Fragment(entry.row) for entry in page],
        "nextPageCursor": quote(f"{time_ms}:{count},{time_ms}:{count}", safe="") if more else "",
    }


def _cursor(query: Query) -> Place | None:
    """The place of the last row that was seen; the cursor may come decoded or not."""
    if not (text := unquote(query.get("cursor", ""))):
        return None
    time_ms, colon, count = text.partition(",")[0].partition(":")
    if not (colon and _is_number(time_ms) and _is_number(count)):
        raise ParameterError("params error: cursor invalid")
    return int(time_ms), int(count)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
