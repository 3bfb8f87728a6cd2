"""pybit's WebSocket, made fit to be supervised: its socket, not its reading of messages."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import websocket
from pybit.unified_trading import WebSocket

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 5.0
# For both attempts that a connection is given.
HANDSHAKE_SECONDS = 15.0
GIVE_UP_AGAIN_SECONDS = 0.2


class Stream(WebSocket):  # type: ignore[misc]
    """pybit's WebSocket with an endpoint of its own and raw text handed on.

    It may hold a key and a secret, so it never shows what it is made of.
    """

    def __init__(
        self,
        channel_type: str,
        *,
        url: str,
        on_text: Callable[[str], None],
        on_garbled: Callable[[str], None],
        **options: Any,
    ) -> None:
        self._url = url
        self._on_text = on_text
        self._on_garbled = on_garbled
        self._sockets: list[Any] = []
        super().__init__(channel_type, **options)

    def __repr__(self) -> str:
        return f"<Stream {getattr(self, 'endpoint', '')}>"

    def _connect(self, url: str) -> None:
        # A handshake may drip in byte by byte, each within the time of a read.
        ended = threading.Event()
        threading.Thread(target=self._give_up_unless, args=(ended,), daemon=True).start()
        try:
            super()._connect(self._url or url)
        except BaseException:
            # Nobody will ever hold this object: what it has opened is closed here or never.
            if hasattr(self, "ws"):
                self.hang_up(CLOSE_SECONDS)
            raise
        finally:
            ended.set()
        # An attempt that failed before this one leaves it set, and no ping would be sent.
        self.exited = False

    def _give_up_unless(self, ended: threading.Event) -> None:
        pause = HANDSHAKE_SECONDS
        while not ended.wait(pause):
            # Again and again: after one attempt is cut off, pybit begins the next.
            with suppress(OSError, AttributeError):
                self.ws.sock.sock.shutdown(socket.SHUT_RDWR)
            pause = GIVE_UP_AGAIN_SECONDS

    def hang_up(self, timeout: float) -> None:
        """Close the connection and wait for its thread."""
        with suppress(OSError, AttributeError, websocket.WebSocketException):
            self.ws.sock.send_close()
        self.exit()
        self.wst.join(timeout)
        for each in self._sockets:
            each.close()

    def exit(self) -> None:
        """End the connection, as pybit does, and wake its thread.

        pybit alone leaves the thread waiting in `select` for as long as a ping may take, and
        the socket to the garbage collector. It also comes here when the last of its attempts
        succeeds, which it counts as a failure.
        """
        self._keep_socket()
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        super().exit()

    def _on_open(self) -> None:
        """Keep the socket: websocket-client forgets it when a connection is cut off at once."""
        super()._on_open()
        self._keep_socket()

    def _keep_socket(self) -> None:
        with suppress(AttributeError):
            if (opened := self.ws.sock.sock) is not None and opened not in self._sockets:
                self._sockets.append(opened)

    def _on_error(self, error: Exception) -> None:
        """Note the end: the thread in which it came closes its own socket, and dies.

        pybit would close whatever socket is the current one: when the first attempt is cut off
        at once, that is the second one's, half made, which nobody closes then.
        """
        self.exited = True
        # Who supervises the connection says so, once.
        logger.debug("connection lost: %s", type(error).__name__)
        if isinstance(error, UnicodeDecodeError | websocket.WebSocketPayloadException):
            self._on_garbled(f"a frame that cannot be decoded: {error}"[:200])

    def _on_message(self, message: str) -> None:
        self._on_text(message)
