"""Beginnings: feeds of which nothing was known before this capture, until it vouches for them.

Before the first row can arrive, an open gap is written for each. Were this capture killed, the
next would find it and know since when rows may be missing; the rows that were stored tell too
little of that, as a newer one may be in the tables before an older one. With the first span that
is vouched for it has done its duty and goes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime

from django.db.models import DateTimeField, Value
from django.db.models.functions import Greatest

from marketdata.capture.feeds import CLOCK_MARGIN, Feed, whole
from marketdata.models import CaptureGap

NOT_BEGUN = "capture had not begun"


class Beginnings:
    """The open gaps of feeds that are captured for the first time."""

    def __init__(self) -> None:
        self._rows: dict[Feed, int] = {}
        # Those that were left before they were vouched for: nobody goes on with their gaps.
        self._left: dict[Feed, int] = {}

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

    def leave(self, feeds: Iterable[Feed], at: datetime) -> Callable[[], None]:
        """Write that `feeds` are captured up to `at`, as `delete` does: what they brought is not
        vouched for yet, so their rows stay, and have an end now."""
        left = {feed: self._rows[feed] for feed in feeds if feed in self._rows}
        if left:
            end = Greatest("started_at", Value(whole(at), DateTimeField()))
            CaptureGap.objects.filter(pk__in=left.values(), ended_at=None).update(ended_at=end)

        def confirm() -> None:
            self._left |= left
            self.hand_over(left)

        return confirm

    def delete(self, feeds: Iterable[Feed]) -> Callable[[], None]:
        """Delete the rows of `feeds`, in a transaction of the caller's; what is returned is to
        be called when that is committed."""
        over = set(feeds)
        mine = (self._rows, self._left)
        if rows := [rows[feed] for rows in mine for feed in over & rows.keys()]:
            CaptureGap.objects.filter(pk__in=rows).delete()

        def confirm() -> None:
            self.hand_over(over)
            for feed in over:
                self._left.pop(feed, None)

        return confirm

    def feeds(self) -> set[Feed]:
        """Those that have begun, and are vouched for nowhere yet."""
        return {*self._rows, *self._left}
