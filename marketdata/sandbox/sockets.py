"""The WebSocket side of the server: control frames in, answers out, strictly in order.

Source: V5 "Connect": ping, subscribe and unsubscribe and their answers; what the exchange says
to a wrong topic, a duplicate and an unknown operation was seen on the wire. Each connection has
two tasks: one reads and answers protocol PINGs at once, one works through the requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import WSMsgType, web

from marketdata.sandbox import wire
from marketdata.sandbox.connections import Connection
from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.faults.frames import refused_topic
from marketdata.sandbox.wire import Request

# Clients may register a request only after it was sent; the exchange never answers faster.
ACK_DELAY_SECONDS = 0.025
MAX_REQUEST_BYTES = 1 << 20
MAX_WAITING_REQUESTS = 1000
MAX_ARGS_CHARACTERS = 21_000
CLOSE_SECONDS = 2.0


async def serve_public(exchange: Exchange, request: web.Request) -> web.StreamResponse:
    """One public connection, from handshake to end."""
    return await converse(exchange, request, "public", Session)


async def converse(
    exchange: Exchange,
    request: web.Request,
    channel: str,
    session_of: Callable[[Exchange, Connection], Session],
) -> web.StreamResponse:
    """One connection of a channel, from handshake to end."""
    if exchange.audience.is_refusing or exchange.faults.fires("handshake_502", channel=channel):
        return web.Response(status=502, text="Bad Gateway")
    ws = web.WebSocketResponse(
        autoping=False, compress=False, max_msg_size=MAX_REQUEST_BYTES, timeout=CLOSE_SECONDS
    )
    await ws.prepare(request)
    if request.transport is None:  # pragma: no cover - gone within the handshake
        return ws
    connection = exchange.audience.open(channel, transport=request.transport, ws=ws)
    session = session_of(exchange, connection)
    try:
        async with asyncio.TaskGroup() as tasks:
            worker = tasks.create_task(session.work())
            await session.read(ws)
            worker.cancel()
    finally:
        exchange.audience.closed(connection)
    return ws


class Session:
    """The conversation on one public connection.

    `slow` operations are not answered at once.
    """

    slow = frozenset({"subscribe"})

    def __init__(self, exchange: Exchange, connection: Connection) -> None:
        self._exchange = exchange
        self._connection = connection
        self._loop = asyncio.get_running_loop()
        self._requests: asyncio.Queue[tuple[float, str | bytes]] = asyncio.Queue(
            MAX_WAITING_REQUESTS
        )
        self._operations: dict[str, Callable[[Request], None]] = {
            "ping": self._ping,
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
        }

    @property
    def topics(self) -> set[str]:
        """What can be subscribed to here."""
        return self._exchange.topics

    async def read(self, ws: web.WebSocketResponse) -> None:
        """Take frames in until the connection ends."""
        while True:
            message = await ws.receive()
            if message.type is WSMsgType.PING:
                self._connection.answer_ping(message.data)
            elif message.type is WSMsgType.PONG:
                self._connection.answered(bytes(message.data))
            elif message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                await self._requests.put((self._loop.time(), message.data))
            else:
                return

    async def work(self) -> None:
        """Answer requests one after the other."""
        while True:
            received, text = await self._requests.get()
            try:
                request = wire.parse_request(text)
            except wire.UndecodableFrame as exc:
                self._answer(
                    Request(op="", req_id="", args=None), f"Failed to decode incoming data:{exc}"
                )
                continue
            if request.op in self.slow:
                await asyncio.sleep(received + ACK_DELAY_SECONDS - self._loop.time())
            self._operations.get(request.op, self._unknown)(request)

    def _ping(self, request: Request) -> None:
        pong = wire.public_pong(conn_id=self._connection.conn_id, req_id=request.req_id)
        self._connection.send(wire.frame(pong))

    def _unknown(self, request: Request) -> None:
        self._answer(request, "error:invalid op")

    def _subscribe(self, request: Request) -> None:
        error = self._objection(request.args) or self._whim(request.args or [])
        if error or request.args is None:
            self._answer(request, error)
        else:
            self._exchange.subscribe(self._connection, request.args, ack=self._ack(request))

    def _unsubscribe(self, request: Request) -> None:
        if request.args is None:
            self._answer(request, "Params Error")
            return
        self._exchange.audience.leave(self._connection, request.args)
        self._answer(request)

    def _objection(self, args: list[str] | None) -> str:
        """What is wrong with a subscription; one wrong topic voids the whole request."""
        if not args:
            return "Params Error"
        held = set(self._connection.topics)
        for topic in args:
            if topic not in self.topics:
                return f"error:handler not found,topic:{topic}"
            if topic in held:
                return f"error:already subscribed,topic:{topic}"
            held.add(topic)
        # The limit is documented, the words of the refusal are not.
        return "error:args size too large" if sum(map(len, held)) > MAX_ARGS_CHARACTERS else ""

    def _whim(self, args: list[str]) -> str:
        """A fault's objection to what could be subscribed to."""
        topic = refused_topic(self._exchange.faults, self._connection.account, args)
        return f"error:handler not found,topic:{topic}" if topic else ""

    def _ack(self, request: Request, error: str = "") -> bytes:
        conn_id = self._connection.conn_id
        return wire.ack(request.op, conn_id=conn_id, req_id=request.req_id, error=error)

    def _answer(self, request: Request, error: str = "") -> None:
        self._connection.send(wire.frame(self._ack(request, error)))
