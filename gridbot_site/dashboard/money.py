"""Equity in words and as a little curve."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from marketdata.dashboard.charts import Scale, steps
from marketdata.dashboard.holdings import Equity
from marketdata.dashboard.window import Window


@dataclass(frozen=True)
class EquityView:
    """An account's equity now, what it changed by, and its path over the window.

    `change` is empty where the equity at the window's beginning is not known; `tone` is the class
    of its colour, its sign is in the text. The path is empty where the unit changes on the way.
    """

    now: str
    change: str
    tone: str
    path: str

    @classmethod
    def of(cls, told: Sequence[Equity], window: Window) -> EquityView | None:
        """What was told of it, in order of time; None for nothing."""
        if not told:
            return None
        first, last = told[0], told[-1]
        change, tone = "", ""
        if first.at <= window.start and first.unit == last.unit:
            by = last.amount - first.amount
            change = f"{by:+,.2f} {last.unit}"
            tone = "gain" if by > 0 else "loss" if by < 0 else ""
        path = ""
        if len({each.unit for each in told}) == 1:
            scale = Scale.around([each.amount for each in told])
            path = steps([(each.at, each.amount) for each in told], window, scale)
        return cls(f"{last.amount:,.2f} {last.unit}", change, tone, path)
