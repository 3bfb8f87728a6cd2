"""The stage of a drill: the exchange, the networks, the database, and capture between them."""

from __future__ import annotations

import os
import random
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from django.conf import settings
from django.db import DatabaseError, connection

from marketdata.demo.database import DemoAccount
from marketdata.demo.sandbox_process import SandboxProcess
from marketdata.demo.tables import TABLES
from marketdata.demo.verdict import Watermark
from marketdata.drill.capture_process import CaptureProcess
from marketdata.drill.spooled import Spooled, spooled_rows
from marketdata.drill.wires import Wires
from marketdata.exits import ExitCode
from marketdata.models import Order, PublicTrade, TickerSnapshot

SYMBOLS = ("BTCUSDT", "ETHUSDT")
POLL_SECONDS = 0.05
START_SECONDS = 60.0
STOP_SECONDS = 60.0
LEASE_SECONDS = 5.0
# Within it every kind of frame comes, executions of a quiet account too, and capture asks REST.
OCCASION_SECONDS = 30.0
# A drill should not wait where an operator would.
HURRIED = {
    "EVENTSAVER_FLUSH_INTERVAL": "0.1",
    "EVENTSAVER_RECONNECT_DELAY": "0.1",
    "EVENTSAVER_MAX_RECONNECT_DELAY": "0.5",
    "EVENTSAVER_GAP_THRESHOLD_SECONDS": "0.5",
    "EVENTSAVER_SWEEP_INTERVAL": "2",
    "EVENTSAVER_AUDIT_INTERVAL": "10",
    "EVENTSAVER_LEASE_SECONDS": f"{LEASE_SECONDS}",
    "GRIDBOT_SPOOL_AFTER_SECONDS": "1",
}


class Misbehaved(Exception):
    """Capture did what it must not do; the message says what."""


