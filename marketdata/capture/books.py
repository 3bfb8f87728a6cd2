"""What all parts of a capture share: the counts, the quarantine, the gaps, the way to disk."""

from __future__ import annotations

from collections.abc import Callable

from marketdata.capture.gaps import GapBook
from marketdata.capture.journal import Journal
from marketdata.capture.overflow import Overflow
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.tally import Tally


class Books:
    """The books of one capture."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.quarantine = Quarantine(self.tally)
        self.gaps = GapBook()
        self.journal: Journal | None = None
        # Makes the way to disk of the writer of a stream, where there is one.
        self.overflow: Callable[[str], Overflow] | None = None

    def persist(self) -> None:
        """Write gaps and quarantine. On a database error nothing is forgotten, and it is raised."""
        try:
            self.gaps.persist()
        finally:
            self.quarantine.flush()
