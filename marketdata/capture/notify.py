"""Tell systemd what a service does (sd_notify, see `man sd_notify`)."""

from __future__ import annotations

import logging
import os
import socket

logger = logging.getLogger(__name__)


def notify(state: str) -> None:
    """Send `state`, for example READY=1; nothing happens where systemd does not listen."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagrams:
            datagrams.connect(address)
            datagrams.sendall(state.encode())
    except OSError as error:
        # Nothing that capture does depends on who listens.
        logger.warning("systemd was not told %s: %s", state, error)
