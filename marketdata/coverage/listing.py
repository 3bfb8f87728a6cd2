"""Coverage on the screen: tables on a terminal, plain lines elsewhere, or one line of JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from marketdata.coverage.report import FeedReport, Hole
from marketdata.coverage.spans import Span
from marketdata.coverage.verify import Verification, is_sound

NOTHING_VERIFIED = (
    "There was nothing to verify: no whole minute of trades that is over is vouched for."
)


def print_coverage(
    out: TextIO, reports: Sequence[FeedReport], verifications: Sequence[Verification] | None
) -> None:
    """Each feed with its share, each hole, and each minute that differs."""
    console = Console(file=out)
    if console.is_terminal:
        _print_tables(console, reports, verifications)
    else:
        console.width = 10_000
        for line in _lines(reports, verifications):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    console.print(summary(reports, verifications), highlight=False, markup=False, soft_wrap=True)


def summary(reports: Sequence[FeedReport], verifications: Sequence[Verification] | None) -> str:
    """One sentence for all of it; `verifications` are None where nobody asked for them."""
    broken = [report for report in reports if report.holes]
    if broken:
        holes = sum(len(report.holes) for report in broken)
        words = f"{len(broken)} of {len(reports)} feeds are incomplete, {holes} holes."
    else:
        words = f"All {len(reports)} feeds are complete."
    if verifications is not None:
        minutes = sum(each.minutes for each in verifications)
        if not minutes:
            return f"{words} {NOTHING_VERIFIED}"
        wrong = sum(len(each.unexplained) for each in verifications)
        words += f" {minutes:,} minutes were compared with the exchange's klines, {wrong} differ."
    return words


def is_complete(
    reports: Sequence[FeedReport], verifications: Sequence[Verification] | None
) -> bool:
    """Whether nothing is missing and, where that was asked for, the exchange's klines agree."""
    return not any(report.holes for report in reports) and (
        verifications is None or is_sound(verifications)
    )


def as_json(reports: Sequence[FeedReport], verifications: Sequence[Verification] | None) -> str:
    """All of it in one line; times are ISO 8601 in UTC, volumes decimal strings."""
    minutes = None if verifications is None else sum(each.minutes for each in verifications)
    return json.dumps(
        {
            "feeds": [_feed_json(report) for report in reports],
            "verified": [_verification_json(each) for each in verifications or ()],
            # Without --verify null; 0 is a verification that had nothing to verify.
            "minutes_compared": minutes,
            "complete": is_complete(reports, verifications),
        }
    )


def _print_tables(
    console: Console, reports: Sequence[FeedReport], verifications: Sequence[Verification] | None
) -> None:
    table = Table(
        "of", "stream", "from (UTC)", "to (UTC)", "complete", "missing s", "by", "pruned up to"
    )
    for column in table.columns[4:6]:
        column.justify = "right"
    for report in reports:
        span = report.asked
        table.add_row(
            report.subject, report.feed.stream, _time(span.start), _time(span.end),
            _percent(report), f"{report.missing_seconds:,.3f}", ", ".join(sorted(report.by_source)),
            _time(report.pruned) if report.pruned else "-",
            style="red" if report.holes else "",
        )  # fmt: skip
    console.print(table)
    holes = Table("of", "stream", "missing from (UTC)", "to (UTC)", "state", "reason", "source")
    for report in reports:
        for hole in report.holes:
            holes.add_row(
                report.subject, report.feed.stream, _time(hole.span.start), _time(hole.span.end),
                hole.state, hole.reason, hole.source or "-",
            )  # fmt: skip
    if holes.row_count:
        console.print(holes)
    minutes = Table("of", "minute (UTC)", "captured", "exchange", "difference", "note")
    for each in verifications or ():
        for difference in each.differences:
            minutes.add_row(*_difference_cells(difference))
    if minutes.row_count:
        console.print(minutes)


def _lines(
    reports: Sequence[FeedReport], verifications: Sequence[Verification] | None
) -> list[str]:
    lines = []
    for report in reports:
        lines.append(
            f"{report.subject} {report.feed.stream} {_span(report.asked)}: {_percent(report)} "
            f"complete, {report.missing_seconds:.3f} s missing"
            + (f", pruned up to {_time(report.pruned)}" if report.pruned else "")
        )
        lines += [f"  {_hole(hole)}" for hole in report.holes]
    for each in verifications or ():
        lines.append(f"{each.symbol}: {each.minutes} minutes compared with klines")
        for difference in each.differences:
            _, minute, captured, exchange, delta, note = _difference_cells(difference)
            lines.append(
                f"  {minute}: captured {captured}, exchange {exchange}, difference {delta}"
                + (f" ({note})" if note else "")
            )
    return lines


def _hole(hole: Hole) -> str:
    source = f" (the rest from {hole.source})" if hole.source else ""
    return f"missing {_span(hole.span)} {hole.state}: {hole.reason}{source}"


def _difference_cells(difference: Any) -> tuple[str, str, str, str, str, str]:
    exchange = difference.exchange
    delta = difference.captured - exchange if exchange is not None else difference.captured
    return (
        difference.symbol,
        f"{difference.minute:%Y-%m-%d %H:%M}",
        f"{difference.captured.normalize():f}",
        "none" if exchange is None else f"{exchange.normalize():f}",
        f"{delta.normalize():+f}",
        difference.explained,
    )


def _feed_json(report: FeedReport) -> dict[str, Any]:
    account = report.feed.account_id
    return {
        "stream": report.feed.stream,
        "symbol": report.feed.symbol,
        "account": str(account) if account else None,
        "name": report.subject,
        **_span_json(report.asked),
        "share": report.share,
        "missing_seconds": round(report.missing_seconds, 3),
        "pruned_until": report.pruned and report.pruned.isoformat(),
        "seconds_by_source": {name: round(s, 3) for name, s in report.by_source.items()},
        "missing": [
            {
                **_span_json(hole.span),
                "state": hole.state,
                "reason": hole.reason,
                "source": hole.source,
            }
            for hole in report.holes
        ],
    }


def _verification_json(each: Verification) -> dict[str, Any]:
    return {
        "symbol": each.symbol,
        "minutes": each.minutes,
        "differences": [
            {
                "minute": difference.minute.isoformat(),
                "captured": f"{difference.captured:f}",
                "exchange": None if difference.exchange is None else f"{difference.exchange:f}",
                "explained": difference.explained,
            }
            for difference in each.differences
        ],
    }


def _span_json(span: Span) -> dict[str, str]:
    return {"from": span.start.isoformat(), "to": span.end.isoformat()}


def _percent(report: FeedReport) -> str:
    # Rounding must not make an incomplete feed look whole.
    share = min(report.share, 0.99999) if report.holes else 1.0
    return f"{share * 100:.3f}%"


def _span(span: Span) -> str:
    return f"{_time(span.start)} to {_time(span.end)}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"
