"""The two halves of a capture: public streams of symbols, private streams of accounts."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist

from marketdata.bybit.ws_client import PublicWebSocketClient
from marketdata.bybit.ws_private import PrivateWebSocketClient
from marketdata.capture import runs
from marketdata.capture.accounts import AccountContext, OpenedSecrets, note_state, read_roster
from marketdata.capture.books import Books
from marketdata.capture.collectors import (
    Collector,
    PrivateCollector,
    PrivateWriters,
    PublicCollector,
)
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import Feed
from marketdata.capture.links import Link
from marketdata.capture.private_writers import (
    ExecutionWriter,
    OrderWriter,
    PositionWriter,
    WalletWriter,
)
from marketdata.capture.public_writers import TickerWriter, TradeWriter
from marketdata.capture.repairs import Repairs
from marketdata.capture.startup import exact_digits
from marketdata.capture.supervisor import Client, Supervisor
from marketdata.capture.writers import Writer
from marketdata.coverage.frontier import frontiers
from marketdata.log_events import ACCOUNT_LEFT, ACCOUNT_SERVED, ACCOUNT_SET_ASIDE, log_context
from marketdata.models import PublicTrade, Stream, TickerSnapshot

logger = logging.getLogger(__name__)

# Topics of one connection may be 21,000 characters long in all (V5 docs, "Connect").
SYMBOLS_PER_CONNECTION = 100
NOT_RUNNING = "capture was not running"
LEFT = "the account was not captured"
DIED_BEFORE = "capture died before it had vouched for this"


class Part:
    """Some writers, and the connections that feed them."""

    def __init__(self, config: CaptureConfig, books: Books, repairs: Repairs | None) -> None:
        self.config, self.books, self.repairs = config, books, repairs
        self.writers: list[Writer[Any]] = []
        self.collectors: list[Collector] = []

    @property
    def supervisors(self) -> list[Supervisor]:
        """The supervisors of its connections."""
        raise NotImplementedError

    def start(self) -> None:
        """Begin."""
        for writer in self.writers:
            writer.start_auto_flush()

    def step(self) -> None:
        """Do what is due, twice a second. May raise a database error, and is called again."""

    def _go_on(self, feeds: Mapping[Feed, Callable[[], datetime | None]]) -> None:
        """Open the gaps since the last run: from where what is known of a feed ends, or where
        nothing ever vouched for it, from its last row, which the value tells."""
        self.books.take_over(feeds)
        known, starts = frontiers(feeds), dict[Feed, datetime]()
        for feed, last_row_at in feeds.items():
            if at := known.get(feed):
                starts[feed] = at.start
            elif (last := last_row_at()) is not None:
                starts[feed] = last - feed.lateness
        # Before anything is noted in memory: it may fail, and be tried again.
        self.books.begin(feeds.keys() - starts.keys())
        for feed, start in starts.items():
            self.books.gaps.open_from(feed, NOT_RUNNING, start)
            for hole in known[feed].holes if feed in known else ():
                self.books.gaps.cut(feed, DIED_BEFORE, hole.start, hole.end)

    def beat(self) -> None:
        """Let quiet streams know how far their connections have come."""
        for supervisor, collector in self._connections():
            supervisor.beat(collector.newest)

    def _connections(self) -> list[tuple[Supervisor, Collector]]:
        """The connections that are served, and who takes their frames."""
        raise NotImplementedError

    def failure(self) -> str:
        """What has died of it, if anything has."""
        for writer in self.writers:
            if writer.error is not None or not writer.is_alive():
                return f"the {writer.stream} writer died: {writer.error!r}"
        return ""

    def stop(self) -> None:
        """Close the connections."""
        for supervisor in self.supervisors:
            supervisor.request_stop()
        for supervisor in self.supervisors:
            supervisor.stop()

    def finish(self) -> None:
        """Write what is to be written after the last row. May raise a database error."""

    def _writer_options(self) -> dict[str, Any]:
        return {
            "tally": self.books.tally,
            "quarantine": self.books.quarantine,
            "batch_size": self.config.batch_size,
            "flush_interval": self.config.flush_interval,
            "overflow": self.books.overflow,
        }

    def _supervise(self, name: str, client: Client, collector: Collector) -> Supervisor:
        return Supervisor(
            name,
            client,
            self.books.gaps,
            collector.topics,
            on_connecting=collector.on_connecting,
            first_delay=self.config.reconnect_delay,
            longest_delay=self.config.max_reconnect_delay,
            refused_delay=self.config.refused_delay,
            **({"on_connected": self.repairs.on_connected} if self.repairs else {}),
        )


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


class PrivatePart(Part):
    """Executions, orders, positions and wallet of every account, each on its own connection.

    It looks at the accounts of the database again and again, and so notices those that are
    enabled, disabled or given new keys. One that cannot be served is set aside with a reason
    and costs the others nothing.
    """

    def __init__(self, config: CaptureConfig, books: Books, repairs: Repairs | None) -> None:
        super().__init__(config, books, repairs)
        self._private_writers = PrivateWriters(
            ExecutionWriter(**self._writer_options()),
            OrderWriter(**self._writer_options()),
            PositionWriter(**self._writer_options()),
            WalletWriter(**self._writer_options()),
        )
        self.writers = list(self._private_writers)
        self.names: dict[UUID, str] = {}
        self.set_aside: dict[UUID, str] = {}
        self._digits = exact_digits()
        self._serving: dict[UUID, tuple[AccountContext, Supervisor, PrivateCollector]] = {}
        self._leaving: dict[UUID, Supervisor] = {}
        self._secrets = OpenedSecrets("capture")
        self._noted: dict[UUID, str] = {}
        self._look_at = 0.0

    @property
    def supervisors(self) -> list[Supervisor]:
        """The supervisors of all connections, also of those that are being closed."""
        serving = list(self._serving.values())
        return [supervisor for _, supervisor, _ in serving] + list(self._leaving.values())

    def step(self) -> None:
        """Look at the accounts when it is time, and write down what became of each."""
        if time.monotonic() >= self._look_at:
            self._follow_roster()
            self._look_at = time.monotonic() + self.config.roster_interval
        self._leaving = {key: left for key, left in self._leaving.items() if left.is_alive()}
        self._note_refusals()

    def finish(self) -> None:
        """Close the observing runs."""
        with self.books.fenced():
            for account_id in list(self._serving):
                runs.close_observing_run(account_id)

    def _connections(self) -> list[tuple[Supervisor, Collector]]:
        return [(supervisor, collector) for _, supervisor, collector in self._serving.values()]

    def _follow_roster(self) -> None:
        roster = read_roster(self.config.accounts, secrets=self._secrets)
        wanted = {context.account_id: context for context in roster.contexts}
        for account_id, (context, supervisor, _) in list(self._serving.items()):
            if wanted.get(account_id) != context or not supervisor.is_alive():
                self._leave(account_id)
        self.set_aside = dict(roster.set_aside)
        self.names |= roster.names
        for account_id, context in wanted.items():
            # One that is being closed still brings rows, which must not end the new one's gap.
            if account_id in self._serving or account_id in self._leaving:
                continue
            try:
                self._serve(context)
            except ValueError as error:
                self.set_aside[account_id] = str(error)
            except ObjectDoesNotExist:
                logger.info("account %s was deleted just now", context.name)

    def _serve(self, context: AccountContext) -> None:
        account_id = context.account_id
        collector = PrivateCollector(
            context, self.books, self._private_writers, digits=self._digits
        )
        client = PrivateWebSocketClient(
            context.api_key,
            context.api_secret,
            collector,
            environment=context.environment,
            endpoints=self.config.endpoints,
        )
        with self.books.fenced():
            runs.close_orphans([account_id])
            run = runs.open_observing_run(account_id, context.user_id)
        self._go_on(
            {
                Feed(writer.stream, "", account_id): partial(writer.table.last_ts_of, account_id)
                for writer in self.writers
            }
        )
        with log_context(account=context.name, run=run.pk):
            supervisor = self._supervise(f"account {context.name}", client, collector)
        self._serving[account_id] = (context, supervisor, collector)
        self.collectors.append(collector)
        if self.repairs:
            writers = {writer.stream: writer for writer in self.writers}
            self.repairs.add(
                Link(name=context.name, context=context, supervisor=supervisor, writers=writers)
            )
        supervisor.start()
        text = "account %s: captured from %s"
        of = {"account": context.name, "environment": context.environment, "run": run.pk}
        ACCOUNT_SERVED.log(logger, text, context.name, context.environment, **of)

    def _leave(self, account_id: UUID) -> None:
        context, supervisor, collector = self._serving[account_id]
        # At every moment one of the two knows of it: what neither knows is not captured.
        self._leaving[account_id] = supervisor
        del self._serving[account_id]
        supervisor.request_stop()
        if self.repairs:
            self.repairs.drop(account_id)
        self._noted.pop(account_id, None)
        self.collectors.remove(collector)
        now = datetime.now(UTC)
        # What lived until now lives no longer: another connection will know nothing of between.
        self.books.gaps.open(collector.feeds, LEFT, now)
        self.books.gaps.end(now, collector.feeds)
        self.books.leave(collector.feeds)
        with self.books.fenced():
            runs.close_observing_run(account_id)
        text = "account %s: no longer captured as it was"
        ACCOUNT_LEFT.log(logger, text, context.name, account=context.name)

    def _note_refusals(self) -> None:
        states = dict(self.set_aside)
        for account_id, (_, supervisor, _) in self._serving.items():
            if reason := supervisor.refusal or supervisor.partial_refusal:
                states[account_id] = self.set_aside[account_id] = reason
            elif supervisor.error is not None:
                states[account_id] = f"internal error: {type(supervisor.error).__name__}"
            elif supervisor.connected.is_set():
                self.set_aside.pop(account_id, None)
                states[account_id] = ""
        for account_id, reason in states.items():
            if self._noted.get(account_id) != reason:
                with self.books.fenced():
                    note_state(account_id, reason)
                self._noted[account_id] = reason
                if reason:
                    name = self.names.get(account_id, account_id)
                    text = "account %s is set aside: %s"
                    ACCOUNT_SET_ASIDE.log(logger, text, name, reason, account=name, reason=reason)


def _shards(symbols: tuple[str, ...], size: int) -> Iterable[tuple[str, ...]]:
    return [symbols[start : start + size] for start in range(0, len(symbols), size)]
