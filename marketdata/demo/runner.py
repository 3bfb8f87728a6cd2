"""The demo's course: sandbox, capture, one broken connection, drain, verdict."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from marketdata.bybit.environments import Environment
from marketdata.capture.config import CaptureConfig
from marketdata.capture.public_writers import TradeWriter
from marketdata.capture.report import CaptureReport
from marketdata.capture.service import CaptureService
from marketdata.capture.startup import resolve_symbols
from marketdata.demo.database import DemoAccount
from marketdata.demo.ledger import Ledger
from marketdata.demo.result import Verdict
from marketdata.demo.sandbox_process import SandboxProcess
from marketdata.demo.verdict import Judge, Watermark

logger = logging.getLogger(__name__)

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
# A demo's rows should be visible while it runs.
FLUSH_SECONDS = 1.0
RECONNECT_SECONDS = 0.2
# How long the end waits for the connections to be there again.
PATIENCE_SECONDS = 30.0


@dataclass
class Demo:
    """One demo of `seconds`; `seed` makes the market, `rate` is in trades a second.

    Each of `accounts` has `events` order events a second.
    """

    seconds: float
    seed: int
    rate: float
    accounts: Sequence[DemoAccount] = ()
    events: float = 5.0
    trade_writer_class: type[TradeWriter] = TradeWriter

    def run(
        self, stop: threading.Event, on_tick: Callable[[CaptureService], None]
    ) -> tuple[CaptureReport, Verdict]:
        """Run it; a `stop` from outside ends it early, with the verdict on what was done."""
        arguments = (
            "--symbols",
            ",".join(SYMBOLS),
            "--seed",
            str(self.seed),
            "--rate",
            str(self.rate),
        )
        with SandboxProcess(*arguments, accounts=self.accounts, rate=self.events) as sandbox:
            config = CaptureConfig(
                symbols=tuple(resolve_symbols(SYMBOLS, Environment.SANDBOX, sandbox.endpoints)),
                environment=Environment.SANDBOX,
                endpoints=sandbox.endpoints,
                flush_interval=FLUSH_SECONDS,
                reconnect_delay=RECONNECT_SECONDS,
                # The verdict is on the streams alone: what REST brought would hide their losses.
                repair=False,
                private=bool(self.accounts),
                accounts=tuple(account.name for account in self.accounts),
            )
            before = Watermark()
            service = CaptureService(config, trade_writer_class=self.trade_writer_class)
            course = _Course(sandbox, service, self.seconds, stop)

            def tick(service: CaptureService) -> None:
                course.step()
                on_tick(service)

            report = service.run(stop, on_tick=tick)
            ledger = Ledger.read(sandbox.ledger())
        verdict = Judge(ledger, report, config, before).judge()
        # Feeds that never broke have an entry too, once the judge has asked for them.
        if not (any(ledger.breaks.values()) or course.was_stopped):
            verdict.problems.append("the connection was not broken, as it should have been")
        return report, verdict


class _Course:
    """What happens to the sandbox while capture runs: a break half-way, then the end."""

    def __init__(
        self,
        sandbox: SandboxProcess,
        service: CaptureService,
        seconds: float,
        stop: threading.Event,
    ) -> None:
        self._sandbox, self._service, self._stop = sandbox, service, stop
        now = time.monotonic()
        self._break_at: float | None = now + seconds / 2
        self._end_at = now + seconds

    @property
    def was_stopped(self) -> bool:
        """Whether somebody ended the demo before its break was due."""
        return self._break_at is not None

    def step(self) -> None:
        now = time.monotonic()
        if self._break_at is not None:
            if now >= self._break_at and self._is_connected():
                self._break_at = None
                logger.info("the demo breaks the connections now, on purpose")
                self._sandbox.break_connections("reset")
        elif self._is_over(now):
            self._sandbox.pause()
            self._sandbox.drain()
            self._stop.set()

    def _is_over(self, now: float) -> bool:
        if now < self._end_at or self._stop.is_set():
            return False
        return self._is_connected() or now >= self._end_at + PATIENCE_SECONDS

    def _is_connected(self) -> bool:
        parts = (self._service.public, self._service.private)
        supervisors = [s for part in parts if part is not None for s in part.supervisors]
        return bool(supervisors) and all(
            s.connected.is_set() and s.client.is_connected() for s in supervisors
        )
