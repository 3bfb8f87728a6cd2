"""A sandbox in a thread, inside a test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from marketdata.sandbox import wire
from marketdata.sandbox.audience import Audience
from marketdata.sandbox.config import SandboxConfig
from marketdata.sandbox.connections import CHANNELS, ENDINGS
from marketdata.sandbox.exchange import Exchange, now_ms
from marketdata.sandbox.faults.orders import read_order
from marketdata.sandbox.feed import ReplayFeed
from marketdata.sandbox.ledger import read_lines
from marketdata.sandbox.private.accounts import SandboxAccount
from marketdata.sandbox.private.desk import Desk
from marketdata.sandbox.private.wire import CATEGORISED, TOPICS
from marketdata.sandbox.server import Address, Sandbox
from marketdata.sandbox.wire import Row

CALL_SECONDS = 30.0
POLL_SECONDS = 0.005

T = TypeVar("T")


class SandboxServer:
    """A sandbox in a daemon thread, for the time of a `with` block.

        with SandboxServer(SandboxConfig(symbols=("BTCUSDT",), rate=0)) as sandbox:
            sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 3))
            sandbox.drain()

    Every method may be called from any thread and returns when the thing is done.
    """

    def __init__(
        self, config: SandboxConfig | None = None, *, clock: Callable[[], int] = now_ms
    ) -> None:
        self._config = config or SandboxConfig()
        self._clock = clock
        self._thread = threading.Thread(target=self._run, name="sandbox", daemon=True)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self._sandbox: Sandbox
        self._address: Address

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        self._raise_failure()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(CALL_SECONDS)
        if self._thread.is_alive():
            raise TimeoutError("The sandbox did not stop.")
        self._raise_failure()

    def wait_for_end(self) -> None:
        """Wait until it has stopped of itself, which is when its market failed."""
        self._thread.join(CALL_SECONDS)

    @property
    def rest_url(self) -> str:
        """The base of the REST endpoints, without a slash at the end."""
        return self._address.rest_url

    @property
    def ws_public_url(self) -> str:
        """The public stream of linear contracts."""
        return self._address.ws_public_url

    @property
    def ws_private_url(self) -> str:
        """The private stream."""
        return self._address.ws_private_url

    def environment(self) -> dict[str, str]:
        """The variables that point a capture at this sandbox."""
        return environment(self._address)

    # --- the market --------------------------------------------------------------------------

    def pause(self) -> None:
        """Stop the market; nothing is produced any more when this returns."""
        self._call(lambda exchange: exchange.running.clear())

    def resume(self) -> None:
        """Let the market go on."""
        self._call(lambda exchange: exchange.running.set())

    def make_trades(self, symbol: str, count: int) -> list[Row]:
        """One match of so many trades from the seeded market, not sent yet."""
        return self._call(
            lambda exchange: self._sandbox.market.trades(symbol, count, exchange.clock())
        )

    def send_trades(self, symbol: str, rows: Sequence[Row]) -> None:
        """Send wire rows as they are, in messages of at most 1024."""
        self._call(lambda exchange: exchange.publish_trades(symbol, rows))

    def send_ticker(self, symbol: str, **values: str) -> bool:
        """Send a ticker delta to these values (wire names); False when nothing changed."""
        return self._call(lambda exchange: exchange.publish_ticker(symbol, values))

    def send_raw(
        self, text: str | bytes, topic: str | None = None, account: str | None = None
    ) -> int:
        """Send any text, or bytes that need not be one, as a text frame; to how many.

        To the readers of a topic, of an account, or to everybody.
        """
        return self._call(lambda exchange: exchange.send_raw(text, topic, account))

    # --- the accounts ------------------------------------------------------------------------

    @property
    def accounts(self) -> dict[str, SandboxAccount]:
        """The accounts by name, with the keys that a client needs."""
        return {account.name: account for account in self._config.accounts}

    def send_private(
        self,
        account: str,
        topic: str,
        rows: Sequence[Any],
        creation_time: int | None = None,
        *,
        resent: bool = False,
    ) -> None:
        """Send wire rows as they are, in one frame; executions and orders get on the lists.

        `resent` says that they were sent before, so that they are not counted as new.
        """
        self._desk(account, lambda desk: desk.send(topic, rows, creation_time, resent=resent))

    def script(self, account: str, steps: int = 1) -> None:
        """Let so many orders be born and come to their ends, at once."""
        self._wait(lambda _: self._sandbox.desks[account].run(steps), CALL_SECONDS)

    def events(self, account: str, count: int = 1) -> None:
        """Let so many things happen to an account's orders; some may be left open."""
        self._wait(lambda _: self._sandbox.desks[account].events(count), CALL_SECONDS)

    def settle_funding(self, symbol: str) -> None:
        """Let all positions of a symbol pay or receive funding now."""
        self._call(lambda exchange: self._sandbox.funding.settle(symbol, exchange.clock()))

    def set_account(
        self,
        account: str,
        *,
        rate: float | None = None,
        refusal: str | None = None,
        key: Mapping[str, Any] | None = None,
    ) -> None:
        """Change how busy an account is, how it is refused ("" ends that), what its key may do."""
        self._desk(account, lambda desk: desk.change(rate=rate, refusal=refusal, key=key))

    def wait_for_private(self, account: str, timeout: float = CALL_SECONDS) -> None:
        """Wait until somebody is subscribed to all of an account's topics. Raises TimeoutError."""

        self._desk(account, lambda desk: desk.name)

        def heard(audience: Audience) -> bool:
            either = ((topic, CATEGORISED.get(topic, topic)) for topic in TOPICS)
            return all(
                any(audience.has_readers(name, account=account) for name in names)
                for names in either
            )

        self._until(heard, timeout)

    def private_rows(self, account: str, topic: str) -> list[Any]:
        """All rows of a topic that an account ever had, sent to somebody or not."""
        mine = (line for line in self.ledger() if line["event"] == "made")
        mine = (line for line in mine if line.get("account") == account)
        return [row for line in mine if line["topic"] == topic for row in line["rows"]]

    # --- the connections ---------------------------------------------------------------------

    def wait_for_topics(self, *topics: str, timeout: float = CALL_SECONDS) -> None:
        """Wait until somebody is subscribed to each of these. Raises TimeoutError."""
        self._until(lambda audience: audience.has_readers(*topics), timeout)

    def wait_for_connections(self, count: int, timeout: float = CALL_SECONDS) -> None:
        """Wait until so many connections are open. Raises TimeoutError."""
        self._until(lambda audience: len(audience.connections) == count, timeout)

    def wait_for(
        self, condition: Callable[[dict[str, Any]], object], timeout: float = CALL_SECONDS
    ) -> None:
        """Wait until the status is as `condition` wants it. Raises TimeoutError.

        The condition is asked on the sandbox's own loop and must not call the sandbox.
        """

        async def poll(exchange: Exchange) -> None:
            while not condition(self._status(exchange)):
                await asyncio.sleep(POLL_SECONDS)

        self._wait(poll, timeout)

    def wait_for_replay(self, timeout: float = CALL_SECONDS) -> None:
        """Wait until all recordings were played. Raises TimeoutError."""
        feed = self._sandbox.feed
        if isinstance(feed, ReplayFeed):
            self._until(lambda _: feed.finished, timeout)

    def drain(self, timeout: float = 10.0) -> int:
        """Wait until every connection has read all that was sent. Raises DrainTimeout."""
        return self._wait(lambda exchange: exchange.audience.drain(timeout), timeout + CALL_SECONDS)

    def break_connections(
        self, how: str = "reset", channel: str | None = None, account: str | None = None
    ) -> int:
        """End connections: `reset`, `close` or `fin`; how many, and returns when they are gone.

        All of them, or those of a channel (public, private) or of an account.
        """
        if how not in ENDINGS:
            raise ValueError(f"how is one of {', '.join(ENDINGS)}.")
        if channel not in (None, *CHANNELS):
            raise ValueError(f"channel is one of {', '.join(CHANNELS)}.")
        return self._wait(
            lambda exchange: exchange.audience.break_connections(
                how, channel=channel, account=account
            ),
            CALL_SECONDS,
        )

    def refuse(self, seconds: float) -> None:
        """Answer handshakes with 502 for so long; 0 ends it."""
        self._call(lambda exchange: exchange.audience.refuse(seconds))

    # --- faults ------------------------------------------------------------------------------

    def fault(self, name: str, **values: Any) -> dict[str, Any]:
        """Switch a fault on; its status. Raises ValueError for what there is not."""
        order = read_order(name, values)
        armed = self._wait(lambda _: self._sandbox.acts.order(order), CALL_SECONDS)
        return armed.status()

    def end_faults(self, name: str = "", number: int = 0) -> int:
        """Switch all faults off, those of a name, or the one of a number; how many were on."""
        return self._wait(lambda _: self._sandbox.acts.clear(name, number), CALL_SECONDS)

    def faults(self) -> dict[str, Any]:
        """The faults that are on, and how often each has fired since the beginning."""
        return self._call(lambda exchange: exchange.faults.status())

    def fault_log(self) -> list[dict[str, Any]]:
        """Each firing: when, which, and what it hit."""
        return self._call(lambda exchange: list(exchange.faults.log))

    # --- the truth ---------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Connections, topics, rows sent, market time, accounts."""
        return self._call(self._status)

    def ledger(self) -> Iterator[dict[str, Any]]:
        """What was done up to now, event by event; nothing without a ledger."""
        path = self._address.ledger
        size = self._call(lambda exchange: exchange.ledger.flush())
        return iter(()) if path is None else read_lines(path, size)

    def rows_sent(self, symbol: str) -> list[Row]:
        """All trades of a symbol in the ledger, in the order of sending."""
        topic = wire.trade_topic(symbol)
        events = (line for line in self.ledger() if line["event"] == "sent")
        return [row for line in events if line["topic"] == topic for row in line["rows"]]

    # --- inside ------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as exc:  # noqa: BLE001 - it is raised again in the thread that asked
            self._failure = exc
        finally:
            self._started.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._sandbox = Sandbox(self._config, clock=self._clock)
        async with self._sandbox.listening() as self._address:
            self._started.set()
            await self._sandbox.run(self._stop)

    def _raise_failure(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure

    def _call(self, action: Callable[[Exchange], T]) -> T:
        async def act(exchange: Exchange) -> T:
            return action(exchange)

        return self._wait(act, CALL_SECONDS)

    def _status(self, exchange: Exchange) -> dict[str, Any]:
        accounts = [desk.status() for desk in self._sandbox.desks]
        return exchange.status() | {"accounts": accounts}

    def _desk(self, account: str, action: Callable[[Desk], T]) -> T:
        return self._call(lambda _: action(self._sandbox.desks[account]))

    def _until(self, condition: Callable[[Audience], bool], timeout: float) -> None:
        """Wait for something about connections and subscriptions to be so."""

        async def wait(exchange: Exchange) -> None:
            await exchange.audience.until(lambda: condition(exchange.audience))

        self._wait(wait, timeout)

    def _wait(self, action: Callable[[Exchange], Awaitable[T]], timeout: float) -> T:
        async def act() -> T:
            return await asyncio.wait_for(action(self._sandbox.exchange), timeout)

        return asyncio.run_coroutine_threadsafe(act(), self._loop).result()


def environment(address: Address) -> dict[str, str]:
    """The variables that point a capture at a sandbox."""
    return {
        "EVENTSAVER_ENVIRONMENT": "sandbox",
        "BYBIT_REST_URL": address.rest_url,
        "BYBIT_WS_PUBLIC_URL": address.ws_public_url,
        "BYBIT_WS_PRIVATE_URL": address.ws_private_url,
    }
