"""The TCP proxy: what each toxic does to bytes on their way, and what it counts."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import requests
from django.db import connection
from websocket import create_connection

from marketdata.sandbox.tcp_proxy import TcpProxy
from marketdata.sandbox.tcp_proxy.__main__ import arguments

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 20
NOTHING_SECONDS = 0.2


class Echo:
    """A server that says back what it hears, one connection at a time."""

    def __init__(self) -> None:
        self.server = socket.create_server(("127.0.0.1", 0))
        self.place = self.server.getsockname()
        self.pieces: list[int] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.server.accept()
            except OSError:
                return
            with connection:
                try:
                    while data := connection.recv(1 << 16):
                        self.pieces.append(len(data))
                        connection.sendall(data)
                except OSError:
                    pass


@pytest.fixture
def echo() -> Iterator[Echo]:
    one = Echo()
    yield one
    one.server.close()


@pytest.fixture
def proxy(echo) -> Iterator[TcpProxy]:
    with TcpProxy(echo.place) as one:
        yield one


@pytest.fixture
def client(proxy) -> Iterator[socket.socket]:
    with socket.create_connection((proxy.host, proxy.port), timeout=SECONDS) as one:
        yield one


def said(client, text=b"hello"):
    client.sendall(text)
    return heard(client, len(text))


def heard(client, size):
    data = b""
    while len(data) < size and (piece := client.recv(size - len(data))):
        data += piece
    return data


def first_byte(proxy):
    with socket.create_connection((proxy.host, proxy.port), timeout=SECONDS) as one:
        return one.recv(1)


def is_silent(client):
    client.settimeout(NOTHING_SECONDS)
    try:
        client.recv(1)
    except TimeoutError:
        return True
    finally:
        client.settimeout(SECONDS)
    return False


def test_bytes_pass_and_are_counted(proxy, client):
    assert said(client, b"x" * 300_000) == b"x" * 300_000
    counts = proxy.status()["counts"]
    assert (counts["bytes up"], counts["bytes down"], counts["connections"]) == (
        300_000, 300_000, 1,
    )  # fmt: skip


def test_an_end_passes(client):
    client.sendall(b"last")
    client.shutdown(socket.SHUT_WR)
    assert heard(client, 5) == b"last"


def test_latency_keeps_the_order_of_what_it_delays(proxy, client):
    proxy.set("latency", way="down", ms=20, jitter_ms=20)
    for letter in "abcdefgh":
        client.sendall(letter.encode())
    assert heard(client, 8) == b"abcdefgh"
    assert proxy.status()["counts"]["delayed"] >= 1


def test_latency_delays(proxy, client):
    proxy.set("latency", ms=3_600_000)
    client.sendall(b"x")
    assert is_silent(client)


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_black_hole_swallows_one_way(proxy, client, echo, way):
    assert said(client) == b"hello"
    proxy.set("black_hole", way=way)
    client.sendall(b"lost")
    assert is_silent(client)
    assert sum(echo.pieces) == (5 if way == "up" else 9)
    proxy.clear("black_hole")
    assert said(client, b"again") == b"again"
    assert proxy.status()["counts"]["bytes swallowed"] == 4


def test_what_is_half_open_comes_when_it_opens_again(proxy, client):
    proxy.set("half_open", way="down")
    client.sendall(b"later")
    assert is_silent(client)
    proxy.clear("half_open")
    assert heard(client, 5) == b"later"


def test_a_reset_comes_at_the_byte_where_it_was_wanted(proxy, client):
    assert said(client) == b"hello"
    proxy.set("reset", way="down", after=7)
    assert said(client) == b"hello"
    client.sendall(b"world")
    assert heard(client, 2) == b"wo"
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with socket.create_connection((proxy.host, proxy.port), timeout=SECONDS) as other:
        assert said(other) == b"hello"


def test_a_slicer_cuts_to_pieces_and_loses_nothing(proxy, client):
    proxy.set("slicer", way="up", bytes=3)
    assert said(client, bytes(range(256))) == bytes(range(256))
    assert proxy.status()["counts"]["slices"] >= 80


def test_down_resets_what_is_open_and_refuses_what_comes(proxy, client):
    assert said(client) == b"hello"
    proxy.down()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((proxy.host, proxy.port), timeout=SECONDS)
    proxy.up()
    with socket.create_connection((proxy.host, proxy.port), timeout=SECONDS) as other:
        assert said(other) == b"hello"


def test_a_target_that_is_not_there_is_a_reset():
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    with silent, TcpProxy(silent.getsockname()) as proxy:
        with pytest.raises(ConnectionResetError):
            first_byte(proxy)
        assert proxy.status()["counts"]["broken"] == 1


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("nope", {}),
        ("latency", {"way": "left"}),
        ("latency", {"bytes": 1}),
        ("latency", {"ms": -1}),
        ("latency", {"ms": float("nan")}),
        ("latency", {"ms": "1"}),
        ("slicer", {"bytes": 0}),
        ("slicer", {"bytes": 0.5}),
        ("reset", {"after": 1.5}),
        ("down", {"way": "up"}),
        (["latency"], {}),
    ],
)
def test_what_there_is_not_is_refused(proxy, name, values):
    with pytest.raises(ValueError, match=r"is one of|takes"):
        proxy.set(name, **values)


@pytest.mark.parametrize("what", [("nope", ""), ("latency", "left")])
def test_what_there_is_not_cannot_be_cleared(proxy, what):
    with pytest.raises(ValueError, match="is one of"):
        proxy.clear(*what)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--listen=5432", "HOST:PORT"),
        ("--listen=127.0.0.1:99999", "HOST:PORT"),
        ("--listen=localhost:0", "not an address"),
        ("--to=nowhere", "HOST:PORT"),
        ("--control=127.0.0.1:x", "HOST:PORT"),
    ],
)
def test_a_place_that_cannot_be_is_a_usage_error(option, words, capsys):
    with pytest.raises(SystemExit) as end:
        arguments(["--to=127.0.0.1:1", option])
    assert end.value.code == 2
    assert words in capsys.readouterr().err


def test_the_sandbox_is_reached_through_it(sandbox):
    host, port = sandbox.rest_url.removeprefix("http://").split(":")
    with TcpProxy((host, int(port))) as proxy:
        url = f"http://{proxy.host}:{proxy.port}/v5/market/time"
        assert requests.get(url, timeout=SECONDS).json()["retCode"] == 0
        ws = create_connection(f"ws://{proxy.host}:{proxy.port}/v5/public/linear", timeout=SECONDS)
        proxy.set("reset", way="down", after=20)
        ws.send(json.dumps({"op": "ping"}))
        with pytest.raises(ConnectionResetError):
            ws.recv()
        ws.shutdown()


@pytest.mark.django_db(transaction=True)
def test_a_database_is_reached_through_it():
    if connection.vendor != "postgresql":
        pytest.skip("a database without a server")
    parameters = connection.get_connection_params()
    names = ("host", "port", "user", "password", "dbname")
    known = {name: parameters[name] for name in names if parameters.get(name)}
    host, port = known["host"], int(known.get("port", 5432))
    target = f"{host}/.s.PGSQL.{port}" if host.startswith("/") else (host, port)
    with TcpProxy(target) as proxy:
        known |= {"host": proxy.host, "port": proxy.port}
        with psycopg.connect(**known) as open_one:
            assert open_one.execute("SELECT 1").fetchone() == (1,)
            proxy.down()
            with pytest.raises(psycopg.OperationalError):
                open_one.execute("SELECT 1")
        proxy.up()
        with psycopg.connect(**known) as another:
            assert another.execute("SELECT 1").fetchone() == (1,)


def test_as_a_process_it_is_driven_over_http(echo):
    command = [sys.executable, "-m", "marketdata.sandbox.tcp_proxy", "--to"]
    command.append("{}:{}".format(*echo.place))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline())
            control = f"http://127.0.0.1:{ready['control']}"
            place = ("127.0.0.1", ready["port"])
            with socket.create_connection(place, timeout=SECONDS) as client:
                assert said(client) == b"hello"
                wrong = requests.post(f"{control}/toxic", json={"name": "nope"}, timeout=SECONDS)
                assert (wrong.status_code, "name is one of" in wrong.text) == (400, True)
                for nothing in ({}, [], 7):
                    wrong = requests.post(f"{control}/toxic", json=nothing, timeout=SECONDS)
                    assert (wrong.status_code, "name of a toxic" in wrong.text) == (400, True)
                requests.post(f"{control}/toxic", json={"name": "down"}, timeout=SECONDS)
                with pytest.raises(ConnectionResetError):
                    client.recv(1)
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection(place, timeout=SECONDS)
            status = requests.delete(f"{control}/toxic", timeout=SECONDS).json()
            assert (status["up"], status["counts"]["resets"]) == (True, 1)
            with socket.create_connection(place, timeout=SECONDS) as client:
                assert said(client) == b"hello"
        finally:
            process.terminate()
        assert process.wait(SECONDS) == 0
