"""The capture service: builds the parts, watches them, and stops them in order.

A part that dies stops the whole, so that whoever supervises the process starts it anew. On the
way out streams close first, then writers store what waits, then gaps and quarantine follow.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.bybit.ws_client import PublicWebSocketClient
from marketdata.capture.collectors import TICKERS, TRADES, PublicCollector
from marketdata.capture.gaps import Feed, GapBook
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.startup import exact_digits, stamp_environment
from marketdata.capture.supervisor import Supervisor
from marketdata.capture.tally import StreamKey, Tally
from marketdata.capture.writers import TickerWriter, TradeWriter, Writer, stop_all
from marketdata.exits import ExitCode
from marketdata.models import PublicTrade, Stream, TickerSnapshot

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.5
# Topics of one connection may be 21,000 characters long in all (V5 docs, "Connect").
SYMBOLS_PER_CONNECTION = 100
WRITER_STOP_SECONDS = 20.0
CLOSING_ATTEMPTS = 5
CLOSING_PAUSE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class CaptureConfig:
    """What to capture, from where, and how eagerly; the defaults are the settings'."""

    symbols: tuple[str, ...]
    environment: Environment = field(default_factory=lambda: settings.EVENTSAVER_ENVIRONMENT)
    endpoints: Endpoints = field(default_factory=lambda: settings.BYBIT_ENDPOINTS)
    batch_size: int = field(default_factory=lambda: settings.EVENTSAVER_BATCH_SIZE)
    flush_interval: float = field(default_factory=lambda: settings.EVENTSAVER_FLUSH_INTERVAL)
    ticker_interval_ms: int = field(default_factory=lambda: settings.EVENTSAVER_TICKER_INTERVAL_MS)
    reconnect_delay: float = field(default_factory=lambda: settings.EVENTSAVER_RECONNECT_DELAY)
    max_reconnect_delay: float = field(
        default_factory=lambda: settings.EVENTSAVER_MAX_RECONNECT_DELAY
    )


@dataclass(frozen=True, kw_only=True)
class StreamStatus:
    """One stream at one moment; rows, seconds."""

    stream: str
    counts: dict[str, int]
    lag_seconds: float | None
    silent_seconds: float | None


@dataclass(frozen=True, kw_only=True)
class CaptureReport:
    """What a capture did, from its start to its end."""

    seconds: float
    streams: list[StreamStatus]
    gaps: int
    reconnects: int
    violations: list[str]
    problems: list[str]
    exit_code: ExitCode

    def as_json(self) -> dict[str, Any]:
        """The report as plain JSON."""
        return {
            "seconds": round(self.seconds, 3),
            "streams": {status.stream: status.counts for status in self.streams},
            "gaps": self.gaps,
            "reconnects": self.reconnects,
            "law_holds": not self.violations,
            "problems": [*self.violations, *self.problems],
            "exit_code": int(self.exit_code),
        }


