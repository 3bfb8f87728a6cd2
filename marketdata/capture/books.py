"""What all parts of a capture share: counts, quarantine, gaps, the way to disk, the claims."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Any

from django.db import transaction
from django.utils import timezone

from marketdata.capture.beginnings import Beginnings
from marketdata.capture.feeds import Feed
from marketdata.capture.gaps import GapBook
from marketdata.capture.journal import Journal
from marketdata.capture.lease import Lease
from marketdata.capture.overflow import Overflow
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.tally import Tally
from marketdata.capture.vouching import Voucher
from marketdata.capture.writers import Writer


class Books:
    """The books of one capture, which holds `lease`; of others, which vouch for nothing live."""

    def __init__(self, lease: Lease | None = None) -> None:
        self.tally = Tally()
        self.quarantine = Quarantine(self.tally)
        self.gaps = GapBook()
        self.journal: Journal | None = None
        # Makes the way to disk of the writer of a stream, where there is one.
        self.overflow: Callable[[str], Overflow] | None = None
        self.voucher = Voucher(self.tally, self.quarantine, self.gaps)
        self._beginnings = Beginnings()
        self._lease = lease
        self._writing = threading.Lock()

    def fenced(self) -> AbstractContextManager[None]:
        """A transaction for what only the one capture may write. Raises LeaseLost."""
        return self._lease.fenced() if self._lease else transaction.atomic()

    def take_over(self, feeds: Iterable[Feed]) -> None:
        """Go on with the gaps of `feeds` that an earlier capture has left without an end.

        Raises LeaseLost.
        """
        with self._writing, self.fenced():
            self._beginnings.hand_over(feeds)
            self.gaps.resume(feeds)

    def begin(self, feeds: Iterable[Feed]) -> None:
        """Write that `feeds` are captured for the first time, from now on. Raises LeaseLost."""
        with self._writing, self.fenced():
            self._beginnings.write(feeds, timezone.now())

    def leave(self, feeds: Iterable[Feed], at: datetime) -> None:
        """Forget those of `feeds` that have begun and never brought a row; the others are captured
        up to `at`. Raises LeaseLost."""
        with self._writing, self.fenced():
            self._beginnings.delete(set(feeds) - self.gaps.feeds())()
            confirm = self._beginnings.leave(feeds, at)
        confirm()

    def end(self) -> None:
        """Forget what has begun: every row that was heard is stored. Raises LeaseLost."""
        with self._writing, self.fenced():
            self._beginnings.delete(self._beginnings.feeds())()

    def vouch(self, writers: Iterable[Writer[Any]], *, closing: bool = False) -> None:
        """See what has come true of what is stored; `persist` writes it."""
        with self._writing:
            self.voucher.look(writers, closing=closing)

    def persist(self) -> None:
        """Write gaps, what is vouched for, and quarantine, from any thread.

        On a database error nothing is forgotten, and it is raised. Raises LeaseLost. Gaps and
        intervals are one transaction: between the two there is never an instant that is neither.
        """
        with self._writing:
            try:
                if self.gaps.has_changes() or self.voucher.has_changes():
                    with self.fenced():
                        written = [
                            self._beginnings.delete(self.voucher.due()),
                            self.gaps.write(),
                            self.voucher.write(),
                        ]
                    for confirm in written:
                        confirm()
            finally:
                self.quarantine.flush()
