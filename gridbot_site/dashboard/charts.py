"""The two charts of an account's page, ready to be drawn by their template."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from accounts.display import readable
from marketdata.dashboard.charts import Scale, Tick, line, steps
from marketdata.dashboard.holdings import Equity
from marketdata.dashboard.trading import Fill, Rest
from marketdata.dashboard.window import Window

# Of the orders and fills that a chart has room for, the newest.
MOST_MARKS = 300


class Mark(NamedTuple):
    """A fill: a triangle that points up for a purchase and down for a sale; places in percent."""

    side: str
    x: str
    y: str
    words: str


class Level(NamedTuple):
    """An order: a line at its price for as long as it was in the book; places in percent."""

    side: str
    x1: str
    x2: str
    y: str
    waits: bool
    words: str


@dataclass(frozen=True)
class Chart:
    """A chart, and what it says in words."""

    title: str
    words: str
    path: str
    ticks: list[Tick]
    labels: list[tuple[str, str]]
    marks: list[Mark] = field(default_factory=list)
    levels: list[Level] = field(default_factory=list)


def equity_chart(told: Sequence[Equity], window: Window) -> Chart | None:
    """Equity over time, each value until the next; None without any."""
    if not told:
        return None
    unit = told[-1].unit
    points = [(each.at, each.amount) for each in told if each.unit == unit]
    amounts = [amount for _, amount in points]
    scale = Scale.around(amounts)
    words = (
        f"From {amounts[0]:,.2f} to {amounts[-1]:,.2f} {unit}, "
        f"least {min(amounts):,.2f}, most {max(amounts):,.2f}."
    )
    path = steps(points, window, scale)
    return Chart(f"Equity, {unit}", words, path, scale.ticks(), window.labels())


def price_chart(
    symbol: str,
    points: Sequence[tuple[datetime, Decimal]],
    fills: Sequence[Fill],
    rests: Sequence[Rest],
    window: Window,
    *,
    longest: timedelta,
) -> Chart | None:
    """The price with orders and fills; a line that breaks where nothing was captured for `longest`.

    The scale is of prices and fills: orders far from them lie beyond the chart, and are counted.
    """
    prices = [price for _, price in points] + [fill.price for fill in fills]
    if not prices:
        return None
    scale = Scale.around(prices)
    near = [rest for rest in rests if scale.holds(rest.price)]
    waiting = sum(rest.waits for rest in rests)
    words = f"{len(fills)} fills; {len(rests)} orders, of which {waiting} wait."
    if beyond := len(rests) - len(near):
        words += f" {beyond} of the orders lie beyond the chart."
    return Chart(
        title=f"{symbol}, last price",
        words=words,
        path=line(points, window, scale, longest=longest),
        ticks=scale.ticks(),
        labels=window.labels(),
        marks=[_mark(fill, window, scale) for fill in fills[:MOST_MARKS]],
        levels=[_level(rest, window, scale) for rest in near[-MOST_MARKS:]],
    )


def _mark(fill: Fill, window: Window, scale: Scale) -> Mark:
    pnl = f", realised {fill.pnl:+,.2f}" if fill.pnl else ""
    trade = f"{fill.side} {readable(fill.qty)} at {readable(fill.price)}"
    x, y = _percent(window.place(fill.at)), _percent(scale.place(fill.price))
    return Mark(fill.side, x, y, f"{fill.at:%m-%d %H:%M:%S} {trade}{pnl}")


def _level(rest: Rest, window: Window, scale: Scale) -> Level:
    words = (
        f"{rest.side} {readable(rest.qty)} at {readable(rest.price)}: {rest.status}, "
        f"from {rest.start:%d %b %H:%M:%S}"
    )
    x1, x2 = (_percent(window.place(at)) for at in (rest.start, rest.end))
    return Level(rest.side, x1, x2, _percent(scale.place(rest.price)), rest.waits, words)


def _percent(part: float) -> str:
    return f"{100 * part:.3f}%"
