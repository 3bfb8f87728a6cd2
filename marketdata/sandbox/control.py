"""The sandbox's own endpoints, with which a test or a demo drives it.

    POST /sandbox/pause | resume        the market stops, goes on
    POST /sandbox/drain {"timeout": 5}  returns when every client has read all that was sent
    POST /sandbox/break {"how": "reset"}  also "close" (a close frame) and "fin" (neither);
                                        of one "channel" (public, private) or "account" only
    POST /sandbox/send {"text": "...", "topic": T, "account": A}  any text to a topic's readers,
                                        to those of an account, or to all
    POST /sandbox/account {"account": A, "rate": 5, "refusal": "10003"}  how busy it is, and how
                                        it is refused; "key": {"permissions": {...}}; "action": "flood" (with "factor"), "calm"
                                        or "script" (with "steps")
    POST /sandbox/refuse {"seconds": 2}   handshakes get 502 for so long
    POST /sandbox/fault {"name": "freeze", "seconds": 5}  switches a fault on: see `faults`
    GET  /sandbox/fault                 faults that are on, and how often each has fired
    DELETE /sandbox/fault               ends them; only those of a "name" or the one of a "number"
    GET  /sandbox/faults/log            each firing: when, which, and what it hit
    GET  /sandbox/status                connections, topics, rows sent, market time
    GET  /sandbox/ledger                the ledger, as JSON lines

Errors are `{"error": "a sentence"}` with a status of 4xx; a drain that ends too early is 504 and
names the connections.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import orjson
from aiohttp import web

from marketdata.sandbox.audience import MAX_REFUSAL_SECONDS, DrainTimeout
from marketdata.sandbox.bodies import read_body
from marketdata.sandbox.connections import CHANNELS, ENDINGS
from marketdata.sandbox.exchange import Exchange
from marketdata.sandbox.faults.acts import Acts
from marketdata.sandbox.faults.switches import FaultSwitches
from marketdata.sandbox.ledger import read_chunks
from marketdata.sandbox.private.desk import FLOOD_FACTOR, Desks

DEFAULT_DRAIN_SECONDS, MAX_DRAIN_SECONDS = 10.0, 600.0
ACCOUNT_ACTIONS = ("", "flood", "calm", "script")
MAX_FACTOR, MAX_STEPS = 1000.0, 10_000.0

Body = dict[str, Any]
Action = Callable[[Body], Awaitable[dict[str, Any]]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class BadRequest(ValueError):
    """What was asked cannot be done; the message says why in a sentence."""


class Control:
    """The /sandbox endpoints of an exchange; `status` adds what the feed has to say."""

    def __init__(
        self, exchange: Exchange, desks: Desks, acts: Acts, feed_status: Callable[[], Body]
    ) -> None:
        self._exchange = exchange
        self._desks = desks
        self._faults = FaultSwitches(exchange.faults, acts)
        self._feed_status = feed_status

    def routes(self) -> list[web.RouteDef]:
        """All of them."""
        actions: dict[str, Action] = {
            "pause": self.pause,
            "resume": self.resume,
            "drain": self.drain,
            "break": self.break_connections,
            "send": self.send,
            "refuse": self.refuse,
            "account": self.account,
            "fault": self._faults.add,
        }
        return [
            *(web.post(f"/sandbox/{name}", _action(action)) for name, action in actions.items()),
            web.delete("/sandbox/fault", _action(self._faults.end)),
            web.get("/sandbox/fault", _action(self._faults.status)),
            web.get("/sandbox/faults/log", _action(self._faults.log)),
            web.get("/sandbox/status", self.status),
            web.get("/sandbox/ledger", self.ledger),
            web.route("*", "/sandbox/{rest:.*}", self.not_found),
        ]

    async def pause(self, body: Body) -> dict[str, Any]:
        """Nothing is produced any more when this returns."""
        self._exchange.running.clear()
        return {"paused": True}

    async def resume(self, body: Body) -> dict[str, Any]:
        """The market goes on where it was."""
        self._exchange.running.set()
        return {"paused": False}

    async def drain(self, body: Body) -> dict[str, Any]:
        """Everything sent before has been read by its client when this returns."""
        seconds = _seconds(body, "timeout", DEFAULT_DRAIN_SECONDS, most=MAX_DRAIN_SECONDS)
        return {"connections": await self._exchange.audience.drain(seconds)}

    async def break_connections(self, body: Body) -> dict[str, Any]:
        """The connections are gone when this returns."""
        how, channel = body.get("how", "reset"), body.get("channel")
        # A tuple, because what cannot be hashed is still compared.
        if how not in tuple(ENDINGS):
            raise BadRequest(f"how is one of {', '.join(ENDINGS)}.")
        if channel not in (None, *CHANNELS):
            raise BadRequest(f"channel is one of {', '.join(CHANNELS)}.")
        account = body.get("account")
        broken = await self._exchange.audience.break_connections(
            how, channel=channel, account=account
        )
        return {"connections": broken}

    async def send(self, body: Body) -> dict[str, Any]:
        """Push a text as it is."""
        text, topic = body.get("text"), body.get("topic")
        if not isinstance(text, str) or not isinstance(topic, str | None):
            raise BadRequest("text is a string, and so is topic when it is given.")
        return {"connections": self._exchange.send_raw(text, topic, body.get("account"))}

    async def refuse(self, body: Body) -> dict[str, Any]:
        """Refuse WebSocket handshakes for a while; 0 seconds end it."""
        seconds = _seconds(body, "seconds", None, most=MAX_REFUSAL_SECONDS)
        self._exchange.audience.refuse(seconds)
        return {"seconds": seconds}

    async def account(self, body: Body) -> dict[str, Any]:
        """Change an account; its status."""
        desk = self._desks[str(body.get("account", ""))]
        action = body.get("action", "")
        if action not in ACCOUNT_ACTIONS:
            raise BadRequest(f"action is one of {', '.join(ACCOUNT_ACTIONS[1:])}.")
        factor = _number(body, "factor", FLOOD_FACTOR, most=MAX_FACTOR)
        steps = int(_number(body, "steps", 1, most=MAX_STEPS))
        desk.change(
            rate=body.get("rate"),
            refusal=body.get("refusal"),
            key=body.get("key"),
            factor={"flood": factor, "calm": 1.0}.get(action),
        )
        if action == "script":
            await desk.run(steps)
        return desk.status()

    async def status(self, request: web.Request) -> web.StreamResponse:
        """What is going on."""
        accounts = [desk.status() for desk in self._desks]
        return _json(self._exchange.status() | {"accounts": accounts} | self._feed_status())

    async def ledger(self, request: web.Request) -> web.StreamResponse:
        """The ledger as it stands at the moment of asking."""
        ledger = self._exchange.ledger
        if ledger.path is None:
            return _error("This sandbox keeps no ledger.", status=404)
        size = ledger.flush()
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        response.content_length = size
        await response.prepare(request)
        for chunk in read_chunks(ledger.path, size):
            await response.write(chunk)
        return response

    async def not_found(self, request: web.Request) -> web.StreamResponse:
        """Every other path and method."""
        return _error(f"There is no {request.method} {request.path}.", status=404)


def _action(action: Action) -> Handler:
    async def handle(request: web.Request) -> web.StreamResponse:
        try:
            return _json(await action(await _body(request)))
        except ValueError as exc:
            return _error(str(exc), status=400)
        except DrainTimeout as exc:
            return _error(str(exc), status=504, connections=exc.connections)

    return handle


async def _body(request: web.Request) -> Body:
    try:
        body = orjson.loads(await read_body(request) or b"{}")
    except orjson.JSONDecodeError:
        raise BadRequest("The body is no JSON.") from None
    if not isinstance(body, dict):
        raise BadRequest("The body is no JSON object.")
    return body


def _seconds(body: Body, name: str, default: float | None, *, most: float) -> float:
    return _number(body, name, default, most=most, what="number of seconds")


def _number(
    body: Body, name: str, default: float | None, *, most: float, what: str = "number"
) -> float:
    value = body.get(name, default)
    # A comparison with NaN is false, so it is refused, too.
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= most:
        return float(value)
    raise BadRequest(f"{name} is a {what} from 0 to {most:g}.")


def _json(value: dict[str, Any], *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def _error(sentence: str, *, status: int, **more: Any) -> web.Response:
    return _json({"error": sentence, **more}, status=status)
