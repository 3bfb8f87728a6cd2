"""Pages of a list: windows of time, filters, and cursors that go on where a page ended.

Sources: V5 "Get Trade History", "Get Order History", "Get Transaction Log", "Get Closed PnL": a
window has seven days at most, and only one end given means the usual length from there. A cursor
comes percent-encoded and may be sent back as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any
from urllib.parse import quote, unquote

import orjson

from marketdata.sandbox.private.gate import is_number
from marketdata.sandbox.private.history import Entry, Listing, Place
from marketdata.sandbox.private.legs import Leg
from marketdata.sandbox.rest import ParameterError, Query, number

DAY_MS = 24 * 3600 * 1000
WEEK_MS = 7 * DAY_MS
END = 1 << 62


@dataclass(frozen=True, kw_only=True, slots=True)
class Rules:
    """How a list is asked for: rows of a page, `usual_ms` of a window, filters by parameter."""

    default: int
    most: int
    usual_ms: int = WEEK_MS
    filters: Mapping[str, str] = field(default_factory=dict)
    by_order: bool = True


def page(
    listing: Listing,
    query: Query,
    rules: Rules,
    now_ms: int,
    condition: Callable[[Entry], bool] = lambda entry: True,
) -> dict[str, Any]:
    """A page of a list, newest first; who asks for one order asks for nothing else."""
    limit = number(query, "limit", default=rules.default, least=1, most=rules.most)
    before, filters = cursor(query), rules.filters
    if rules.by_order and any(query.get(name) for name in ("orderId", "orderLinkId")):
        start, end, filters = 0, END, {}
    else:
        start, end = span(query, now_ms, rules.usual_ms)
    entries = (one for one in listing.newest_first(start, end, before) if condition(one))
    return listed(matching(entries, query, filters), limit)


def linear(query: Query) -> None:
    """Only linear contracts are known here."""
    if query.get("category") != "linear":
        raise ParameterError("params error: Category is invalid")


def one_of(query: Query, *names: str) -> None:
    """One of these parameters is needed."""
    if not any(query.get(name) for name in names):
        raise ParameterError(f"params error: one of {', '.join(names)} is required")


def span(query: Query, now_ms: int, usual_ms: int = WEEK_MS) -> tuple[int, int]:
    """Up to now, from the start, up to the end, or as they are both given: seven days at most."""
    given = (bool(query.get("startTime")), bool(query.get("endTime")))
    start = number(query, "startTime", default=0, least=0)
    end = number(query, "endTime", default=0, least=0)
    if given == (False, False):
        # What happens at this very moment may bear a time a little ahead.
        return now_ms - usual_ms, now_ms + usual_ms
    if given == (True, False):
        return start, start + usual_ms
    if given == (False, True):
        return end - usual_ms, end
    if start > end:
        raise ParameterError("params error: startTime is later than endTime")
    if end - start > WEEK_MS:
        raise ParameterError("params error: the time range must not exceed 7 days")
    return start, end


def matching(entries: Iterable[Entry], query: Query, filters: Mapping[str, str]) -> Iterator[Entry]:
    """Those entries that have what the query asks for."""
    filters = {**filters, "orderId": "order_id", "orderLinkId": "link_id"}
    wanted = [(name, query[asked]) for asked, name in filters.items() if query.get(asked)]
    return (one for one in entries if all(getattr(one, name) == v for name, v in wanted))


def listed(entries: Iterator[Entry], limit: int) -> dict[str, Any]:
    """One page, and a cursor, percent-encoded, when there is more."""
    page = list(islice(entries, limit + 1))
    more, page = len(page) > limit, page[:limit]
    time_ms, count = page[-1].place if more else (0, 0)
    return {
        "category": "linear",
        "list": [orjson.Fragment(entry.row) for entry in page],
        "nextPageCursor": quote(f"{time_ms}:{count},{time_ms}:{count}", safe="") if more else "",
    }


def cursor(query: Query) -> Place | None:
    """The place of the last row that was seen; the cursor may come decoded or not."""
    if not (text := unquote(query.get("cursor", ""))):
        return None
    time_ms, colon, count = text.partition(",")[0].partition(":")
    if not (colon and is_number(time_ms) and is_number(count)):
        raise ParameterError("params error: cursor invalid")
    return int(time_ms), int(count)


def leg_page(legs: Iterable[Leg], query: Query, limit: int) -> tuple[list[Leg], str]:
    """One page of legs by symbol and index, and a cursor, percent-encoded, when there is more."""
    text = unquote(query.get("cursor", ""))
    symbol, _, index = text.partition(":")
    if text and not is_number(index):
        raise ParameterError("params error: cursor invalid")
    after = (symbol, int(index or -1))
    rest = sorted((leg for leg in legs if _leg_place(leg) > after), key=_leg_place)
    page = rest[:limit]
    more = len(rest) > limit
    return page, quote(f"{page[-1].symbol}:{page[-1].index}", safe="") if more else ""


def _leg_place(leg: Leg) -> tuple[str, int]:
    return leg.symbol, leg.index
