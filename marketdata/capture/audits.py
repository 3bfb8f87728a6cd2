"""Audits of a running capture: when REST is asked whether a stream brought everything.

Each symbol, and each account that was captured before, is audited when its first connection is
subscribed, and then all are again and again. An answer is compared with all that is claimed of the
time it shows, by this capture or one before (coverage/audit.py), so that a restart skips none: of
trades whatever the answer holds, of executions from a while before the last instant that was
vouched for.

REST shows the last 1000 trades. Of a busy symbol these are over before the next audit would be
due, so that comes earlier: when half as much time has passed as the answer shows.

A topic may fall silent while others on its connection live. When a symbol had no trade for long,
by what the others bring, it is audited at once, and again each time it has been quiet for twice as
long. A quiet market shows no newer trade, and that is all; where REST shows one, the connection is
made anew, with a gap of the silent feed from the last trade shown.
"""

from __future__ import annotations

import logging
import random
import time
from datetime import timedelta

from django.utils import timezone

from marketdata.capture.books import Books
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import Quiet
from marketdata.capture.links import Link
from marketdata.capture.tally import StreamKey
from marketdata.coverage.findings import Finding
from marketdata.coverage.frontier import vouched_until
from marketdata.coverage.gap_rows import Span
from marketdata.coverage.reconciler import GapReconciler
from marketdata.models import Stream

logger = logging.getLogger(__name__)

# The least seconds between two audits of a symbol, however busy it is.
LEAST_SECONDS = 5.0
# How long before its end what a former capture has vouched for may not have been audited: as
# long as REST may have been away.
LOOKBACK = timedelta(hours=1)
SILENT = "{}: its topic was silent while others were not"


class Audits:
    """Says when each link is to be audited, and does it; on the threads of repairs."""

    def __init__(self, config: CaptureConfig, books: Books) -> None:
        self._config, self._books = config, books
        self._lag = timedelta(seconds=config.audit_lag)

    def take_up(self, link: Link) -> None:
        """Begin where the audits of a former capture may have ended."""
        if link.context is None:
            return
        if end := vouched_until(link.feed(link.streams[0])):
            link.audited_until = end - LOOKBACK
        else:
            link.audit_at = self._next()

    def is_due(self, link: Link) -> bool:
        """Whether to ask now."""
        is_up = link.supervisor.connected.is_set() and not link.refusal
        return is_up and (time.monotonic() >= link.audit_at or self._is_to_be_probed(link))

    def ask(self, link: Link, reconciler: GapReconciler) -> Finding | None:
        """Audit `link`; None when there is nothing to ask. May raise a BybitError."""
        link.audit_at = self._next()
        if self._is_spooled(StreamKey(link.streams[0], link.account_id)):
            return None
        if link.context is None:
            return self._trades(link, reconciler)
        until = reconciler.exchange_time(link.context) - self._lag
        since, link.audited_until = link.audited_until, link.audited_until or until
        if since is None or since >= until:
            return None
        finding = reconciler.audit_executions(link.context, Span(since, until))
        if finding.error is None:
            link.audited_until = until
        return finding

    def settle(self, link: Link, stream: Stream) -> list[Span]:
        """Have stored what a stream has brought; for which spans that is everything."""
        spans = self._books.gaps.claimed(link.feed(stream))
        link.writers[stream].flush()
        # So that gaps which were opened by now announce what they miss.
        self._books.persist()
        return [] if self._is_spooled(StreamKey(stream, link.account_id)) else spans

    def _next(self) -> float:
        # Jitter, so that not all are audited at once.
        return time.monotonic() + self._config.audit_interval * random.uniform(0.5, 1)  # noqa: S311

    def _trades(self, link: Link, reconciler: GapReconciler) -> Finding:
        now, life = timezone.now(), link.supervisor.lives
        quiet = self._long_quiet(link)
        link.probed_after = quiet.since if quiet else None
        with self._books.gaps.overlapping(link.feed(Stream.TRADES)) as overlap:
            asked = Span(link.audited_until or now, now)
            finding = reconciler.audit_trades(link.symbol, asked, overlap.note_answer)
        link.audited_until = now
        if quiet:
            pause = min(max(quiet.seconds, self._config.topic_silence), self._config.audit_interval)
            link.audit_at = time.monotonic() + pause
        elif finding.shown and finding.begins_at:
            pause = max(finding.shown.seconds / 2, LEAST_SECONDS)
            link.audit_at = min(link.audit_at, time.monotonic() + pause)
        if quiet and finding.unheard and self._is_silent(link, quiet, finding.unheard):
            self._renew(link, life, finding.unheard)
        return finding

    def _long_quiet(self, link: Link) -> Quiet | None:
        """How long a symbol has been quiet, if that is longer than it may be."""
        if link.context is not None:
            return None
        quiet = self._books.gaps.quiet(link.feed(Stream.TRADES))
        return quiet if quiet and quiet.seconds >= self._config.topic_silence else None

    def _is_to_be_probed(self, link: Link) -> bool:
        quiet = self._long_quiet(link)
        return quiet is not None and quiet.since != link.probed_after

    def _is_silent(self, link: Link, before: Quiet, unheard: Span) -> bool:
        """Whether REST shows newer trades than the topic has brought, still."""
        now = self._long_quiet(link)
        return now is not None and now.since == before.since < unheard.end

    def _is_spooled(self, key: StreamKey) -> bool:
        return bool(self._books.tally.snapshot().get(key, {}).get("spooled", 0))

    def _renew(self, link: Link, life: int, unheard: Span) -> None:
        """Make a connection anew that does not bring what `unheard` is a part of."""
        if link.supervisor.lives_on(life):
            reason, feed = SILENT.format(link.name), link.feed(Stream.TRADES)
            if believed := self._books.gaps.open_from(feed, reason, unheard.end):
                self._books.voucher.revoke(feed, believed)
            link.supervisor.renew(life, reason)
