"""Look again and again, and tell what the rules say is to be told.

A process of its own: it sees a capture that is gone, and nothing that it waits for keeps capture
waiting.
"""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Final

from django.utils import timezone

from gridbot_site.notifications import facts, state
from gridbot_site.notifications.conditions import Condition, Key, Kind
from gridbot_site.notifications.message import line_of, message_of
from gridbot_site.notifications.rules import Entry, Event, Limits, heard, look, speak, unheard
from gridbot_site.notifications.sending import Delivery, Target, send_to_all
from marketdata.log_events import ALERT, ALERT_OVER, DELIVERY_FAILED, DELIVERY_WORKS

logger = logging.getLogger(__name__)

# One request to the exchange each time.
CLOCK_SECONDS: Final = 300.0


@dataclass
class Look:
    """What one look has found, said, and had delivered."""

    conditions: dict[Key, Condition]
    events: list[Event] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)

    @property
    def failed(self) -> list[Delivery]:
        """What was not taken."""
        return [each for each in self.deliveries if each.problem]


class Watcher:
    """Looks for what is wrong; `path` is where the alerts are kept."""

    def __init__(self, targets: Sequence[Target], path: Path, limits: Limits | None = None) -> None:
        self._targets, self._path = targets, path
        self._limits = limits or Limits()
        self._entries = state.load(path)
        self._clock, self._clock_asked = facts.Found(unknown={Kind.CLOCK_SKEW}), float("-inf")
        self._cannot_save = False
        # By position: how many messages in a row were not taken.
        self._failures: dict[int, int] = {}
        # By position: what nobody took in time and that address may take yet, and since when.
        self._late: dict[int, tuple[list[Event], datetime]] = {}

    def step(self) -> Look:
        """Look once, and tell what is to be told."""
        self._hear()
        now = timezone.now()
        found = facts.look_around(now)
        clock = self._of_clock()
        seen = Look(found.conditions | clock.conditions)
        unknown = found.unknown | clock.unknown
        looked = look(self._entries, seen.conditions, unknown, now, self._limits)
        spoken, seen.events = speak(looked, now, self._limits)
        if seen.events and not self._tell(seen):
            spoken = unheard(looked, seen.events, now)
            for target in self._targets:
                if target.is_late:
                    self._late.setdefault(target.position, (seen.events, now))
        self._keep(spoken)
        return seen

    def _hear(self) -> None:
        """Take for told what was taken after its look was over: it would be sent again."""
        for target in self._targets:
            problem = target.late_answer()
            if problem is None:
                continue
            events, said_at = self._late.pop(target.position, ([], None))
            if said_at is not None and not problem:
                self._keep(heard(self._entries, events, said_at))
                # At other addresses it is the same message: once is enough.
                self._late = {at: said for at, said in self._late.items() if said[1] != said_at}

    def _of_clock(self) -> facts.Found:
        if time.monotonic() - self._clock_asked >= CLOCK_SECONDS:
            self._clock, self._clock_asked = facts.look_at_clock(), time.monotonic()
        return self._clock

    def _tell(self, seen: Look) -> bool:
        """Whether anybody took the message; the log does at its first attempt, come what may."""
        for event in seen.events:
            if not event.attempts:
                _log(event)
        seen.deliveries = send_to_all(self._targets, message_of(seen.events, socket.gethostname()))
        for each in seen.deliveries:
            self._note(each)
        return len(seen.failed) < len(seen.deliveries) or not self._targets

    def _note(self, delivery: Delivery) -> None:
        before = self._failures.pop(delivery.position, 0)
        which = {"position": delivery.position, "scheme": delivery.scheme}
        if not delivery.problem:
            if before:
                text = "address %d takes messages again, after %d that it did not"
                DELIVERY_WORKS.log(logger, text, delivery.position, before, failed=before, **which)
            return
        self._failures[delivery.position] = before + 1
        if not before:
            text = "address %d did not take a message"
            DELIVERY_FAILED.log(logger, text, delivery.position, reason=delivery.problem, **which)

    def _keep(self, entries: dict[Key, Entry]) -> None:
        if entries == self._entries and not self._cannot_save:
            return
        self._entries = entries
        try:
            state.save(self._path, entries)
            self._cannot_save = False
        except OSError as error:
            # A full disk is one of the conditions: it is told all the same.
            if not self._cannot_save:
                logger.error("%s cannot be written: %s", self._path, error.strerror)
            self._cannot_save = True


def _log(event: Event) -> None:
    fields = {
        "condition": event.key.kind,
        "subject": event.key.subject,
        "what": event.what,
        "suppressed": event.suppressed or None,
    }
    if event.is_over:
        ALERT_OVER.log(logger, "%s", line_of(event), **fields)
    else:
        severity = event.severity.name.lower()
        ALERT.log(logger, "%s", line_of(event), severity=severity, **fields)
