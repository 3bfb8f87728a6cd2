"""What WebSocket connections have in common: pybit's socket, our reading of what arrives.

pybit connects, pings and owns the thread. Everything it does with a message is replaced,
because each of these ends its thread for good and in silence: broken JSON, an unknown topic, a
rejected subscription, an exception in a callback, an acknowledgement that comes before its
request is registered. It never reconnects by itself either (`restart_on_error=False`): whoever
owns a client polls `is_connected` and calls `connect` again.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol
from uuid import uuid4

import orjson
import websocket

from marketdata.bybit.environments import Environment
from marketdata.bybit.errors import (
    AuthenticationFailed,
    BybitError,
    ExchangeUnavailable,
    MalformedMessage,
)
from marketdata.bybit.telemetry import TELEMETRY
from marketdata.bybit.values import (
    checked_ms,
    integer_from_digits,
    latest_plausible_ms,
    time_from_ms,
)
from marketdata.bybit.ws_stream import CLOSE_SECONDS, Stream
from marketdata.log_events import FRAME_FAILED, SUBSCRIPTION_REFUSED
from marketdata.log_rate import Seldom

logger = logging.getLogger(__name__)

# Bybit's own largest frames (1024 trades) stay under 300 kB.
MAX_FRAME_CHARACTERS = 4 * 1024 * 1024
ACKNOWLEDGE_SECONDS = 10.0


@dataclass
class ConnectionState:
    """When a connection was made and lost, and when it last heard anything; aware UTC.

    `pong_ts` is by the exchange's clock: what the last answer to a ping said on this connection,
    where it says (private ones do, public ones do not).
    """

    connected_at: datetime | None = None
    disconnected_at: datetime | None = None
    last_message_ts: datetime | None = None
    pong_ts: datetime | None = None
    reconnect_count: int = 0


def parsed_json(text: str) -> Any:
    """JSON, or what only the lenient parser takes: NaN and lone surrogates.

    The row that holds such a thing is refused later, by itself; its neighbours are not. Raises
    ValueError for what is no JSON at all.
    """
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        strict = error.msg
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(strict) from None


def pong_time(message: Mapping[str, Any], received_at: datetime | None) -> datetime | None:
    """The exchange's time in an answer to a ping; None where there is none that is plausible."""
    args = message.get("args")
    if not (isinstance(args, list) and args and received_at):
        return None
    try:
        milliseconds = integer_from_digits(args[0], "args")
        return time_from_ms(checked_ms(milliseconds, "args", latest_plausible_ms(received_at)))
    except MalformedMessage:
        return None


class FrameHandler(Protocol):
    """Who is told of frames, on pybit's thread; it must not block."""

    def on_message(self, message: dict[str, Any], text: str, received_at: datetime) -> None:
        """A JSON object with a topic."""

    def on_unreadable(self, text: str, reason: str, received_at: datetime) -> None:
        """Anything else that is not an answer to one of our requests."""


@dataclass
class _Subscriptions:
    """Requests of one connection by id, and what became of their topics."""

    requested: dict[str, str] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    rejected: dict[str, str] = field(default_factory=dict)


