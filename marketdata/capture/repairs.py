"""Repairs of a running capture: what its streams missed is asked for by REST, beside them.

An account is repaired each time its connection is subscribed, however short it was away; symbols
when they were away for long. Because the stream was subscribed before REST is asked, everything
up to the moment of asking is in the answer or on the stream: the gaps end at that moment, also of
a quiet account, whose next row may come in days. They end a little later, in fact, as the
exchange's clocks may differ; and as REST may lag behind the streams, it is asked at once, and once
more when that time has passed, which is when the gaps are judged. A sweep takes what is left: short gaps of
symbols, and every gap that could not be filled, with growing delays. Audits look whether a
stream that was never interrupted brought all that REST shows (audits.py).

Some threads of their own do this, so that one account's trouble does not delay the others.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from marketdata.bybit.errors import AuthenticationFailed, BybitError, RateLimited
from marketdata.capture.audits import Audits
from marketdata.capture.books import Books
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import Feed
from marketdata.capture.lease import LeaseLost
from marketdata.capture.links import PRIVATE_STREAMS, PUBLIC_STREAMS, Key, Link
from marketdata.capture.patience import be_impatient
from marketdata.capture.pulse import Pulse
from marketdata.capture.repair_report import RepairReport
from marketdata.capture.supervisor import Supervisor
from marketdata.capture.tally import StreamKey
from marketdata.capture.tasks import TaskQueue
from marketdata.capture.writers import DatabaseUnavailable
from marketdata.coverage.findings import Finding
from marketdata.coverage.gap_rows import give_up_gaps, is_due, note_attempt, open_gaps
from marketdata.coverage.reconciler import GapReconciler
from marketdata.coverage.reconciler_base import Unwanted
from marketdata.log_events import (
    DATABASE_AWAY,
    DATABASE_BACK,
    REPAIR_FAILED,
    REPAIR_WAITS,
    log_context,
)
from marketdata.models import CaptureGap, Stream

logger = logging.getLogger(__name__)

THREADS = 4
# How long a task may wait for the database before it makes place for others, and how long it
# then stands back.
PATIENCE_SECONDS, DATABASE_PAUSE_SECONDS = 5.0, 2.0
# A stop does not wait for the exchange's answer: what was not judged stays open.
STOP_SECONDS = 5.0
NO_HISTORY = "ticker states cannot be asked for again"
SWEEP, WATCH = "(sweep)", "(watch)"
# How often it is looked whose audit is due.
WATCH_SECONDS = 1.0
# A hundred pages of an account may come between two signs of life.
HUNG_SECONDS = 300.0


class Repairs:
    """Repairs what the connections that it is told of have missed."""

    def __init__(self, config: CaptureConfig, books: Books) -> None:
        self.report = RepairReport()
        # It looks at what is due every second: none of its threads may rest for long.
        self.pulse = Pulse("reconciler", limit=HUNG_SECONDS, must_turn=True)
        self._config, self._books = config, books
        self._margin = timedelta(seconds=config.repair_margin)
        self._settle = timedelta(seconds=config.repair_settle)
        self._audits = Audits(config, books)
        self._links: dict[Key, Link] = {}
        self._lock = threading.Lock()
        self._database_away = False
        self._stopping = threading.Event()
        # Accounts first: the trades of symbols are public, and in the archives.
        self._queue: TaskQueue[Key] = TaskQueue(rank=lambda key: isinstance(key, str))
        self._threads = [
            threading.Thread(target=self._work, name=f"repairs-{number}", daemon=True)
            for number in range(1, THREADS + 1)
        ]

    # --- told by the service and the connections ---------------------------------------------

    def start(self) -> None:
        """Begin, with a sweep of what earlier captures have left."""
        self._queue.put(SWEEP)
        self._queue.put(WATCH)
        for thread in self._threads:
            thread.start()

    def request_stop(self) -> None:
        """Begin to stop: nothing new is asked, and nothing more is stored."""
        self._stopping.set()
        self._queue.close()

    def stop(self) -> None:
        """Stop; a thread that still waits for the exchange is left behind."""
        self.request_stop()
        deadline = time.monotonic() + STOP_SECONDS
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def failure(self) -> str:
        """What has died of it, if anything has."""
        dead = [thread.name for thread in self._threads if not thread.is_alive()]
        return f"{', '.join(dead)} died" if dead and not self._stopping.is_set() else ""

    def add(self, link: Link) -> None:
        """Repair what `link` names, from its first subscription on."""
        self._audits.take_up(link)
        with self._lock:
            self._links[link.key] = link

    def drop(self, key: Key) -> None:
        """Ask no more for what is not captured any more."""
        with self._lock:
            self._links.pop(key, None)

    def on_connected(self, supervisor: Supervisor) -> None:
        """A connection is subscribed; called on its supervisor's thread."""
        for link in self._all_links():
            if link.supervisor is supervisor:
                link.connected_anew()
                self._queue.put(link.key)

    @property
    def is_settled(self) -> bool:
        """Whether everything that is served was repaired once, or cannot be for now."""
        return all(link.is_settled for link in self._all_links())

    def _all_links(self) -> list[Link]:
        with self._lock:
            return list(self._links.values())

    # --- on the threads ----------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while (key := self._queue.take()) is not None:
                try:
                    with self.pulse:
                        self._do(key)
                finally:
                    self._queue.done(key)
        finally:
            connection.close()

    def _do(self, key: Key) -> None:
        try:
            be_impatient()
            if key == SWEEP:
                self._sweep()
                if self._database_away:
                    DATABASE_BACK.log(logger, "repairs have the database again", part="repairs")
                self._database_away = False
                self._queue.put(SWEEP, self._config.sweep_interval)
            elif key == WATCH:
                for due in filter(self._audits.is_due, self._all_links()):
                    self._queue.put(due.key)
                self._queue.put(WATCH, WATCH_SECONDS)
            elif (link := self._links.get(key)) is not None:
                with log_context(account=link.name if link.context else None):
                    self._serve(link)
        except (DatabaseError, InterfaceError, DatabaseUnavailable) as error:
            connection.close()
            if not self._database_away:
                text, why = "repairs wait for the database: %s", type(error).__name__
                DATABASE_AWAY.log(logger, text, why, part="repairs", reason=why)
            self._database_away = True
            self._queue.put(key, DATABASE_PAUSE_SECONDS)
        except LeaseLost as error:
            logger.info("a repair was given up: %s", error)
        except Unwanted:
            logger.info("a repair was given up: nobody wants it any more")
        except Exception as error:  # noqa: BLE001 - logged with where it came from
            # Streams go on without repairs; a gap that was not judged stays open, and shows.
            connection.close()
            REPAIR_FAILED.log_error(logger, error, "a repair failed")
            self._queue.put(key, self._config.sweep_interval)

    def _serve(self, link: Link) -> None:
        try:
            if link.has_wishes and not link.refusal:
                self._repair(link)
            if self._audits.is_due(link):
                self._audit(link)
        except BybitError as error:
            # What was not asked is still wanted, and the next sweep sees to it.
            if str(error) != link.trouble:
                link.trouble = str(error)
                of = {"connection": link.name, "reason": link.trouble}
                REPAIR_WAITS.log(logger, "no repair of %s for now: %s", link.name, error, **of)
        finally:
            link.was_tried = True

    def _repair(self, link: Link) -> None:
        left, is_new = link.take()
        early: set[Stream] = set()
        chosen = self._choice(link, is_new)
        try:
            life, ending = link.supervisor.lives, self._lasting(link, left, is_new)
            self._books.persist()
            if not (link.context or ending or any(_gaps(link, each, chosen) for each in left)):
                left.clear()
                return
            reconciler = self._reconciler(link)
            now = reconciler.exchange_time(link.context)
            link.trouble = ""
            until = now + self._margin
            self._books.gaps.hand_over(until, ending, lambda: link.supervisor.lives_on(life))
            self._books.persist()
            if link.audited_until is None:
                # Audits look again at what is repaired now.
                starts = [gap.started_at for gap in _gaps(link, link.streams[0], chosen)]
                link.audited_until = min([now, *starts])
            for stream in [stream for stream in link.streams if stream in left]:
                gaps = _gaps(link, stream, chosen)
                if link.context is not None:
                    findings = reconciler.repair(stream, link.context, gaps, now)
                else:
                    findings = [reconciler.trades_of(link.symbol, gaps, now)] if gaps else []
                error = self._noted(link, stream, findings)
                if isinstance(error, AuthenticationFailed):
                    self._refuse(link, left - {stream}, str(error))
                    left.clear()
                if isinstance(error, AuthenticationFailed | RateLimited):
                    return
                # A gap is asked for again when it is due; without one the wish itself stays.
                if error is None or gaps:
                    left.discard(stream)
                if error is None and self._ask_again(link, stream, gaps, now):
                    early.add(stream)
        finally:
            link.want(left, is_new=is_new)
            link.want(early)

    def _ask_again(self, link: Link, stream: Stream, gaps: list[CaptureGap], now: datetime) -> bool:
        """Have those of `gaps` asked for again that ended too shortly before `now` to be judged.

        Those that end far ahead, by a clock that was wrong, are left to the sweeps.
        """
        asked, least = {gap.pk for gap in gaps}, now - self._settle
        ends = [gap.ended_at for gap in _gaps(link, stream) if gap.pk in asked and gap.ended_at]
        delays = [(end - least).total_seconds() for end in ends if end > least]
        delay = min(delays, default=self._config.sweep_interval)
        if delay >= self._config.sweep_interval:
            return False
        self._queue.put(link.key, delay)
        return True

    def _choice(self, link: Link, is_new: bool) -> Callable[[CaptureGap], bool]:
        """Which gaps to ask for: of a new connection an account's all, a symbol's long ones."""
        if not is_new:
            now = timezone.now()
            return lambda gap: is_due(gap, now, self._config.repair_delay)
        if link.context is not None:
            return lambda gap: True
        least = timedelta(seconds=self._config.gap_threshold)
        return lambda gap: gap.ended_at is not None and gap.ended_at - gap.started_at >= least

    def _lasting(self, link: Link, streams: set[Stream], is_new: bool) -> list[Feed]:
        """The feeds whose gaps go on though their connection is there, and are to end now."""
        fed, began = link.fed_now(streams), self._books.gaps.open_since()
        least = self._config.gap_threshold if is_new and link.context is None else 0.0
        latest = timezone.now() - timedelta(seconds=least)
        return [feed for feed in fed if feed in began and (not least or began[feed] <= latest)]

    def _noted(self, link: Link, stream: Stream, findings: list[Finding]) -> Exception | None:
        """Count what was found, and take back what was not true; the first error, if any."""
        for finding in findings:
            self.report.add(StreamKey(stream, link.account_id), finding)
            for span in finding.unseen:
                self._books.voucher.revoke(link.feed(stream), span)
        return next((finding.error for finding in findings if finding.error), None)

    def _refuse(self, link: Link, others: set[Stream], reason: str) -> None:
        """Ask nothing more with this key, and say so in the gaps that were not asked for."""
        link.refusal = reason
        text, of = "no repairs of %s until it connects again: %s", {"connection": link.name}
        REPAIR_WAITS.log(logger, text, link.name, reason, reason=reason, **of)
        for stream in others:
            for gap in _gaps(link, stream):
                note_attempt(gap.pk, None, note=reason)

    def _reconciler(self, link: Link) -> GapReconciler:
        return GapReconciler(
            self._config.environment,
            self._config.endpoints,
            patience=PATIENCE_SECONDS,
            lag=self._config.repair_settle,
            settle=lambda stream: self._audits.settle(link, stream),
            is_wanted=lambda: self._is_wanted(link),
        )

    def _is_wanted(self, link: Link) -> bool:
        """Asked before rows of a repair are stored."""
        self.pulse.beat()
        return not self._stopping.is_set() and self._links.get(link.key) is link

    # --- what is due by time -----------------------------------------------------------------

    def _sweep(self) -> None:
        """Want what is due again, and what lasts though its connection is there."""
        self._books.persist()
        give_up_gaps(NO_HISTORY, stream=Stream.TICKERS)
        now, delay = timezone.now(), self._config.repair_delay
        due = {
            Feed(gap.stream, gap.symbol, gap.account_id)
            for gap in open_gaps(stream__in=(*PUBLIC_STREAMS, *PRIVATE_STREAMS))
            if is_due(gap, now, delay)
        }
        lasting = self._books.gaps.open_since()
        for link in self._all_links():
            fed = link.fed_now(set(link.streams))
            link.want(
                {
                    stream
                    for stream in link.streams
                    if (feed := link.feed(stream)) in due or (feed in lasting and feed in fed)
                }
            )
            if link.has_wishes and not link.refusal:
                self._queue.put(link.key)

    def _audit(self, link: Link) -> None:
        finding = self._audits.ask(link, self._reconciler(link))
        if finding is None:
            return
        error = self._noted(link, link.streams[0], [finding])
        if isinstance(error, AuthenticationFailed):
            self._refuse(link, set(), str(error))


def _gaps(
    link: Link, stream: Stream, chosen: Callable[[CaptureGap], bool] = lambda gap: True
) -> list[CaptureGap]:
    return list(filter(chosen, open_gaps(**link.gaps_of(stream))))
