"""Equity in words and as a little curve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from marketdata.dashboard.charts import Scale, steps
from marketdata.dashboard.holdings import Equity
from marketdata.dashboard.window import Window


class Money(NamedTuple):
    """An amount as it is shown; `tone` is the class of its colour, its sign is in the text."""

    text: str
    tone: str = ""


def money(now: Equity, before: Equity | None = None) -> Money:
    """An equity; with one from before, what it has changed by."""
    if before is None:
        return Money(f"{now.amount:,.2f} {now.unit}")
    change = now.amount - before.amount
    tone = "gain" if change > 0 else "loss" if change < 0 else ""
    return Money(f"{change:+,.2f} {now.unit}", tone)


def change(equity: Sequence[Equity | None]) -> Money | None:
    """What an equity changed by from the first moment to the last; None where either is not known."""
    first, last = equity[0], equity[-1]
    return money(last, first) if first and last and first.unit == last.unit else None


def curve(known: Sequence[Equity], window: Window) -> str:
    """The path of an equity over the window; empty where there is none, or its unit changes."""
    if not known or len({each.unit for each in known}) > 1:
        return ""
    points = list(dict.fromkeys((each.at, each.amount) for each in known))
    return steps(points, window, Scale.around([amount for _, amount in points]))
