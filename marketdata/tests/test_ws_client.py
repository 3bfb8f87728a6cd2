"""The public connection, through real pybit against the sandbox."""

from __future__ import annotations

import contextlib
import socket
import threading
from datetime import datetime
from typing import Any

import pytest

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.bybit.errors import ExchangeUnavailable
from marketdata.bybit.ws_public import PublicWebSocketClient


class Recorder:
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.unreadable: list[str] = []
        self.fail = False

    def on_message(self, message: dict[str, Any], text: str, received_at: datetime) -> None:
        if self.fail:
            raise RuntimeError("a bug of ours")
        self.messages.append(message)

    def on_unreadable(self, text: str, reason: str, received_at: datetime) -> None:
        self.unreadable.append(reason)


@pytest.fixture
def recorder():
    return Recorder()


@pytest.fixture
def connect(sandbox, recorder):
    clients: list[PublicWebSocketClient] = []

    def make(*symbols: str, url: str = "") -> PublicWebSocketClient:
        client = PublicWebSocketClient(
            symbols or ("BTCUSDT",),
            recorder,
            environment=Environment.SANDBOX,
            endpoints=Endpoints(ws_public=url or sandbox.ws_public_url),
        )
        clients.append(client)
        client.connect()
        return client

    yield make
    for client in clients:
        client.disconnect()


def test_it_is_subscribed_when_connect_returns(sandbox, connect, recorder):
    client = connect()
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 2))
    sandbox.drain()
    topics = [message["topic"] for message in recorder.messages]
    assert topics == ["tickers.BTCUSDT", "publicTrade.BTCUSDT"]
    assert client.state.connected_at is not None
    assert client.state.last_message_ts is not None
    assert client.state.reconnect_count == 0


def test_a_refused_topic_costs_the_others_nothing(sandbox, connect, recorder):
    client = connect("NOPEUSDT", "BTCUSDT")
    assert set(client.rejected_topics) == {"publicTrade.NOPEUSDT", "tickers.NOPEUSDT"}
    assert "handler not found" in client.rejected_topics["tickers.NOPEUSDT"]
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 1))
    sandbox.drain()
    assert recorder.messages[-1]["topic"] == "publicTrade.BTCUSDT"


def test_an_exchange_that_refuses_every_topic_is_as_good_as_none(connect):
    with pytest.raises(ExchangeUnavailable, match="every topic was refused"):
        connect("NOPEUSDT")


def test_an_exchange_that_is_not_there_is_said_so(connect):
    with pytest.raises(ExchangeUnavailable, match="no public stream"):
        connect(url="ws://127.0.0.1:1/v5/public/linear")


def test_an_exchange_that_never_answers_is_given_up(sandbox, connect, monkeypatch):
    monkeypatch.setattr("marketdata.bybit.ws_client.ACKNOWLEDGE_SECONDS", 0)
    with pytest.raises(ExchangeUnavailable, match="not answered in time"):
        connect()


def test_it_can_be_connected_again_and_counts_that(sandbox, connect, recorder):
    client = connect()
    sandbox.break_connections("reset")
    client.disconnect()
    assert not client.is_connected()
    client.connect()
    assert client.is_connected()
    assert client.state.reconnect_count == 1
    assert client.state.disconnected_at is not None


def test_after_unsubscribing_nothing_arrives(sandbox, connect, recorder):
    client = connect()
    client.unsubscribe()
    before = len(recorder.messages)
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 1))
    sandbox.drain()
    assert len(recorder.messages) == before


def test_unsubscribing_from_a_dead_connection_is_no_error(sandbox, connect):
    client = connect()
    sandbox.break_connections("reset")
    client.unsubscribe()
    client.disconnect()
    client.unsubscribe()


def test_a_bug_in_the_handler_is_logged_once_in_a_minute(sandbox, connect, recorder, caplog):
    connect()
    sandbox.drain()
    recorder.fail = True
    for _ in range(3):
        sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 1))
    sandbox.drain()
    events = [getattr(record, "event", "") for record in caplog.records]
    assert (len(recorder.unreadable), events.count("frame_failed")) == (3, 1)


def test_a_bug_in_the_handler_costs_one_frame_and_not_the_connection(sandbox, connect, recorder):
    client = connect()
    sandbox.drain()
    recorder.fail = True
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 1))
    sandbox.drain()
    assert recorder.unreadable == ["it could not be handled"]
    recorder.fail = False
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 1))
    sandbox.drain()
    assert recorder.messages[-1]["topic"] == "publicTrade.BTCUSDT"
    assert client.is_connected()


def test_its_thread_and_socket_go_with_it(connect):
    client = connect()
    stream = client._stream
    client.disconnect()
    assert not stream.wst.is_alive()
    assert stream.wst not in threading.enumerate()


def test_a_sandbox_without_an_address_is_refused(recorder):
    with pytest.raises(ValueError, match="BYBIT_WS_PUBLIC_URL"):
        PublicWebSocketClient(["BTCUSDT"], recorder, environment=Environment.SANDBOX)


@pytest.mark.parametrize(
    ("environment", "host"),
    [
        ("mainnet", "stream.bybit.com"),
        ("testnet", "stream-testnet.bybit.com"),
        ("demo", "stream.bybit.com"),
    ],
)
def test_each_environment_is_reached_at_the_exchange_s_own_host(
    monkeypatch, recorder, environment, host
):
    reached = []

    def refuse(url, *args, **kwargs):
        reached.append(url)
        raise ConnectionRefusedError

    monkeypatch.setattr("websocket._core.WebSocket.connect", lambda self, url, **_: refuse(url))
    client = PublicWebSocketClient(["BTCUSDT"], recorder, environment=Environment(environment))
    with pytest.raises(ExchangeUnavailable):
        client.connect()
    assert set(reached) == {f"wss://{host}/v5/public/linear"}


@pytest.fixture
def dripping_server():
    """Answers a handshake with one byte now and then, and never to its end."""
    stop = threading.Event()

    def answer(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\n")
            while not stop.wait(0.05):
                connection.sendall(b"x")

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=answer, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, daemon=True).start()
        yield f"ws://127.0.0.1:{server.getsockname()[1]}/v5/public/linear"
        stop.set()
        server.shutdown(socket.SHUT_RDWR)


def test_a_handshake_that_never_ends_is_given_up(connect, dripping_server, monkeypatch):
    monkeypatch.setattr("marketdata.bybit.ws_stream.HANDSHAKE_SECONDS", 0.2)
    with pytest.raises(ExchangeUnavailable, match="no public stream"):
        connect(url=dripping_server)
