"""Pulses: whether the threads of a capture come on with their work.

A thread is watched while it works (`with pulse:`) and says with `beat` that it comes on; between
two works it may wait as long as it likes, so that a quiet stream is no hung one. A part whose
threads never wait for long for anything to do (`must_turn`) is watched between, too: it is hung
when none of them has begun, come on or ended for too long.

A thread may work for several parts at once, a reconciler that flushes a writer for instance: where
it comes on it does so for all of them.
"""

from __future__ import annotations

import threading
from time import monotonic

# Twice as long as a server may work on one statement of capture (patience.STATEMENT_SECONDS);
# connecting to the exchange, authenticating and subscribing take at most 45 s together.
HUNG_SECONDS = 120.0


class _Work(threading.local):
    """The parts that a thread is at work for, the innermost last."""

    def __init__(self) -> None:
        self.pulses: list[Pulse] = []


_work = _Work()


def come_on() -> None:
    """This thread comes on, whatever it is at work for."""
    for pulse in _work.pulses:
        pulse.beat()


class Pulse:
    """The signs of life of one part of capture, of any number of threads; `limit` is in seconds.

    `part` is one of a few words (reader, flusher, reconciler, service), `of` which one it is.
    """

    def __init__(
        self, part: str, of: str = "", *, limit: float = HUNG_SECONDS, must_turn: bool = False
    ) -> None:
        self.part, self.limit = part, limit
        self.name = f"the {part} of {of}" if of else f"the {part}"
        self._must_turn = must_turn
        # When each thread at work was last known to come on.
        self._at_work: dict[int, float] = {}
        self._turned_at: float | None = None

    def __enter__(self) -> None:
        _work.pulses.append(self)
        self._turned_at = self._at_work[threading.get_ident()] = monotonic()

    def __exit__(self, *error: object) -> None:
        _work.pulses.remove(self)
        self._at_work.pop(threading.get_ident(), None)
        self._turned_at = monotonic()

    def beat(self) -> None:
        """This thread comes on; nothing where it is not at work for this part."""
        if threading.get_ident() in self._at_work:
            self._turned_at = self._at_work[threading.get_ident()] = monotonic()

    @property
    def silent_seconds(self) -> float:
        """For how long the slowest thread at work has not come on, or a part that must not rest
        has rested; 0 when neither."""
        since = list(self._at_work.values())
        if self._must_turn and self._turned_at is not None:
            since.append(self._turned_at)
        return max(0.0, monotonic() - min(since)) if since else 0.0

    @property
    def is_hung(self) -> bool:
        """Whether that is longer than it may be."""
        return self.silent_seconds > self.limit

    def hung_threads(self) -> list[int]:
        """The identities of the threads at work that do not come on."""
        latest = monotonic() - self.limit
        return [thread for thread, since in list(self._at_work.items()) if since < latest]
