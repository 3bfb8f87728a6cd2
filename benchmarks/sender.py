"""A bare exchange for `benchmarks.capture`: it answers what pybit asks, and sends as fast as told.

`python -m benchmarks.sender --symbols 200 --trades 20000 --tickers 2000` listens on 127.0.0.1,
prints its port, and sends when every topic is subscribed and a line arrives on standard input. Frames
are written from templates straight into the sockets; only times and counters are filled in. The
trade number n has the sequence n and an id made of it, and each ticker of a symbol a millisecond of its own.
Another line ends the flow; the last words are one line of JSON: what was sent, and its price.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import time
from collections import deque
from typing import Any

from aiohttp import WSMsgType, web

from marketdata.sandbox.instruments import instrument

TICK_SECONDS = 0.005
# As much as REST shows.
KEPT_TRADES = 1000
TRADE = (
    b'{"T":%d,"s":"SYMBOL","S":"Buy","v":"0.%03d","p":"60%03d.10","L":"PlusTick",'
    b'"i":"%08x-5ca1-4bad-8bad-%012x","BT":false,"RPI":false,"seq":%d}'
)
TRADES = b'{"topic":"publicTrade.SYMBOL","type":"snapshot","ts":%d,"data":['
SNAPSHOT = (
    b'{"topic":"tickers.SYMBOL","type":"snapshot","data":{"symbol":"SYMBOL","tickDirection":'
    b'"PlusTick","price24hPcnt":"0.012","lastPrice":"60000.10","prevPrice24h":"59000.00",'
    b'"markPrice":"60000.20","indexPrice":"60000.30","openInterest":"5000.123","turnover24h":'
    b'"100000000.1","volume24h":"2000.5","fundingRate":"0.0001","nextFundingTime":"%d",'
    b'"bid1Price":"60000.00","bid1Size":"1.5","ask1Price":"60000.10","ask1Size":"2.5"},'
    b'"cs":%d,"ts":%d}'
)
DELTA = (
    b'{"topic":"tickers.SYMBOL","type":"delta","data":{"symbol":"SYMBOL","lastPrice":'
    b'"60%03d.10","bid1Price":"60%03d.00","bid1Size":"1.%03d","ask1Price":"60%03d.20"},'
    b'"cs":%d,"ts":%d}'
)


def framed(payload: bytes) -> bytes:
    """An unmasked text frame (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return b"\x81" + bytes([size]) + payload
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2) + payload
    return b"\x81\x7f" + size.to_bytes(8) + payload


