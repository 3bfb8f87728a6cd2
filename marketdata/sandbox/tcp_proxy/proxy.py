"""The proxy itself, on one asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import socket
import struct
from collections import Counter
from dataclasses import dataclass
from typing import Any, NamedTuple

from marketdata.sandbox.door import bound

READ_BYTES = 1 << 16
MAX_WAITING = 1000
LINGER_OFF = struct.pack("ii", 1, 0)
WAYS = ("up", "down")
TOXICS = {
    "latency": {"ms": 100, "jitter_ms": 0},
    "black_hole": {},
    "half_open": {},
    "slicer": {"bytes": 1},
    "reset": {"after": 0},
    "down": {},
}


class Value(NamedTuple):
    """What a parameter of a toxic may be, and that in words."""

    kinds: tuple[type, ...]
    least: int
    means: str

    def holds(self, value: Any) -> bool:
        """Whether it may be this."""
        return type(value) in self.kinds and math.isfinite(value) and value >= self.least


VALUES = {
    "ms": Value((int, float), 0, "0 or more"),
    "jitter_ms": Value((int, float), 0, "0 or more"),
    "bytes": Value((int,), 1, "a whole number, 1 or more"),
    "after": Value((int,), 0, "a whole number, 0 or more"),
}
Place = tuple[str, int]
# Where it leads: a host and a port, or the path of a Unix socket, as a database may have it.
Target = Place | str
Queue = asyncio.Queue[tuple[float, bytes]]


@dataclass(eq=False)
class Link:
    """Two sockets that are joined."""

    writers: list[asyncio.StreamWriter]
    # The loop itself holds tasks weakly: one whose sockets are gone would vanish in mid-air.
    task: asyncio.Task[None] | None

    def sink(self, way: str) -> asyncio.StreamWriter:
        """Where a direction leads."""
        return self.writers[1 if way == "up" else 0]

    def reset(self) -> None:
        """End both with a TCP RST."""
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_OFF)
            writer.transport.abort()


class Proxy:
    """The proxy on its own loop; `counts` says how much passed and what was done to it."""

    def __init__(self, target: Target, listen: Place, seed: int) -> None:
        self.target = target
        self._socket = bound(*listen)
        self.listen: Place = (listen[0], self._socket.getsockname()[1])
        self.counts: Counter[str] = Counter()
        self._draw = random.Random(seed)  # noqa: S311
        self._toxics: dict[str, dict[str, dict[str, float]]] = {way: {} for way in WAYS}
        self._links: set[Link] = set()
        self._flows = asyncio.Event()
        self._server: asyncio.Server | None = None

    async def up(self) -> None:
        """Listen."""
        if self._server is None:
            self._server = await asyncio.start_server(self._join, sock=self._socket)

    async def down(self) -> None:
        """Refuse, and reset what is open."""
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            # The port stays ours, so that nobody takes it meanwhile.
            self._socket = bound(*self.listen)
            for link in list(self._links):
                self._reset(link)

    async def set(self, name: str, way: str = "", **values: float) -> None:
        """Add or change a toxic. Raises ValueError for what there is not."""
        _check_names(name, way)
        if name == "down" and way:
            raise ValueError("down takes no way: it is the whole proxy.")
        if values.keys() - TOXICS[name].keys():
            raise ValueError(f"{name} takes {', '.join(TOXICS[name]) or 'nothing'}.")
        for key, value in values.items():
            if not VALUES[key].holds(value):
                raise ValueError(f"{name} takes {key}, {VALUES[key].means}, not {value!r}.")
        self.counts[f"{name} set"] += 1
        if name == "down":
            await self.down()
            return
        for each in [way] if way else WAYS:
            self._toxics[each][name] = {**TOXICS[name], **values}
        self._changed()

    async def clear(self, name: str = "", way: str = "") -> None:
        """End a toxic, or all of them; the proxy is up again. Raises ValueError as `set`."""
        _check_names(name or "down", way)
        for each in [way] if way else WAYS:
            kept = {k: v for k, v in self._toxics[each].items() if name not in ("", k)}
            self._toxics[each] = kept
        self._changed()
        if name in ("", "down"):
            await self.up()

    def close(self) -> None:
        """Give the port back."""
        self._socket.close()

    def status(self) -> dict[str, Any]:
        """Toxics, connections and counts."""
        return {
            "up": self._server is not None,
            "toxics": self._toxics,
            "open": len(self._links),
            "counts": dict(self.counts),
        }

    # --- one connection ----------------------------------------------------------------------

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Streams of Python 3.11 report a handler that is cancelled as an error.
        with contextlib.suppress(asyncio.CancelledError):
            await self._carry(reader, writer)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.counts["connections"] += 1
        link = Link([writer], asyncio.current_task())
        self._links.add(link)
        try:
            there, out = await self._connected()
            link.writers.append(out)
            async with asyncio.TaskGroup() as tasks:
                for way, source in (("up", reader), ("down", there)):
                    queue: Queue = asyncio.Queue(MAX_WAITING)
                    tasks.create_task(self._read(way, source, queue, link))
                    tasks.create_task(self._write(way, queue, link.sink(way)))
        except* OSError:
            self.counts["broken"] += 1
            link.reset()
        finally:
            self._links.discard(link)
            for one in link.writers:
                one.close()

    async def _connected(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self.target, str):
            return await asyncio.open_unix_connection(self.target)
        return await asyncio.open_connection(*self.target)

    async def _read(self, way: str, reader: asyncio.StreamReader, queue: Queue, link: Link) -> None:
        """Take in what comes, to its end; nothing at all while half open."""
        data = b"-"
        while data:
            await self._while_half_open(way)
            data = await reader.read(READ_BYTES)
            await self._while_half_open(way)
            if not self._swallows(way, data, link):
                await queue.put((self._due(way), data))

    async def _write(self, way: str, queue: Queue, writer: asyncio.StreamWriter) -> None:
        """Pass on what was taken in, when it is due; the end of it, too."""
        while True:
            due, data = await queue.get()
            await asyncio.sleep(due - asyncio.get_running_loop().time())
            if not data:
                writer.write_eof()
                return
            size = int(self._toxics[way].get("slicer", {}).get("bytes", 0)) or len(data)
            self.counts["slices"] += len(data) // size if size < len(data) else 0
            for start in range(0, len(data), size):
                writer.write(data[start : start + size])
                await writer.drain()

    # --- toxics ------------------------------------------------------------------------------

    def _swallows(self, way: str, data: bytes, link: Link) -> bool:
        """Whether these bytes go no further; a reset comes at the byte where it was wanted."""
        toxics = self._toxics[way]
        self.counts[f"bytes {way}"] += len(data)
        if "black_hole" in toxics:
            self.counts["bytes swallowed"] += len(data)
            return True
        if (reset := toxics.get("reset")) is not None:
            reset["after"] -= len(data)
            if reset["after"] < 0:
                for each in WAYS:
                    self._toxics[each].pop("reset", None)
                link.sink(way).write(data[: len(data) + int(reset["after"])])
                self._reset(link)
                return True
        return False

    def _reset(self, link: Link) -> None:
        self.counts["resets"] += 1
        link.reset()

    def _due(self, way: str) -> float:
        now = asyncio.get_running_loop().time()
        if (latency := self._toxics[way].get("latency")) is None:
            return now
        self.counts["delayed"] += 1
        jitter = self._draw.uniform(-1, 1) * latency["jitter_ms"]
        return now + max(0, latency["ms"] + jitter) / 1000

    async def _while_half_open(self, way: str) -> None:
        while "half_open" in self._toxics[way]:
            await self._flows.wait()

    def _changed(self) -> None:
        self._flows.set()
        self._flows = asyncio.Event()


def _check_names(name: Any, way: Any) -> None:
    if not (isinstance(name, str) and name in TOXICS and way in ("", *WAYS)):
        raise ValueError(f"name is one of {', '.join(TOXICS)}; way is up or down.")
