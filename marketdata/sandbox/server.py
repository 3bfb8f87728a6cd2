"""One sandbox put together: exchange, feed and endpoints, on one port for WebSocket and HTTP."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from marketdata.sandbox import instruments
from marketdata.sandbox.config import SandboxConfig
from marketdata.sandbox.control import Control
from marketdata.sandbox.door import Door
from marketdata.sandbox.exchange import Exchange, now_ms
from marketdata.sandbox.faults.acts import Acts
from marketdata.sandbox.faults.rest import RestFaults
from marketdata.sandbox.feed import RandomFeed, ReplayFeed
from marketdata.sandbox.instruments import Instrument
from marketdata.sandbox.ledger import Ledger
from marketdata.sandbox.limits import Addresses, guard
from marketdata.sandbox.market import RandomMarket
from marketdata.sandbox.private.desk import Desks
from marketdata.sandbox.private.feed import PrivateFeed, PrivateReplay
from marketdata.sandbox.private.funding import Funding
from marketdata.sandbox.private.gate import Gate
from marketdata.sandbox.private.order_rest import order_routes
from marketdata.sandbox.private.rest import AccountEndpoints
from marketdata.sandbox.private.sockets import serve_private
from marketdata.sandbox.replay import Contents, scan
from marketdata.sandbox.rest import MarketEndpoints
from marketdata.sandbox.sockets import serve_public
from marketdata.sandbox.tickers import Ticker

HANDLER_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where a sandbox is reached."""

    host: str
    port: int
    ledger: Path | None

    @property
    def rest_url(self) -> str:
        """The base of the REST endpoints."""
        return f"http://{self._netloc}"

    @property
    def ws_public_url(self) -> str:
        """The public stream of linear contracts."""
        return f"ws://{self._netloc}/v5/public/linear"

    @property
    def ws_private_url(self) -> str:
        """The private stream."""
        return f"ws://{self._netloc}/v5/private"

    @property
    def _netloc(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Sandbox:
    """An exchange with the feed that moves it. ValueError for recordings that cannot be read."""

    def __init__(self, config: SandboxConfig, *, clock: Callable[[], int] = now_ms) -> None:
        self.config = config
        self._clock = clock
        contents = scan(config.recordings)
        for name in contents.accounts - {account.name for account in config.accounts}:
            raise ValueError(f"There is no account {name!r}, to whom a recording belongs.")
        names = (*contents.symbols, *config.symbols) or config.trading_symbols
        listed = [
            replace(instruments.instrument(name), funding_minutes=config.funding_minutes)
            for name in dict.fromkeys(names)
        ]
        self.market = RandomMarket(listed, config.seed)
        self.exchange = self._exchange(listed, contents)
        self.desks = Desks(config.accounts, self.exchange, seed=config.seed)
        self._door = Door(config.host, config.port)
        self.acts = Acts(self.exchange, self.market, self._door)
        self.feed: RandomFeed | ReplayFeed
        if config.recordings:
            self.feed = ReplayFeed(
                self.exchange,
                config.recordings,
                PrivateReplay(self.exchange, self.desks),
                speed=config.speed,
            )
            self.exchange.market_ms = self.feed.market_ms
        else:
            self.feed = RandomFeed(self.exchange, self.market, rate=config.rate, speed=config.speed)
        self.funding = Funding(self.exchange, self.desks)
        self.private_feed = PrivateFeed(self.exchange, self.desks, self.funding, speed=config.speed)
        if config.paused:
            self.exchange.running.clear()

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[Address]:
        """Serve for the time of the block. Raises CannotListen when the port is taken."""
        runner = web.AppRunner(
            self._app(), access_log=None, handle_signals=False, shutdown_timeout=HANDLER_SECONDS
        )
        await runner.setup()
        try:
            await self._door.lead_to(runner)
            for order in self.config.faults:
                await self.acts.order(order)
            ledger = self.exchange.ledger.path
            yield Address(host=self.config.host, port=self._door.port, ledger=ledger)
        finally:
            await self.acts.clear()
            await self.exchange.audience.shut()
            await runner.cleanup()
            self._door.close()
            self.exchange.ledger.close()

    async def _run_feeds(self) -> None:
        feeds = [asyncio.create_task(one.run()) for one in (self.feed, self.private_feed)]
        try:
            await asyncio.gather(*feeds)
        finally:
            for feed in feeds:
                feed.cancel()

    async def run(self, stop: asyncio.Event) -> None:
        """Run the market until `stop`; what goes wrong in the feed ends it, too."""
        feed = asyncio.create_task(self._run_feeds())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({feed, stopping}, return_when=asyncio.FIRST_COMPLETED)
            # A feed that came to its end leaves the exchange open; one that failed does not.
            if feed.done():
                feed.result()
                await stopping
        finally:
            feed.cancel()
            stopping.cancel()
            await asyncio.gather(feed, stopping, return_exceptions=True)

    def _exchange(self, listed: list[Instrument], contents: Contents) -> Exchange:
        replayed = bool(self.config.recordings)
        return Exchange(
            listed,
            tickers={one.symbol: self._ticker(one.symbol, contents) for one in listed},
            ledger=self._ledger(),
            seed=self.config.seed,
            topics=contents.topics,
            accounts=[account.name for account in self.config.accounts],
            private_topics=contents.private_topics,
            clock=self._clock,
            # Recorded tickers bring their times; what is sent between them stays behind those.
            ticker_clock=(lambda: 0) if replayed else self._clock,
        )

    def _ticker(self, symbol: str, contents: Contents) -> Ticker:
        """The state before anything happens; of a recording its first snapshot, a second ago."""
        if not self.config.recordings:
            return Ticker(self.market.opening(symbol, self._clock()))
        message = contents.tickers.get(symbol, {})
        opening = self.market.opening(symbol, contents.first_ms)
        cs, ts = message.get("cs"), message.get("ts")
        return Ticker(
            message.get("data", opening),
            cs=cs if isinstance(cs, int) else 0,
            ts=(ts if isinstance(ts, int) else contents.first_ms) - 1000,
        )

    def _ledger(self) -> Ledger:
        if not self.config.record:
            return Ledger.off()
        return Ledger.at(self.config.ledger) if self.config.ledger else Ledger.temporary()

    def _app(self) -> web.Application:
        clock, gate = self.exchange.clock, Gate(self.exchange, self.desks)
        faults = RestFaults(self.exchange.faults, clock, self._account_of)
        addresses = Addresses(self.config.address_limit)
        app = web.Application(middlewares=[guard(addresses, clock), faults.answer])
        app.add_routes(
            [
                web.get("/v5/public/linear", partial(serve_public, self.exchange)),
                web.get("/v5/private", partial(serve_private, self.exchange, self.desks)),
                *AccountEndpoints(self.exchange, gate).routes(),
                *order_routes(gate, self.exchange.faults),
                *MarketEndpoints(self.exchange).routes(),
                *Control(self.exchange, self.desks, self.acts, self._feed_status).routes(),
            ]
        )
        return app

    def _account_of(self, api_key: str) -> str:
        desk = self.desks.of_key(api_key)
        return desk.name if desk else ""

    def _feed_status(self) -> dict[str, Any]:
        if isinstance(self.feed, RandomFeed):
            return {"market": "random"}
        return {"market": "replay", "played": self.feed.played, "finished": self.feed.finished}
