"""What the two halves of a capture have in common: writers, and the connections that feed them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from marketdata.capture.books import Books
from marketdata.capture.collectors import Collector
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import Feed
from marketdata.capture.repairs import Repairs
from marketdata.capture.supervisor import Client, Supervisor
from marketdata.capture.writers import Writer
from marketdata.coverage.frontier import frontiers
from marketdata.coverage.spans import minus

NOT_RUNNING = "capture was not running"
DIED_BEFORE = "capture died before it had vouched for this"


class Part:
    """Some writers, and the connections that feed them."""

    def __init__(self, config: CaptureConfig, books: Books, repairs: Repairs | None) -> None:
        self.config, self.books, self.repairs = config, books, repairs
        self.writers: list[Writer[Any]] = []
        self.collectors: list[Collector] = []

    @property
    def supervisors(self) -> list[Supervisor]:
        """The supervisors of its connections."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin."""
        for writer in self.writers:
            writer.start_auto_flush()

    def step(self) -> None:
        """Do what is due, twice a second. May raise a database error, and is called again."""

    def _go_on(self, feeds: Mapping[Feed, Callable[[], datetime | None]]) -> None:
        """Open the gaps since the last run: from where what is known of a feed ends, or where
        nothing ever vouched for it, from its last row, which the value tells."""
        # What ended in this very capture is to be found there, too.
        self.books.persist()
        self.books.take_over(feeds)
        known, starts = frontiers(feeds), dict[Feed, datetime]()
        for feed, last_row_at in feeds.items():
            if at := known.get(feed):
                starts[feed] = at.start
            elif (last := last_row_at()) is not None:
                starts[feed] = last - feed.lateness
        # Before anything is noted in memory: it may fail, and be tried again.
        self.books.begin(feeds.keys() - starts.keys())
        for feed, start in starts.items():
            self.books.gaps.open_from(feed, NOT_RUNNING, start)
            # Rows of an account that was served before may still wait to be stored.
            holes = known[feed].holes if feed in known else ()
            for hole in minus(holes, self.books.gaps.claimed(feed)):
                self.books.gaps.cut(feed, DIED_BEFORE, hole.start, hole.end)

    def beat(self) -> None:
        """Let quiet streams know how far their connections have come."""
        for supervisor, collector in self._connections():
            supervisor.beat(collector.newest)

    def _connections(self) -> list[tuple[Supervisor, Collector]]:
        """The connections that are served, and who takes their frames."""
        raise NotImplementedError

    def failure(self) -> str:
        """What has died of it, if anything has."""
        for writer in self.writers:
            if writer.error is not None or not writer.is_alive():
                return f"the {writer.stream} writer died: {writer.error!r}"
        return ""

    def stop(self) -> None:
        """Close the connections."""
        for supervisor in self.supervisors:
            supervisor.request_stop()
        for supervisor in self.supervisors:
            supervisor.stop()

    def finish(self) -> None:
        """Write what is to be written after the last row. May raise a database error."""

    def _writer_options(self) -> dict[str, Any]:
        return {
            "tally": self.books.tally,
            "quarantine": self.books.quarantine,
            "batch_size": self.config.batch_size,
            "flush_interval": self.config.flush_interval,
            "overflow": self.books.overflow,
        }

    def _supervise(self, name: str, client: Client, collector: Collector) -> Supervisor:
        return Supervisor(
            name,
            client,
            self.books.gaps,
            collector.topics,
            on_connecting=collector.on_connecting,
            first_delay=self.config.reconnect_delay,
            longest_delay=self.config.max_reconnect_delay,
            refused_delay=self.config.refused_delay,
            **({"on_connected": self.repairs.on_connected} if self.repairs else {}),
        )
