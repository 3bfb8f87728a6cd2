"""One WebSocket connection, seen from the side that sends.

Frames are written to the transport as ready bytes, without awaiting: one frame is built once
and handed to every reader. The bound is on what a slow reader leaves in the transport's buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from aiohttp import web

from marketdata.sandbox.wire import PING, PONG, frame

MAX_UNSENT_BYTES = 64 * 1024 * 1024
END_SECONDS = 5.0
CHANNELS = ("public", "private")
LINGER_OFF = struct.pack("ii", 1, 0)
PUT_OFF_SECONDS = 0.25
RECENT_FRAMES = 100

# What is told that a frame was handed to the transport; `resent=True` for one more time.
Note = Callable[..., None]


class Push(NamedTuple):
    """A ready frame of a topic, and who is told when it goes."""

    topic: str
    data: bytes
    note: Note


class Connection:
    """An open socket, its topics, whose it is, and how it came to its end.

    `account` is the name of who has authenticated on a private one, empty before that.
    `how` is client unless the sandbox ends it: then reset or server.
    """

    def __init__(
        self,
        number: int,
        channel: str,
        *,
        transport: asyncio.Transport,
        ws: web.WebSocketResponse,
    ) -> None:
        self.number = number
        self.channel = channel
        self.conn_id = f"5a4db0c5{number:08x}"
        self.account = ""
        self.topics: dict[str, None] = {}
        # Topics of which a fault kept something from it.
        self.behind: set[str] = set()
        self.how = "client"
        self.gone = asyncio.Event()
        self._transport = transport
        self._ws = ws
        self._pings: dict[bytes, asyncio.Future[None]] = {}
        self._ping_count = 0
        # Who has frozen it, and what waits for the thaw; None for a frame that no one asks about.
        self._frozen: set[int] = set()
        self._held: list[tuple[bytes, Note | None]] = []
        self._held_bytes = 0
        self._put_off: Push | None = None
        self._recent: deque[Push] = deque(maxlen=RECENT_FRAMES)

    @property
    def is_open(self) -> bool:
        """Whether a frame could still be sent."""
        return self.how == "client" and not self._transport.is_closing()

    def send(self, data: bytes, note: Note | None = None) -> bool:
        """Hand a ready frame to the transport; False when there is nobody to read it.

        While the connection is frozen it waits, and False is the answer, too. A reader that is
        too far behind is cut off.
        """
        if not self.is_open:
            return False
        if self._frozen:
            self._held.append((data, note))
            self._held_bytes += len(data)
        else:
            self._transport.write(data)
            if note is not None:
                note()
        if self._transport.get_write_buffer_size() + self._held_bytes > MAX_UNSENT_BYTES:
            self.how = "server"
            self._transport.abort()
        return not self._frozen

    # --- what faults do ----------------------------------------------------------------------

    def push(self, topic: str, data: bytes, note: Note) -> bool:
        """Send a frame of a topic, and what was put off for it; frames of a topic keep order."""
        self.keep_order(topic)
        self.behind.discard(topic)
        self._recent.append(Push(topic, data, note))
        sent = self.send(data, note)
        self.catch_up()
        return sent

    def keep_order(self, topic: str) -> None:
        """Send what was put off when it is of this topic: the next of it is about to go."""
        if self._put_off is not None and self._put_off.topic == topic:
            self.catch_up()

    @property
    def has_put_off(self) -> bool:
        """Whether a frame waits for one of another topic."""
        return self._put_off is not None

    def put_off(self, topic: str, data: bytes, note: Note) -> None:
        """Let the next frame of another topic go before this one, unless none comes soon."""
        self._put_off = Push(topic, data, note)
        asyncio.get_running_loop().call_later(PUT_OFF_SECONDS, self.catch_up)

    def catch_up(self) -> None:
        """Send what was put off."""
        if self._put_off is not None:
            push, self._put_off = self._put_off, None
            self._recent.append(push)
            self.send(push.data, push.note)

    def replay(self, count: int, concerns: Callable[[str], bool]) -> int:
        """Send the last frames of the topics that are meant once more; how many there were."""
        again = [push for push in self._recent if concerns(push.topic)][-count:]
        return sum(self.send(one.data, partial(one.note, resent=True)) for one in again)

    def freeze(self, who: int) -> None:
        """Say nothing until `who`, and everybody else that froze it, thaws it."""
        self._frozen.add(who)

    def thaw(self, who: int) -> None:
        """Say all that was to be said."""
        self._frozen.discard(who)
        if not self._frozen:
            held, self._held, self._held_bytes = self._held, [], 0
            for data, note in held:
                self.send(data, note)

    def ping(self) -> asyncio.Future[None]:
        """Send a protocol PING behind all that was sent; done when it is answered or too late."""
        self.catch_up()
        self._ping_count += 1
        token = struct.pack("!Q", self._ping_count)
        answered = self._pings[token] = asyncio.get_running_loop().create_future()
        if not (self.send(frame(token, PING)) or self._frozen):
            self.answered(token)
        return answered

    def answered(self, token: bytes) -> None:
        """Note the client's PONG."""
        waiting = self._pings.pop(token, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def answer_ping(self, token: bytes) -> None:
        """Answer the client's protocol PING."""
        self.send(frame(token, PONG))

    async def end(self, how: str) -> None:
        """Break the connection: `reset` (TCP RST), `close` (close frame) or `fin` (neither)."""
        if self.is_open:
            self.how = "reset" if how == "reset" else "server"
            self._frozen.clear()
            await ENDINGS[how](self)
        try:
            await asyncio.wait_for(self.gone.wait(), END_SECONDS)
        except TimeoutError:
            self._transport.abort()
            await self.gone.wait()

    def cut(self) -> None:
        """Break the connection with a TCP RST, without waiting for the end."""
        self.how = "reset"
        self._cut()

    def finish(self) -> None:
        """The socket is gone: nobody need wait for it any longer."""
        for token in list(self._pings):
            self.answered(token)
        self.gone.set()

    async def _reset(self) -> None:
        self._cut()

    def _cut(self) -> None:
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
        self._transport.abort()

    async def _close(self) -> None:
        await self._ws.close()

    async def _fin(self) -> None:
        self._transport.close()


ENDINGS = {"reset": Connection._reset, "close": Connection._close, "fin": Connection._fin}
