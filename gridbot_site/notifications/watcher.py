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
from pathlib import Path
from typing import Final

from django.utils import timezone

from gridbot_site.notifications import facts, state
from gridbot_site.notifications.conditions import Condition, Key, Kind
from gridbot_site.notifications.message import line_of, message_of
from gridbot_site.notifications.rules import Entry, Event, Limits, look, speak
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

    def step(self) -> Look:
        """Look once, and tell what is to be told."""
        now = timezone.now()
        found = facts.look_around(now)
        clock = self._of_clock()
        seen = Look(found.conditions | clock.conditions)
        unknown = found.unknown | clock.unknown
        looked = look(self._entries, seen.conditions, unknown, now, self._limits)
        spoken, seen.events = speak(looked, now, self._limits)
        is_told = not seen.events or self._tell(seen)
        self._keep(spoken if is_told else looked)
        return seen

    def _of_clock(self) -> facts.Found:
        if time.monotonic() - self._clock_asked >= CLOCK_SECONDS:
            self._clock, self._clock_asked = facts.look_at_clock(), time.monotonic()
        return self._clock

    def _tell(self, seen: Look) -> bool:
        """Whether anybody took the message; without an address the log takes it."""
        seen.deliveries = send_to_all(self._targets, message_of(seen.events, socket.gethostname()))
        for each in seen.deliveries:
            self._note(each)
        is_told = len(seen.failed) < len(seen.deliveries) or not self._targets
        if is_told:
            for event in seen.events:
                _log(event)
        return is_told

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
