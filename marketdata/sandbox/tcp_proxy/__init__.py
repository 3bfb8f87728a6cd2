"""A TCP proxy that makes a good network bad: in front of the sandbox, or of a database.

    with TcpProxy(("127.0.0.1", 5432)) as proxy:
        connect(port=proxy.port)
        proxy.set("latency", ms=200, jitter_ms=50)
        proxy.set("black_hole", way="down")
        proxy.clear()

As a process, with a control line for each change on its HTTP port:

    python -m marketdata.sandbox.tcp_proxy --listen 127.0.0.1:6432 --to 127.0.0.1:5432 \\
        --control 127.0.0.1:6433
    curl -X POST http://127.0.0.1:6433/toxic -d '{"name": "down"}'

It leads to a host and a port, or to the path of a Unix socket. The words are those of toxiproxy. `way` is up (client to server), down (server to client) or, when
it is left out, both:

    latency     ms, jitter_ms   each piece comes so much later; pieces keep their order
    black_hole                  what comes is read and thrown away
    half_open                   nothing is read any more: the other end sees a full pipe
    slicer      bytes           pieces of so many bytes, each written by itself
    reset       after           TCP RST to both ends when so many bytes have passed from now on
    down                        all connections are reset and new ones refused by the system
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from marketdata.sandbox.tcp_proxy.proxy import Place, Proxy, Target

CALL_SECONDS = 10.0
T = TypeVar("T")


class TcpProxy:
    """A proxy in a daemon thread, for the time of a `with` block; methods return when it is so."""

    def __init__(self, target: Target, listen: Place = ("127.0.0.1", 0), *, seed: int = 1) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._proxy = Proxy(target, listen, seed)

    def __enter__(self) -> Self:
        self._thread.start()
        self.up()
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._proxy.down())
        self._proxy.close()
        self._call(_end_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_SECONDS)
        self._loop.close()

    @property
    def host(self) -> str:
        """Where it listens."""
        return self._proxy.listen[0]

    @property
    def port(self) -> int:
        """Where it listens."""
        return self._proxy.listen[1]

    def set(self, name: str, way: str = "", **values: float) -> None:
        """Add or change a toxic. Raises ValueError for what there is not."""
        self._call(self._proxy.set(name, way, **values))

    def clear(self, name: str = "", way: str = "") -> None:
        """End a toxic, or all of them."""
        self._call(self._proxy.clear(name, way))

    def down(self) -> None:
        """Reset what is open and refuse what comes."""
        self.set("down")

    def up(self) -> None:
        """Listen again."""
        self.clear("down")

    def status(self) -> dict[str, Any]:
        """Toxics, connections and counts."""

        async def ask() -> dict[str, Any]:
            return self._proxy.status()

        return self._call(ask())

    def _call(self, action: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(action, self._loop).result(CALL_SECONDS)


async def _end_all() -> None:
    """Cancel whatever still runs on this loop, and wait for its end."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
