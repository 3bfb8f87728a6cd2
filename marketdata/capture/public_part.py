"""The public half of a capture: trades and tickers of symbols."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from marketdata.bybit.ws_public import PublicWebSocketClient
from marketdata.capture.books import Books
from marketdata.capture.collectors import Collector, PublicCollector
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import Feed
from marketdata.capture.links import Link
from marketdata.capture.parts import Part
from marketdata.capture.public_writers import TickerWriter, TradeWriter
from marketdata.capture.repairs import Repairs
from marketdata.capture.startup import exact_digits
from marketdata.capture.supervisor import Supervisor
from marketdata.models import PublicTrade, Stream, TickerSnapshot

# Topics of one connection may be 21,000 characters long in all (V5 docs, "Connect").
SYMBOLS_PER_CONNECTION = 100


class PublicPart(Part):
    """Trades and tickers of the configured symbols, a hundred symbols a connection."""

    def __init__(
        self,
        config: CaptureConfig,
        books: Books,
        repairs: Repairs | None,
        trade_writer_class: type[TradeWriter],
    ) -> None:
        super().__init__(config, books, repairs)
        trades = trade_writer_class(**self._writer_options())
        tickers = TickerWriter(**self._writer_options(), interval_ms=config.ticker_interval_ms)
        self.writers = [trades, tickers]
        digits = exact_digits()
        self.collectors = [
            PublicCollector(symbols, books, trades, tickers, digits=digits)
            for symbols in _shards(config.symbols, SYMBOLS_PER_CONNECTION)
        ]
        self._supervisors = [
            self._supervise(f"public-{number}", self._client(collector), collector)
            for number, collector in enumerate(self.collectors, 1)
        ]

    @property
    def supervisors(self) -> list[Supervisor]:
        """The supervisors of its connections."""
        return self._supervisors

    def start(self) -> None:
        """Open the gaps since the last run, and begin."""
        tables = {
            Stream.TRADES: PublicTrade.objects,
            Stream.TICKERS: TickerSnapshot.objects,
        }
        self._go_on(
            {
                Feed(stream, symbol): partial(table.last_ts, symbol)
                for stream, table in tables.items()
                for symbol in self.config.symbols
            }
        )
        super().start()
        if self.repairs:
            self._announce(self.repairs)
        for supervisor in self._supervisors:
            supervisor.start()

    def _announce(self, repairs: Repairs) -> None:
        writers = {self.writers[0].stream: self.writers[0]}
        for supervisor, collector in zip(self._supervisors, self.collectors, strict=True):
            for symbol in {feed.symbol for feed in collector.feeds}:
                repairs.add(
                    Link(name=symbol, symbol=symbol, supervisor=supervisor, writers=writers)
                )

    def failure(self) -> str:
        """What has died of it, if anything has."""
        for supervisor in self._supervisors:
            if supervisor.error is not None or not supervisor.is_alive():
                return f"the supervisor of {supervisor.name} died: {supervisor.error!r}"
        return super().failure()

    def _connections(self) -> list[tuple[Supervisor, Collector]]:
        return list(zip(self._supervisors, self.collectors, strict=True))

    def _client(self, collector: Any) -> PublicWebSocketClient:
        return PublicWebSocketClient(
            collector.symbols,
            collector,
            environment=self.config.environment,
            endpoints=self.config.endpoints,
        )


def _shards(symbols: tuple[str, ...], size: int) -> Iterable[tuple[str, ...]]:
    return [symbols[start : start + size] for start in range(0, len(symbols), size)]
