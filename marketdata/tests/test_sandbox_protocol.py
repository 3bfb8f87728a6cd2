"""The sandbox's control frames, seen from a bare WebSocket."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator

import pytest
import requests
from websocket import ABNF, WebSocket, WebSocketBadStatusException, create_connection

from marketdata.sandbox import DrainTimeout, connections

TRADES, TICKERS = "publicTrade.BTCUSDT", "tickers.BTCUSDT"


@pytest.fixture
def ws(sandbox) -> Iterator[WebSocket]:
    one = create_connection(sandbox.ws_public_url, timeout=20)
    sandbox.wait_for_connections(1)
    yield one
    one.close()
    one.shutdown()


def ask(ws, **frame):
    ws.send(json.dumps(frame))
    return json.loads(ws.recv())


def refusal(ws, *topics):
    answer = ask(ws, op="subscribe", req_id="7", args=topics)
    assert (answer["success"], answer["req_id"], answer["op"]) == (False, "7", "subscribe")
    return answer["ret_msg"]


def test_a_ping_is_answered_in_the_public_way(ws):
    pong = ask(ws, op="ping")
    conn_id = pong.pop("conn_id")
    assert conn_id
    assert pong == {"success": True, "ret_msg": "pong", "req_id": "", "op": "ping"}
    assert ask(ws, op="ping", req_id="x")["req_id"] == "x"


def test_a_subscription_is_acknowledged_with_its_id(ws):
    ack = ask(ws, op="subscribe", req_id="8c0f", args=[TRADES, "publicTrade.ETHUSDT"])
    del ack["conn_id"]
    assert ack == {"success": True, "ret_msg": "", "req_id": "8c0f", "op": "subscribe"}


@pytest.mark.parametrize(
    "topic", ["publicTrade.NOPEUSDT", "publictrade.BTCUSDT", "execution", "orderbook.50.BTCUSDT"]
)
def test_an_unknown_topic_is_refused(ws, topic):
    assert refusal(ws, topic) == f"error:handler not found,topic:{topic}"


def test_a_second_subscription_is_refused_and_the_first_goes_on(sandbox, ws):
    ask(ws, op="subscribe", args=[TRADES])
    assert refusal(ws, TRADES) == f"error:already subscribed,topic:{TRADES}"
    rows = sandbox.make_trades("BTCUSDT", 1)
    sandbox.send_trades("BTCUSDT", rows)
    assert json.loads(ws.recv())["data"] == rows


def test_one_wrong_topic_voids_the_whole_request(sandbox, ws):
    assert "handler not found" in refusal(ws, TRADES, "publicTrade.NOPE")
    assert sandbox.status()["connections"][0]["topics"] == []
    assert "already subscribed" in refusal(ws, TRADES, TRADES)


@pytest.mark.parametrize("args", [None, [], "publicTrade.BTCUSDT", [1]])
def test_arguments_that_are_no_topics_are_refused(ws, args):
    for op in ("subscribe", "unsubscribe") if args != [] else ("subscribe",):
        assert ask(ws, op=op, args=args)["ret_msg"] == "Params Error"


def test_too_many_topics_for_one_connection_are_refused(ws, monkeypatch):
    monkeypatch.setattr("marketdata.sandbox.sockets.MAX_ARGS_CHARACTERS", 30)
    assert refusal(ws, TRADES, TICKERS) == "error:args size too large"


def test_unsubscribing_is_acknowledged_and_allows_subscribing_again(ws):
    ask(ws, op="subscribe", args=[TRADES])
    ack = ask(ws, op="unsubscribe", req_id="u", args=[TRADES, TICKERS])
    assert (ack["success"], ack["op"], ack["req_id"]) == (True, "unsubscribe", "u")
    assert ask(ws, op="subscribe", args=[TRADES])["success"]


def test_an_unknown_operation_is_refused(ws):
    answer = ask(ws, op="order.create", req_id="r")
    assert (answer["success"], answer["ret_msg"]) == (False, "error:invalid op")
    assert (answer["op"], answer["req_id"]) == ("order.create", "r")


@pytest.mark.parametrize("text", ["garbage", "[1]", '{"op": "ping"', "\ud7ff", "1" * 400])
def test_text_that_is_no_object_is_answered_and_the_socket_stays_open(ws, text):
    ws.send(text)
    assert json.loads(ws.recv())["ret_msg"].startswith("Failed to decode incoming data:")
    assert ask(ws, op="ping")["ret_msg"] == "pong"


def test_requests_are_answered_in_their_order(ws):
    for number in range(3):
        ws.send(json.dumps({"op": "subscribe", "req_id": f"s{number}", "args": ["nope"]}))
        ws.send(json.dumps({"op": "ping", "req_id": f"p{number}"}))
    answered = [json.loads(ws.recv())["req_id"] for _ in range(6)]
    assert answered == ["s0", "p0", "s1", "p1", "s2", "p2"]


def test_a_protocol_ping_is_answered(ws):
    ws.ping("hello")
    opcode, payload = ws.recv_data(control_frame=True)
    assert (opcode, payload) == (ABNF.OPCODE_PONG, b"hello")


def test_each_reader_gets_a_snapshot_of_its_own_time(sandbox, ws):
    ask(ws, op="subscribe", args=[TICKERS])
    other = create_connection(sandbox.ws_public_url, timeout=20)
    ask(other, op="subscribe", args=[TICKERS])
    mine, others = json.loads(ws.recv()), json.loads(other.recv())
    other.close()
    assert mine["data"] == others["data"]
    assert mine["ts"] < others["ts"]


def test_a_ticker_that_does_not_change_is_not_sent(sandbox, ws):
    ask(ws, op="subscribe", args=[TICKERS])
    state = json.loads(ws.recv())["data"]
    assert not sandbox.send_ticker("BTCUSDT", lastPrice=state["lastPrice"])
    assert sandbox.send_ticker("BTCUSDT", lastPrice="1")
    assert json.loads(ws.recv())["data"] == {"symbol": "BTCUSDT", "lastPrice": "1"}


def test_raw_text_reaches_the_readers_of_a_topic_or_everybody(sandbox, ws):
    ask(ws, op="subscribe", args=[TRADES])
    assert sandbox.send_raw("x", TICKERS) == 0
    assert (sandbox.send_raw("y", TRADES), sandbox.send_raw("z")) == (1, 1)
    assert (ws.recv(), ws.recv()) == ("y", "z")
    raw = [line for line in sandbox.ledger() if line["event"] == "raw"]
    assert [(line["topic"], line["text"]) for line in raw] == [(TRADES, "y"), (None, "z")]
    with pytest.raises(ValueError, match=r"There is no topic 'nope'\."):
        sandbox.send_raw("x", "nope")


def test_a_drain_names_the_connections_that_do_not_read(sandbox, ws):
    with pytest.raises(DrainTimeout) as caught:
        sandbox.drain(timeout=0)
    assert caught.value.connections == [1]


def test_a_drain_does_not_wait_for_a_connection_that_ends(sandbox, ws):
    ws.send_close()
    assert sandbox.drain() <= 1


def test_a_reader_that_is_too_slow_is_cut_off(sandbox, ws, monkeypatch):
    monkeypatch.setattr(connections, "MAX_UNSENT_BYTES", 1 << 16)
    for _ in range(4):
        sandbox.send_raw("x" * (8 << 20))
    sandbox.wait_for_connections(0)
    assert [line["how"] for line in sandbox.ledger() if line["event"] == "closed"] == ["server"]


def test_a_client_that_stops_reading_cannot_hold_up_a_break(sandbox, ws, monkeypatch):
    monkeypatch.setattr(connections, "END_SECONDS", 0.0)
    sandbox.send_raw("x" * (16 << 20))
    assert sandbox.break_connections("fin") == 1


def test_a_message_beyond_the_bound_ends_the_connection(sandbox, ws):
    with contextlib.suppress(OSError):  # it may be cut off while it still sends
        ws.send("x" * ((1 << 20) + 1))
    sandbox.wait_for(lambda status: not status["connections"])


def test_handshakes_are_refused_for_as_long_as_asked(sandbox):
    sandbox.refuse(60)
    with pytest.raises(WebSocketBadStatusException, match="502"):
        create_connection(sandbox.ws_public_url)
    sandbox.refuse(0)
    create_connection(sandbox.ws_public_url).close()


def test_a_stream_wants_a_websocket(sandbox):
    public = sandbox.ws_public_url.replace("ws:", "http:")
    private = sandbox.ws_private_url.replace("ws:", "http:")
    assert requests.get(public, timeout=10).status_code == 400
    assert requests.get(private, timeout=10).status_code == 400
