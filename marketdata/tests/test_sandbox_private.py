"""The sandbox's private stream: read by the real pybit, and frame by frame from a bare socket."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator

import pytest
from pybit.unified_trading import WebSocket
from websocket import create_connection

from marketdata.sandbox import SandboxConfig, SandboxServer

TOPICS = ["execution", "order", "position", "wallet"]
CATEGORISED = ["execution.linear", "order.linear", "position.linear"]
REFUSED = {"success": False, "ret_msg": "Params Error", "op": "auth"}


class PrivateStream(WebSocket):  # type: ignore[misc]
    """pybit on another host: keeps what it reads, and notes when it is cut off."""

    def __init__(self, sandbox, account):
        keys = sandbox.accounts[account]
        self.url, self.frames, self.cut = sandbox.ws_private_url, [], threading.Event()
        super().__init__(
            "private",
            testnet=False,
            api_key=keys.api_key,
            api_secret=keys.api_secret,
            retries=2,
            restart_on_error=False,
        )

    def _connect(self, _):
        super()._connect(self.url)

    def _on_message(self, message):
        self.frames.append(json.loads(message))
        super()._on_message(message)

    def _on_error(self, error):
        socket = self.ws.sock
        try:
            super()._on_error(error)
        finally:
            if socket is not None:
                socket.shutdown()  # which the library forgets after a reset
            self.cut.set()

    def listen(self):
        for subscribe in (
            self.execution_stream, self.order_stream, self.position_stream, self.wallet_stream,
        ):  # fmt: skip
            subscribe(lambda message: None)
        return self

    def rows(self, topic):
        frames = (frame for frame in self.frames if frame.get("topic") == topic)
        return [row for frame in frames for row in frame["data"]]


@pytest.fixture
def connect(private_sandbox) -> Iterator:
    """Open pybit's private stream of an account, with all topics."""
    streams = []

    def open_stream(account):
        streams.append(PrivateStream(private_sandbox, account).listen())
        private_sandbox.wait_for_private(account)
        private_sandbox.wait_for(
            lambda status: all(len(one["topics"]) == 4 for one in status["connections"])
        )
        return streams[-1]

    yield open_stream
    for stream in streams:
        stream.exit()


class Socket:
    """A bare private connection."""

    def __init__(self, sandbox):
        self.sandbox = sandbox
        self.ws = create_connection(sandbox.ws_private_url, timeout=20)

    def ask(self, **frame):
        self.ws.send(json.dumps(frame))
        return self.read()

    def read(self):
        frame = json.loads(self.ws.recv())
        frame.pop("conn_id", None)
        return frame

    def auth(self, account="alice", *, secret=None, expires=None, **more):
        keys = self.sandbox.accounts[account]
        expires = int(time.time() * 1000) + 5000 if expires is None else expires
        signed = f"GET/realtime{expires}".encode()
        key = (secret or keys.api_secret).encode()
        signature = hmac.new(key, signed, hashlib.sha256).hexdigest()
        return self.ask(op="auth", args=[keys.api_key, expires, signature], **more)

    def close(self):
        self.ws.close()
        self.ws.shutdown()


@pytest.fixture
def socket(private_sandbox) -> Iterator[Socket]:
    one = Socket(private_sandbox)
    yield one
    one.close()


def events(sandbox, kind, account="alice"):
    lines = (line for line in sandbox.ledger() if line.get("account") == account)
    return [line for line in lines if line["event"] == kind]


# --- pybit ---------------------------------------------------------------------------------------


def test_pybit_reads_every_row_that_was_made(private_sandbox, connect):
    stream = connect("alice")
    private_sandbox.script("alice", 40)
    private_sandbox.drain()
    for topic in TOPICS:
        read = [json.dumps(row, sort_keys=True) for row in stream.rows(topic)]
        made = [
            json.dumps(row, sort_keys=True) for row in private_sandbox.private_rows("alice", topic)
        ]
        assert set(read) == set(made)
        assert made


def test_nobody_reads_what_is_not_his(private_sandbox, connect):
    alice, bob = connect("alice"), connect("bob")
    private_sandbox.script("alice", 3)
    private_sandbox.drain()
    assert alice.rows("order")
    assert [frame for frame in bob.frames if "topic" in frame] == []


def test_one_account_may_have_several_connections(private_sandbox, connect):
    first, second = connect("alice"), connect("alice")
    private_sandbox.script("alice", 2)
    private_sandbox.drain()
    assert first.rows("order") == second.rows("order") != []


def test_there_is_no_snapshot_on_subscribing(private_sandbox, connect):
    private_sandbox.script("alice", 2)
    stream = connect("alice")
    private_sandbox.drain()
    assert [frame for frame in stream.frames if "topic" in frame] == []


