"""Results on the screen: a table for a person, one line of JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

from django.core.serializers.json import DjangoJSONEncoder
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from strategies.backtest.runs.keeping import Kept
from strategies.models import BacktestSummary
from strategies.report.words import figures_in_words, holes_in_words, refusals_in_words

# What a program reads elsewhere: the pictures' data.
NOT_IN_JSON = {"id", "user", "account", "run", "price_bars", "grid"}


def print_results(out: TextIO, results: Sequence[Kept]) -> None:
    """Each result with its figures, what is to know of it, and where it is kept."""
    console = Console(file=out)
    if not console.is_terminal:
        console.width = 100
    for kept in results:
        each, run, report = kept.traded, kept.run, kept.report
        summary = each.records.summary
        table = Table(
            title=escape(f"{each.job.name} on {summary.symbol}"),
            show_header=False,
            title_justify="left",
        )
        table.add_column()
        table.add_column(justify="right")
        for name, figure, _ in figures_in_words(summary):
            table.add_row(name, figure)
        console.print(table)
        for line in remarks(summary):
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        if run is not None:
            console.print(f"Stored as run {run.pk}.", markup=False, highlight=False, soft_wrap=True)
        else:
            console.print("Not stored.", markup=False, highlight=False)
        if report:
            console.print(f"Report: {report}", markup=False, highlight=False, soft_wrap=True)


def remarks(summary: BacktestSummary) -> list[str]:
    """Return what a reader of the figures must know besides them."""
    lines = []
    if summary.no_fills_because:
        lines.append(f"No fills: {summary.no_fills_because}")
    if summary.liquidation:
        lines.append(
            f"The account was liquidated at {summary.liquidation['price']}, "
            f"{summary.liquidation['time']}."
        )
    lines += refusals_in_words(summary.refusals)
    if summary.missing_funding:
        lines.append(
            f"Funding settlements without a recorded rate, which cost nothing: "
            f"{len(summary.missing_funding)}."
        )
    return lines + holes_in_words(summary.coverage)


def as_json(results: Sequence[Kept]) -> str:
    """All results in one line; money as decimal texts, times ISO 8601 in UTC, durations too."""
    return json.dumps({"backtests": [_backtest(each) for each in results]}, cls=DjangoJSONEncoder)


def _backtest(kept: Kept) -> Mapping[str, Any]:
    each, summary = kept.traded, kept.traded.records.summary
    columns = {
        field.name: getattr(summary, field.name)
        for field in summary._meta.concrete_fields
        if field.name not in NOT_IN_JSON
    }
    return {
        "name": each.job.name,
        "run": None if kept.run is None else str(kept.run.pk),
        "report": None if kept.report is None else str(kept.report),
        "seconds": (each.ended_at - each.started_at).total_seconds(),
        **columns,
        "handed_over": each.records.result.handed_over,
    }
