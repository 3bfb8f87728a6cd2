"""Collectors: on the socket's thread, from a frame to the writers; nothing here may wait."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.bybit.records import Parsed, Reject
from marketdata.capture.accounts import AccountContext
from marketdata.capture.books import Books
from marketdata.capture.feeds import Feed
from marketdata.capture.private_writers import (
    ExecutionWriter,
    OrderWriter,
    PositionWriter,
    PrivateWriter,
    WalletWriter,
)
from marketdata.capture.public_writers import TickerWriter, TradeWriter
from marketdata.capture.pulse import Pulse
from marketdata.capture.tally import UNKNOWN, StreamKey
from marketdata.models import Stream

# Rows of one frame that are set aside one by one; no frame of the exchange has more rows.
MOST_REJECTS = 1024
TRADES = StreamKey(Stream.TRADES)
TICKERS = StreamKey(Stream.TICKERS)


class Route(NamedTuple):
    """Where the frames of a topic go."""

    key: StreamKey
    handle: Callable[[dict[str, Any], datetime], None]


class Collector:
    """Takes the frames of one connection; subclasses say which topics it knows."""

    def __init__(self, books: Books, routes: dict[str, Route], account_id: UUID | None = None):
        self.heard_at: dict[StreamKey, datetime] = {}
        # The newest row of each feed on this connection, by the exchange's clock.
        self._newest: dict[Feed, datetime] = {}
        self._books = books
        self._routes = routes
        self._no_stream = StreamKey(UNKNOWN, account_id)
        self._channel = "public"
        self.pulse = Pulse("reader", self._channel)

    @property
    def topics(self) -> dict[str, Feed]:
        """The feed of each topic."""
        raise NotImplementedError

    @property
    def feeds(self) -> list[Feed]:
        """The streams that this connection feeds."""
        return list(self.topics.values())

    @property
    def newest(self) -> datetime | None:
        """How far the connection has come, by the exchange's clock: two of its feeds say so.

        One alone is not believed: a single row with a wrong time would answer for all feeds.
        """
        times = sorted(self._newest.values())
        return times[-2] if len(times) > 1 else None

    def on_connecting(self) -> None:
        """A new connection begins."""
        self._newest = {}

    def on_message(self, message: dict[str, Any], text: str, received_at: datetime) -> None:
        """Take a frame with a topic."""
        if self._books.journal is not None:
            self._books.journal.record(self._channel, text, received_at)
        topic = message["topic"]
        route = self._routes.get(topic) if isinstance(topic, str) else None
        if route is None:
            reject = Reject(str(topic), "a topic that was not asked for", text)
            self._books.quarantine.add(self._no_stream, reject)
            return
        self.heard_at[route.key] = received_at
        try:
            with self.pulse:
                route.handle(message, received_at)
        except MalformedMessage as error:
            self._books.quarantine.add(route.key, Reject(topic, error.reason, text))

    def on_unreadable(self, text: str | bytes, reason: str, received_at: datetime) -> None:
        """Take a frame that is no message."""
        raw = text if isinstance(text, str) else text.decode("utf-8", "backslashreplace")
        self._books.quarantine.add(self._no_stream, Reject("", reason, raw))

    def _keep(
        self,
        key: StreamKey,
        parsed: Parsed[Any],
        write: Callable[[Sequence[Any]], None],
        symbol: str = "",
    ) -> None:
        """Hand on what is sound, set aside what is not, and note when the stream had rows."""
        for reject in parsed.rejects[:MOST_REJECTS]:
            self._books.quarantine.add(key, reject)
        if surplus := parsed.rejects[MOST_REJECTS:]:
            raw = ", ".join(reject.raw for reject in surplus)
            reject = Reject(surplus[0].topic, "the other bad rows of one frame", raw)
            self._books.quarantine.add(key, reject, rows=len(surplus))
        if parsed.records:
            write(parsed.records)
            times = [record.exchange_ts for record in parsed.records]
            feed = Feed(key.stream, symbol, key.account_id)
            newest = max(times)
            self._books.gaps.note_rows(feed, min(times), newest)
            self._newest[feed] = max(newest, self._newest.get(feed, newest))


class PublicCollector(Collector):
    """Trades and tickers of some symbols."""

    def __init__(
        self,
        symbols: Iterable[str],
        books: Books,
        trade_writer: TradeWriter,
        ticker_writer: TickerWriter,
        *,
        digits: int,
    ) -> None:
        self.symbols = tuple(symbols)
        self._normalizer = BybitNormalizer(digits=digits)
        self._trade_writer, self._ticker_writer = trade_writer, ticker_writer
        routes = {}
        for symbol in self.symbols:
            routes[f"publicTrade.{symbol}"] = Route(TRADES, self._on_trades)
            routes[f"tickers.{symbol}"] = Route(TICKERS, self._on_ticker)
        super().__init__(books, routes)

    @property
    def topics(self) -> dict[str, Feed]:
        """The feed of each topic: both streams of each symbol."""
        return {
            topic: Feed(route.key.stream, topic.partition(".")[2])
            for topic, route in self._routes.items()
        }

    def on_connecting(self) -> None:
        """Forget merged tickers: the next connection begins with snapshots."""
        super().on_connecting()
        self._normalizer.reset_tickers()

    def _on_trades(self, message: dict[str, Any], received_at: datetime) -> None:
        parsed = self._normalizer.trade_records(message, received_at)
        symbol = parsed.records[0].symbol if parsed.records else ""
        self._keep(TRADES, parsed, self._trade_writer.write, symbol)

    def _on_ticker(self, message: dict[str, Any], received_at: datetime) -> None:
        record = self._normalizer.ticker_record(message, received_at)
        if record is None:
            self._books.tally.add(TICKERS, received=1, conflated=1)
            return
        self._keep(TICKERS, Parsed([record], []), self._ticker_writer.write, record.symbol)


class PrivateWriters(NamedTuple):
    """The writers of all private tables; every account shares them."""

    executions: ExecutionWriter
    orders: OrderWriter
    positions: PositionWriter
    wallet: WalletWriter


class PrivateCollector(Collector):
    """Executions, orders, positions and wallet of one account."""

    def __init__(
        self, context: AccountContext, books: Books, writers: PrivateWriters, *, digits: int
    ) -> None:
        self.context = context
        normalizer = BybitNormalizer(
            context.user_id, context.account_id, digits=digits, hedge_mode=context.hedge_mode
        )
        routes = {
            "execution": self._route(writers.executions, normalizer.execution_records),
            "order": self._route(writers.orders, normalizer.order_records),
            "position": self._route(writers.positions, normalizer.position_records),
            "wallet": self._route(writers.wallet, normalizer.wallet_records),
        }
        super().__init__(books, routes, context.account_id)
        self._channel = f"private:{context.name}"
        self.pulse = Pulse("reader", context.name)

    @property
    def topics(self) -> dict[str, Feed]:
        """The feed of each topic: the account's four streams."""
        account_id = self.context.account_id
        return {
            topic: Feed(route.key.stream, "", account_id) for topic, route in self._routes.items()
        }

    def _route(
        self,
        writer: PrivateWriter[Any],
        parse: Callable[[dict[str, Any], datetime], Parsed[Any]],
    ) -> Route:
        key = writer.key(self.context.account_id)

        def write(records: Sequence[Any]) -> None:
            writer.write_for(self.context, records)

        return Route(key, lambda message, at: self._keep(key, parse(message, at), write))
