"""The course of a drill: fault after fault, each until capture has recovered, then the verdict."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from marketdata.demo.database import DemoAccount
from marketdata.drill.judge import Judge
from marketdata.drill.result import DrillVerdict, Fault, Window
from marketdata.drill.sabotage import Sabotage
from marketdata.drill.scenarios import Scenario
from marketdata.drill.stage import START_SECONDS, Misbehaved, Stage
from marketdata.drill.truth import Truth
from marketdata.exits import Unavailable

logger = logging.getLogger(__name__)

RECOVERY_SECONDS = 60.0
# Audits of accounts look at what is older than half a minute, and come every ten seconds.
SETTLE_SECONDS = 75.0
SETTLE_PAUSE_SECONDS = 3.0
TICKER_INTERVAL_MS = 1000


@dataclass
class Drill:
    """One drill: `count` faults of `scenarios`, drawn from `seed`.

    `pauses` are the least and the most seconds between two faults.
    """

    accounts: Sequence[DemoAccount]
    scenarios: Sequence[Scenario]
    count: int
    seed: int
    pauses: tuple[float, float] = (0.1, 1.0)
    rate: float = 60.0
    events: float = 8.0
    # How long repairs may take at the end, in seconds.
    patience: float = SETTLE_SECONDS
    sabotage: Sabotage | None = None
    log: Path | None = None
    faults: list[Fault] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    _stage: Stage | None = field(default=None, init=False)

    def run(self, stop: threading.Event, on_fault: Callable[[Fault], None]) -> DrillVerdict:
        """Run it; `stop` ends it early, with the verdict on what was done."""
        began = datetime.now(UTC)
        draw = random.Random(self.seed)  # noqa: S311
        with Stage(
            self.accounts, stop, seed=self.seed, rate=self.rate, events=self.events, log=self.log
        ) as stage:
            self._stage = stage
            ready = stage.wait_until_live(began, START_SECONDS)
            if ready is None:
                raise Unavailable(f"Capture did not start: {stage.capture.last_words()}")
            for scenario in self._deck(draw):
                stop.wait(draw.uniform(*self.pauses))
                if stop.is_set():
                    break
                self.faults.append(self._inject(stage, scenario, draw))
                on_fault(self.faults[-1])
            return self._end(stage, began, ready)

    def abandon(self) -> None:
        """Leave no process behind: for who ends this one at once."""
        if self._stage is not None:
            self._stage.abandon()

    def _deck(self, draw: random.Random) -> list[Scenario]:
        """The scenarios in random order, each as often as any other, give or take one."""
        deck: list[Scenario] = []
        while len(deck) < self.count:
            deck += draw.sample(list(self.scenarios), len(self.scenarios))
        return deck[: self.count]

    def _inject(self, stage: Stage, scenario: Scenario, draw: random.Random) -> Fault:
        fault = Fault(scenario.number, scenario.name, datetime.now(UTC))
        try:
            fault.note = scenario.act(stage, draw)
        except Misbehaved as error:
            self._problem(fault, str(error))
        fault.fired = stage.clear()
        fault.ended = datetime.now(UTC)
        try:
            fault.recovered = stage.wait_until_live(fault.ended, RECOVERY_SECONDS)
            if fault.recovered is None:
                self._problem(fault, f"capture did not recover within {RECOVERY_SECONDS:g} s")
        except Misbehaved as error:
            self._problem(fault, str(error))
            stage.start()
            fault.recovered = stage.wait_until_live(datetime.now(UTC), START_SECONDS)
        return fault

    def _problem(self, fault: Fault, what: str) -> None:
        logger.warning("%s %s: %s", fault.number, fault.name, what)
        self.problems.append(f"{fault.number} {fault.name} at {fault.began:%T}: {what}")

    def _end(self, stage: Stage, began: datetime, ready: datetime) -> DrillVerdict:
        """Let the market rest, repairs come to their end, and capture stop; then judge."""
        stage.sandbox.pause()
        stage.sandbox.drain()

        def verdict() -> DrillVerdict:
            run = Window(began, datetime.now(UTC))
            # Read anew: a connection that is made only now begins with a snapshot of its tickers.
            truth = Truth.read(stage.sandbox.ledger())
            return Judge(
                truth, self.faults, stage.before, run=run, ready=ready,
                interval_ms=TICKER_INTERVAL_MS, committed=stage.committed, spooled=stage.spooled,
            ).judge()  # fmt: skip

        deadline = time.monotonic() + self.patience
        while not verdict().is_green and time.monotonic() < deadline and stage.capture.is_alive:
            threading.Event().wait(SETTLE_PAUSE_SECONDS)
        try:
            stage.terminate()
        except Misbehaved as error:
            self.problems.append(f"at the end: {error}")
        if self.sabotage:
            self.sabotage(Truth.read(stage.sandbox.ledger()))
        final = verdict()
        final.problems += self.problems
        silent = {fault.name for fault in self.faults} - {f.name for f in self.faults if f.fired}
        final.problems += [f"{name} never fired" for name in sorted(silent)]
        return final