class Symbol:
    """One contract: its frames, where they go, and what REST shows of it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.transport: asyncio.Transport | None = None
        self.sent: deque[tuple[int, int]] = deque(maxlen=KEPT_TRADES)
        self.ticker_ms = 0
        filled = (
            part.replace(b"SYMBOL", name.encode()) for part in (TRADES, TRADE, SNAPSHOT, DELTA)
        )
        self._trades, self._trade, self._snapshot, self._delta = filled

    def trades(self, first: int, count: int, now_ms: int) -> bytes:
        """A frame of the trades from number `first` on."""
        row, rows = self._trade, []
        for number in range(first, first + count):
            rows.append(
                row % (now_ms, number % 999 + 1, number % 1000, number >> 20, number, number)
            )
            self.sent.append((number, now_ms))
        return framed(self._trades % now_ms + b",".join(rows) + b"]}")

    def ticker(self, number: int, now_ms: int) -> bytes:
        """A frame of the ticker."""
        is_first, self.ticker_ms = not self.ticker_ms, max(now_ms, self.ticker_ms + 1)
        if is_first:
            return framed(self._snapshot % (now_ms + 3_600_000, number, self.ticker_ms))
        price = number % 1000
        return framed(self._delta % (price, price, price, price, number, self.ticker_ms))

    def rest_trades(self) -> list[dict[str, Any]]:
        """The newest first, as `/v5/market/recent-trade` lists them."""
        return [
            {
                "execId": f"{n >> 20:08x}-5ca1-4bad-8bad-{n:012x}", "symbol": self.name,
                "price": f"60{n % 1000:03d}.10", "size": f"0.{n % 999 + 1:03d}", "side": "Buy",
                "time": str(ms), "isBlockTrade": False, "isRPITrade": False, "seq": str(n),
            }
            for n, ms in reversed(self.sent)
        ]  # fmt: skip


class Sender:
    """The exchange."""

    def __init__(self, symbols: int, trades: int, tickers: int, per_frame: int) -> None:
        self.symbols = {name: Symbol(name) for name in (f"S{n:03d}USDT" for n in range(symbols))}
        self._trades, self._tickers, self._per_frame = trades, tickers, per_frame
        self._missing = {
            f"{kind}.{name}" for kind in ("publicTrade", "tickers") for name in self.symbols
        }
        self.subscribed, self.stopped = asyncio.Event(), asyncio.Event()
        self.sent = {"trades": 0, "tickers": 0, "frames": 0, "bytes": 0}

    def application(self) -> web.Application:
        """What is listened to."""
        application = web.Application()
        application.add_routes(
            [
                web.get("/v5/public/linear", self._converse),
                web.get("/v5/market/{name:.*}", self._answer),
            ]
        )
        return application

    async def _converse(self, request: web.Request) -> web.StreamResponse:
        ws = web.WebSocketResponse(compress=False)
        await ws.prepare(request)
        async for message in ws:
            if message.type is not WSMsgType.TEXT:
                continue
            asked = message.json()
            answer = {"success": True, "ret_msg": "", "conn_id": "1", **asked}
            if asked["op"] == "ping":
                answer = {**answer, "ret_msg": "pong"}
            await ws.send_json(answer)
            if asked["op"] == "subscribe":
                for topic in asked["args"]:
                    self.symbols[topic.partition(".")[2]].transport = request.transport
                    self._missing.discard(topic)
                if not self._missing:
                    self.subscribed.set()
        return ws

    async def _answer(self, request: web.Request) -> web.Response:
        now_ms, result = time.time_ns() // 1_000_000, dict[str, Any]()
        name = request.match_info["name"]
        if name == "time":
            result = {"timeSecond": str(now_ms // 1000), "timeNano": str(now_ms * 1_000_000)}
        elif name == "instruments-info":
            rows = [instrument(symbol).describe() for symbol in self.symbols]
            result = {"category": "linear", "list": rows, "nextPageCursor": ""}
        elif name == "recent-trade":
            rows = self.symbols[request.query["symbol"]].rest_trades()
            result = {"category": "linear", "list": rows[: int(request.query.get("limit", "500"))]}
        return web.json_response(
            {"retCode": 0, "retMsg": "OK", "result": result, "retExtInfo": {}, "time": now_ms}
        )

    async def flow(self) -> None:
        """Send at the rates until told to stop; what is late is sent as soon as possible."""
        symbols, sent = list(self.symbols.values()), self.sent
        began, turn = time.perf_counter(), 0
        while not self.stopped.is_set():
            await asyncio.sleep(TICK_SECONDS)
            passed = time.perf_counter() - began
            now_ms = time.time_ns() // 1_000_000
            while sent["trades"] + self._per_frame <= passed * self._trades:
                turn += 1
                frame = symbols[turn % len(symbols)].trades(sent["trades"], self._per_frame, now_ms)
                self._write(symbols[turn % len(symbols)], frame)
                sent["trades"] += self._per_frame
            while sent["tickers"] < passed * self._tickers:
                symbol = symbols[sent["tickers"] % len(symbols)]
                self._write(symbol, symbol.ticker(sent["tickers"], now_ms))
                sent["tickers"] += 1

    def _write(self, symbol: Symbol, frame: bytes) -> None:
        if symbol.transport is not None:
            symbol.transport.write(frame)
        self.sent["frames"] += 1
        self.sent["bytes"] += len(frame)


async def serve(options: argparse.Namespace) -> None:
    """Listen, wait for the word, send, wait for the word, report."""
    sender = Sender(options.symbols, options.trades, options.tickers, options.per_frame)
    runner = web.AppRunner(sender.application(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    say(port=runner.addresses[0][1], symbols=list(sender.symbols))
    await sender.subscribed.wait()
    say(subscribed=True)
    await asyncio.to_thread(sys.stdin.readline)
    flow = asyncio.create_task(sender.flow())
    await asyncio.to_thread(sys.stdin.readline)
    sender.stopped.set()
    await flow
    used = resource.getrusage(resource.RUSAGE_SELF)
    say(**sender.sent, cpu_seconds=used.ru_utime + used.ru_stime)
    # Until the capture has stopped it may ask, and hears pongs.
    await asyncio.to_thread(sys.stdin.readline)
    await runner.cleanup()


def say(**words: Any) -> None:
    """One line to whoever started this."""
    print(json.dumps(words), flush=True)


def main() -> None:
    """Serve one capture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=200)
    parser.add_argument("--trades", type=int, default=20_000, help="a second")
    parser.add_argument("--tickers", type=int, default=2_000, help="a second")
    parser.add_argument("--per-frame", type=int, default=10, help="trades in one frame")
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