class WebSocketClient(ABC):
    """One connection and its topics: connecting, subscribing, listening, and what is to be seen.

    Not reusable by two threads at once; `handler` is called on pybit's thread.
    """

    kind: ClassVar[str]

    def __init__(
        self,
        topics: Iterable[str],
        handler: FrameHandler,
        *,
        environment: Environment = Environment.TESTNET,
        url: str = "",
        ping_interval: float = 20,
        ping_timeout: float = 10,
    ) -> None:
        self.topics = list(topics)
        self.state = ConnectionState()
        self._handler = handler
        self._environment = environment
        self._url = url
        self._ping = {"ping_interval": ping_interval, "ping_timeout": ping_timeout}
        self._stream: Stream | None = None
        self._generation = 0
        self._subscriptions = _Subscriptions()
        self._answered = threading.Condition()
        self._heard_at = 0.0
        self._told = Seldom()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._environment} {self._url}".rstrip() + ">"

    @abstractmethod
    def _open(self, on_text: Callable[[str], None]) -> Stream:
        """A new connection that hands on what it hears."""

    @abstractmethod
    def _prepare(self) -> None:
        """What comes between connecting and subscribing."""

    @property
    def rejected_topics(self) -> Mapping[str, str]:
        """Topics that the exchange refused on this connection, with its words."""
        return dict(self._subscriptions.rejected)

    def connect(self) -> None:
        """Connect, subscribe and wait until each topic is answered.

        Raises ExchangeUnavailable when the server does not answer, or refuses every topic, and
        AuthenticationFailed when it does not accept the key.
        """
        if self.state.connected_at is not None:
            self.state.reconnect_count += 1
            TELEMETRY.note_reconnect(self.kind)
        self._generation += 1
        generation = self._generation
        self._subscriptions = _Subscriptions()
        self.state.pong_ts = None
        # Bounds every read and write of a socket whose other end is gone.
        websocket.setdefaulttimeout(self._ping["ping_timeout"])
        self._heard_at = time.monotonic()
        try:
            self._stream = self._open(lambda text: self._on_text(generation, text))
            self._prepare()
            self._request("subscribe", self.topics)
            self._await(ACKNOWLEDGE_SECONDS, self._all_answered)
            if not self._subscriptions.active:
                reasons = "; ".join(sorted(set(self._subscriptions.rejected.values())))
                raise self._all_refused(f"every topic was refused: {reasons}")
        except AuthenticationFailed:
            self.disconnect()
            raise
        except (websocket.WebSocketException, OSError, ExchangeUnavailable) as error:
            problem = self._without_secrets(str(error))
        else:
            self.state.connected_at = datetime.now(UTC)
            return
        # Not within the handler: the error's frames, pybit's among them, know what was signed.
        self.disconnect()
        raise ExchangeUnavailable(f"no {self.kind} stream: {problem}")

    def _all_refused(self, words: str) -> BybitError:
        """What it means that no topic is given."""
        return ExchangeUnavailable(words)

    def is_connected(self) -> bool:
        """Whether the socket is open; a dead one may look open until a ping goes unanswered."""
        return self._stream is not None and bool(self._stream.is_connected())

    def silent_seconds(self) -> float:
        """How long nothing at all has arrived, answers to pings included."""
        return time.monotonic() - self._heard_at

    def unsubscribe(self, timeout: float = 2.0) -> None:
        """Ask for no more rows and wait until the exchange says so: none is on the wire then."""
        active = sorted(self._subscriptions.active)
        if not (active and self.is_connected()):
            return
        try:
            self._request("unsubscribe", active)
            self._await(timeout, lambda: not self._subscriptions.active)
        except (websocket.WebSocketException, OSError, ExchangeUnavailable) as error:
            logger.warning("closing without an answer to unsubscribe: %s", error)

    def disconnect(self) -> None:
        """Close the socket and wait for its thread: no frame is handed on after this."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.hang_up(CLOSE_SECONDS)
            self.state.disconnected_at = datetime.now(UTC)
        # A thread that hangs in a dead socket may wake up later: it is not listened to.
        self._generation += 1

    def _request(self, op: str, topics: Iterable[str]) -> None:
        # One topic a frame: whether a bad one voids its neighbours is not documented.
        stream = self._stream
        if stream is None:
            raise ExchangeUnavailable("not connected")
        for topic in topics:
            request_id = str(uuid4())
            with self._answered:
                self._subscriptions.requested[request_id] = topic
            stream.ws.send(orjson.dumps({"op": op, "req_id": request_id, "args": [topic]}).decode())

    def _all_answered(self) -> bool:
        return len(self._subscriptions.active) + len(self._subscriptions.rejected) == len(
            self.topics
        )

    def _await(self, timeout: float, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + timeout
        with self._answered:
            while True:
                # Asked first: the last words of a connection count, though it is gone by then.
                is_connected = self.is_connected()
                if done():
                    return
                if time.monotonic() >= deadline:
                    raise ExchangeUnavailable("requests were not answered in time")
                if not is_connected:
                    raise ExchangeUnavailable("the connection was lost before all was answered")
                self._answered.wait(0.1)

    def _on_text(self, generation: int, text: str) -> None:
        if generation != self._generation:
            return
        self._heard_at = time.monotonic()
        received_at = datetime.now(UTC)
        self.state.last_message_ts = received_at
        text = self._without_secrets(text)
        try:
            self._dispatch(text, received_at)
        except Exception as error:  # noqa: BLE001 - it would end pybit's thread without a word
            if self._told.is_due(type(error).__name__):
                FRAME_FAILED.log_error(logger, error, "a frame could not be handled")
            self._unreadable(text, "it could not be handled", received_at)

    def _dispatch(self, text: str, received_at: datetime) -> None:
        if len(text) > MAX_FRAME_CHARACTERS:
            reason = f"a frame of {len(text)} characters; the limit is {MAX_FRAME_CHARACTERS}"
            self._unreadable(text, reason, received_at)
            return
        try:
            message = parsed_json(text)
        except ValueError as error:
            self._unreadable(text, f"not JSON: {error}", received_at)
            return
        if not isinstance(message, dict):
            self._unreadable(text, "not a JSON object", received_at)
        elif self._is_private_answer(message):
            return
        elif "topic" in message:
            self._handler.on_message(message, text, received_at)
        elif not self._is_answer(message):
            self._unreadable(text, "neither data nor an answer", received_at)

    def _on_garbled(self, reason: str) -> None:
        self._unreadable("", self._without_secrets(reason), datetime.now(UTC))

    def _unreadable(self, text: str, reason: str, received_at: datetime) -> None:
        self._handler.on_unreadable(text, reason, received_at)

    def _without_secrets(self, text: str) -> str:
        return text

    def _is_private_answer(self, message: dict[str, Any]) -> bool:
        """Whether this is an answer that nobody else may see."""
        return False

    def _is_answer(self, message: dict[str, Any]) -> bool:
        if message.get("op") == "pong" or message.get("ret_msg") == "pong":
            self.state.pong_ts = pong_time(message, self.state.last_message_ts)
            return True
        with self._answered:
            known = self._subscriptions
            topic = known.requested.get(str(message.get("req_id")))
            if topic is None or message.get("op") not in ("subscribe", "unsubscribe"):
                return False
            if message["op"] == "unsubscribe":
                known.active.discard(topic)
            elif message.get("success") is True:
                known.active.add(topic)
            else:
                known.rejected[topic] = str(message.get("ret_msg", ""))[:200]
                text, why = "the exchange refused %s: %s", known.rejected[topic]
                SUBSCRIPTION_REFUSED.log(logger, text, topic, why, topic=topic, reason=why)
            self._answered.notify_all()
            return True