class CaptureService:
    """Captures the public streams of `config` until it is told to stop."""

    def __init__(
        self, config: CaptureConfig, *, trade_writer_class: type[TradeWriter] = TradeWriter
    ) -> None:
        self.config = config
        self.tally = Tally()
        self.gaps = GapBook()
        self.quarantine = Quarantine(self.tally)
        options: dict[str, Any] = {
            "batch_size": config.batch_size,
            "flush_interval": config.flush_interval,
        }
        trade_writer = trade_writer_class(self.tally, self.quarantine, **options)
        ticker_writer = TickerWriter(
            self.tally, self.quarantine, interval_ms=config.ticker_interval_ms, **options
        )
        self._writers: dict[StreamKey, Writer[Any]] = {TRADES: trade_writer, TICKERS: ticker_writer}
        self._collectors = [
            PublicCollector(
                symbols,
                trade_writer=trade_writer,
                ticker_writer=ticker_writer,
                quarantine=self.quarantine,
                tally=self.tally,
                gaps=self.gaps,
                digits=exact_digits(),
            )
            for symbols in _shards(config.symbols, SYMBOLS_PER_CONNECTION)
        ]
        self.supervisors = [
            self._supervise(number, c) for number, c in enumerate(self._collectors, 1)
        ]
        self._began = time.monotonic()
        self._problems: list[str] = []
        self._exit_code = ExitCode.OK
        self._database_away = False

    def run(
        self,
        stop: threading.Event,
        *,
        duration: float | None = None,
        on_tick: Callable[[CaptureService], None] = lambda service: None,
    ) -> CaptureReport:
        """Capture until `stop` is set, `duration` seconds passed, or a part fails."""
        stamp_environment(self.config.environment)
        self._open_gaps_since_last_run()
        for writer in self._writers.values():
            writer.start_auto_flush()
        for supervisor in self.supervisors:
            supervisor.start()
        try:
            while not stop.wait(TICK_SECONDS) and self._step():
                on_tick(self)
                if duration is not None and time.monotonic() - self._began >= duration:
                    break
        finally:
            self._shut_down()
        return self.report()

    def status(self) -> list[StreamStatus]:
        """Each stream as it is now."""
        now = datetime.now(UTC)
        heard = {
            key: max(c.heard_at[key] for c in self._collectors if key in c.heard_at)
            for key in self._writers
            if any(key in c.heard_at for c in self._collectors)
        }
        return [
            StreamStatus(
                stream=key.stream,
                counts=counts,
                lag_seconds=self._writers[key].lag_seconds if key in self._writers else None,
                silent_seconds=(now - heard[key]).total_seconds() if key in heard else None,
            )
            for key, counts in self.tally.snapshot().items()
        ]

    def report(self) -> CaptureReport:
        """What was done so far."""
        violations = self.tally.violations()
        return CaptureReport(
            seconds=time.monotonic() - self._began,
            streams=self.status(),
            gaps=self.gaps.opened,
            reconnects=sum(s.client.state.reconnect_count for s in self.supervisors),
            violations=violations,
            problems=list(self._problems),
            exit_code=ExitCode.ERROR if violations and not self._exit_code else self._exit_code,
        )

    def _supervise(self, number: int, collector: PublicCollector) -> Supervisor:
        client = PublicWebSocketClient(
            collector.symbols,
            collector,
            environment=self.config.environment,
            endpoints=self.config.endpoints,
        )
        return Supervisor(
            f"public-{number}",
            client,
            self.gaps,
            collector.feeds,
            on_connecting=collector.on_connecting,
            first_delay=self.config.reconnect_delay,
            longest_delay=self.config.max_reconnect_delay,
        )

    def _open_gaps_since_last_run(self) -> None:
        last_stored = {
            Stream.TRADES: PublicTrade.objects.last_ts,
            Stream.TICKERS: TickerSnapshot.objects.last_ts,
        }
        for stream, last_ts in last_stored.items():
            for symbol in self.config.symbols:
                last = last_ts(symbol)
                if last is not None:
                    self.gaps.open([Feed(stream, symbol)], "capture was not running", last)

    def _step(self) -> bool:
        """Write what waits here and look at every part; False when capture must stop."""
        self._keep_books()
        parts: list[Writer[Any] | Supervisor] = [*self._writers.values(), *self.supervisors]
        for part in parts:
            if part.error is not None or not part.is_alive():
                return self._fail(ExitCode.ERROR, f"a part of capture died: {part.error!r}")
        for key, writer in self._writers.items():
            if writer.buffer.overfull:
                rows = len(writer.buffer)
                return self._fail(
                    ExitCode.UNAVAILABLE, f"{rows} rows of {key.stream} wait for the database"
                )
        if self.quarantine.overfull:
            return self._fail(
                ExitCode.UNAVAILABLE, f"{len(self.quarantine)} messages wait for quarantine"
            )
        if violations := self.tally.violations():
            return self._fail(ExitCode.ERROR, f"rows are unaccounted for: {'; '.join(violations)}")
        return True

    def _fail(self, code: ExitCode, problem: str) -> bool:
        logger.error("capture stops: %s", problem)
        self._problems.append(problem)
        self._exit_code = code
        return False

    def _keep_books(self) -> bool:
        """Store gaps and quarantine; False while the database is away."""
        try:
            self.gaps.persist()
            self.quarantine.flush()
        except DatabaseError as error:
            connection.close()
            if not self._database_away:
                logger.warning(
                    "gaps and quarantine wait for the database: %s", type(error).__name__
                )
            self._database_away = True
            return False
        self._database_away = False
        return True

    def _shut_down(self) -> None:
        for supervisor in self.supervisors:
            supervisor.request_stop()
        for supervisor in self.supervisors:
            supervisor.stop()
        self.gaps.end_all(datetime.now(UTC))
        left_behind = stop_all(self._writers.values(), WRITER_STOP_SECONDS)
        attempts = 1 if left_behind else CLOSING_ATTEMPTS
        pause = threading.Event()
        while not self._keep_books() and attempts > 1:
            attempts -= 1
            pause.wait(CLOSING_PAUSE_SECONDS)
        if self._database_away:
            left_behind.append("gaps and quarantine could not be stored")
        for problem in left_behind:
            self._fail(ExitCode.UNAVAILABLE, problem)


def _shards(symbols: tuple[str, ...], size: int) -> list[tuple[str, ...]]:
    return [symbols[start : start + size] for start in range(0, len(symbols), size)]
