"""A backtest as one HTML page that needs nothing else: no network, no server, no other file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString, mark_safe

from strategies.models import BacktestSummary
from strategies.report.figures import Point, pictures
from strategies.report.words import (
    assumptions_in_words,
    figures_in_words,
    holes_in_words,
    refusals_in_words,
)

TEMPLATE = "strategies/backtest_report.html"
MOST_ROWS = 2000


def render(
    title: str,
    summary: BacktestSummary,
    fills: Sequence[Any],
    payments: Sequence[Any],
    points: Iterable[Point],
) -> str:
    """Return the page. `title` says what was traded; everything in it is escaped."""
    drawn = pictures(summary, fills, payments, points)
    first: Sequence[Any] = fills
    last: Sequence[Any] = ()
    if len(fills) > MOST_ROWS:
        first, last = fills[: MOST_ROWS // 2], fills[-MOST_ROWS // 2 :]
    return render_to_string(
        TEMPLATE,
        {
            "title": title,
            "summary": summary,
            "figures": figures_in_words(summary),
            "assumptions": assumptions_in_words(summary),
            "coverage": holes_in_words(summary.coverage),
            "refusals": refusals_in_words(summary.refusals),
            "pictures": drawn,
            "first": first,
            "last": last,
            "left_out": len(fills) - len(first) - len(last),
            "config": json.dumps(summary.assumptions.get("config", {}), indent=1),
            "plotly": plotly(),
            "data": script_json({each.name: each.figure for each in drawn}),
        },
    )


def plotly() -> SafeString:
    """Return the source of plotly.js from its wheel: the wheel's own, which ends no script."""
    source = files("plotly").joinpath("package_data/plotly.min.js").read_text(encoding="utf-8")
    return mark_safe(source.replace("</script", "<\\/script"))  # noqa: S308 - of the wheel


def script_json(value: Any) -> SafeString:
    """Return JSON that can stand in a script element: no character of it ends one."""
    text = json.dumps(value, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return mark_safe(text)  # noqa: S308 - escaped above, as Django's json_script does
