"""Feeds, and how long each lived without a miss."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

# The exchange's times are whole milliseconds.
TICK = timedelta(milliseconds=1)
# How much older than a row of its stream a later row may be: states of orders and executions
# come out of order now and then. Public trades and tickers of a symbol come in order.
PRIVATE_LATENESS = timedelta(seconds=2)
# How far apart topics of one connection, and answers to pings, may be in the exchange's time:
# what is older than the newest of them by more than this has arrived or never will.
BEAT_MARGIN = timedelta(seconds=5)
# How far the exchange's clock and ours may be apart. A row may bear a later time, which is taken
# as it is; it proves nothing of the time that has not come yet.
CLOCK_MARGIN = timedelta(seconds=2)


def whole(at: datetime) -> datetime:
    """A time of a finer clock on the exchange's: between two whole milliseconds there is no row."""
    return at.replace(microsecond=at.microsecond // 1000 * 1000)


class Feed(NamedTuple):
    """One stream of one symbol, or of one account where it is private."""

    stream: str
    symbol: str = ""
    account_id: UUID | None = None

    @property
    def lateness(self) -> timedelta:
        """How much older than the last row of this feed the next one may be."""
        return PRIVATE_LATENESS if self.account_id else timedelta()


@dataclass
class Life:
    """A time without a miss, which goes on until a gap opens.

    Everything from `started_at` to just before `frontier` has arrived; `newest` is the time of
    the last row. One that `is_over` ended at its frontier with a gap.
    """

    feed: Feed
    started_at: datetime
    frontier: datetime
    newest: datetime | None = None
    is_over: bool = False

    def reach(self, until: datetime, latest: datetime) -> None:
        """Everything before `until` has arrived, as far as that is not after the `latest` time."""
        self.frontier = max(self.frontier, min(until, latest))


class Quiet(NamedTuple):
    """For how many `seconds`, by what else its connection brings, a feed has had no row since its
    last one, or since it was first listened to."""

    since: datetime
    seconds: float
