"""The sandbox's ledger as the truth of a drill: every row that was made, heard or not.

Public trades and private rows stand in the ledger even when nobody was there to be sent them.
What was made before the first subscription of its feed need not be stored, but may be.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from marketdata.demo.ledger import Feed, feed_of, rows_of
from marketdata.demo.tables import Key, Values, at


class Raw(NamedTuple):
    """A text that was pushed as it is, which no client can store: whom it was sent to, and when."""

    feed: Feed | None
    at: datetime
    text: str


@dataclass
class Truth:
    """Everything that was made, by feed and identity, the different states of one in order."""

    rows: dict[Feed, dict[Key, list[Values]]] = field(default_factory=lambda: defaultdict(dict))
    # Made before anybody had asked for the feed.
    early: dict[Feed, set[Key]] = field(default_factory=lambda: defaultdict(set))
    # What a connection was ever sent: the rest can have come by REST alone.
    sent: dict[Feed, set[Key]] = field(default_factory=lambda: defaultdict(set))
    raws: list[Raw] = field(default_factory=list)

    @classmethod
    def read(cls, events: Iterable[dict[str, Any]]) -> Truth:
        """Read the ledger's events in their order."""
        truth = cls()
        asked_for: set[Feed] = set()
        for event in events:
            match event["event"]:
                case "subscribed":
                    asked_for.add(feed_of(event))
                case "made" | "sent":
                    feed = feed_of(event)
                    truth._add(feed, event, heard=feed in asked_for)
                case "raw":
                    feed_or_none = feed_of(event) if event["topic"] else None
                    truth.raws.append(Raw(feed_or_none, at(event["ms"]), event["text"]))
        return truth

    def required(self, feed: Feed) -> dict[Key, list[Values]]:
        """What must be stored or declared."""
        early = self.early[feed]
        return {key: states for key, states in self.rows[feed].items() if key not in early}

    def _add(self, feed: Feed, event: dict[str, Any], *, heard: bool) -> None:
        rows = self.rows[feed]
        for key, values in rows_of(feed, event):
            if event["event"] == "sent":
                self.sent[feed].add(key)
            states = rows.get(key)
            if states is None:
                rows[key] = [values]
                if not heard:
                    self.early[feed].add(key)
            elif values not in states:
                states.append(values)
