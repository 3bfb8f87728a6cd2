"""The sandbox's ledger, read: what was sent to whom, in order, and which connections were broken.

A row counts as sent when its connection's subscription had been acknowledged and the
connection was not yet broken or closed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from marketdata.demo.tables import TABLES, Key, Values, WireRow, at


class Feed(NamedTuple):
    """A topic of a symbol, or of an account where it is private."""

    topic: str
    subject: str


class Sent(NamedTuple):
    """A row as it must be stored; `is_first` says that its key was not sent before."""

    connection: int
    key: Key
    values: Values
    is_first: bool


class Break(NamedTuple):
    """A connection that was ended by force, and when."""

    connection: int
    at: datetime


@dataclass
class Ledger:
    """What was sent on each feed, in order, and what broke."""

    sent: dict[Feed, list[Sent]] = field(default_factory=lambda: defaultdict(list))
    breaks: dict[Feed, list[Break]] = field(default_factory=lambda: defaultdict(list))
    # The newest connection on which a feed was subscribed.
    last_subscribed: dict[Feed, int] = field(default_factory=dict)

    @classmethod
    def read(cls, events: Iterable[dict[str, Any]]) -> Ledger:
        """Read the ledger's events in their order."""
        ledger = cls()
        active: dict[int, set[Feed]] = defaultdict(set)
        keys: dict[Feed, set[Key]] = defaultdict(set)
        for event in events:
            number = event.get("connection", 0)
            match event["event"]:
                case "subscribed":
                    active[number].add(feed_of(event))
                    ledger.last_subscribed[feed_of(event)] = number
                case "unsubscribed":
                    active[number].discard(feed_of(event))
                case "closed":
                    for feed in active.pop(number, set()):
                        if event["how"] != "client":
                            ledger.breaks[feed].append(Break(number, at(event["ms"])))
                case "sent" if (feed := feed_of(event)) in active[number]:
                    for key, values in rows_of(feed, event):
                        row = Sent(number, key, values, key not in keys[feed])
                        ledger.sent[feed].append(row)
                        keys[feed].add(key)
        return ledger


def feed_of(event: dict[str, Any]) -> Feed:
    """Which feed an event with a topic is about."""
    topic, _, symbol = event["topic"].partition(".")
    return Feed(topic, event.get("account") or symbol)


def rows_of(feed: Feed, event: dict[str, Any]) -> Iterator[tuple[Key, Values]]:
    """The rows of an event, each with its identity, as they must be stored."""
    table = TABLES[feed.topic]
    for wire in _wire_rows(feed.topic, event):
        values = table.values_of(wire)
        yield table.key_of(values), values


def _wire_rows(topic: str, event: dict[str, Any]) -> Iterator[WireRow]:
    if topic == "tickers":
        yield WireRow(event["state"], event["ts"])
    elif topic == "wallet":
        for account in event["rows"]:
            for coin in account["coin"]:
                yield WireRow(account | coin, event["creationTime"])
    else:
        for row in event["rows"]:
            yield WireRow(row, event.get("creationTime", 0))
