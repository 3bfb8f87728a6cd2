"""Gaps: from the last row before an outage to the first row after it, per symbol or account.

Rows are noted on socket threads, in memory; the database is written by `persist`, which
whoever runs capture calls. What is not written when a process dies is covered by the gap that
the next start opens from the newest stored row.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from accounts.models import BybitAccount
from marketdata.models import CaptureGap


class Feed(NamedTuple):
    """One stream of one symbol, or of one account where it is private."""

    stream: str
    symbol: str = ""
    account_id: UUID | None = None


@dataclass
class OpenGap:
    """A gap that has begun; `pk` is None until it is stored."""

    feed: Feed
    started_at: datetime
    reason: str
    outages: int = 1
    ended_at: datetime | None = None
    pk: int | None = None
    changed: bool = True


class GapBook:
    """Opens and closes the gaps of streams."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._last_row_at: dict[Feed, datetime] = {}
        self._open: dict[Feed, OpenGap] = {}
        self._ended: list[OpenGap] = []
        self.opened = 0

    def resume(self, feeds: Iterable[Feed]) -> None:
        """Take over the gaps of `feeds` that a capture which died has left without an end."""
        wanted = set(feeds)
        unfinished = CaptureGap.objects.filter(ended_at=None, state=CaptureGap.State.OPEN)
        for row in unfinished.order_by("-started_at"):
            feed = Feed(row.stream, row.symbol, row.account_id)
            if feed in wanted:
                outages = int(row.evidence.get("outages", 1))
                with self._lock:
                    # The oldest of several covers them all; it is the last one read.
                    self._open[feed] = OpenGap(
                        feed, row.started_at, row.reason, outages, pk=row.pk, changed=False
                    )

    def note_rows(self, feed: Feed, first_at: datetime, last_at: datetime) -> None:
        """Rows of `feed` arrived: they end its gap, and the next one would begin after them."""
        with self._lock:
            gap = self._open.pop(feed, None)
            if gap is not None:
                # A row may be older than the gap's start when the exchange sends one again.
                gap.ended_at = max(first_at, gap.started_at)
                gap.changed = True
                self._ended.append(gap)
            last = self._last_row_at.get(feed)
            if last is None or last_at > last:
                self._last_row_at[feed] = last_at

    def open(self, feeds: Iterable[Feed], reason: str, since: datetime) -> None:
        """Open a gap for each of `feeds`, from its last row, or `since` where it had none.

        A gap that is open already goes on and counts one outage more.
        """
        with self._lock:
            for feed in feeds:
                gap = self._open.get(feed)
                if gap is not None:
                    gap.outages += 1
                    gap.changed = True
                    continue
                started_at = self._last_row_at.get(feed, since)
                self._open[feed] = OpenGap(feed, started_at, reason[:200])
                self.opened += 1

    def end(self, at: datetime, feeds: Iterable[Feed] | None = None) -> None:
        """End what is open of `feeds`, or all: capture of them stops, and vouches for nothing
        up to `at`."""
        with self._lock:
            for feed in list(self._open) if feeds is None else list(feeds):
                gap = self._open.pop(feed, None)
                if gap is not None:
                    gap.ended_at = max(at, gap.started_at)
                    gap.changed = True
                    self._ended.append(gap)

    def declare(self, feed: Feed, started_at: datetime, ended_at: datetime, reason: str) -> None:
        """Add a gap whose bounds are known, both included."""
        with self._lock:
            self._ended.append(OpenGap(feed, started_at, reason[:200], ended_at=ended_at))
            self.opened += 1

    def unwritten(self) -> list[OpenGap]:
        """What `persist` would write."""
        with self._lock:
            return [gap for gap in (*self._ended, *self._open.values()) if gap.changed]

    def take_over(self, gaps: Iterable[OpenGap]) -> None:
        """Have `persist` write what an earlier capture could not, where it is not there."""
        fresh = [gap for gap in gaps if gap.pk is not None or not _is_stored(gap)]
        with self._lock:
            self._ended += fresh

    def persist(self) -> None:
        """Write what changed. On a database error nothing is forgotten, and it is raised."""
        with self._lock:
            states = [(gap, gap.ended_at, gap.outages) for gap in self.unwritten()]
        if not states:
            return
        fresh = [gap for gap, _, _ in states if gap.pk is None]
        try:
            with transaction.atomic():
                for gap, ended_at, outages in states:
                    self._write(gap, ended_at, outages)
        except BaseException:
            # Rows that were rolled back have no key: they are written again, not updated.
            for gap in fresh:
                gap.pk = None
            raise
        with self._lock:
            for gap, ended_at, outages in states:
                gap.changed = (gap.ended_at, gap.outages) != (ended_at, outages)
            self._ended = [gap for gap in self._ended if gap.changed]

    def _write(self, gap: OpenGap, ended_at: datetime | None, outages: int) -> None:
        evidence = {"outages": outages}
        if gap.pk is not None:
            # A row that is gone went with its account: nobody asks for it any more.
            CaptureGap.objects.filter(pk=gap.pk).update(
                ended_at=ended_at, evidence=evidence, updated_at=timezone.now()
            )
        elif gap.feed.account_id is None or _exists(gap.feed.account_id):
            gap.pk = CaptureGap.objects.create(
                stream=gap.feed.stream,
                symbol=gap.feed.symbol,
                account_id=gap.feed.account_id,
                started_at=gap.started_at,
                ended_at=ended_at,
                reason=gap.reason,
                evidence=evidence,
            ).pk


def _is_stored(gap: OpenGap) -> bool:
    """Whether it was written after all, its writer having died before it knew."""
    stream, symbol, account_id = gap.feed
    same = CaptureGap.objects.filter(stream=stream, symbol=symbol, account_id=account_id)
    return same.filter(started_at=gap.started_at, reason=gap.reason).exists()


def _exists(account_id: UUID) -> bool:
    return BybitAccount.objects.unscoped().filter(pk=account_id).exists()
