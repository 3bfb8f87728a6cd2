"""A market made up from a seed: trades that look like the exchange's, and tickers to go with them.

The walk is in whole ticks and whole quantity steps (`int`), so every price is exactly on its
grid. Two generators, one for trades and one for tickers: how often tickers are asked for does
not change the trades, so one seed gives one sequence of trades whatever the machine's speed.
Only the times come from outside.

The proportions are invented, the shapes are documented: messages of 1 to 5 trades, bursts of
hundreds, single matches of more than 1024 trades (split by the sender, one `seq`), block trades
at prices off the market, and RPI flags.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field

from marketdata.sandbox.instruments import Instrument
from marketdata.sandbox.wire import Row, trade_row

FIRST_SEQ = 814_547_000_000
MIN_TICKS = 100
BLOCK_SHARE, GIANT_SHARE, BURST_SHARE = 0.0005, 0.0003, 0.003
RPI_SHARE = 0.02
NEW_SEQ_SHARE = 0.3
SMALL, BURST, GIANT = (1, 5), (100, 600), (1025, 2200)


@dataclass(slots=True)
class Walk:
    """Where one symbol's market is: its price in ticks and what the next trade continues."""

    instrument: Instrument
    ticks: int
    seq: int
    time_ms: int = 0
    direction: str = "ZeroPlusTick"
    open_interest: int = field(default=50_000_000)
    funding: int = field(default=100)

    def move(self, ticks: int) -> None:
        """Go some ticks up or down, and remember the tick direction of that."""
        before, self.ticks = self.ticks, max(MIN_TICKS, self.ticks + ticks)
        if self.ticks > before:
            self.direction = "PlusTick"
        elif self.ticks < before:
            self.direction = "MinusTick"
        elif not self.direction.startswith("Zero"):
            self.direction = "Zero" + self.direction


