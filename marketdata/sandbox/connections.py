"""One WebSocket connection, seen from the side that sends.

Frames are written to the transport as ready bytes, without awaiting: one frame is built once
and handed to every reader. The bound is on what a slow reader leaves in the transport's buffer.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct

from aiohttp import web

from marketdata.sandbox.wire import PING, PONG, frame

MAX_UNSENT_BYTES = 64 * 1024 * 1024
END_SECONDS = 5.0
CHANNELS = ("public", "private")
LINGER_OFF = struct.pack("ii", 1, 0)


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
        self.how = "client"
        self.gone = asyncio.Event()
        self._transport = transport
        self._ws = ws
        self._pings: dict[bytes, asyncio.Future[None]] = {}
        self._ping_count = 0

    @property
    def is_open(self) -> bool:
        """Whether a frame could still be sent."""
        return self.how == "client" and not self._transport.is_closing()

    def send(self, data: bytes) -> bool:
        """Hand a ready frame to the transport; False when there is nobody to read it.

        A reader that is too far behind is cut off.
        """
        if not self.is_open:
            return False
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNSENT_BYTES:
            self.how = "server"
            self._transport.abort()
        return True

    def ping(self) -> asyncio.Future[None]:
        """Send a protocol PING behind all that was sent; done when it is answered or too late."""
        self._ping_count += 1
        token = struct.pack("!Q", self._ping_count)
        answered = self._pings[token] = asyncio.get_running_loop().create_future()
        if not self.send(frame(token, PING)):
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
            await ENDINGS[how](self)
        try:
            await asyncio.wait_for(self.gone.wait(), END_SECONDS)
        except TimeoutError:
            self._transport.abort()
            await self.gone.wait()

    def finish(self) -> None:
        """The socket is gone: nobody need wait for it any longer."""
        for token in list(self._pings):
            self.answered(token)
        self.gone.set()

    async def _reset(self) -> None:
        sock = self._transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
        self._transport.abort()

    async def _close(self) -> None:
        await self._ws.close()

    async def _fin(self) -> None:
        self._transport.close()


ENDINGS = {"reset": Connection._reset, "close": Connection._close, "fin": Connection._fin}
