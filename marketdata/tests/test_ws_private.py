"""The private connection, through real pybit, against a small exchange that follows a script."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import logging
import queue
import threading
import time

import aiohttp
import pytest
from aiohttp import web

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.bybit.errors import AuthenticationFailed, BybitError, ExchangeUnavailable
from marketdata.bybit.values import time_from_ms
from marketdata.bybit.ws_client import pong_time
from marketdata.bybit.ws_private import PrivateWebSocketClient
from marketdata.tests.test_normalizer import payload
from marketdata.tests.test_rest_client import KEY, SECRET, everything_about

PATIENCE = 10
TOPICS = ["execution", "order", "position", "wallet"]


class Exchange:
    """A V5 private endpoint on loopback, in a thread of its own.

    `auth` is how it answers a key that is right: "ok", "refuse", "silent", "late" (when
    `release` is set) or "close". `refused` are topics that it does not know.
    """

    def __init__(self):
        self.auth = "ok"
        self.auth_answer = {"success": False, "ret_msg": "Params Error", "op": "auth"}
        self.refused = {}
        self.release = asyncio.Event()
        self.heard = queue.Queue()
        self.frames = []
        self.sockets = []
        self.signature = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self):
        self._thread.start()
        self.do(self._start())
        return self

    def __exit__(self, *exc_info):
        self.do(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def do(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def send(self, text):
        self.do(self.sockets[-1].send_str(text if isinstance(text, str) else json.dumps(text)))

    def next(self, op):
        """Wait until a client says this."""
        while (frame := self.heard.get(timeout=PATIENCE))["op"] != op:
            pass
        return frame

    def let_go(self):
        self._loop.call_soon_threadsafe(self.release.set)

    async def _start(self):
        app = web.Application()
        app.router.add_get("/v5/private", self._serve)
        self._runner = web.AppRunner(app, handle_signals=False, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"ws://127.0.0.1:{self._runner.addresses[0][1]}/v5/private"

    async def _stop(self):
        self.release.set()
        for ws in self.sockets:
            await ws.close()
        await self._runner.cleanup()

    async def _serve(self, request):
        ws = web.WebSocketResponse()
        await ws.prepare(request)
        self.sockets.append(ws)
        if self.auth == "slam":
            request.transport.abort()
            return ws
        async for message in ws:
            if message.type is not aiohttp.WSMsgType.TEXT:
                break
            frame = json.loads(message.data)
            self.frames.append(frame)
            self.heard.put(frame)
            answer = await self._answer(ws, frame)
            if answer is not None and not ws.closed:
                await ws.send_str(json.dumps(answer))
        return ws

    async def _answer(self, ws, frame):
        if frame["op"] == "ping":
            return {"req_id": "", "op": "pong", "args": ["1790134712130"], "conn_id": "c"}
        if frame["op"] == "auth":
            return await self._authenticate(ws, frame)
        [topic] = frame["args"]
        words = self.refused.get(topic, "")
        return {
            "success": not words, "ret_msg": words, "conn_id": "c", "req_id": frame["req_id"],
            "op": frame["op"],
        }  # fmt: skip

    async def _authenticate(self, ws, frame):
        key, expires, self.signature = frame["args"]
        right = hmac.new(SECRET.encode(), f"GET/realtime{expires}".encode(), hashlib.sha256)
        assert expires > time.time() * 1000 + 3000
        if self.auth == "late":
            await self.release.wait()
        if self.auth == "close":
            await ws.close()
        if self.auth in ("close", "silent"):
            return None
        if self.auth == "refuse" or (key, self.signature) != (KEY, right.hexdigest()):
            return self.auth_answer
        return {"success": True, "ret_msg": "", "op": "auth", "conn_id": "c"}


class Recorder:
    """Keeps what it is told, in the order in which it was."""

    def __init__(self):
        self.told = queue.Queue()
        self.everything = []

    def on_message(self, message, text, received_at):
        self.everything.append((message, text))
        self.told.put(message)

    def on_unreadable(self, text, reason, received_at):
        self.everything.append((text, reason))
        self.told.put(reason)

    def next(self):
        return self.told.get(timeout=PATIENCE)


@pytest.fixture
def exchange():
    with Exchange() as exchange:
        yield exchange


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def make(exchange, recorder):
    clients = []

    def make(key=KEY, secret=SECRET, **options):
        client = PrivateWebSocketClient(
            key, secret, recorder, environment=Environment.SANDBOX,
            endpoints=Endpoints(ws_private=exchange.url), **options,
        )  # fmt: skip
        clients.append(client)
        return client

    yield make
    for client in clients:
        client.disconnect()


@pytest.fixture
def connected(make):
    client = make()
    client.connect()
    return client


def test_it_is_authenticated_and_subscribed_when_connect_returns(exchange, connected, recorder):
    assert [frame["op"] for frame in exchange.frames] == ["auth"] + ["subscribe"] * 4
    assert [frame["args"] for frame in exchange.frames[1:]] == [[topic] for topic in TOPICS]
    assert connected.is_connected()
    assert connected.rejected_topics == {}
    assert connected.state.connected_at is not None
    assert recorder.everything == []


@pytest.mark.parametrize("stream", TOPICS)
def test_a_frame_is_handed_on_as_it_came(exchange, connected, recorder, stream):
    frame = payload(f"ws_private_{stream}")
    exchange.send(frame)
    assert recorder.next() == frame
    assert recorder.everything == [(frame, json.dumps(frame))]


def test_nothing_is_subscribed_before_the_key_is_accepted(exchange, make):
    exchange.auth = "late"
    client = make()
    thread = threading.Thread(target=client.connect)
    thread.start()
    exchange.next("auth")
    assert len(exchange.frames) == 1
    assert client.state.connected_at is None
    exchange.let_go()
    thread.join(PATIENCE)
    assert client.is_connected()
    assert len(exchange.frames) == 5


def test_a_refused_key_is_said_so(exchange, make, recorder):
    exchange.auth = "refuse"
    client = make()
    with pytest.raises(AuthenticationFailed) as caught:
        client.connect()
    assert str(caught.value) == "The exchange refused the key: Params Error"
    assert (caught.value.code, caught.value.retryable) == (-1, False)
    assert not client.is_connected()
    assert [frame["op"] for frame in exchange.frames] == ["auth"]
    assert recorder.everything == []


@pytest.mark.parametrize(("key", "secret"), [("another-key", SECRET), (KEY, "another-secret")])
def test_a_key_or_secret_that_is_wrong_is_refused(make, key, secret):
    with pytest.raises(AuthenticationFailed):
        make(key, secret).connect()


@pytest.mark.parametrize(
    ("answer", "code", "text"),
    [
        ({"success": False}, -1, "it did not say why"),
        ({"retCode": 10004, "retMsg": "bad sign"}, 10004, "bad sign"),
        ({"success": "true", "ret_msg": None, "retCode": "1"}, -1, "it did not say why"),
        ({"success": False, "ret_msg": {"a": KEY}}, -1, "it did not say why"),
        ({"success": 1, "topic": "execution"}, -1, "it did not say why"),
    ],
)
def test_only_a_plain_yes_is_one(exchange, make, recorder, answer, code, text):
    exchange.auth = "refuse"
    exchange.auth_answer = answer | {"op": "auth"}
    with pytest.raises(AuthenticationFailed, match=text) as caught:
        make().connect()
    assert caught.value.code == code
    assert recorder.everything == []


def test_a_key_that_is_not_answered_is_given_up(exchange, make, monkeypatch):
    monkeypatch.setattr("marketdata.bybit.ws_private.AUTHENTICATE_SECONDS", 0)
    exchange.auth = "silent"
    with pytest.raises(ExchangeUnavailable, match=r"no private stream: .*not answered in time"):
        make().connect()


@pytest.mark.parametrize("manner", ["close", "slam"])
def test_an_exchange_that_hangs_up_is_unavailable(exchange, make, manner):
    exchange.auth = manner
    with pytest.raises(ExchangeUnavailable, match="no private stream") as caught:
        make().connect()
    assert caught.value.__context__ is None


def test_an_answer_after_the_end_is_not_listened_to(exchange, make, recorder, monkeypatch):
    monkeypatch.setattr("marketdata.bybit.ws_private.AUTHENTICATE_SECONDS", 0)
    exchange.auth = "late"
    client = make()
    with pytest.raises(ExchangeUnavailable):
        client.connect()
    exchange.let_go()
    monkeypatch.undo()
    exchange.auth = "ok"
    client.connect()
    assert client.state.reconnect_count == 0
    assert recorder.everything == []


def test_a_refused_topic_costs_the_others_nothing(exchange, make, recorder):
    exchange.refused = {"wallet": "error:handler not found,topic:wallet"}
    client = make()
    client.connect()
    assert client.rejected_topics == {"wallet": "error:handler not found,topic:wallet"}
    exchange.send({"topic": "order", "data": []})
    assert recorder.next() == {"topic": "order", "data": []}


def test_a_key_that_may_see_nothing_lacks_the_permission(exchange, make):
    exchange.refused = dict.fromkeys(TOPICS, "no")
    with pytest.raises(AuthenticationFailed, match="every topic was refused: no"):
        make().connect()


@pytest.mark.parametrize(
    ("text", "reason"),
    [("{broken", "not JSON"), ("[]", "not a JSON object"), ("{}", "neither data nor an answer"),
     ('{"op":"subscribe","req_id":"nobody"}', "neither data nor an answer")],
)  # fmt: skip
def test_what_cannot_be_read_costs_nothing_but_itself(exchange, connected, recorder, text, reason):
    exchange.send(text)
    exchange.send({"topic": "order", "data": []})
    assert recorder.next().startswith(reason)
    assert recorder.next() == {"topic": "order", "data": []}
    assert connected.is_connected()


def test_answers_to_pings_break_the_silence(exchange, make, recorder):
    client = make(ping_interval=0.2, ping_timeout=0.1)
    client.connect()
    before = client.state.last_message_ts
    exchange.next("ping")
    exchange.send({"topic": "order", "data": []})
    recorder.next()
    assert len(recorder.everything) == 1
    assert client.state.last_message_ts > before
    assert client.silent_seconds() < PATIENCE


def test_it_unsubscribes_and_goes_with_thread_and_socket(exchange, connected):
    stream = connected._stream
    connected.unsubscribe()
    assert [frame["op"] for frame in exchange.frames[5:]] == ["unsubscribe"] * 4
    connected.disconnect()
    assert not stream.wst.is_alive()
    assert connected.state.disconnected_at is not None


def test_it_can_be_connected_again_and_proves_itself_again(exchange, connected):
    connected.disconnect()
    connected.connect()
    assert connected.state.reconnect_count == 1
    assert [frame["op"] for frame in exchange.frames].count("auth") == 2


@pytest.mark.parametrize("auth", ["ok", "refuse", "silent", "close", "slam"])
def test_no_secret_is_seen_anywhere(exchange, make, recorder, auth, caplog, capfd, monkeypatch):
    if auth == "silent":
        monkeypatch.setattr("marketdata.bybit.ws_private.AUTHENTICATE_SECONDS", 0.3)
    caplog.set_level(logging.DEBUG)
    for name in ("pybit", "websocket", "marketdata", "pybit._websocket_stream"):
        caplog.set_level(logging.DEBUG, name)
    exchange.auth = auth
    exchange.auth_answer = {"op": "auth", "success": False, "ret_msg": f"{KEY} {SECRET}"}
    exchange.refused = {"wallet": f"error: {KEY} {SECRET}"}
    client = make()
    seen = []
    try:
        client.connect()
    except BybitError as error:
        seen.append(everything_about(error))
    else:
        seen.append(f"{client!r} {client._stream!r} {client.rejected_topics}")
        request = json.dumps({"op": "auth", "args": [KEY, 1, exchange.signature]})
        for text in (
            f"Failed to decode incoming data:{request}", request, f"[{request}]",
            json.dumps({"topic": "order", "data": [KEY, SECRET]}), f'"{SECRET}"',
            json.dumps({"op": "auth", "success": True, "args": [KEY, exchange.signature]}),
        ):  # fmt: skip
            exchange.send(text)
        exchange.send({"topic": "last"})
        while recorder.next() != {"topic": "last"}:
            pass
        assert len(recorder.everything) == 5
    client.disconnect()
    seen += [repr(client), caplog.text, repr(recorder.everything), *capfd.readouterr()]
    everything = " ".join(map(str, seen))
    secrets = [KEY, SECRET, *filter(None, [exchange.signature])]
    found = [secret for secret in secrets if secret in everything]
    assert found == []
    assert (auth == "slam") or exchange.signature


@pytest.mark.parametrize(("key", "secret"), [("", "s"), ("k", "")])
def test_without_a_key_or_secret_there_is_no_connection(recorder, key, secret):
    with pytest.raises(ValueError, match="needs a key and its secret"):
        PrivateWebSocketClient(key, secret, recorder)


@pytest.mark.parametrize("url", ["", "ws://exchange.example/v5/private", "http://127.0.0.1/"])
def test_a_sandbox_without_a_safe_address_is_refused(recorder, url):
    with pytest.raises(ValueError, match="BYBIT_WS_PRIVATE_URL"):
        PrivateWebSocketClient(
            "k", "s", recorder, environment=Environment.SANDBOX, endpoints=Endpoints(ws_private=url)
        )


@pytest.mark.parametrize(
    ("environment", "host"),
    [("mainnet", "stream"), ("testnet", "stream-testnet"), ("demo", "stream-demo")],
)
def test_each_environment_is_reached_at_the_exchange_s_own_host(
    monkeypatch, recorder, environment, host
):
    reached = []

    def refuse(self, url, **options):
        reached.append(url)
        raise ConnectionRefusedError

    monkeypatch.setattr("websocket._core.WebSocket.connect", refuse)
    client = PrivateWebSocketClient(
        "k", "s", recorder, environment=Environment(environment),
        endpoints=Endpoints(ws_private="ws://127.0.0.1:1/v5/private"),
    )  # fmt: skip
    with pytest.raises(ExchangeUnavailable, match="no private stream"):
        client.connect()
    assert set(reached) == {f"wss://{host}.bybit.com/v5/private"}


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        (["1790134712130"], 1790134712130), ([1790134712130], None), ([], None), (None, None),
        (["1e12"], None), (["1"], None), (["4790134712130"], None), ("1790134712130", None),
    ],
)  # fmt: skip
def test_a_pong_says_the_exchange_s_time_or_nothing_that_is_believed(args, expected):
    received_at = time_from_ms(1790134712000)
    at = pong_time({"op": "pong", "args": args}, received_at)
    assert at == (None if expected is None else time_from_ms(expected))