class RandomMarket:
    """Matches and ticker values for several symbols, drawn from one seed."""

    def __init__(self, instruments: Sequence[Instrument], seed: int) -> None:
        self._trades = random.Random(seed)  # noqa: S311
        self._quotes = random.Random(f"{seed}/tickers")  # noqa: S311
        self._walks = {
            one.symbol: Walk(one, one.start_ticks, FIRST_SEQ + index * 1_000_000)
            for index, one in enumerate(instruments)
        }
        # The first symbol trades most, as it does on the exchange.
        count = len(instruments)
        self._urn = [
            one.symbol for index, one in enumerate(instruments) for _ in range(count - index)
        ]

    def match(self, now_ms: int) -> tuple[str, list[Row]]:
        """The next match anywhere: its symbol and its trades, ascending by time."""
        draw, symbol = self._trades.random(), self._trades.choice(self._urn)
        if draw < BLOCK_SHARE:
            return symbol, [self._block(symbol, now_ms)]
        if draw < BLOCK_SHARE + GIANT_SHARE:
            return symbol, self.trades(symbol, self._trades.randint(*GIANT), now_ms)
        if draw < BLOCK_SHARE + GIANT_SHARE + BURST_SHARE:
            return symbol, self.trades(symbol, self._trades.randint(*BURST), now_ms)
        return symbol, self._few(symbol, now_ms)

    def trades(self, symbol: str, count: int, now_ms: int) -> list[Row]:
        """One match of `count` trades: one taker, one time, one `seq`, a sweep of the book."""
        walk = self._next(symbol, now_ms)
        side, step = self._side()
        rows = []
        for _ in range(count):
            walk.move(step if self._trades.random() < 0.1 else 0)
            rows.append(self._row(walk, side))
        return rows

    def quote(self, symbol: str, now_ms: int) -> dict[str, str]:
        """The ticker fields that move, as they are now."""
        walk, draw = self._walks[symbol], self._quotes
        one, ticks = walk.instrument, walk.ticks
        walk.open_interest += draw.choice((0, 0, 0, -150, 200))
        walk.funding += draw.choice((-1, 1)) if draw.random() < 0.01 else 0
        return {
            "tickDirection": walk.direction,
            "lastPrice": one.price(ticks),
            "bid1Price": one.price(ticks - 1),
            "bid1Size": one.size(draw.randint(1, 40_000)),
            "ask1Price": one.price(ticks + 1),
            "ask1Size": one.size(draw.randint(1, 40_000)),
            "markPrice": one.price(ticks + draw.randint(-3, 3)),
            "indexPrice": one.price(ticks + draw.randint(-9, 9)),
            "openInterest": one.size(walk.open_interest),
            "fundingRate": f"{walk.funding / 1_000_000:.6f}",
            "nextFundingTime": str((now_ms // one.funding_ms + 1) * one.funding_ms),
        }

    def opening(self, symbol: str, now_ms: int) -> dict[str, str]:
        """The full ticker as it stands before the first trade."""
        one = self._walks[symbol].instrument
        start, day = one.start_price, one.qty_step * 90_000_000
        quote = self.quote(symbol, now_ms)
        return {
            "symbol": symbol,
            **quote,
            "price24hPcnt": "0.010000",
            "prevPrice24h": one.price(int(one.start_ticks / 1.01)),
            "highPrice24h": one.price(int(one.start_ticks * 1.02)),
            "lowPrice24h": one.price(int(one.start_ticks * 0.98)),
            "prevPrice1h": one.price(one.start_ticks),
            "openInterestValue": format(start * one.qty_step * 50_000_000, ".2f"),
            "turnover24h": format(start * day, ".4f"),
            "volume24h": format(day, "f"),
            "fundingIntervalHour": str(max(1, one.funding_minutes // 60)),
            "fundingCap": "0.005",
            "preOpenPrice": "",
            "preQty": "",
            "curPreListingPhase": "",
        }

    def _few(self, symbol: str, now_ms: int) -> list[Row]:
        """A small message; it may hold the trades of two matches."""
        walk = self._next(symbol, now_ms)
        side, _ = self._side()
        rows = []
        for index in range(self._trades.randint(*SMALL)):
            if index and self._trades.random() < NEW_SEQ_SHARE:
                walk.seq += self._trades.randint(1, 40)
                side, _ = self._side()
            walk.move(self._trades.randint(-1, 1))
            rows.append(self._row(walk, side))
        return rows

    def _block(self, symbol: str, now_ms: int) -> Row:
        """A trade agreed elsewhere: large, off the market, and no price for the walk."""
        walk = self._next(symbol, now_ms)
        distance = max(1, walk.ticks // self._trades.randint(50, 200))
        ticks = max(1, walk.ticks + self._trades.choice((-distance, distance)))
        size = walk.instrument.size(self._trades.randint(10_000, 90_000))
        return self._row(walk, self._side()[0]) | {
            "p": walk.instrument.price(ticks),
            "v": size,
            "BT": True,
            "RPI": False,
        }

    def _next(self, symbol: str, now_ms: int) -> Walk:
        walk = self._walks[symbol]
        walk.time_ms = max(walk.time_ms, now_ms)
        walk.seq += self._trades.randint(1, 40)
        return walk

    def _side(self) -> tuple[str, int]:
        return ("Buy", 1) if self._trades.random() < 0.5 else ("Sell", -1)

    def _row(self, walk: Walk, side: str) -> Row:
        draw = self._trades
        return trade_row(
            walk.instrument.symbol,
            price=walk.instrument.price(walk.ticks),
            size=walk.instrument.size(1 + int(draw.expovariate(0.02))),
            side=side,
            time_ms=walk.time_ms,
            trade_id=_uuid(draw.getrandbits(128)),
            seq=walk.seq,
            tick=walk.direction,
            rpi=draw.random() < RPI_SHARE,
        )


def _uuid(bits: int) -> str:
    """A UUID string of version 5, the version that the exchange's ids carry."""
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-5{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"
