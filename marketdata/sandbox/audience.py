"""Who listens to what: the connections, their subscriptions, and how they end."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from aiohttp import web

from marketdata.sandbox.connections import Connection
from marketdata.sandbox.ledger import Ledger

MAX_REFUSAL_SECONDS = 3600.0


class DrainTimeout(TimeoutError):
    """Some connections did not answer in time; `connections` holds their numbers."""

    def __init__(self, connections: Sequence[int]) -> None:
        numbers = ", ".join(map(str, connections))
        super().__init__(f"No answer to the ping from connections: {numbers}.")
        self.connections = list(connections)


class Audience:
    """The open connections and the readers of each topic, in the ledger from beginning to end."""

    def __init__(
        self,
        *,
        topics: Iterable[str],
        accounts: Iterable[str],
        private_topics: Iterable[str],
        ledger: Ledger,
        clock: Callable[[], int],
    ) -> None:
        self.connections: dict[int, Connection] = {}
        self._ledger, self._clock = ledger, clock
        self._accounts = list(accounts)
        # By account and topic; public topics belong to the account without a name.
        self._readers: dict[tuple[str, str], dict[int, Connection]] = {
            **{("", topic): {} for topic in topics},
            **{(name, topic): {} for name in self._accounts for topic in private_topics},
        }
        self._opened = 0
        self._refused_until = 0.0
        self._news = asyncio.Event()

    # --- coming and going --------------------------------------------------------------------

    def open(
        self, channel: str, *, transport: asyncio.Transport, ws: web.WebSocketResponse
    ) -> Connection:
        """Take in a new connection."""
        self._opened += 1
        connection = Connection(self._opened, channel, transport=transport, ws=ws)
        self.connections[connection.number] = connection
        self.changed()
        return connection

    def closed(self, connection: Connection) -> None:
        """Forget a connection whose socket is gone."""
        for topic in connection.topics:
            del self._readers[connection.account, topic][connection.number]
        del self.connections[connection.number]
        self.record("closed", connection, how=connection.how)
        connection.finish()
        self.changed()

    def join(self, connection: Connection, topics: Sequence[str]) -> None:
        """Have a connection among the readers of these topics from now on."""
        for topic in topics:
            connection.topics[topic] = None
            self._readers[connection.account, topic][connection.number] = connection
            self.record("subscribed", connection, topic=topic)

    def leave(self, connection: Connection, topics: Sequence[str]) -> None:
        """Send a connection no more of these topics."""
        for topic in topics:
            if topic in connection.topics:
                del connection.topics[topic]
                del self._readers[connection.account, topic][connection.number]
                self.record("unsubscribed", connection, topic=topic)
        self.changed()

    def refuse(self, seconds: float) -> None:
        """Answer WebSocket handshakes with 502 for so long from now; 0 ends it."""
        self._refused_until = time.monotonic() + seconds

    @property
    def is_refusing(self) -> bool:
        """Whether handshakes are refused at the moment."""
        return time.monotonic() < self._refused_until

    async def break_connections(
        self, how: str, *, channel: str | None = None, account: str | None = None
    ) -> int:
        """End all connections, or those of a channel or account, and wait until they are gone.

        How many there were. Raises ValueError for an account that does not exist.
        """
        broken = [one for one in self.chosen(None, account) if channel in (None, one.channel)]
        await asyncio.gather(*(connection.end(how) for connection in broken))
        return len(broken)

    async def shut(self) -> None:
        """End everything in an orderly way."""
        self.refuse(MAX_REFUSAL_SECONDS)
        everybody = list(self.connections.values())
        await asyncio.gather(*(connection.end("close") for connection in everybody))

    # --- waiting -----------------------------------------------------------------------------

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for something about connections and subscriptions to be so."""
        while not condition():
            await self._news.wait()

    def changed(self) -> None:
        """Wake those who wait for something to be so."""
        self._news.set()
        self._news = asyncio.Event()

    async def drain(self, timeout: float) -> int:
        """Wait until every open connection has read all that was sent; how many there were.

        A connection that ends meanwhile is not waited for. Raises DrainTimeout.
        """
        waiting = {connection.ping(): connection for connection in self.connections.values()}
        if waiting:
            _, late = await asyncio.wait(waiting, timeout=timeout)
            if late:
                raise DrainTimeout(sorted(waiting[answer].number for answer in late))
        return len(waiting)

    # --- who is there ------------------------------------------------------------------------

    def readers(self, topic: str, account: str = "") -> Mapping[int, Connection]:
        """Who listens to a topic, by the number of the connection."""
        return self._readers[account, topic]

    def has_readers(self, *topics: str, account: str = "") -> bool:
        """Whether somebody listens to each of the topics."""
        return all(self._readers.get((account, topic)) for topic in topics)

    def has_any_reader(self) -> bool:
        """Whether somebody listens to anything."""
        return any(self._readers.values())

    def connections_of(self, account: str) -> list[int]:
        """The numbers of an account's connections."""
        return [one.number for one in self.connections.values() if one.account == account]

    def check_account(self, account: str) -> None:
        """Raise ValueError for an account that does not exist."""
        if account not in self._accounts:
            raise ValueError(f"There is no account {account!r}.")

    def chosen(self, topic: str | None, account: str | None) -> list[Connection]:
        """The readers of a topic or all connections, of an account or of all.

        Raises ValueError for a topic or an account that does not exist.
        """
        if account is not None:
            self.check_account(account)
        if topic is None:
            everybody = self.connections.values()
            return [one for one in everybody if account in (None, one.account)]
        names = ["", *self._accounts] if account is None else [account]
        keys = [(name, topic) for name in names]
        known = [self._readers[key] for key in keys if key in self._readers]
        if not known:
            of_whom = "" if account is None else f" of account {account!r}"
            raise ValueError(f"There is no topic {topic!r}{of_whom}.")
        return [one for readers in known for one in readers.values()]

    def of_channel(self, channel: str) -> list[Connection]:
        """The connections to the public or the private stream."""
        return [one for one in self.connections.values() if one.channel == channel]

    def status(self) -> list[dict[str, Any]]:
        """Each connection and its topics."""
        return [
            {
                "connection": connection.number,
                "channel": connection.channel,
                "account": connection.account,
                "topics": list(connection.topics),
            }
            for connection in self.connections.values()
        ]

    def record(self, event: str, connection: Connection, **fields: Any) -> None:
        """Write into the ledger what became of a connection, or what it was sent."""
        whose = {"account": connection.account} if connection.channel == "private" else {}
        self._ledger.write(event, connection=connection.number, ms=self._clock(), **whose, **fields)
