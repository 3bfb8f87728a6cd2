"""The pictures of a backtest as plotly figures: plain dicts, data and layout.

Nothing here needs numpy or plotly, so that a site
without them can still show what is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple, TypeAlias

from strategies.models import BacktestSummary
from strategies.report.traces import (
    Json,
    axis,
    band,
    figure,
    line,
    step,
    time_of_ms,
    time_text,
    trace,
)

GAIN, LOSS, CALM, FAINT, ACCENT = "#16803c", "#c02626", "#2456a6", "#9aa4b2", "#b7791f"
BUY, SELL = GAIN, LOSS
# A picture shows no more: so many stretches of time, and so many markers.
MOST_STRETCHES = 1500
MOST_MARKERS = 4000

# A time, equity, and its extremes since the point before.
Point: TypeAlias = tuple[datetime, Decimal, Decimal, Decimal]


class Picture(NamedTuple):
    """A figure, its name in the page, and a sentence that says how to read it."""

    name: str
    title: str
    note: str
    figure: Json


def pictures(
    summary: BacktestSummary,
    fills: Sequence[Any],
    payments: Sequence[Any],
    points: Iterable[Point],
) -> list[Picture]:
    """Return all pictures; `fills` and `payments` have the columns of their tables."""
    stretches = _stretches(points, summary.starting_balance)
    return [
        Picture("equity", "Equity and drawdown",
                "The band is what equity reached between two points; the drawdown is a share of "
                "the highest equity so far.", _equity(summary, stretches)),
        Picture("price", "Price, fills and grid", _price_note(fills), _price(summary, fills)),
        Picture("position", "Position and margin",
                "Sizes after each fill, in coins, the short below zero; the initial margin is at "
                "the price of the fill.", _position(summary, fills)),
        Picture("costs", "Realised profit, fees and funding",
                "Added up; a line below zero is money that was paid.", _costs(summary, fills, payments)),
    ]  # fmt: skip


# --- Equity -------------------------------------------------------------------------------


class Stretch(NamedTuple):
    """Equity in a stretch of time; `fall` is the deepest drawdown in it, in percent, negative."""

    time: datetime
    low: float
    high: float
    last: float
    fall: float


def _stretches(points: Iterable[Point], start: Decimal) -> list[Stretch]:
    """Join points until there are few enough, extremes kept."""
    found = []
    peak = float(start)
    for time, equity, low, high in points:
        # Which of the extremes came first is not known: the fall is from the peak before both.
        fall = min(0.0, float(low) / peak - 1) if peak > 0 else 0.0
        peak = max(peak, float(high))
        fall = min(fall, float(equity) / peak - 1) if peak > 0 else 0.0
        found.append(Stretch(time, float(low), float(high), float(equity), 100 * fall))
    many = -(-len(found) // MOST_STRETCHES) or 1
    return [
        Stretch(
            time=joined[-1].time,
            low=min(each.low for each in joined),
            high=max(each.high for each in joined),
            last=joined[-1].last,
            fall=min(each.fall for each in joined),
        )
        for joined in (found[at : at + many] for at in range(0, len(found), many))
    ]


def _equity(summary: BacktestSummary, stretches: Sequence[Stretch]) -> Json:
    times = [time_text(each.time) for each in stretches]
    return figure(
        summary,
        [
            band(times, [each.low for each in stretches], [each.high for each in stretches],
                  "rgba(36,86,166,.18)", "extremes"),
            line(times, [each.last for each in stretches], "equity", CALM),
            line(times, [each.fall for each in stretches], "drawdown", LOSS, fill="tozeroy",
                  fillcolor="rgba(192,38,38,.15)", yaxis="y2"),
        ],
        yaxis=axis("USDT", [0.34, 1]),
        yaxis2=axis("drawdown, %", [0, 0.26]),
    )  # fmt: skip


# --- Price --------------------------------------------------------------------------------


def _price_note(fills: Sequence[Any]) -> str:
    note = "The band is the lowest and the highest trade of each stretch. Dotted: the grid as it was built; lines at the right: as it was left."
    every = _every(fills)
    if every > 1:
        note += f" Of {len(fills):,} fills one in {every} is drawn."
    return note


def _every(fills: Sequence[Any]) -> int:
    return -(-len(fills) // MOST_MARKERS) or 1


def _price(summary: BacktestSummary, fills: Sequence[Any]) -> Json:
    bars = summary.price_bars
    times = [time_of_ms(bar[0]) for bar in bars]
    data = [
        band(times, [bar[1] for bar in bars], [bar[2] for bar in bars],
              "rgba(90,100,115,.22)", "low and high"),
        line(times, [bar[3] for bar in bars], "last price", "#4a5463"),
    ]  # fmt: skip
    if times:
        data += _grid_lines(summary.grid, times)
    drawn = fills[:: _every(fills)]
    data += [
        _markers(drawn, "Buy", BUY, "triangle-up"),
        _markers(drawn, "Sell", SELL, "triangle-down"),
    ]
    prices = axis("USDT")
    if bars:
        # Levels far from the market would flatten it.
        low, high = min(bar[1] for bar in bars), max(bar[2] for bar in bars)
        room = max((high - low) * 0.15, high * 0.002)
        prices["range"] = [low - room, high + room]
    return figure(summary, data, yaxis=prices)


def _grid_lines(grid: Json, times: Sequence[str]) -> list[Json]:
    lines: list[Json] = []
    # The grid that was left is drawn over the last part, so that both can be told apart.
    spans = {"start": (times[0], times[-1]), "end": (times[-(len(times) // 12 + 1)], times[-1])}
    for name, words, dash, opacity in (
        ("start", "grid at the start", "dot", 0.35),
        ("end", "grid at the end", "solid", 0.8),
    ):
        for side, colour in (("Buy", BUY), ("Sell", SELL), ("Wait", FAINT)):
            prices = [float(price) for each, price in grid.get(name, ()) if each == side]
            if not prices:
                continue
            x: list[str | None] = []
            y: list[float | None] = []
            for price in prices:
                x += [*spans[name], None]
                y += [price, price, None]
            style = {"color": colour, "width": 1, "dash": dash}
            shown = any(each["legendgroup"] == name for each in lines)
            lines.append(
                trace(x, y, words, showlegend=not shown, line=style, opacity=opacity, hoverinfo="skip",
                       legendgroup=name)
            )  # fmt: skip
    return lines


def _markers(fills: Sequence[Any], side: str, colour: str, symbol: str) -> Json:
    chosen = [fill for fill in fills if fill.side == side]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": side,
        "x": [time_text(fill.time) for fill in chosen],
        "y": [float(fill.price) for fill in chosen],
        "text": [
            f"{side} {fill.qty} ({'opens' if fill.opens else 'closes'} {fill.direction})<br>"
            f"level {fill.level}, {fill.rule}: traded at {fill.trade_price}"
            for fill in chosen
        ],
        "marker": {"color": colour, "symbol": symbol, "size": 8, "line": {"width": 1, "color": "#fff"}},
        "hovertemplate": "%{y}<br>%{text}<extra></extra>",
    }  # fmt: skip


# --- Position and costs -------------------------------------------------------------------


def _position(summary: BacktestSummary, fills: Sequence[Any]) -> Json:
    tiers = [tuple(map(float, tier)) for tier in summary.assumptions.get("tiers", ())]
    leverage = float(summary.assumptions.get("leverage", 1))
    sizes = {"long": Decimal(0), "short": Decimal(0)}
    times, margins = [time_text(summary.since)], [0.0]
    drawn: dict[str, list[float]] = {"long": [0.0], "short": [0.0]}
    for fill in fills:
        sizes[fill.direction] += fill.qty if fill.opens else -fill.closed_size
        times.append(time_text(fill.time))
        drawn["long"].append(float(sizes["long"]))
        drawn["short"].append(-float(sizes["short"]))
        values = [float(size) * float(fill.trade_price) for size in sizes.values()]
        margins.append(sum(value * _rate(value, tiers, leverage) for value in values))
    times.append(time_text(summary.until))
    for column in (*drawn.values(), margins):
        column.append(column[-1])
    return figure(
        summary,
        [
            step(times, drawn["long"], "long", BUY, fill="tozeroy", fillcolor="rgba(22,128,60,.15)"),
            step(times, drawn["short"], "short", SELL, fill="tozeroy", fillcolor="rgba(192,38,38,.15)"),
            step(times, margins, "initial margin", ACCENT, yaxis="y2"),
        ],
        yaxis=axis("coins", [0.34, 1]),
        yaxis2=axis("margin, USDT", [0, 0.26]),
    )  # fmt: skip


def _rate(value: float, tiers: Sequence[tuple[float, ...]], leverage: float) -> float:
    tier = next((tier for tier in tiers if value <= tier[0]), None)
    return max(tier[3] if tier else 0.0, 1 / leverage)


def _costs(summary: BacktestSummary, fills: Sequence[Any], payments: Sequence[Any]) -> Json:
    realised = [(fill.time, fill.closed_pnl) for fill in fills]
    fees = [(fill.time, -fill.fee) for fill in fills]
    funding = [(payment.time, payment.amount) for payment in payments]
    return figure(
        summary,
        [
            step(*_added_up(realised), "realised, before fees", GAIN),
            step(*_added_up(fees), "fees", LOSS),
            step(*_added_up(funding), "funding", ACCENT),
        ],
        yaxis=axis("USDT"),
    )


def _added_up(amounts: Sequence[tuple[datetime, Decimal]]) -> tuple[list[str], list[float]]:
    times, sums, total = [], [], Decimal(0)
    for at, amount in amounts:
        total += amount
        times.append(time_text(at))
        sums.append(float(total))
    return times, sums
