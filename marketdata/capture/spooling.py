"""The spool within a capture: whose it is, what goes into the books, and the replay at start."""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder

from accounts.models import BybitAccount
from marketdata.capture.books import Books
from marketdata.capture.books_file import BooksFile
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import Feed
from marketdata.capture.overflow import Overflow, OverflowRule
from marketdata.capture.private_writers import (
    ExecutionWriter,
    OrderWriter,
    PositionWriter,
    WalletWriter,
)
from marketdata.capture.public_writers import TickerWriter, TradeWriter
from marketdata.capture.spool import Spool
from marketdata.capture.spool_codec import PUBLIC
from marketdata.capture.spool_segment import Loss
from marketdata.capture.tally import StreamKey
from marketdata.capture.writers import Writer
from marketdata.exits import ConfigurationError
from marketdata.log_events import SPOOL_FAILED
from marketdata.log_rate import Seldom

logger = logging.getLogger(__name__)

WRITERS: tuple[type[Writer[Any]], ...] = (
    ExecutionWriter, OrderWriter, PositionWriter, WalletWriter, TradeWriter, TickerWriter,
)  # fmt: skip
# A disk that fails is no wrong setting: capture goes on without it.
DISK_FAILS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO})
# While capture runs the file of the books is written often, so it takes no more than this.
MESSAGES_SAVED = 1000


class Spooling:
    """The spool of one capture, in its books."""

    def __init__(self, books: Books, config: CaptureConfig) -> None:
        self.recovered = 0
        self._books, self._config = books, config
        self._rule = OverflowRule(seconds=config.spool_after, rows=config.spool_rows)
        self.spool = Spool(
            config.spool_folder, max_bytes=config.spool_max_bytes, on_loss=self._on_loss
        )
        self._file: BooksFile | None = None
        self._unkept = Seldom()
        books.overflow = self._overflow

    def open(self) -> None:
        """Take over what an earlier capture left. Raises ConfigurationError, DatabaseError."""
        database = database_identity()
        try:
            waiting = self.spool.open(database, str(self._config.environment))
            self._file = BooksFile(self.spool.folder)
            gaps, messages = self._file.read()
        except OSError as error:
            if error.errno not in DISK_FAILS:
                raise ConfigurationError(
                    f"The spool cannot be used: {error}; GRIDBOT_SPOOL_DIR says where it lies."
                ) from None
            SPOOL_FAILED.log(
                logger, "ALARM: capture goes without its spool: %s", error, reason=error.strerror
            )
            return
        for key, rows in waiting.items():
            self._books.tally.add(key, received=rows, spooled=rows)
        self.recovered = waiting.total()
        self._books.gaps.take_over(gaps)
        self._books.quarantine.take_over(messages)

    def replay(
        self,
        writers: Iterable[Writer[Any]],
        stop: threading.Event,
        on_progress: Callable[[int], None],
    ) -> None:
        """Store what was left, by `writers` and where there is none by one of its own.

        It ends early when the database goes away; the rest is replayed while capture runs.
        """
        by_stream = {str(writer.stream): writer for writer in writers}
        for writer_class in WRITERS:
            log = self.spool.log(str(writer_class.stream))
            writer = by_stream.get(log.stream)
            if log and writer is None:
                writer = writer_class(
                    self._books.tally, self._books.quarantine, overflow=self._overflow
                )
            while log and writer is not None and not stop.is_set():
                on_progress(self.spool.rows)
                if not writer.replay_next():
                    return

    def save_books(self, *, closing: bool = False) -> bool:
        """Have what the database has not taken of the books on disk; False when that fails."""
        if self._file is None:
            return False
        messages = self._books.quarantine.unwritten()
        try:
            self._file.save(
                self._books.gaps.unwritten(), messages if closing else messages[:MESSAGES_SAVED]
            )
        except OSError as error:
            if self._unkept.is_due():
                text = "ALARM: gaps and quarantine cannot be kept on disk: %s"
                SPOOL_FAILED.log(logger, text, error, reason=error.strerror)
            return False
        return True

    def close(self) -> None:
        """Give the folder back."""
        self.spool.close()

    def _overflow(self, stream: str) -> Overflow:
        return Overflow(self.spool.log(stream), self._rule)

    def _on_loss(self, loss: Loss) -> None:
        """Book what will not reach the database, and declare it, on disk before all."""
        # Before the rows leave the spool: what is in it is not vouched for.
        for (key, symbol), span in loss.spans.items():
            for feed in self._feeds(key, symbol):
                self._books.voucher.exclude(feed, loss.reason, span.first, span.last)
        for key, rows in loss.rows.items():
            self._books.tally.add(key, spooled=-rows, dropped=rows)
        self.save_books()

    def _feeds(self, key: StreamKey, symbol: str) -> list[Feed]:
        """The feed of a span; every one of the stream where nobody knows which it was."""
        if symbol or key.account_id is not None:
            return [Feed(key.stream, symbol, key.account_id)]
        if key.stream in PUBLIC:
            return [Feed(key.stream, each) for each in self._config.symbols]
        return [Feed(key.stream, "", account_id) for account_id in self._account_ids()]

    def _account_ids(self) -> set[UUID]:
        known = {key.account_id for key, _ in self._books.tally if key.account_id}
        try:
            return known | set(BybitAccount.objects.unscoped().values_list("pk", flat=True))
        except DatabaseError:
            connection.close()
            return known


def database_identity() -> str:
    """What tells this database from every other, also from one made anew in its place.

    The moment at which its first table of facts was made goes with it through backup and
    restore. Raises DatabaseError.
    """
    first = MigrationRecorder(connection).Migration.objects.filter(app="marketdata")
    born = first.order_by("pk").values_list("applied", flat=True)[0]
    return f"{connection.vendor} database of {born.isoformat()}"
