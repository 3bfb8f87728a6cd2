"""What is known of the window of a backtest: which share of it was captured, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from marketdata.capture.feeds import Feed
from marketdata.coverage.report import NOTHING_KNOWN, UNVOUCHED, FeedReport, report_on
from marketdata.coverage.spans import TICK, Span, clipped, minus, union
from marketdata.models import Stream
from marketdata.trades.files import in_order

STREAMS = (Stream.TRADES, Stream.TICKERS)


def coverage_of(symbol: str, since: datetime, until: datetime, now: datetime) -> dict[str, Any]:
    """Return, as JSON, the share of trades and tickers that is complete, and each hole.

    `complete` speaks of the trades: without a ticker a funding may be missing, which is said at
    the result.
    """
    window = Span(since, until - TICK)
    feeds = {
        str(stream): _feed(
            report_on(Feed(stream, symbol), symbol, window.start, window.end, now), window
        )
        for stream in STREAMS
    }
    return {"complete": not feeds[str(Stream.TRADES)]["holes"], "feeds": feeds}


def coverage_in_files(
    paths: Sequence[Path], symbol: str, since: datetime, until: datetime
) -> dict[str, Any]:
    """Return the same by what files of trades say of themselves. Raises RefusedFile."""
    window = Span(since, until - TICK)
    told = [each for each, _ in in_order(paths, symbol)]
    held = [Span(each.since, each.until - TICK) for each in told]
    holes = [
        _hole(span, UNVOUCHED, "no file holds it")
        for span in minus([window], union(clipped(held, window)))
    ]
    holes += [
        _hole(span, hole["state"], hole["reason"])
        for each in told
        for hole in each.missing
        for span in clipped([_span(hole)], window)
    ]
    holes.sort(key=lambda hole: hole["from"])
    missing = union(_span(hole) for hole in holes)
    seconds = sum((span.end - span.start + TICK).total_seconds() for span in missing)
    whole = (until - since).total_seconds()
    feed = {"share": 1 - seconds / whole, "missing_seconds": round(seconds, 3), "holes": holes}
    return {"complete": not holes, "feeds": {str(Stream.TRADES): feed}}


def _feed(report: FeedReport | None, window: Span) -> dict[str, Any]:
    if report is None:
        return {
            "share": 0.0,
            "missing_seconds": (window.end - window.start + TICK).total_seconds(),
            "holes": [_hole(window, UNVOUCHED, NOTHING_KNOWN)],
        }
    return {
        "share": report.share,
        "missing_seconds": round(report.missing_seconds, 3),
        "holes": [_hole(hole.span, hole.state, hole.reason, hole.source) for hole in report.holes],
    }


def _hole(span: Span, state: str, reason: str, source: str = "") -> dict[str, str]:
    times = {"from": span.start.isoformat(), "to": span.end.isoformat()}
    return times | {"state": state, "reason": reason, "source": source}


def _span(hole: Mapping[str, str]) -> Span:
    return Span(*(datetime.fromisoformat(hole[name]) for name in ("from", "to")))
