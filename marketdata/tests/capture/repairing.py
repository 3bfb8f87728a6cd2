"""What tests of repairs and audits share."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from marketdata.bybit.values import time_from_ms
from marketdata.capture.feeds import Feed
from marketdata.coverage.ledger import vouch
from marketdata.models import CoverageInterval
from marketdata.tests.capture.conftest import Running


def until(running: Running, holds: Callable[[], object]) -> None:
    """Wait until `holds`; the time limit of the test is the only one."""
    while not holds():
        assert not running.stop.wait(0.01)
        assert running.thread.is_alive(), running.error


def audit_now(running: Running, key: Any) -> None:
    """Have an audit of a symbol or an account begin now."""
    repairs = running.service.repairs
    assert repairs is not None
    until_idle(running, key)
    repairs._links[key].audit_at = 0.0
    repairs._queue.put(key)


def until_idle(running: Running, key: Any) -> None:
    """Wait for an audit under way: it has read the claims, and sets the time of the next one."""
    repairs = running.service.repairs
    assert repairs is not None
    queue = repairs._queue
    until(running, lambda: key not in queue._busy and key not in queue._due)


def claim(feed: Feed, start: datetime, end: datetime) -> None:
    """Have the ledger say that a span of `feed` is complete."""
    vouch(*feed, start, end, CoverageInterval.Source.LIVE)


def times_of(rows: list[dict[str, Any]]) -> tuple[datetime, datetime]:
    """When the first and the last of some trades of the exchange were made."""
    times = [time_from_ms(int(row["T"])) for row in rows]
    return min(times), max(times)
