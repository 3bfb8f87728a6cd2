"""The port: open to everybody, or shut so that the system itself refuses connections."""

from __future__ import annotations

import os
import socket
from ipaddress import ip_address

from aiohttp import web


class CannotListen(OSError):
    """The port is taken or not ours; the message says so in a sentence."""


class Door:
    """The port of a server; connections that are open stay, whatever the door does."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self.port = host, port
        self._runner: web.AppRunner
        self._socket: socket.socket | None = None
        self._site: web.SockSite | None = None

    async def lead_to(self, runner: web.AppRunner) -> None:
        """Take the port and listen on it for `runner`. Raises CannotListen."""
        self._runner = runner
        self._socket = self._bound()
        self.port = self._socket.getsockname()[1]
        await self.open()

    async def open(self) -> None:
        """Listen."""
        if self._site is None and self._socket is not None:
            self._site = web.SockSite(self._runner, self._socket)
            await self._site.start()

    async def shut(self) -> None:
        """Refuse; the port stays ours, so that nobody takes it meanwhile."""
        if self._site is not None:
            site, self._site = self._site, None
            await site.stop()
            self._socket = self._bound()

    def close(self) -> None:
        """Give the port back."""
        if self._socket is not None:
            self._socket.close()

    def _bound(self) -> socket.socket:
        return bound(self._host, self.port)


def bound(host: str, port: int) -> socket.socket:
    """A socket that holds a port and does not listen. Raises CannotListen."""
    version = ip_address(host).version
    one = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind((host, port))
    except OSError as exc:
        one.close()
        reason = os.strerror(exc.errno or 0)
        raise CannotListen(f"Port {port} of {host} cannot be opened: {reason}.") from None
    return one
