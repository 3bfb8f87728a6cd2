"""The metrics of a running capture, read from its parts at each scrape; no database is asked."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from marketdata.bybit.telemetry import OK, OTHER, TELEMETRY, WORDS
from marketdata.capture.feeds import Feed
from marketdata.capture.report import StreamStatus
from marketdata.capture.service import CaptureService
from marketdata.capture.tally import UNKNOWN, Counts
from marketdata.health import metrics
from marketdata.health.metrics import Sample

# What is no outcome of a row: that it came, and that it waits on disk.
UNSETTLED = ("received", "spooled")
OUTCOMES = tuple(each.name for each in fields(Counts) if each.name not in UNSETTLED)
# What did not happen yet is 0: an increase is known only of what was there before.
CODES = (OK, *WORDS.values(), OTHER)


def open_gaps(service: CaptureService) -> dict[Feed, datetime]:
    """The gaps that go on, and since when, but for those of accounts that are set aside: what a key
    may not do is its tenant's trouble, and not that of capture."""
    aside = service.private.set_aside if service.private else {}
    gaps = service.books.gaps.open_since()
    return {feed: since for feed, since in gaps.items() if feed.account_id not in aside}


class CaptureMetrics(Collector):
    """The metrics of `service`."""

    def __init__(self, service: CaptureService) -> None:
        self._service = service

    def describe(self) -> Iterable[Metric]:
        """All of them, without values: so that registering asks no service."""
        return [each.family([]) for each in metrics.CAPTURE]

    def collect(self) -> Iterator[Metric]:
        """All of them as they are now."""
        service = self._service
        yield metrics.READY.single(service.is_ready)
        yield metrics.DATABASE_UP.single(not service.is_database_away)
        yield from self._streams(service.status())
        yield from self._spool()
        yield from self._gaps()
        yield from self._connections()
        calls = dict.fromkeys(CODES, 0) | TELEMETRY.rest_calls
        yield metrics.REST_CALLS.family(((code,), count) for code, count in calls.items())
        yield metrics.CLOCK_SKEW.single(TELEMETRY.clock_skew)
        private = service.private
        aside = len(private.set_aside) if private else 0
        supervisors = private.supervisors if private else []
        served = sum(not (each.refusal or each.partial_refusal) for each in supervisors)
        states = [(("served",), float(served)), (("set_aside",), float(aside))]
        yield metrics.ACCOUNTS.family(states)
        silent: dict[str, float] = {}
        for pulse in service.pulses:
            silent[pulse.part] = max(pulse.silent_seconds, silent.get(pulse.part, 0.0))
        yield metrics.PROGRESS.family(((part,), seconds) for part, seconds in silent.items())

    def _streams(self, streams: list[StreamStatus]) -> Iterator[Metric]:
        known = (*map(str, self._service.streams), UNKNOWN)
        counts: dict[str, Counter[str]] = {stream: Counter() for stream in known}
        for each in streams:
            # Rows that an earlier capture left on disk may be of a stream that is not captured now.
            counts.setdefault(str(each.stream), Counter()).update(each.counts)
        silent = [(str(each.stream), each.silent_seconds) for each in streams]
        heard = {stream for stream, seconds in silent if seconds is not None}
        public = self._service.public if self._service.is_capturing else None
        # What never came is as silent as what comes no more, and no less in need of an alert.
        for stream in {str(writer.stream) for writer in public.writers} - heard if public else ():
            silent.append((stream, self._service.seconds))
        yield metrics.MESSAGE_AGE.family(_by_stream(silent, min))
        lags = [(each.stream, each.lag_seconds) for each in streams]
        yield metrics.LAG.family(_by_stream(lags, max))
        for described, column in (
            (metrics.RECEIVED, "received"),
            (metrics.QUEUE, "buffered"),
            (metrics.SPOOLED, "spooled"),
        ):
            yield described.family(((stream,), each[column]) for stream, each in counts.items())
        yield metrics.ROWS.family(
            ((stream, outcome), each[outcome])
            for stream, each in counts.items()
            for outcome in OUTCOMES
        )

    def _spool(self) -> Iterator[Metric]:
        spool = self._service.spooling.spool
        with spool.lock:
            size, aside = spool.size, len(spool.set_aside)
        yield metrics.SPOOL_BYTES.single(size)
        yield metrics.SPOOL_LIMIT.single(spool.max_bytes)
        yield metrics.SPOOL_ASIDE.single(aside)
        try:
            free: float | None = shutil.disk_usage(spool.folder).free
        except OSError:
            # The folder is made when capture starts, and may be gone.
            free = None
        yield metrics.DISK_FREE.single(free)

    def _gaps(self) -> Iterator[Metric]:
        now = datetime.now(UTC)
        count: Counter[str] = Counter()
        oldest: dict[str, float] = {}
        for stream in self._service.streams:
            count[stream], oldest[stream] = 0, 0.0
        for feed, since in open_gaps(self._service).items():
            count[feed.stream] += 1
            oldest[feed.stream] = max(oldest.get(feed.stream, 0.0), (now - since).total_seconds())
        yield metrics.GAPS.single(self._service.books.gaps.opened)
        yield metrics.OPEN_GAPS.family(((stream,), number) for stream, number in count.items())
        yield metrics.OPEN_GAP_AGE.family(((stream,), age) for stream, age in oldest.items())

    def _connections(self) -> Iterator[Metric]:
        states: Counter[tuple[str, str]] = Counter()
        silent: dict[str, float] = {}
        for kind, part in (("public", self._service.public), ("private", self._service.private)):
            if part is None:
                continue
            states[kind, "up"] = states[kind, "down"] = 0
            for supervisor in part.supervisors:
                is_up = supervisor.connected.is_set()
                states[kind, "up" if is_up else "down"] += 1
                if is_up:
                    seconds = supervisor.client.silent_seconds()
                    silent[kind] = max(seconds, silent.get(kind, 0.0))
        reconnects = TELEMETRY.reconnects
        yield metrics.CONNECTIONS.family(states.items())
        yield metrics.SILENCE.family(((kind,), seconds) for kind, seconds in silent.items())
        yield metrics.RECONNECTS.family(
            ((kind,), reconnects.get(kind, 0)) for kind in ("public", "private")
        )


def _by_stream(
    values: Iterable[tuple[str, float | None]], choose: Callable[[float, float], float]
) -> Iterator[Sample]:
    """One value of each stream; none of a stream of which nothing is known."""
    known: dict[str, float] = {}
    for stream, value in values:
        if value is not None:
            known[stream] = choose(value, known.get(stream, value))
    for stream, value in known.items():
        yield (stream,), value