class Stage:
    """Everything that a drill needs, as a context manager that leaves nothing behind.

    `rate` is in trades a second over all symbols, `events` in order events a second of each
    account. What capture logs goes to the end of `log`.
    """

    def __init__(
        self,
        accounts: Sequence[DemoAccount],
        stop: threading.Event,
        *,
        seed: int,
        rate: float,
        events: float,
        log: Path | None = None,
    ) -> None:
        self.accounts, self.stop = accounts, stop
        self.before = Watermark()
        self._market = ("--symbols", ",".join(SYMBOLS), "--seed", str(seed), "--rate", str(rate))
        self._events, self._log = events, log
        self._seed = seed
        self._exits = ExitStack()
        # Faults that were switched on, and how often each had fired before.
        self._wanted: dict[str, int] = {}
        # Of each kill, how many rows were committed up to which primary key.
        self.committed: list[tuple[type, int, int]] = []
        self._captures: list[CaptureProcess] = []
        self.spooled: set[Spooled] = set()

    def __enter__(self) -> Self:
        enter = self._exits.enter_context
        try:
            self.folder = Path(enter(tempfile.TemporaryDirectory(prefix="gridbot-drill-")))
            self.log = self._log or self.folder / "capture.log"
            self.sandbox = enter(
                SandboxProcess(*self._market, accounts=self.accounts, rate=self._events)
            )
            self.wires = enter(Wires(self.sandbox.endpoints, connection, seed=self._seed))
            self._environment = self._capture_environment()
            self.start()
        except BaseException:
            self._exits.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exits.close()

    def _capture_environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items()
            if not name.startswith(("EVENTSAVER_", "GRIDBOT_", "BYBIT_", "DJANGO_"))
        }  # fmt: skip
        return (
            kept
            | HURRIED
            | self.wires.environment()
            | {
                "DJANGO_SETTINGS_MODULE": "gridbot_site.settings",
                "GRIDBOT_ENV_FILE": "",
                "SECRET_KEY": settings.SECRET_KEY,
                "GRIDBOT_CREDENTIAL_KEYS": ",".join(settings.GRIDBOT_CREDENTIAL_KEYS),
                "GRIDBOT_SPOOL_DIR": str(self.folder / "spool"),
                "EVENTSAVER_ENVIRONMENT": "sandbox",
                "EVENTSAVER_SYMBOLS": ",".join(SYMBOLS),
            }
        )

    # --- capture -----------------------------------------------------------------------------

    def launch(self, *arguments: str, **environment: str) -> CaptureProcess:
        """One more capture process."""
        names = [part for account in self.accounts for part in ("--account", account.name)]
        capture = CaptureProcess(self._environment | environment, self.log, *names, *arguments)
        self._captures.append(capture)
        return self._exits.enter_context(capture)

    def abandon(self) -> None:
        """Leave no capture behind, without a wait for anything."""
        for capture in self._captures:
            capture.abandon()

    def start(self, **environment: str) -> None:
        """Start the capture."""
        self.capture = self.launch(**environment)

    def kill(self) -> None:
        """Kill the capture and note what it had committed, or brought to the spool."""
        self.capture.kill()
        self.spooled.update(spooled_rows(self.folder))
        for table in TABLES.values():
            rows = self.before.rows(table.model)
            last = rows.order_by("-pk").values_list("pk", flat=True).first()
            if last is not None:
                self.committed.append((table.model, last, rows.filter(pk__lte=last).count()))

    def terminate(self) -> None:
        """Stop the capture in order. Raises Misbehaved when it does not end well."""
        self.capture.terminate()
        code = self.capture.wait(STOP_SECONDS)
        if code is None:
            self.capture.kill()
            raise Misbehaved(f"capture did not stop within {STOP_SECONDS:g} s of SIGTERM")
        problems = self.capture.report().get("problems", ["it reported nothing"])
        if code != ExitCode.OK or problems:
            said = "; ".join(problems) or self.capture.last_words()
            raise Misbehaved(f"capture stopped with exit code {code}: {said}")

    def wait_until_live(self, since: datetime, seconds: float) -> datetime | None:
        """When rows of every symbol and account that are newer than `since` were stored.

        None when that took too long. Raises Misbehaved when capture has ended.
        """
        deadline = time.monotonic() + seconds
        while not self._is_live(since):
            if not self.capture.is_alive:
                code = self.capture.wait(0)
                raise Misbehaved(f"capture ended, exit code {code}: {self.capture.last_words()}")
            if time.monotonic() > deadline:
                return None
            # Not the event of the drill's own stop: what was begun is brought to its end.
            threading.Event().wait(POLL_SECONDS)
        return datetime.now(UTC)

    def await_live(self) -> None:
        """Wait until what is made from now on is stored. Raises Misbehaved when it is not."""
        if self.wait_until_live(datetime.now(UTC), START_SECONDS) is None:
            raise Misbehaved(f"nothing new was stored for {START_SECONDS:g} s")

    def _is_live(self, since: datetime) -> bool:
        try:
            heard = [_last_of(symbol) for symbol in SYMBOLS]
            heard += [
                Order.objects.unscoped()
                .filter(account__user__username=account.name.partition("/")[0])
                .order_by("-exchange_ts")
                .values_list("exchange_ts", flat=True)
                .first()
                for account in self.accounts
            ]
        except DatabaseError:
            connection.close()
            return False
        return all(last is not None and last > since for last in heard)

    # --- what scenarios do -------------------------------------------------------------------

    def hold(self, seconds: float) -> None:
        """Let a fault last; less when the drill is told to stop."""
        self.stop.wait(seconds)

    def fault(self, name: str, **values: object) -> None:
        """Switch on a fault of the sandbox, which is expected to fire."""
        self._wanted.setdefault(name, self.sandbox.fired().get(name, 0))
        self.sandbox.switch_on(name, **values)

    def await_fired(self) -> None:
        """Give the faults that are on an occasion to fire."""
        deadline = time.monotonic() + OCCASION_SECONDS
        while not self._have_fired() and time.monotonic() < deadline and not self.stop.is_set():
            self.hold(POLL_SECONDS)

    def account(self, draw: random.Random) -> str:
        """One of the accounts."""
        return draw.choice(self.accounts).name

    def clear(self) -> bool:
        """End every fault; whether all that were wanted of the sandbox have fired."""
        self.sandbox.switch_off()
        self.wires.clear()
        fired, self._wanted = self._have_fired(), {}
        return fired

    def _have_fired(self) -> bool:
        fired = self.sandbox.fired() if self._wanted else {}
        return all(fired.get(name, 0) > before for name, before in self._wanted.items())


def _last_of(symbol: str) -> datetime | None:
    """The newest row of a symbol; trades have pauses of seconds, tickers have none."""
    rows = PublicTrade.objects.last_ts(symbol), TickerSnapshot.objects.last_ts(symbol)
    return max((last for last in rows if last is not None), default=None)
