"""The capture service: builds the parts, watches them, and stops them in order.

A part that dies stops the whole, so that whoever supervises the process starts it anew. On the
way out streams close first, then writers store what waits, then gaps and quarantine follow.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any

from django.db import Error as AnyDatabaseError
from django.db import connection

from marketdata.capture.books import Books
from marketdata.capture.config import CaptureConfig
from marketdata.capture.guard import Guard
from marketdata.capture.lease import Lease, LeaseLost
from marketdata.capture.parts import Part
from marketdata.capture.patience import be_impatient
from marketdata.capture.private_part import PrivatePart
from marketdata.capture.public_part import PublicPart
from marketdata.capture.public_writers import TradeWriter
from marketdata.capture.pulse import Pulse
from marketdata.capture.repairs import Repairs
from marketdata.capture.report import CaptureReport, StreamStatus
from marketdata.capture.spooling import Spooling
from marketdata.capture.startup import stamp_environment
from marketdata.capture.storing import tell_of_refusal
from marketdata.capture.summary import Summary
from marketdata.capture.teller import Teller
from marketdata.capture.writers import Writer, stop_all
from marketdata.exits import ExitCode, Unavailable
from marketdata.log_events import (
    CAPTURE_FAILED,
    CAPTURE_STARTED,
    DATABASE_AWAY,
    DATABASE_BACK,
    LEASE_LOST,
)
from marketdata.models import Stream

logger = logging.getLogger(__name__)

TICK_SECONDS = 0.5
WRITER_STOP_SECONDS = 20.0
CLOSING_ATTEMPTS = 5
CLOSING_PAUSE_SECONDS = 1.0
# Who waits for capture to be ready waits no longer for its first repairs; systemd's limit in
# deploy/ is a minute.
READY_SECONDS = 45.0


class CaptureService:
    """Captures what `config` names until it is told to stop."""

    def __init__(
        self, config: CaptureConfig, *, trade_writer_class: type[TradeWriter] = TradeWriter
    ) -> None:
        self.config = config
        self.lease = Lease(config.lease_seconds)
        self.books = Books(self.lease)
        self.spooling = Spooling(self.books, config)
        self.repairs = repairs = Repairs(config, self.books) if config.repair else None
        self.public = (
            PublicPart(config, self.books, repairs, trade_writer_class) if config.symbols else None
        )
        self.private = PrivatePart(config, self.books, repairs) if config.private else None
        self._parts: list[Part] = [part for part in (self.public, self.private) if part]
        self._teller = Teller(self.books, self.spooling, self._parts, self.private, repairs)
        self._guard = Guard(self._writers, self.books.quarantine, self._abandon_loudly)
        self.pulse = Pulse("service", must_turn=True)
        self._began = time.monotonic()
        self._problems: list[str] = []
        self._exit_code = ExitCode.OK
        self._database_away = False
        self._running = False
        self._summary = Summary(self.report)
        # Whether all that is served was repaired once, or could not be.
        self.is_ready = False

    def run(
        self,
        stop: threading.Event,
        *,
        duration: float | None = None,
        on_replay: Callable[[int], None] = lambda rows: None,
        on_ready: Callable[[], None] = lambda: None,
        on_tick: Callable[[CaptureService], None] = lambda service: None,
        on_stopping: Callable[[], None] = lambda: None,
    ) -> CaptureReport:
        """Capture until `stop` is set, `duration` seconds passed, or a part fails.

        `on_ready` is called when all that is served was repaired once, or could not be. Raises
        LeaseHeld when another capture writes to the database, unless it is to wait.
        """
        with self._guard.watching(stop):
            if not self.config.wait:
                self.lease.acquire()
            elif not self.lease.wait(stop):
                return self.report()
            self._began = time.monotonic()
            try:
                self._start(stop, on_replay)
            except LeaseLost as error:
                self.spooling.close()
                raise Unavailable(f"{error}.") from None
            except BaseException:
                self.spooling.close()
                self.lease.release()
                raise
            try:
                while not stop.wait(TICK_SECONDS) and self._step():
                    if not self.is_ready and self._may_call_itself_ready():
                        self.is_ready = True
                        on_ready()
                    self._summary.tick()
                    on_tick(self)
                    if duration is not None and self.seconds >= duration:
                        break
            finally:
                self._guard.end_is_near()
                try:
                    on_stopping()
                finally:
                    self._shut_down()
                    self._running = False
                    self.spooling.close()
                    self._summary.end()
            return self.report()

    def abandon(self) -> None:
        """Put on disk what can be, from a process that is about to end."""
        for writer in self._writers:
            writer.abandon()
        self.spooling.save_books(closing=True)

    def _abandon_loudly(self) -> None:
        self.abandon()
        lost = sum(sum(writer.pending().values()) for writer in self._writers)
        CAPTURE_FAILED.log(
            logger,
            "capture ends at once: the database does not answer. %d rows are safe in %s, and not "
            "in the database yet: the next capture stores them first; %d could not be saved",
            *(self.spooling.spool.rows, self.spooling.spool.folder, lost),
            reason="the database does not answer",
        )

    def _start(self, stop: threading.Event, on_replay: Callable[[int], None]) -> None:
        if self.public:
            stamp_environment(self.config.environment)
        self.spooling.open()
        self.books.persist()
        self.spooling.replay(self._writers, stop, partial(self._replaying, on_replay))
        self._running = True
        for part in self._parts:
            part.start()
        if self.repairs:
            self.repairs.start()
        symbols, environment = len(self.config.symbols), self.config.environment
        text = "capture has begun: %d symbols of %s"
        of = {"symbols": symbols, "environment": environment}
        CAPTURE_STARTED.log(logger, text, symbols, environment, **of)

    def _replaying(self, on_replay: Callable[[int], None], rows: int) -> None:
        # A backlog may take longer than the lease lasts.
        with suppress(AnyDatabaseError):
            self.lease.renew()
        on_replay(rows)

    def status(self) -> list[StreamStatus]:
        """Each stream as it is now."""
        return self._teller.status()

    def report(self) -> CaptureReport:
        """What was done so far."""
        return self._teller.report(
            seconds=self.seconds,
            problems=list(self._problems),
            exit_code=self._exit_code,
            is_over=not self._running,
        )

    @property
    def is_capturing(self) -> bool:
        """Whether its connections are to bring something: it neither stands by nor starts or ends."""
        return self._running

    @property
    def seconds(self) -> float:
        """For how long it has been at work."""
        return time.monotonic() - self._began

    @property
    def is_database_away(self) -> bool:
        """Whether the database did not take what the service, or a writer, last had to write."""
        return self._database_away or any(writer.is_refused for writer in self._writers)

    @property
    def streams(self) -> list[Stream]:
        """The streams that are captured."""
        return [writer.stream for writer in self._writers]

    @property
    def pulses(self) -> list[Pulse]:
        """The signs of life of every part: readers, flushers, the reconciler, the service."""
        pulses = [self.pulse, *([self.repairs.pulse] if self.repairs else [])]
        for part in self._parts:
            pulses += [collector.pulse for collector in list(part.collectors)]
            pulses += [supervisor.pulse for supervisor in part.supervisors]
            pulses += [writer.pulse for writer in part.writers]
        return pulses

    @property
    def _writers(self) -> list[Writer[Any]]:
        return [writer for part in self._parts for writer in part.writers]

    def _may_call_itself_ready(self) -> bool:
        if self.repairs is None or self.seconds >= READY_SECONDS:
            return True
        # While the database is away nobody knows yet who is to be served.
        return not self._database_away and self.repairs.is_settled

    def _step(self) -> bool:
        """Write what waits here and look at every part; False when capture must stop."""
        try:
            with self.pulse:
                self._keep_books()
        except LeaseLost as error:
            LEASE_LOST.log(logger, "%s", error, epoch=self.lease.epoch)
            return self._fail(ExitCode.UNAVAILABLE, str(error))
        for part in self._parts:
            if failure := part.failure():
                return self._fail(ExitCode.ERROR, f"a part of capture died: {failure}")
        if self.repairs and (failure := self.repairs.failure()):
            return self._fail(ExitCode.ERROR, f"a part of capture died: {failure}")
        if self._guard.error:
            return self._fail(ExitCode.ERROR, f"the guard of capture died: {self._guard.error!r}")
        if self._guard.problem:
            return self._fail(ExitCode.UNAVAILABLE, self._guard.problem)
        if violations := self.books.tally.violations():
            return self._fail(ExitCode.ERROR, f"rows are unaccounted for: {'; '.join(violations)}")
        return True

    def _fail(self, code: ExitCode, problem: str) -> bool:
        CAPTURE_FAILED.log(
            logger, "capture stops: %s", problem, exit_code=int(code), reason=problem
        )
        self._problems.append(problem)
        self._exit_code = code
        return False

    def _keep_books(self, *, closing: bool = False) -> bool:
        """Have the parts write what is theirs; False while the database is away.

        Raises LeaseLost: then this is not the database's capture any more.
        """
        try:
            be_impatient()
            self.lease.renew()
            for part in self._parts:
                self.pulse.beat()
                if closing:
                    part.finish()
                else:
                    part.step()
                    part.beat()
            self.books.vouch(self._writers, closing=closing)
            self.books.persist()
            if closing:
                if not self.spooling.spool.rows:
                    self.books.end()
                self.lease.release()
        except AnyDatabaseError as error:
            connection.close()
            if not self._database_away:
                tell_of_refusal("the service", error)
                why = type(error).__name__
                text = "the books wait for the database: %s"
                DATABASE_AWAY.log(logger, text, why, part="books", reason=why)
            self._database_away = True
            self.spooling.save_books()
            return False
        if self._database_away:
            DATABASE_BACK.log(logger, "the books are written again", part="books")
        self._database_away = False
        self.spooling.save_books()
        return True

    def _shut_down(self) -> None:
        if self.repairs:
            self.repairs.request_stop()
        for part in self._parts:
            part.stop()
        if self.repairs:
            self.repairs.stop()
        self.books.gaps.end(datetime.now(UTC))
        left_behind = stop_all(self._writers, WRITER_STOP_SECONDS)
        on_disk = self.spooling.spool.rows
        books_on_disk = self.spooling.save_books(closing=True)
        # With rows left behind the database is away: what else waits would wait in vain.
        attempts = 0 if left_behind else 1 if on_disk else CLOSING_ATTEMPTS
        pause = threading.Event()
        try:
            while attempts and not self._keep_books(closing=True):
                attempts -= 1
                pause.wait(CLOSING_PAUSE_SECONDS)
        except LeaseLost as error:
            # Gaps and intervals are the other's to write by now; what could not be stored is not.
            left_behind += [str(error)] if str(error) not in self._problems else []
            with suppress(AnyDatabaseError):
                self.books.quarantine.flush()
        if not attempts and not books_on_disk:
            left_behind.append("gaps and quarantine could not be stored")
        elif not attempts:
            left_behind.append("gaps and quarantine wait on disk for the next capture")
        if on_disk:
            left_behind.append(
                f"{on_disk} rows are safe in {self.spooling.spool.folder}, and not in the "
                "database yet: the next capture stores them first"
            )
        if aside := self.spooling.spool.set_aside:
            names = ", ".join(map(str, aside))
            self._fail(ExitCode.DATA_INCOMPLETE, f"parts of the spool were set aside: {names}")
        for problem in left_behind:
            self._fail(ExitCode.UNAVAILABLE, problem)
