"""Trades a minute apart, all vouched for, and what is left of them."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

from marketdata.capture.feeds import Feed
from marketdata.coverage.ledger import Source, gaps_of, intervals_of, vouch
from marketdata.coverage.report import rows_of
from marketdata.coverage.spans import TICK, Span
from marketdata.models import CaptureGap, PublicTrade
from marketdata.prune.lots import Facts, Lot
from marketdata.prune.pruner import Pruning, pruning_of
from marketdata.tests.records import trade

FEED = Feed("trades", "BTCUSDT")
START = datetime(2026, 1, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """So many minutes after the start."""
    return START + timedelta(minutes=minutes)


def ago(**age: float) -> datetime:
    """A time before now, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(**age)


def store_trades(*minutes: int, symbol: str = "BTCUSDT", start: datetime = START) -> None:
    """A trade at each of these minutes."""
    PublicTrade.objects.bulk_insert(
        [
            PublicTrade(**record._asdict())
            for record in (
                trade(n, symbol=symbol, exchange_ts=start + timedelta(minutes=n)) for n in minutes
            )
        ]
    )


def captured(minutes: int = 60) -> None:
    """A capture of so many minutes, whole."""
    store_trades(*range(minutes))
    vouch(*FEED, at(0), at(minutes) - TICK, Source.LIVE)


def gap(start: float, end: float | None, **changes) -> CaptureGap:
    """A gap of the trades."""
    values = {"stream": "trades", "symbol": "BTCUSDT", "reason": "lost"} | changes
    ended_at = None if end is None else at(end) - TICK
    return CaptureGap.objects.create(started_at=at(start), ended_at=ended_at, **values)


def pruning_before(until: datetime, *lots: Lot) -> Pruning:
    """A prune of what is older, of the trades where nothing else is said."""
    return pruning_of([(lot, until) for lot in lots or (Facts(FEED, "BTCUSDT"),)])


def prune(until: datetime, *lots: Lot) -> Pruning:
    """Prune all that is older."""
    pruning = pruning_before(until, *lots)
    pruning.run(threading.Event(), lambda rows: None)
    return pruning


def minutes_left(feed: Feed = FEED) -> list[int]:
    """At which minutes there are rows."""
    times = rows_of(feed).order_by("exchange_ts").values_list("exchange_ts", flat=True)
    return [(each - START) // timedelta(minutes=1) for each in times]


def vouched(feed: Feed = FEED) -> list[tuple[float, float | None]]:
    """The intervals, in minutes; ends are not included."""
    return [_in_minutes(row.started_at, row.ended_at) for row in intervals_of(feed)]


def missing(feed: Feed = FEED) -> list[tuple[float, float | None, str]]:
    """The gaps that are not filled, in minutes, with their states."""
    return [(*_in_minutes(row.started_at, row.ended_at), str(row.state)) for row in gaps_of(feed)]


def _in_minutes(start: datetime, end: datetime | None) -> tuple[float, float | None]:
    minute = timedelta(minutes=1)
    return (start - START) / minute, None if end is None else (end + TICK - START) / minute


def whole_span(start: float, end: float) -> Span:
    """A span of minutes; the end is not included."""
    return Span(at(start), at(end) - TICK)
