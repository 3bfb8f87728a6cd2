"""Beginnings: feeds of which nothing was known before this capture, until it vouches for them.

Before the first row can arrive, an open gap is written for each. Were this capture killed, the
next would find it and know since when rows may be missing; the rows that were stored tell too
little of that, as a newer one may be in the tables before an older one. With the first span that
is vouched for it has done its duty and goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from marketdata.capture.feeds import CLOCK_MARGIN, Feed, whole
from marketdata.models import CaptureGap

NOT_BEGUN = "capture had not begun"


class Beginnings:
    """The open gaps of feeds that are captured for the first time."""

    def __init__(self) -> None:
        self._rows: dict[Feed, int] = {}

    def write(self, feeds: Iterable[Feed], at: datetime) -> None:
        """Write that `feeds` begin `at` this time of our clock, in a transaction of the caller's."""
        start = whole(at - CLOCK_MARGIN)
        gaps = CaptureGap.objects.bulk_create(
            CaptureGap(**feed._asdict(), started_at=start, reason=NOT_BEGUN) for feed in feeds
        )
        for gap in gaps:
            self._rows[Feed(gap.stream, gap.symbol, gap.account_id)] = gap.pk

    def hand_over(self, feeds: Iterable[Feed]) -> None:
        """Leave the rows of `feeds` to whoever takes over the open gaps of the database."""
        for feed in feeds:
            self._rows.pop(feed, None)

    def delete(self, feeds: Iterable[Feed]) -> Callable[[], None]:
        """Delete the rows of `feeds`, in a transaction of the caller's; what is returned is to
        be called when that is committed."""
        over = {feed: self._rows[feed] for feed in feeds if feed in self._rows}
        if over:
            CaptureGap.objects.filter(pk__in=over.values()).delete()
        return lambda: self.hand_over(over)

    def feeds(self) -> set[Feed]:
        """Those that have begun, and are vouched for nowhere yet."""
        return set(self._rows)
