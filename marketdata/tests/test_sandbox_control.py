"""The endpoints with which a sandbox in another process is driven."""

from __future__ import annotations

import json

import pytest
import requests
from websocket import create_connection

from marketdata.sandbox import SandboxConfig, SandboxServer


def post(sandbox, action, **body):
    return requests.post(f"{sandbox.rest_url}/sandbox/{action}", json=body, timeout=20)


def get(sandbox, what):
    return requests.get(f"{sandbox.rest_url}/sandbox/{what}", timeout=20)


def subscribed(sandbox, topic="publicTrade.BTCUSDT"):
    ws = create_connection(sandbox.ws_public_url, timeout=20)
    ws.send(json.dumps({"op": "subscribe", "args": [topic]}))
    ws.recv()
    return ws


def test_pause_and_resume_show_in_the_status(sandbox):
    assert post(sandbox, "pause").json() == {"paused": True}
    assert get(sandbox, "status").json()["paused"]
    assert post(sandbox, "resume").json() == {"paused": False}
    assert not get(sandbox, "status").json()["paused"]


def test_the_status_names_connections_topics_and_rows(sandbox):
    ws = subscribed(sandbox)
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 3))
    status = get(sandbox, "status").json()
    ws.close()
    (connection,) = status["connections"]
    assert connection["topics"] == ["publicTrade.BTCUSDT"]
    assert status["sent"] == {"publicTrade.BTCUSDT": 3}
    assert (status["market"], status["symbols"]) == ("random", ["BTCUSDT", "ETHUSDT"])


def test_a_drain_without_connections_returns_at_once(sandbox):
    assert post(sandbox, "drain").json() == {"connections": 0}


def test_a_drain_that_ends_too_early_names_the_connections(sandbox):
    ws = subscribed(sandbox)
    answer = post(sandbox, "drain", timeout=0)
    ws.close()
    assert (answer.status_code, answer.json()["connections"]) == (504, [1])
    assert answer.json()["error"] == "No answer to the ping from connections: 1."


def test_a_break_returns_when_the_connections_are_gone(sandbox):
    ws = subscribed(sandbox)
    assert post(sandbox, "break", how="reset").json() == {"connections": 1}
    assert get(sandbox, "status").json()["connections"] == []
    with pytest.raises(ConnectionResetError):
        ws.recv()
    ws.shutdown()


def test_text_is_pushed_as_it_is(sandbox):
    ws = subscribed(sandbox)
    sent = post(sandbox, "send", topic="publicTrade.BTCUSDT", text="<html>")
    assert (sent.json(), ws.recv()) == ({"connections": 1}, "<html>")
    ws.close()


def test_a_refusal_shows_in_the_status_and_can_be_ended(sandbox):
    assert post(sandbox, "refuse", seconds=9).json() == {"seconds": 9}
    assert get(sandbox, "status").json()["refusing"]
    post(sandbox, "refuse", seconds=0)
    assert not get(sandbox, "status").json()["refusing"]


def test_the_ledger_is_served_as_json_lines(sandbox):
    subscribed(sandbox).shutdown()
    sandbox.wait_for_connections(0)
    lines = [json.loads(line) for line in get(sandbox, "ledger").text.splitlines()]
    assert lines == list(sandbox.ledger())
    assert [line["event"] for line in lines] == ["subscribed", "closed"]


def test_without_a_ledger_there_is_nothing_to_serve():
    with SandboxServer(SandboxConfig(rate=0, record=False)) as sandbox:
        subscribed(sandbox).close()
        assert list(sandbox.ledger()) == []
        answer = get(sandbox, "ledger")
    assert (answer.status_code, answer.json()) == (404, {"error": "This sandbox keeps no ledger."})


@pytest.mark.parametrize(
    ("action", "body", "sentence"),
    [
        ("break", {"how": "gently"}, "how is one of reset, close, fin."),
        ("send", {}, "text is a string, and so is topic when it is given."),
        ("send", {"text": "x", "topic": "nope"}, "There is no topic 'nope'."),
        ("refuse", {}, "seconds is a number of seconds from 0 to 3600."),
        ("refuse", {"seconds": -1}, "seconds is a number of seconds from 0 to 3600."),
        ("refuse", {"seconds": True}, "seconds is a number of seconds from 0 to 3600."),
        ("drain", {"timeout": "x"}, "timeout is a number of seconds from 0 to 600."),
    ],
)
def test_a_wrong_request_is_told_so_in_a_sentence(sandbox, action, body, sentence):
    answer = post(sandbox, action, **body)
    assert (answer.status_code, answer.json()) == (400, {"error": sentence})


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"{", "The body is no JSON."),
        (b"[]", "The body is no JSON object."),
        (b" " * (2 << 20), "The body is too large."),
    ],
)
def test_a_body_that_is_no_object_is_told_so(sandbox, body, sentence):
    answer = requests.post(f"{sandbox.rest_url}/sandbox/pause", data=body, timeout=20)
    assert (answer.status_code, answer.json()) == (400, {"error": sentence})


def test_other_paths_and_methods_do_not_exist(sandbox):
    answer = get(sandbox, "pause")
    assert (answer.status_code, answer.json()) == (
        404,
        {"error": "There is no GET /sandbox/pause."},
    )
    assert post(sandbox, "nope").status_code == 404