def test_a_break_of_one_account_leaves_the_others_alone(private_sandbox, connect):
    alice, bob = connect("alice"), connect("bob")
    assert private_sandbox.break_connections("reset", account="alice") == 1
    assert alice.cut.wait(10)
    private_sandbox.script("bob", 2)
    private_sandbox.drain()
    assert bob.rows("order")
    assert [line["how"] for line in events(private_sandbox, "closed")] == ["reset"]


def test_a_refused_authentication_ends_pybits_stream(private_sandbox):
    private_sandbox.set_account("alice", refusal="params")
    stream = PrivateStream(private_sandbox, "alice")
    assert stream.cut.wait(10)
    stream.exit()
    assert stream.frames[0]["ret_msg"] == "Params Error"


# --- authentication ------------------------------------------------------------------------------


def test_authentication_is_answered_as_documented(socket):
    assert socket.auth() == {"success": True, "ret_msg": "", "op": "auth"}
    assert socket.auth(req_id="7")["req_id"] == "7"


def test_a_wrong_signature_is_refused(socket):
    assert socket.auth(secret="wrong") == REFUSED


def test_an_authentication_that_has_expired_is_refused(socket):
    assert socket.auth(expires=int(time.time() * 1000) - 1) == REFUSED


@pytest.mark.parametrize(
    "args",
    [None, [], ["key"], ["nobody", 1 << 50, "x"], [1, 2, 3], ["k", "x", "y"], ["k", True, ""]],
)
def test_arguments_that_are_no_authentication_are_refused(socket, args):
    assert socket.ask(op="auth", args=args) == REFUSED


@pytest.mark.parametrize("refusal", ["params", "10003", "10004", "10010", "33004"])
def test_a_refused_key_is_refused_and_accepted_again_later(private_sandbox, socket, refusal):
    private_sandbox.set_account("alice", refusal=refusal)
    assert socket.auth() == REFUSED
    assert socket.auth("bob")["success"]
    private_sandbox.set_account("alice", refusal="")
    other = Socket(private_sandbox)
    assert other.auth()["success"]
    other.close()


def test_a_connection_belongs_to_one_account(socket):
    assert socket.auth("alice")["success"]
    assert socket.auth("bob") == REFUSED


@pytest.mark.parametrize("op", ["subscribe", "unsubscribe", "order.create"])
def test_nothing_is_done_for_somebody_unknown(private_sandbox, socket, op):
    answer = socket.ask(op=op, req_id="r", args=["order"])
    assert (answer["success"], answer["op"], answer["req_id"]) == (False, op, "r")
    assert private_sandbox.status()["connections"][0]["topics"] == []


def test_a_ping_is_answered_in_the_private_way_to_anybody(socket):
    pong = socket.ask(op="ping", req_id="p")
    (ms,) = pong.pop("args")
    assert pong == {"req_id": "p", "op": "pong"}
    assert abs(int(ms) - time.time() * 1000) < 60_000


def test_a_subscription_right_behind_the_authentication_is_answered_after_it(socket):
    keys, expires = socket.sandbox.accounts["alice"], int(time.time() * 1000) + 5000
    signed = f"GET/realtime{expires}".encode()
    signature = hmac.new(keys.api_secret.encode(), signed, hashlib.sha256).hexdigest()
    socket.ws.send(json.dumps({"op": "auth", "args": [keys.api_key, expires, signature]}))
    socket.ws.send(json.dumps({"op": "subscribe", "req_id": "s", "args": TOPICS}))
    assert [socket.read()["op"], socket.read()["op"]] == ["auth", "subscribe"]
    assert list(socket.sandbox.status()["connections"][0]["topics"]) == TOPICS


# --- topics --------------------------------------------------------------------------------------


def test_categorised_topics_carry_their_own_name(private_sandbox, socket):
    socket.auth()
    assert socket.ask(op="subscribe", args=CATEGORISED)["success"]
    private_sandbox.send_private("alice", "wallet", [{}])
    private_sandbox.send_private("alice", "order", [{"orderId": "1"}], 5)
    frame = socket.read()
    assert (frame["topic"], frame["creationTime"]) == ("order.linear", 5)
    assert frame["data"] == [{"orderId": "1"}]


def test_all_in_one_and_categorised_topics_exclude_each_other_in_a_request(socket):
    socket.auth()
    assert not socket.ask(op="subscribe", args=["order", "execution.linear"])["success"]
    assert socket.ask(op="subscribe", args=["order"])["success"]
    assert socket.ask(op="subscribe", args=["execution.linear"])["success"]


@pytest.mark.parametrize("topic", ["publicTrade.BTCUSDT", "wallet.linear", "Order", "nope"])
def test_other_topics_are_not_to_be_had(socket, topic):
    socket.auth()
    answer = socket.ask(op="subscribe", args=[topic])
    assert answer["ret_msg"] == f"error:handler not found,topic:{topic}"


