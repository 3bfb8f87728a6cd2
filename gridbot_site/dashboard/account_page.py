"""What the page of an account shows: its equity, its positions, and its trading over the price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from django.db.models import Exists, OuterRef, Subquery
from django.http import HttpRequest
from django.shortcuts import get_object_or_404
from django.utils import timezone

from accounts.models import BybitAccount
from gridbot_site.dashboard.charts import Chart, equity_chart, price_chart
from gridbot_site.dashboard.coverage import feed_lines, gap_lines
from gridbot_site.dashboard.doors import row_url, seen
from gridbot_site.dashboard.money import EquityView
from marketdata.coverage.report import PUBLIC_STREAMS, TABLES
from marketdata.dashboard import trading
from marketdata.dashboard.holdings import (
    Mark,
    Position,
    equity_curves,
    open_positions,
    positions_of,
)
from marketdata.dashboard.samples import tickers_at
from marketdata.dashboard.window import Window
from marketdata.models import (
    EnvironmentStamp,
    Instrument,
    Order,
    PositionSnapshot,
    PrivateExecution,
    TickerSnapshot,
    WalletSnapshot,
)

MOMENTS = 121
MOST_FILLS = 15
PRIVATE_STREAMS = [stream for stream in TABLES if stream not in PUBLIC_STREAMS]


def context(request: HttpRequest, account_id: UUID) -> dict[str, Any]:
    """All of the page; Http404 for an account that the user may not see, or that there is not."""
    accounts = seen(request, BybitAccount).select_related("user")
    account: BybitAccount = get_object_or_404(accounts, pk=account_id)
    window = Window.asked(request.GET, timezone.now())
    curves = equity_curves(seen(request, WalletSnapshot), [account.pk], window.moments(MOMENTS))
    told = curves.get(account.pk, [])
    states = trading.states(seen(request, Order).filter(account=account), window)
    fills = trading.fills(seen(request, PrivateExecution).filter(account=account), window)
    positions = _positions(request, account, window)
    symbols = list(trading.symbols(fills, states))
    symbol = request.GET.get("symbol", "")
    if symbol not in symbols:
        symbol = symbols[0] if symbols else ""
    return {
        "window": window,
        "account": account,
        "account_url": row_url(BybitAccount, account.pk),
        "equity": EquityView.of(told, window),
        "equity_chart": equity_chart(told, window),
        "positions": positions,
        "symbols": symbols,
        "symbol": symbol,
        "price_chart": _prices(request, account, symbol, window, fills, states),
        "fills": [(row_url(PrivateExecution, fill.key), fill) for fill in fills[:MOST_FILLS]],
        "fill_count": len(fills),
        "lines": feed_lines(request, window, PRIVATE_STREAMS, [account.pk]),
        "gaps": gap_lines(request, window, [account.pk]),
    }


def _positions(request: HttpRequest, account: BybitAccount, window: Window) -> list[Position]:
    """The open positions, at the market's mark prices where the market is the account's."""
    held = open_positions(seen(request, PositionSnapshot), [account.pk], window.end)
    newest = (
        seen(request, TickerSnapshot)
        .filter(symbol=OuterRef("symbol"), exchange_ts__lte=window.end)
        .order_by("-exchange_ts")
    )
    marks: dict[str, Mark] = {}
    if held:
        priced = (
            seen(request, Instrument)
            .filter(_has_market_of(account), symbol__in={row.symbol for row in held})
            .annotate(
                mark=Subquery(newest.values("mark_price")[:1]),
                at=Subquery(newest.values("exchange_ts")[:1]),
            )
        )
        told = priced.values_list("symbol", "at", "mark")
        marks = {symbol: Mark(at, mark) for symbol, at, mark in told if mark}
    return positions_of(held, marks)


def _has_market_of(account: BybitAccount) -> Exists:
    """Whether the prices in this database are those of the account's exchange."""
    return Exists(EnvironmentStamp.objects.filter(environment=account.environment))


def _prices(
    request: HttpRequest,
    account: BybitAccount,
    symbol: str,
    window: Window,
    fills: Sequence[trading.Fill],
    states: Sequence[trading.State],
) -> Chart | None:
    """The symbol's price, where the market is the account's, with its orders and fills; None without."""
    if not symbol:
        return None
    tickers = seen(request, TickerSnapshot).filter(exchange_ts__gte=window.start)
    at_moments = tickers_at(symbol, window.moments(MOMENTS))
    rows = tickers.filter(_has_market_of(account), pk__in=at_moments)
    points = list(rows.order_by("exchange_ts").values_list("exchange_ts", "last_price"))
    return price_chart(
        symbol,
        points,
        [fill for fill in fills if fill.symbol == symbol],
        trading.rests([state for state in states if state.symbol == symbol], window),
        window,
        longest=3 * window.length / (MOMENTS - 1),
    )
