"""What plotly's figures are made of: axes, lines, bands.

https://plotly.com/javascript/reference/
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias

from strategies.models import BacktestSummary

Json: TypeAlias = dict[str, Any]


def figure(summary: BacktestSummary, data: list[Json], **axes: Json) -> Json:
    """Return a figure on white, over the window of the backtest, in UTC."""
    # The axis of time stands under the lowest picture.
    lowest = "y2" if "yaxis2" in axes else "y"
    return {
        "data": data,
        "layout": {
            "height": 430,
            "margin": {"l": 75, "r": 20, "t": 10, "b": 40},
            "hovermode": "closest",
            "legend": {"orientation": "h", "y": 1.09, "x": 0},
            "font": {"family": "system-ui, sans-serif", "size": 12},
            "paper_bgcolor": "#fff",
            "plot_bgcolor": "#fff",
            "xaxis": {
                "type": "date",
                "gridcolor": "#eceff3",
                "anchor": lowest,
                "range": [time_text(summary.since), time_text(summary.until)],
            },
            **axes,
        },
    }


def axis(title: str, domain: Sequence[float] = (0, 1)) -> Json:
    """Return an axis of values in a part of the height."""
    return {
        "title": {"text": title},
        "domain": list(domain),
        "gridcolor": "#eceff3",
        "zerolinecolor": "#c3cad4",
        "tickformat": ",",
    }


def trace(x: Sequence[Any], y: Sequence[Any], name: str, **more: Any) -> Json:
    """Return lines between points."""
    return {"type": "scatter", "mode": "lines", "x": list(x), "y": list(y), "name": name, **more}


def line(x: Sequence[Any], y: Sequence[Any], name: str, colour: str, **more: Any) -> Json:
    """Return a line in a colour."""
    return trace(x, y, name, line={"color": colour, "width": 1.5}, **more)


def step(x: Sequence[Any], y: Sequence[Any], name: str, colour: str, **more: Any) -> Json:
    """Return a line that holds each value until the next."""
    return trace(x, y, name, line={"color": colour, "width": 1.5, "shape": "hv"}, **more)


def band(
    x: Sequence[Any], low: Sequence[float], high: Sequence[float], colour: str, name: str
) -> Json:
    """One outline, there and back."""
    return trace(
        [*x, *reversed(x)], [*high, *reversed(low)], name, fill="toself", fillcolor=colour,
        line={"width": 0}, hoverinfo="skip",
    )  # fmt: skip


def time_of_ms(ms: float) -> str:
    """Return a time in ms since 1970 as plotly reads it."""
    return time_text(datetime.fromtimestamp(ms / 1000, tz=UTC))


def time_text(time: datetime) -> str:
    """Return a time as plotly reads it."""
    # Plotly knows no zones: what it is given without one, it shows as it is.
    return f"{time:%Y-%m-%d %H:%M:%S}.{time.microsecond // 1000:03d}"