def test_unsubscribing_ends_it(private_sandbox, socket):
    socket.auth()
    socket.ask(op="subscribe", args=["order", "wallet"])
    assert socket.ask(op="unsubscribe", args=["order"])["success"]
    private_sandbox.send_private("alice", "order", [{}])
    private_sandbox.send_private("alice", "wallet", [{}])
    assert socket.read()["topic"] == "wallet"
    assert socket.ask(op="nonsense")["ret_msg"] == "error:invalid op"


# --- the ledger ----------------------------------------------------------------------------------


def test_rows_are_made_before_they_are_sent_and_also_for_nobody(private_sandbox, socket):
    private_sandbox.send_private("alice", "order", [{"n": 1}])
    socket.auth()
    socket.ask(op="subscribe", args=["order"])
    private_sandbox.send_private("alice", "order", [{"n": 2}], 9)
    private_sandbox.send_private("alice", "order", [{"n": 2}], 9, resent=True)
    lines = [
        {name: line[name] for name in line.keys() - {"ms", "connection"}}
        for line in private_sandbox.ledger()
        if line["event"] in ("made", "sent") and line["rows"] != [{"n": 1}]
    ]
    made = {
        "event": "made",
        "account": "alice",
        "topic": "order",
        "creationTime": 9,
        "rows": [{"n": 2}],
    }
    sent = made | {"event": "sent"}
    assert lines == [made, sent, sent | {"resent": True}]
    assert private_sandbox.private_rows("alice", "order") == [{"n": 1}, {"n": 2}]
    assert private_sandbox.private_rows("bob", "order") == []


def test_subscriptions_and_ends_name_the_account(private_sandbox):
    one = Socket(private_sandbox)
    one.auth()
    one.ask(op="subscribe", args=["order"])
    one.ask(op="unsubscribe", args=["order"])
    one.close()
    private_sandbox.wait_for_connections(0)
    kinds = [line["event"] for line in private_sandbox.ledger() if line["account"] == "alice"]
    assert kinds == ["subscribed", "unsubscribed", "closed"]


def test_trades_that_nobody_heard_are_recorded_as_made(private_sandbox):
    rows = private_sandbox.make_trades("BTCUSDT", 3)
    private_sandbox.send_trades("BTCUSDT", rows)
    (line,) = private_sandbox.ledger()
    assert (line["event"], line["topic"], line["rows"]) == ("made", "publicTrade.BTCUSDT", rows)


def test_what_was_sent_was_made(private_sandbox, connect):
    connect("alice")
    private_sandbox.script("alice", 100)
    made = [json.dumps(r) for line in events(private_sandbox, "made") for r in line["rows"]]
    sent = [json.dumps(r) for line in events(private_sandbox, "sent") for r in line["rows"]]
    assert set(sent) == set(made)
    assert len(sent) > len(made)  # some were sent twice


# --- a busy account ------------------------------------------------------------------------------


def test_a_busy_account_goes_until_it_is_paused(private_sandbox, connect):
    stream = connect("alice")
    private_sandbox.set_account("alice", rate=2000)
    private_sandbox.wait_for(lambda status: status["sent"].get("execution", 0) > 100)
    private_sandbox.pause()
    private_sandbox.drain()
    count = len(private_sandbox.private_rows("alice", "wallet"))
    assert len(stream.rows("wallet")) == count
    private_sandbox.set_account("alice", rate=0)
    private_sandbox.resume()
    private_sandbox.script("bob", 1)
    assert len(private_sandbox.private_rows("alice", "wallet")) == count


def test_rows_of_a_topic_that_does_not_exist_are_refused(private_sandbox):
    with pytest.raises(ValueError, match="There is no private topic 'greeks'"):
        private_sandbox.send_private("alice", "greeks", [])
    with pytest.raises(ValueError, match="There is no account 'mallory'"):
        private_sandbox.script("mallory")
    with pytest.raises(ValueError, match="channel is one of public, private"):
        private_sandbox.break_connections(channel="spot")


@pytest.mark.parametrize("price", ["", "NaN", "-1", "x"])
def test_an_account_lives_on_without_a_price(private_sandbox, price):
    private_sandbox.send_ticker("BTCUSDT", lastPrice=price)
    private_sandbox.script("alice", 20)
    prices = [float(row["execPrice"]) for row in private_sandbox.private_rows("alice", "execution")]
    assert min(prices) > 1000


def test_a_sandbox_without_accounts_refuses_everybody():
    with SandboxServer(SandboxConfig(rate=0)) as sandbox:
        one = Socket(sandbox)
        assert one.ask(op="auth", args=["k", int(time.time() * 1000) + 5000, "s"]) == REFUSED
        one.close()
