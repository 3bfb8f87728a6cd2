"""What makes the market go: the random one by the clock, the replayed one by its recording."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.market import RandomMarket
from marketdata.sandbox.replay import Recorded, read

STEP_SECONDS = 0.01
MAX_STEP_SECONDS = 0.1
TICKERS_PER_SECOND = 10
EVENTS_AT_ONCE = 20


async def keep_time(running: asyncio.Event, step: Callable[[float], Awaitable[None]]) -> None:
    """Call `step` for ever with the seconds since the last time, pauses left out.

    `running` is set while there is no pause.
    """
    loop = asyncio.get_running_loop()
    before = loop.time()
    while True:
        await asyncio.sleep(STEP_SECONDS)
        if running.is_set():
            before, seconds = loop.time(), loop.time() - before
            await step(seconds)
        else:
            await running.wait()
            before = loop.time()


async def breathe(number: int) -> None:
    """Let signals, requests and pongs through after every so many events; `number` counts them."""
    if number % EVENTS_AT_ONCE == 0:
        await asyncio.sleep(0)


class RandomFeed:
    """Produces trades at a mean rate a second, and a ticker delta a symbol every 100 ms."""

    def __init__(self, exchange: Exchange, market: RandomMarket, *, rate: float, speed: float):
        self._exchange = exchange
        self._market = market
        self._trades_per_second = rate * speed
        self._tickers_per_second = TICKERS_PER_SECOND * speed
        self._trades_due = 0.0
        self._tickers_due = 0.0

    async def run(self) -> None:
        """Produce for ever; a rate of zero is a quiet market that produces nothing."""
        if self._trades_per_second:
            await keep_time(self._exchange.running, self.step)

    async def step(self, seconds: float) -> None:
        """Produce what falls due in a span of time; lost time is not caught up."""
        seconds = min(seconds, MAX_STEP_SECONDS)
        self._trades_due += seconds * self._trades_per_second
        self._tickers_due += seconds * self._tickers_per_second
        # A match is produced whole; the debt that a large one leaves is waited off.
        matches = 0
        while self._trades_due > 0:
            symbol, rows = self._market.match(self._exchange.clock())
            self._trades_due -= len(rows)
            self._exchange.publish_trades(symbol, rows)
            await breathe(matches := matches + 1)
            if not self._exchange.running.is_set():
                return
        if self._tickers_due >= 1:
            self._tickers_due %= 1
            for symbol in self._exchange.instruments:
                self._exchange.publish_ticker(
                    symbol, self._market.quote(symbol, self._exchange.clock())
                )


class ReplayFeed:
    """Plays recordings one after the other, from the moment somebody subscribes."""

    def __init__(
        self,
        exchange: Exchange,
        recordings: Sequence[Path],
        publish_private: Callable[[Recorded], None],
        *,
        speed: float,
    ) -> None:
        self._exchange = exchange
        self._publish_private = publish_private
        self._recordings = recordings
        self._speed = speed
        self._market_ms = 0
        self.played = 0
        self.finished = False

    def market_ms(self) -> int:
        """The recorded time of what was played last."""
        return self._market_ms

    async def run(self) -> None:
        """Play to the end."""
        await self._exchange.audience.until(self._exchange.audience.has_any_reader)
        for path in self._recordings:
            await self._play(path)
        self.finished = True
        self._exchange.audience.changed()

    async def _play(self, path: Path) -> None:
        """Play one file; waits are measured from frame to frame, so that delays do not add up."""
        loop = asyncio.get_running_loop()
        due, before = loop.time(), 0
        for recorded in read(path):
            if not recorded.is_playable:
                continue
            due += max(0, recorded.ms - (before or recorded.ms)) / 1000 / self._speed
            before = recorded.ms
            await asyncio.sleep(due - loop.time())
            if not self._exchange.running.is_set():
                await self._exchange.running.wait()
                due = loop.time()
            self._market_ms = recorded.ms
            if recorded.is_private:
                self._publish_private(recorded)
            else:
                self._exchange.publish_recorded(recorded)
            self.played += 1
