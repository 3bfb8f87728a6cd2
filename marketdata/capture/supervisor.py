"""Supervisor: keeps one connection alive for ever, and has each outage recorded."""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping
from contextvars import copy_context
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from marketdata.bybit.errors import BybitError
from marketdata.bybit.ws_client import ConnectionState
from marketdata.capture.feeds import Feed
from marketdata.capture.gaps import GapBook
from marketdata.capture.pulse import Pulse
from marketdata.log_events import (
    CONNECTED,
    CONNECTION_FAILED,
    CONNECTION_HUNG,
    CONNECTION_LOST,
    PART_DIED,
)

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.2
# Pongs alone arrive every 20 s on a healthy connection.
SILENCE_SECONDS = 45.0
# An exchange that said no to a key will say it again; a new key gets a new supervisor anyway.
REFUSED_SECONDS = 300.0
# A connection that lived this long was good: the next failure starts from the first delay.
STEADY_SECONDS = 30.0


class Client(Protocol):
    """What a supervisor needs of a connection."""

    state: ConnectionState

    @property
    def rejected_topics(self) -> Mapping[str, str]: ...
    def connect(self) -> None: ...
    def disconnect(self) -> None: ...
    def unsubscribe(self, timeout: float = ...) -> None: ...
    def is_connected(self) -> bool: ...
    def silent_seconds(self) -> float: ...


class Supervisor:
    """Connects `client`, watches it, and builds it anew with capped, jittered delays."""

    def __init__(
        self,
        name: str,
        client: Client,
        gaps: GapBook,
        feeds: Mapping[str, Feed],
        *,
        on_connecting: Callable[[], None],
        first_delay: float,
        longest_delay: float,
        refused_delay: float = REFUSED_SECONDS,
        on_connected: Callable[[Supervisor], None] = lambda supervisor: None,
    ) -> None:
        self.name = name
        self.client = client
        self._gaps, self._feeds = gaps, feeds
        # Attempts that failed since it was connected, and why the last one did.
        self._attempts, self._failure = 0, ""
        self._on_connecting, self._on_connected = on_connecting, on_connected
        self._first_delay, self._longest_delay = first_delay, longest_delay
        self._refused_delay = refused_delay
        self._stopping = threading.Event()
        # Why the connection is to be made anew, though it lives.
        self._unsound = ""
        # What its lines in the log say of it holds on its thread, too.
        run_here = partial(copy_context().run, self._run)
        self._thread = threading.Thread(target=run_here, name=f"{name}-supervisor", daemon=True)
        self.pulse = Pulse("reader", f"the connection {name}")
        self.connected = threading.Event()
        # Whether a first attempt has succeeded or failed, and how many succeeded.
        self.was_tried = threading.Event()
        self.lives = 0
        self.error: BaseException | None = None
        # Why the exchange will not have us, empty while it does or merely cannot be reached.
        self.refusal = ""
        # Which topics it will not give, while it gives others.
        self.partial_refusal = ""

    def start(self) -> None:
        """Begin to connect, on a thread of its own."""
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether the supervisor's thread runs."""
        return self._thread.is_alive()

    def beat(self, newest: datetime | None) -> None:
        """Let quiet feeds know of the newest row of their connection, and of its last pong."""
        state = self.client.state
        times = [at for at in (newest, state.pong_ts) if at is not None]
        if not (self.connected.is_set() and times and state.connected_at):
            return
        self._gaps.beat(self.given_feeds(), max(times), state.connected_at)

    def lives_on(self, life: int) -> bool:
        """Whether the connection of this number is there, and no loss of it was noticed."""
        return self.connected.is_set() and self.lives == life

    def renew(self, life: int, reason: str) -> None:
        """Have the connection of this number made anew: it lives, and does not bring everything."""
        if self.lives_on(life):
            self._unsound = reason

    def given_feeds(self) -> list[Feed]:
        """What the exchange lets the connection have."""
        refused = self.client.rejected_topics
        return [feed for topic, feed in self._feeds.items() if topic not in refused]

    def request_stop(self) -> None:
        """Begin to stop, without waiting for the end."""
        self._stopping.set()

    def stop(self, timeout: float = 10.0) -> None:
        """Ask for no more rows, close the connection and end; a hung socket is left behind."""
        self.request_stop()
        self._thread.join(timeout)
        if self._thread.is_alive():
            text = "%s: the connection did not close in %.0f s"
            of = {"connection": self.name, "seconds": timeout}
            CONNECTION_HUNG.log(logger, text, self.name, timeout, **of)

    def _run(self) -> None:
        delay = self._first_delay
        try:
            while not self._stopping.is_set():
                with self.pulse:
                    lived = self._live_once()
                if self._stopping.is_set():
                    break
                delay = self._first_delay if lived >= STEADY_SECONDS else delay
                pause = self._refused_delay if self.refusal else delay
                # Jitter, so that connections which fell together do not return together.
                self._stopping.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311
                delay = min(delay * 2, self._longest_delay)
        except BaseException as error:  # noqa: BLE001 - whoever looks at `error` ends capture
            self.error = error
            PART_DIED.log_error(logger, error, "%s: the supervisor died", self.name, part=self.name)
        finally:
            self.connected.clear()

    def _live_once(self) -> float:
        """Connect and stay until the connection ends or capture stops; seconds it lived."""
        began = datetime.now(UTC)
        try:
            self._on_connecting()
            self.client.connect()
        except BybitError as error:
            self._tell_of_failure(str(error))
            self.refusal = "" if error.retryable else str(error)
            self._gaps.open(self._feeds.values(), str(error), began)
            self.was_tried.set()
            return 0.0
        self.refusal = ""
        connected_at = datetime.now(UTC)
        made = {"connection": self.name, "feeds": len(self._feeds), "attempts": self._attempts + 1}
        CONNECTED.log(logger, "%s: connected", self.name, **made)
        self._attempts, self._failure = 0, ""
        refused = self.client.rejected_topics
        self.partial_refusal = "; ".join(f"{topic}: {why}" for topic, why in refused.items())
        if refused:
            feeds = [feed for topic, feed in self._feeds.items() if topic in refused]
            self._gaps.open(feeds, f"refused: {self.partial_refusal}", began)
        self.lives += 1
        self._unsound = ""
        self.connected.set()
        self.was_tried.set()
        self._on_connected(self)
        reason = self._watch()
        self.connected.clear()
        if not reason:
            self.client.unsubscribe()
        # Before the gap opens: a last row of this connection must not end it.
        self.client.disconnect()
        if reason:
            lost = {"connection": self.name, "feeds": len(self._feeds), "reason": reason}
            CONNECTION_LOST.log(logger, "%s: %s", self.name, reason, **lost)
            self._gaps.open(self._feeds.values(), reason, began)
        return (datetime.now(UTC) - connected_at).total_seconds()

    def _tell_of_failure(self, reason: str) -> None:
        """Say it once, however often it is tried; the next time when it fails for another reason."""
        self._attempts += 1
        if reason != self._failure:
            of = {"connection": self.name, "reason": reason}
            CONNECTION_FAILED.log(logger, "%s: %s", self.name, reason, **of)
        self._failure = reason

    def _watch(self) -> str:
        """Wait for the end of the connection: why it ended, or nothing when capture stops."""
        while not self._stopping.wait(POLL_SECONDS):
            self.pulse.beat()
            if not self.client.is_connected():
                return "the connection was lost"
            if self._unsound:
                return self._unsound
            if self.client.silent_seconds() > SILENCE_SECONDS:
                return f"nothing arrived for {SILENCE_SECONDS:.0f} s"
        return ""
