"""What is repaired: a symbol, or an account, and the connection that serves it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from marketdata.capture.accounts import AccountContext
from marketdata.capture.feeds import Feed
from marketdata.capture.supervisor import Supervisor
from marketdata.capture.writers import Writer
from marketdata.models import Stream

PRIVATE_STREAMS = (Stream.EXECUTIONS, Stream.ORDERS, Stream.POSITIONS, Stream.WALLET)
# Of public streams REST shows the past of trades alone.
PUBLIC_STREAMS = (Stream.TRADES,)

Key = UUID | str


@dataclass(eq=False, kw_only=True)
class Link:
    """One symbol, or one account with its `context`, and what is to be asked for it.

    `refusal` is why the exchange will not answer this key before its next connection, `trouble`
    why it could not be asked the last time. `probed_after` is the last row of a quiet topic that
    was asked after.
    """

    name: str
    supervisor: Supervisor
    writers: dict[Stream, Writer[Any]]
    symbol: str = ""
    context: AccountContext | None = None
    refusal: str = ""
    trouble: str = ""
    was_tried: bool = False
    audited_until: datetime | None = None
    audit_at: float = 0.0
    probed_after: datetime | None = None
    _wanted: set[Stream] = field(default_factory=set)
    _is_new: bool = False
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def key(self) -> Key:
        """What tells it from all others."""
        return self.context.account_id if self.context else self.symbol

    @property
    def account_id(self) -> UUID | None:
        """The account, where it is one."""
        return self.context.account_id if self.context else None

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams of which REST shows something."""
        return PRIVATE_STREAMS if self.context else PUBLIC_STREAMS

    def feed(self, stream: Stream) -> Feed:
        """The name of one of its streams in the book of gaps."""
        return Feed(stream, self.symbol, self.account_id)

    def gaps_of(self, stream: Stream) -> dict[str, Any]:
        """How the gap rows of one of its streams are found."""
        return {"stream": stream, "symbol": self.symbol, "account": self.account_id}

    def fed_now(self, streams: set[Stream]) -> list[Feed]:
        """Those of `streams` that its connection brings at this moment."""
        given = self.supervisor.given_feeds() if self.supervisor.connected.is_set() else ()
        return [feed for feed in map(self.feed, sorted(streams)) if feed in given]

    @property
    def is_settled(self) -> bool:
        """Whether it was repaired, or cannot be for now."""
        supervisor = self.supervisor
        is_away = supervisor.was_tried.is_set() and not supervisor.connected.is_set()
        return self.was_tried or is_away

    @property
    def has_wishes(self) -> bool:
        """Whether anything is to be asked."""
        return bool(self._wanted)

    def connected_anew(self) -> None:
        """Everything is to be asked: its connection is another one."""
        with self._lock:
            self._wanted |= set(self.streams)
            self._is_new, self.refusal = True, ""

    def want(self, streams: set[Stream], *, is_new: bool = False) -> None:
        """Have `streams` asked for, too."""
        with self._lock:
            self._wanted |= streams
            self._is_new |= is_new and bool(streams)

    def take(self) -> tuple[set[Stream], bool]:
        """What is to be asked, which is nothing afterwards, and whether for a new connection."""
        with self._lock:
            taken = self._wanted, self._is_new
            self._wanted, self._is_new = set(), False
            return taken
