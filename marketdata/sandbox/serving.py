"""A sandbox as a process, until a signal ends it."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable

from marketdata.sandbox.config import SandboxConfig
from marketdata.sandbox.server import Address, Sandbox

SECOND_SIGNAL_EXIT = 130
PARENT_SECONDS = 0.5


def serve(
    config: SandboxConfig, ready: Callable[[Address], None], *, with_parent: bool = False
) -> None:
    """Run a sandbox until SIGTERM or SIGINT; a second signal ends the process at once.

    `with_parent` ends it as well when the process that started it is gone.
    `ready` is called as soon as it listens. Raises ValueError for recordings that cannot be
    read, CannotListen (an OSError) for a port that is taken.
    """
    asyncio.run(_serve(config, ready, os.getppid() if with_parent else None))


async def _serve(
    config: SandboxConfig, ready: Callable[[Address], None], parent: int | None
) -> None:
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, stop)
    sandbox = Sandbox(config)
    async with sandbox.listening() as address:
        ready(address)
        watch = asyncio.create_task(_end_with(parent, stop))
        await sandbox.run(stop)
        watch.cancel()


async def _end_with(parent: int | None, stop: asyncio.Event) -> None:
    while parent is not None and os.getppid() == parent:
        await asyncio.sleep(PARENT_SECONDS)
    if parent is not None:
        stop.set()


def _on_signal(stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(SECOND_SIGNAL_EXIT)
    stop.set()
