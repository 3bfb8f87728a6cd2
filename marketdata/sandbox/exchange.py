"""The exchange itself: what was traded, and what is sent to whom.

Everything here runs on one asyncio loop and does not wait, so a message is recorded and handed
to all its readers before anything else happens.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any

import orjson

from marketdata.sandbox import wire
from marketdata.sandbox.audience import Audience
from marketdata.sandbox.connections import Connection
from marketdata.sandbox.faults import frames
from marketdata.sandbox.faults.book import FaultBook
from marketdata.sandbox.instruments import Instrument
from marketdata.sandbox.ledger import Ledger
from marketdata.sandbox.private.wire import ALL_TOPICS, Frame
from marketdata.sandbox.replay import Recorded
from marketdata.sandbox.tape import Tape
from marketdata.sandbox.tickers import Ticker
from marketdata.sandbox.wire import Row

FUNDINGS_KEPT = 200


def now_ms() -> int:
    """The time, in ms UTC."""
    return time.time_ns() // 1_000_000


class Exchange:
    """Instruments, connections, subscriptions, tapes and tickers, and the ledger of all that."""

    def __init__(
        self,
        instruments: Iterable[Instrument],
        *,
        tickers: Mapping[str, Ticker],
        ledger: Ledger,
        topics: Iterable[str] = (),
        accounts: Iterable[str] = (),
        private_topics: Iterable[str] = (),
        clock: Callable[[], int] = now_ms,
        ticker_clock: Callable[[], int] = now_ms,
        seed: int = 1,
    ) -> None:
        self.instruments = {one.symbol: one for one in instruments}
        self.tickers = dict(tickers)
        self.tapes = {symbol: Tape() for symbol in self.instruments}
        self.fundings: dict[str, deque[Row]] = {
            symbol: deque(maxlen=FUNDINGS_KEPT) for symbol in self.instruments
        }
        self.topics = {
            *topics,
            *map(wire.trade_topic, self.instruments),
            *map(wire.ticker_topic, self.instruments),
        }
        self.ledger = ledger
        self.clock = clock
        self.market_ms = clock
        self.faults = FaultBook(seed=seed, ledger=ledger, clock=clock)
        self._ticker_clock = ticker_clock
        self.sent: Counter[str] = Counter()
        # Whoever is to know of the market's trades after all readers were sent them.
        self.after_trades: Callable[[str, Sequence[Row]], None] = lambda symbol, rows: None
        self.running = asyncio.Event()
        self.running.set()
        self.private_topics = {*ALL_TOPICS, *private_topics}
        self.audience = Audience(
            topics=self.topics,
            accounts=accounts,
            private_topics=self.private_topics,
            ledger=ledger,
            clock=clock,
        )

    # --- prices ------------------------------------------------------------------------------

    def quote(self, symbol: str) -> Decimal:
        """The last price of a symbol; where it began when its ticker has none that is one."""
        return self._ticker_price(symbol, "lastPrice") or self.instruments[symbol].start_price

    def mark(self, symbol: str) -> Decimal:
        """The price at which a symbol's positions are valued."""
        return self._ticker_price(symbol, "markPrice") or self.quote(symbol)

    def touch(self, symbol: str) -> tuple[Decimal, Decimal]:
        """The best bid and ask; the last price where the ticker has none."""
        bid, ask = (self._ticker_price(symbol, name) for name in ("bid1Price", "ask1Price"))
        return bid or self.quote(symbol), ask or self.quote(symbol)

    # --- what is sent ------------------------------------------------------------------------

    def subscribe(self, connection: Connection, topics: Sequence[str], *, ack: bytes) -> None:
        """Acknowledge a subscription; a ticker begins with a snapshot, trades with what comes."""
        connection.send(wire.frame(ack))
        self.audience.join(connection, topics)
        for topic in topics:
            self._send_snapshot(connection, topic)
        self.audience.changed()

    def publish_trades(self, symbol: str, rows: Sequence[Row]) -> None:
        """Send trades as one message, or as several of at most 1024."""
        rows = frames.changed_trades(self.faults, symbol, rows)
        self.tapes[symbol].record(rows)
        topic = wire.trade_topic(symbol)
        readers = self.audience.readers(topic)
        for piece in wire.split(rows) if readers or self.ledger.enabled else ():
            data, ts = orjson.dumps(piece), self.clock()
            message = wire.trade_message(topic, data, ts=ts)
            self._send_trades(readers, topic, message, len(piece), orjson.Fragment(data))
        self.after_trades(symbol, rows)

    def publish_ticker(self, symbol: str, values: Mapping[str, str]) -> bool:
        """Send a delta to these values, if they are any news."""
        ticker, topic = self.tickers[symbol], wire.ticker_topic(symbol)
        values = frames.changed_ticker(self.faults, symbol, values)
        delta = ticker.delta(values, self._ticker_clock())
        if delta is None:
            return False
        if readers := self.audience.readers(topic):
            fields: dict[str, Any] = {
                "ts": ticker.ts,
                "state": orjson.Fragment(orjson.dumps(ticker.state)),
            }
            # Who was kept from a delta begins anew: nothing else would tell what changed.
            behind = {n: one for n, one in readers.items() if topic in one.behind}
            level = {n: one for n, one in readers.items() if n not in behind}
            whole = delta | {"kind": "snapshot", "data": ticker.state}
            reached = self._send(level, topic, wire.ticker_message(topic, **delta), **fields)
            if behind:
                reached += self._send(behind, topic, wire.ticker_message(topic, **whole), **fields)
            if not reached:
                self.ledger.write("made", topic=topic, ms=self.clock(), **fields)
        return True

    def publish_recorded(self, recorded: Recorded) -> None:
        """Send a recorded frame as it was."""
        topic, message = recorded.topic, recorded.message or {}
        if not topic:
            self._send_text(self.audience.of_channel(recorded.channel), None, recorded.text)
            return
        kind, _, symbol = topic.partition(".")
        readers, data = self.audience.readers(topic), message.get("data")
        if kind == wire.TICKER_TOPIC and isinstance(data, dict):
            ticker = self.tickers[symbol]
            ticker.merge(message)
            self._send(readers, topic, recorded.text, ts=message.get("ts"), state=ticker.state)
        elif kind == wire.TRADE_TOPIC and isinstance(data, list):
            rows = [row for row in data if isinstance(row, dict)]
            self.tapes[symbol].record(rows)
            self._send_trades(readers, topic, recorded.text, len(rows), data)
            self.after_trades(symbol, rows)
        else:
            self._send_text(readers.values(), topic, recorded.text)

    def publish_private(self, account: str, frame: Frame) -> None:
        """Send a frame to an account's readers of its topic, who may be none."""
        rows, times = orjson.Fragment(orjson.dumps(frame.rows)), frame.creation_time
        if not frame.resent:
            fields = {"ms": self.clock(), "creationTime": times, "rows": rows}
            self.ledger.write("made", account=account, topic=frame.topic, **fields)
        resent = {"resent": True} if frame.resent else {}
        for topic in frame.wire_topics:
            if readers := self.audience.readers(topic, account):
                message = frame.message(topic, rows)
                fields = {"creationTime": times, "rows": rows, **resent}
                self._send(readers, topic, message, count=len(frame.rows), **fields)

    def send_raw(
        self, text: str | bytes, topic: str | None = None, account: str | None = None
    ) -> int:
        """Push any text, or bytes that need not be one, to the readers of a topic, or to every
        connection; to how many.

        With an account only to its own. Raises ValueError for a topic or account that does not
        exist.
        """
        readers = self.audience.chosen(topic, account)
        return self._send_text(readers, topic, text.encode() if isinstance(text, str) else text)

    def status(self) -> dict[str, Any]:
        """What is going on, for people and for tests."""
        return {
            "paused": not self.running.is_set(),
            "refusing": self.audience.is_refusing,
            "market_ms": self.market_ms(),
            "symbols": list(self.instruments),
            "traded": {symbol: tape.total for symbol, tape in self.tapes.items()},
            "sent": dict(self.sent),
            "connections": self.audience.status(),
        }

    # --- inside ------------------------------------------------------------------------------

    def _ticker_price(self, symbol: str, name: str) -> Decimal | None:
        try:
            price = Decimal(self.tickers[symbol].state[name])
        except (KeyError, TypeError, ValueError, InvalidOperation):
            return None
        return price if price.is_finite() and price > 0 else None

    def _send_snapshot(self, connection: Connection, topic: str) -> None:
        kind, _, symbol = topic.partition(".")
        if kind == wire.TICKER_TOPIC:
            ticker = self.tickers[symbol]
            snapshot = ticker.snapshot(self._ticker_clock())
            if delta := frames.first_delta(self.faults, topic, snapshot):
                self._send_text([connection], topic, delta)
            message = wire.ticker_message(topic, **snapshot)
            reader = {connection.number: connection}
            self._send(reader, topic, message, ts=ticker.ts, state=ticker.state)

    def _send_trades(
        self,
        readers: Mapping[int, Connection],
        topic: str,
        message: bytes,
        count: int,
        rows: Any,
    ) -> None:
        """Send trades; those that nobody was there to be sent are recorded all the same."""
        if not self._send(readers, topic, message, count=count, rows=rows):
            self.ledger.write("made", topic=topic, ms=self.clock(), rows=rows)

    def _send(
        self,
        readers: Mapping[int, Connection],
        topic: str,
        message: bytes,
        *,
        count: int = 1,
        **fields: Any,
    ) -> int:
        """Hand one message to all its readers, with a line in the ledger for each; to how many."""
        for connection in list(readers.values()):
            for text in frames.intruders(self.faults, topic, connection.account, message):
                self._send_text([connection], topic, text)
        data, reached = wire.frame(message), 0
        for connection in readers.values():
            note = partial(self._note, connection, topic, count, fields)
            reached += frames.deliver(self.faults, connection, topic, data, note=note)
        return reached

    def _note(
        self,
        connection: Connection,
        topic: str,
        count: int,
        fields: Mapping[str, Any],
        *,
        resent: bool = False,
    ) -> None:
        """Record that a frame was handed to the transport."""
        self.sent[topic] += count
        fields = {**fields, "resent": True} if resent else fields
        self.audience.record("sent", connection, topic=topic, **fields)

    def _send_text(self, readers: Iterable[Connection], topic: str | None, text: bytes) -> int:
        data, count = wire.frame(text), 0
        for connection in readers:
            if connection.send(data):
                count += 1
                written = text.decode(errors="backslashreplace")
                self.audience.record("raw", connection, topic=topic, text=written)
        return count
