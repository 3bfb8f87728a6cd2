"""The lease: one capture at a time writes gaps and vouches for spans of a database.

A row says who holds it, until when, and in which epoch; every takeover raises the epoch. A
holder that was paused for longer than its lease cannot know that another has taken over, so
what only the holder may write is written in a transaction that first renews the row of its own
epoch: when no row is hit, nothing is written and the holder stops.

The time of expiry is the database's (SQLite has no clock but its machine's). While the database
is away nobody can take the lease, and its holder goes on.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from django.db import Error as AnyDatabaseError
from django.db import IntegrityError, connection, models, transaction
from django.db.models.functions import Now

from marketdata.capture.notify import notify
from marketdata.exits import Unavailable, first_line, is_away
from marketdata.log_events import LEASE_AWAITED, LEASE_TAKEN
from marketdata.models import CaptureLease

logger = logging.getLogger(__name__)

ROW = 1
WAIT_SECONDS = 1.0
# A spare that waits is a service at work, for as long as it takes.
STANDING_BY = "READY=1\nSTATUS=standing by"
# Of its length: two renewals may fail before a lease runs out.
RENEWED_AFTER = 1 / 3


class LeaseHeld(Unavailable):
    """Another capture writes to this database."""


class LeaseLost(Exception):
    """Another capture has taken over: nothing more may be written that only one may."""


class Lease:
    """One capture's claim to a database; used from one thread."""

    def __init__(self, seconds: float) -> None:
        self.epoch = 0
        self._seconds = seconds
        self._token = secrets.token_hex(16)
        self._renewed_at = 0.0

    def acquire(self) -> None:
        """Take the lease if it is free. Raises LeaseHeld."""
        machine_and_process = process_identity(os.getpid())
        claim = {
            "holder": f"{socket.gethostname()}, process {os.getpid()}"[:200],
            "process": machine_and_process,
            "token": self._token,
            "epoch": models.F("epoch") + 1,
            "acquired_at": Now(),
            "expires_at": self._expiry(),
        }
        with transaction.atomic():
            _make_row()
            row = CaptureLease.objects.select_for_update().get(pk=ROW)
            is_free = CaptureLease.objects.filter(pk=ROW, expires_at__lte=Now()).exists()
            if not (is_free or _is_dead(row.process)):
                raise LeaseHeld(
                    f"Another capture writes to this database: {row.holder}, since "
                    f"{row.acquired_at:%Y-%m-%d %H:%M:%S}, until {row.expires_at:%H:%M:%S} UTC "
                    "unless it goes on. Stop it first, or pass --wait to stand by."
                )
            CaptureLease.objects.filter(pk=ROW).update(**claim)
            self.epoch = CaptureLease.objects.get(pk=ROW).epoch
        self._renewed_at = time.monotonic()
        text = "this capture holds the lease, epoch %d"
        LEASE_TAKEN.log(logger, text, self.epoch, epoch=self.epoch)

    def wait(self, stop: threading.Event) -> bool:
        """Take the lease as soon as it is free; False when told to stop before.

        Standing by goes on while the database is away: its holder may come back without it.
        """
        said: type[Exception] | None = None
        while not stop.is_set():
            try:
                self.acquire()
            except (LeaseHeld, AnyDatabaseError) as error:
                if not isinstance(error, LeaseHeld):
                    connection.close()
                    if not is_away(error):
                        raise
                if type(error) is not said:
                    why = first_line(error)
                    LEASE_AWAITED.log(logger, "standing by: %s", why, reason=why)
                said = type(error)
            else:
                return True
            notify(STANDING_BY)
            stop.wait(WAIT_SECONDS)
        return False

    @contextmanager
    def fenced(self) -> Iterator[None]:
        """A transaction that commits only as long as the lease is ours. Raises LeaseLost.

        The row stays locked to its end, so nobody takes over in between.
        """
        with transaction.atomic():
            mine = CaptureLease.objects.filter(pk=ROW, epoch=self.epoch, token=self._token)
            if mine.update(expires_at=self._expiry()) != 1:
                raise LeaseLost(f"Another capture has taken over from epoch {self.epoch}.")
            yield
        self._renewed_at = time.monotonic()

    def renew(self) -> None:
        """Renew the lease when a third of it has passed. Raises LeaseLost."""
        if time.monotonic() - self._renewed_at >= self._seconds * RENEWED_AFTER:
            with self.fenced():
                pass

    def release(self) -> None:
        """Let the next one have it at once; nothing when it is lost already."""
        CaptureLease.objects.filter(pk=ROW, epoch=self.epoch, token=self._token).update(
            expires_at=Now()
        )

    def _expiry(self) -> models.expressions.CombinedExpression:
        return Now() + timedelta(seconds=self._seconds)


def _make_row() -> None:
    if CaptureLease.objects.filter(pk=ROW).exists():
        return
    try:
        with transaction.atomic():
            CaptureLease.objects.create(pk=ROW, acquired_at=Now(), expires_at=Now())
    except IntegrityError:
        logger.debug("another process made the lease's row in the same moment")


def process_identity(pid: int) -> str:
    """What tells a process from all others: its machine's life, its namespace, its start.

    Empty where the system does not say, or when there is no such process.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = Path("/proc/self/ns/pid").readlink()
        # After the name, which may hold anything: the 22nd field is the time of its start.
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    fields = status.rpartition(")")[2].split()
    state, started = fields[0], fields[19]
    return "" if state in "ZX" else f"{boot}/{namespace}/{pid}/{started}"


def _is_dead(process: str) -> bool:
    """Whether a holder of this very machine has died; of another machine's nothing is known."""
    ours = process_identity(os.getpid())
    machine, _, rest = process.rpartition("]/")
    if not (ours and machine and ours.startswith(f"{machine}]/")):
        return False
    return process_identity(int(rest.partition("/")[0])) != process
