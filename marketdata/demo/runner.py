"""The demo's course: sandbox, capture, one broken connection, drain, verdict."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from marketdata.bybit.environments import Environment
from marketdata.capture.service import CaptureConfig, CaptureReport, CaptureService
from marketdata.capture.startup import resolve_symbols
from marketdata.capture.writers import TradeWriter
from marketdata.demo.sandbox_process import SandboxProcess
from marketdata.demo.verdict import Judge, Ledger, Verdict

logger = logging.getLogger(__name__)

SYMBOLS = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
# A demo's rows should be visible while it runs.
FLUSH_SECONDS = 1.0


@dataclass
class Demo:
    """One demo of `seconds`; `seed` makes the market, `rate` is in trades a second."""

    seconds: float
    seed: int
    rate: float
    trade_writer_class: type[TradeWriter] = TradeWriter
    began_at: datetime = field(default_factory=lambda: datetime.now(UTC))

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
        with SandboxProcess(*arguments) as sandbox:
            config = CaptureConfig(
                symbols=tuple(resolve_symbols(SYMBOLS, Environment.SANDBOX, sandbox.endpoints)),
                environment=Environment.SANDBOX,
                endpoints=sandbox.endpoints,
                flush_interval=FLUSH_SECONDS,
            )
            service = CaptureService(config, trade_writer_class=self.trade_writer_class)
            course = _Course(sandbox, self.seconds, stop)

            def tick(service: CaptureService) -> None:
                course.step()
                on_tick(service)

            report = service.run(stop, on_tick=tick)
            ledger = Ledger.read(sandbox.ledger())
        return report, Judge(ledger, report, config, since=self.began_at).judge()


class _Course:
    """What happens to the sandbox while capture runs: a break half-way, then the end."""

    def __init__(self, sandbox: SandboxProcess, seconds: float, stop: threading.Event) -> None:
        self._sandbox, self._stop = sandbox, stop
        now = time.monotonic()
        self._break_at: float | None = now + seconds / 2
        self._end_at = now + seconds

    def step(self) -> None:
        now = time.monotonic()
        if self._break_at is not None and now >= self._break_at:
            self._break_at = None
            logger.info("the demo breaks the connection now, on purpose")
            self._sandbox.break_connections("reset")
        if now >= self._end_at and not self._stop.is_set():
            self._sandbox.pause()
            self._sandbox.drain()
            self._stop.set()
