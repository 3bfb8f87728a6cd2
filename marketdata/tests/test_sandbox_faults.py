"""Each fault as a bare client sees it, and that the sandbox works again after it.

One case a fault: it switches the fault on, and asserts what the client saw.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
import requests
from websocket import (
    WebSocketBadStatusException,
    WebSocketConnectionClosedException,
)

from marketdata.sandbox.faults import FAULTS
from marketdata.sandbox.faults.frames import BAD_NUMBERS
from marketdata.tests.sandbox_clients import PRIVATE, TICKERS, TRADES, Clients, ask, is_silent, read
from marketdata.tests.trading import Client

CASES: dict[str, Callable[[Clients], None]] = {}
EXECUTIONS, RECENT = "/v5/execution/list", "/v5/market/recent-trade"


def case(function: Callable[[Clients], None]) -> Callable[[Clients], None]:
    CASES[function.__name__.removesuffix("_")] = function
    return function


@pytest.fixture
def clients(private_sandbox) -> Iterator[Clients]:
    one = Clients(private_sandbox)
    yield one
    one.close()


def trade(clients, rows=1):
    made = clients.sandbox.make_trades("BTCUSDT", rows)
    clients.sandbox.send_trades("BTCUSDT", made)
    return made


def recent(clients, **query):
    return clients.get(RECENT, category="linear", symbol="BTCUSDT", **query)


def listed(clients, **query):
    return clients.signed(EXECUTIONS, **query).json()["result"]


def events(clients, kind):
    return [line for line in clients.sandbox.ledger() if line["event"] == kind]


def is_cut(ws) -> bool:
    """Read to the end, which comes by force."""
    try:
        while ws.recv():
            pass
    except (ConnectionResetError, WebSocketConnectionClosedException):
        return True
    return False


# --- acts ------------------------------------------------------------------------------------


@case
def close(clients):
    ws = clients.public(TRADES)
    clients.sandbox.fault("close", channel="public")
    opcode, data = ws.recv_data()
    assert (opcode, int.from_bytes(data[:2], "big")) == (8, 1000)


@case
def reset(clients):
    mine, other = clients.private("alice"), clients.private("bob")
    clients.sandbox.fault("reset", account="alice")
    with pytest.raises(ConnectionResetError):
        mine.recv()
    clients.sandbox.script("bob")
    assert read(other, 1)


@case
def fin(clients):
    ws = clients.public(TRADES)
    clients.sandbox.fault("fin")
    with pytest.raises(WebSocketConnectionClosedException):
        ws.recv()


@case
def freeze(clients):
    ws, other = clients.public(TRADES), clients.private()
    clients.sandbox.fault("freeze", seconds=3600, channel="public")
    rows = trade(clients)
    ws.send(json.dumps({"op": "ping"}))
    ws.ping("alive?")
    clients.sandbox.script("alice")
    assert is_silent(ws)
    assert read(other, 1)
    assert not [line for line in events(clients, "sent") if line["topic"] == TRADES]
    clients.sandbox.end_faults("freeze")
    first, pong = read(ws, 2)
    assert (first["data"], pong["ret_msg"]) == (rows, "pong")
    assert clients.sandbox.rows_sent("BTCUSDT") == rows


@case
def refuse(clients):
    ws = clients.public(TRADES)
    clients.sandbox.fault("refuse", seconds=3600)
    with pytest.raises(ConnectionRefusedError):
        clients.connect(clients.sandbox.ws_public_url)
    with pytest.raises(requests.ConnectionError):
        clients.get("/v5/market/time")
    assert trade(clients) == read(ws, 1)[0]["data"]
    clients.sandbox.fault("refuse", seconds=3600)
    clients.sandbox.end_faults(number=1)
    with pytest.raises(ConnectionRefusedError):
        clients.connect(clients.sandbox.ws_public_url)


@case
def private_drop(clients):
    ws, public = clients.private(), clients.public(TRADES)
    clients.sandbox.fault("private_drop", seconds=3600)
    assert is_cut(ws)
    again = clients.connect(clients.sandbox.ws_private_url)
    with pytest.raises((ConnectionResetError, WebSocketConnectionClosedException)):
        clients.authenticate(again)
    assert clients.sandbox.faults()["fired"] == {"private_drop": 1}
    clients.sandbox.script("alice", 5)
    made = {row["execId"] for row in clients.sandbox.private_rows("alice", "execution")}
    assert {row["execId"] for row in listed(clients, limit=100)["list"]} == made != set()
    assert not [line for line in events(clients, "sent") if line["topic"] == "execution"]
    assert trade(clients) == read(public, 1)[0]["data"]


@case
def public_drop(clients):
    ws = clients.public(TRADES)
    before = trade(clients)
    clients.sandbox.fault("public_drop", trades=1200)
    assert is_cut(ws)
    (missed,) = [line for line in events(clients, "made") if line["topic"] == TRADES][:1]
    rows = recent(clients, limit=1000).json()["result"]["list"]
    assert len(rows) == 1000
    assert before[0]["i"] not in {row["execId"] for row in rows}
    assert len(missed["rows"]) == 1024


@case
def burst(clients):
    ws = clients.public(TRADES)
    clients.sandbox.fault("burst", symbol="BTCUSDT", trades=1025)
    first, second = read(ws, 2)
    assert (len(first["data"]), len(second["data"])) == (1024, 1)
    assert len({row["seq"] for row in first["data"] + second["data"]}) == 1


@case
def replay(clients):
    ws = clients.private()
    clients.sandbox.script("alice", 3)
    clients.sandbox.send_raw("end", account="alice")
    frames = [json.loads(text) for text in iter(ws.recv, "end")]
    executions = [frame for frame in frames if frame["topic"] == "execution"]
    clients.sandbox.fault("replay", topic="execution", frames=2)
    again = read(ws, len(executions[-2:]))
    assert again == executions[-2:] != []
    resent = [line for line in events(clients, "sent") if line.get("resent")]
    assert [line["rows"] for line in resent[-len(again) :]] == [one["data"] for one in again]


# --- sessions --------------------------------------------------------------------------------


@case
def handshake_502(clients):
    clients.sandbox.fault("handshake_502", channel="public", count=1)
    with pytest.raises(WebSocketBadStatusException) as caught:
        clients.public()
    assert caught.value.status_code == 502
    clients.public(TRADES)


@case
def auth_reject(clients):
    clients.sandbox.fault("auth_reject", account="alice", count=1)
    ws = clients.connect(clients.sandbox.ws_private_url)
    answer = clients.authenticate(ws)
    assert (answer["success"], answer["ret_msg"]) == (False, "Params Error")
    assert clients.authenticate(ws)["success"]


@case
def subscribe_reject(clients):
    clients.sandbox.fault("subscribe_reject", topic="publicTrade", symbol="BTCUSDT")
    ws = clients.public("publicTrade.ETHUSDT")
    answer = ask(ws, op="subscribe", args=[TRADES])
    assert (answer["success"], TRADES in answer["ret_msg"]) == (False, True)


@case
def delta_first(clients):
    clients.sandbox.fault("delta_first")
    ws = clients.public(TICKERS)
    delta, snapshot = read(ws, 2)
    assert (delta["type"], snapshot["type"]) == ("delta", "snapshot")
    assert set(delta["data"]) == {"symbol", "lastPrice"}
    assert delta["topic"] == snapshot["topic"]


# --- streams ---------------------------------------------------------------------------------


@case
def silence(clients):
    ws = clients.public(TRADES, "publicTrade.ETHUSDT")
    clients.sandbox.fault("silence", topic="publicTrade", symbol="BTCUSDT")
    unheard = trade(clients)
    heard = clients.sandbox.make_trades("ETHUSDT", 1)
    clients.sandbox.send_trades("ETHUSDT", heard)
    assert read(ws, 1)[0]["data"] == heard
    made = [line["rows"] for line in events(clients, "made")]
    assert (made, clients.sandbox.rows_sent("BTCUSDT")) == ([unheard], [])


@case
def out_of_order(clients):
    ws = clients.private()
    clients.sandbox.fault("out_of_order", topic="execution")
    for topic in ("execution", "execution", "order"):
        clients.sandbox.send_private("alice", topic, [{"n": topic}])
    clients.sandbox.send_private("alice", "execution", [{"n": "last"}])
    topics = [frame["data"][0]["n"] for frame in read(ws, 4)]
    assert topics == ["execution", "order", "execution", "last"]


@case
def duplicate_filled(clients):
    ws = clients.private()
    clients.sandbox.fault("duplicate_filled", account="alice")
    clients.sandbox.send_private("alice", "order", [{"orderId": "1", "orderStatus": "New"}])
    clients.sandbox.send_private("alice", "order", [{"orderId": "1", "orderStatus": "Filled"}])
    new, filled, again = read(ws, 3)
    assert new["data"][0]["orderStatus"] == "New"
    assert filled == again
    assert len(clients.sandbox.private_rows("alice", "order")) == 2


@case
def unknown_exec_type(clients):
    ws = clients.private()
    clients.sandbox.script("alice", 3)
    clients.sandbox.fault("unknown_exec_type", count=1)
    (row,) = listed(clients, limit=1)["list"]
    clients.sandbox.send_private("alice", "execution", [row | {"execId": "new"}])
    clients.sandbox.send_raw("end", account="alice")
    *_, real, odd = [json.loads(text) for text in iter(ws.recv, "end")]
    assert real["data"][0]["execId"] == "new"
    assert odd["data"][0]["execType"] not in ("Trade", "Funding")
    assert odd["data"][0]["execId"] in {row["execId"] for row in listed(clients)["list"]}


@case
def unknown_field(clients):
    ws, mine = clients.public(TRADES, TICKERS), clients.private()
    clients.sandbox.fault("unknown_field")
    clients.sandbox.send_ticker("BTCUSDT", lastPrice="5")
    clients.sandbox.script("alice")
    trade(clients)
    _, ticker, trades = read(ws, 3)
    rows = [ticker["data"], trades["data"][0], read(mine, 1)[0]["data"][0]]
    assert all(row["sandboxField"] == "new" for row in rows)


@case
def missing_rpi(clients):
    ws = clients.public(TRADES)
    clients.sandbox.fault("missing_rpi")
    trade(clients, 3)
    rows = read(ws, 1)[0]["data"]
    assert all("RPI" not in row and "BT" in row for row in rows)
    assert clients.sandbox.rows_sent("BTCUSDT") == rows


@case
def garbage(clients):
    ws = clients.public(TRADES)
    clients.sandbox.fault("garbage", topic="publicTrade", count=1)
    rows = trade(clients)
    text = ws.recv()
    assert [line["text"] for line in events(clients, "raw")] == [text]
    assert TRADES not in text or "]" not in text
    assert read(ws, 1)[0]["data"] == rows


@case
def bad_number(clients):
    ws = clients.public(TRADES)
    clients.sandbox.fault("bad_number", topic="publicTrade", count=1)
    (row,) = trade(clients)
    bad, good = read(ws, 2)
    ((name, value),) = [
        (name, bad["data"][0][name]) for name in ("p", "v") if bad["data"][0][name] != row[name]
    ]
    assert value in BAD_NUMBERS
    assert name in row
    assert bad["data"][0]["i"] != row["i"]
    assert good["data"] == [row]


def test_a_ticker_begins_anew_after_its_silence(clients):
    ws = clients.public(TICKERS)
    clients.sandbox.fault("silence", topic="tickers", count=2)
    for price in "123":
        clients.sandbox.send_ticker("BTCUSDT", lastPrice=price, markPrice=price)
    clients.sandbox.send_ticker("BTCUSDT", lastPrice="4")
    _, again, delta = read(ws, 3)
    assert (again["type"], again["data"]["markPrice"]) == ("snapshot", "3")
    assert (delta["type"], delta["data"]["lastPrice"]) == ("delta", "4")
    made = [line["state"]["lastPrice"] for line in events(clients, "made")]
    assert made == ["1", "2"]


# --- rest ------------------------------------------------------------------------------------


@case
def rate_limit(clients):
    for when in ("future", "absent", "past"):
        clients.sandbox.fault("rate_limit", reset=when, path="execution", count=1)
        answer = clients.signed(EXECUTIONS)
        reset = answer.headers.get("X-Bapi-Limit-Reset-Timestamp")
        assert (answer.status_code, answer.json()["retCode"]) == (200, 10006)
        ahead = None if reset is None else int(reset) - answer.json()["time"]
        assert {"future": ahead == 500, "absent": reset is None, "past": ahead == -5000}[when]
        assert recent(clients).json()["retCode"] == 0


def refused_with(name: str, answered: int, **values) -> None:
    def check(clients):
        clients.sandbox.fault(name, account="alice", count=1, **values)
        assert clients.signed(EXECUTIONS, "bob").json()["retCode"] == 0
        answer = clients.signed(EXECUTIONS)
        assert (answer.status_code, answer.json()["retCode"]) == (200, answered)
        assert clients.signed(EXECUTIONS).json()["retCode"] == 0

    CASES[name] = check


refused_with("bad_timestamp", 10002)
refused_with("error_code", 10019, code=10019)


def status_of(name: str, status: int, words: str) -> None:
    def check(clients):
        clients.sandbox.fault(name, path="recent-trade")
        assert clients.get("/v5/market/time").json()["retCode"] == 0
        for _ in range(2):
            answer = recent(clients)
            assert answer.status_code == status
            assert words in answer.text
            with pytest.raises(requests.JSONDecodeError):
                answer.json()

    CASES[name] = check


status_of("http_403", 403, "access too frequent")
status_of("http_429", 429, "Too Many Requests")
status_of("http_502", 502, "Bad Gateway")
status_of("html_body", 200, "<html>")


@case
def bad_json(clients):
    clients.sandbox.fault("bad_json", count=1)
    answer = recent(clients)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    with pytest.raises(requests.JSONDecodeError):
        answer.json()


@case
def half_body(clients):
    clients.sandbox.fault("half_body", count=1)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="IncompleteRead"):
        recent(clients)


@case
def late(clients):
    clients.sandbox.fault("late", delay=600, count=1)
    with pytest.raises(requests.ReadTimeout):
        requests.get(f"{clients.sandbox.rest_url}/v5/market/time", timeout=0.3)
    clients.sandbox.fault("late", delay=0.01, count=1)
    assert clients.get("/v5/market/time").json()["retCode"] == 0
    assert clients.sandbox.faults()["fired"]["late"] == 2


@case
def repeated_cursor(clients):
    clients.sandbox.script("alice", 5)
    clients.sandbox.fault("repeated_cursor", path=EXECUTIONS, count=1)
    assert "nextPageCursor" not in recent(clients).json()["result"]
    pages = [listed(clients)]
    for _ in range(3):
        pages.append(listed(clients, cursor=pages[-1]["nextPageCursor"]))
    assert all(page == pages[0] for page in pages)
    assert all(pages[0].values())
    assert listed(clients)["nextPageCursor"] == ""


@case
def empty_page(clients):
    clients.sandbox.script("alice", 5)
    clients.sandbox.fault("empty_page", count=1)
    first = listed(clients)
    assert first["list"] == []
    assert listed(clients, cursor=first["nextPageCursor"]) == listed(clients)
    assert len(listed(clients)["list"]) == len(clients.sandbox.private_rows("alice", "execution"))


# --- trading ---------------------------------------------------------------------------------

ORDER = {
    "symbol": "BTCUSDT", "side": "Buy", "orderType": "Limit", "qty": "0.01", "price": "30000",
    "positionIdx": 1,
}  # fmt: skip


def links(trader) -> set[str]:
    rows = trader.listed("/v5/order/realtime", symbol="BTCUSDT")
    return {row["orderLinkId"] for row in rows}


@case
def lost_answer(clients):
    trader = Client(clients.sandbox)
    clients.sandbox.fault("lost_answer", path="/order/create", delay=0.01, count=1)
    assert trader.post("/v5/order/create", **ORDER | {"qty": "no"})["retCode"] == 10001
    with pytest.raises(requests.ConnectionError):
        trader.post("/v5/order/create", **ORDER, orderLinkId="taken")
    assert links(trader) == {"taken"}
    again = trader.post("/v5/order/create", **ORDER, orderLinkId="taken")
    assert again["retCode"] == 110072
    assert trader.post("/v5/order/cancel-all", symbol="BTCUSDT")["retCode"] == 0
    trader.close()


@case
def batch_refusal(clients):
    trader = Client(clients.sandbox)
    orders = [ORDER | {"orderLinkId": name} for name in "abcd"]
    clients.sandbox.fault("batch_refusal", account="bob")
    clients.sandbox.fault("batch_refusal", count=1)
    clients.sandbox.fault("batch_refusal", count=1, code=10016)
    answer = trader.post("/v5/order/create-batch", request=orders)
    told = answer["retExtInfo"]["list"]
    assert (answer["retCode"], [row["code"] for row in told]) == (0, [110007, 10016, 0, 0])
    assert told[0]["msg"] == "ab not enough for new order"
    assert [bool(row["orderId"]) for row in answer["result"]["list"]] == [False, False, True, True]
    assert links(trader) == {"c", "d"}
    assert trader.post("/v5/order/create", **ORDER)["retCode"] == 0
    assert trader.post("/v5/order/cancel-all", symbol="BTCUSDT")["retCode"] == 0
    trader.close()


# --- all of them -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAULTS)
def test_a_client_sees_the_fault_and_the_sandbox_works_again(clients, name):
    CASES[name](clients)
    clients.sandbox.end_faults()
    assert clients.sandbox.faults()["active"] == []
    fired = clients.sandbox.faults()["fired"][name]
    logged = [line for line in events(clients, "fault") if line["name"] == name]
    assert 0 < fired <= len(logged)
    ws, mine = clients.public(TRADES, TICKERS), clients.private()
    assert read(ws, 1)[0]["type"] == "snapshot"
    assert trade(clients) == read(ws, 1)[0]["data"]
    clients.sandbox.script("alice")
    assert read(mine, 1)[0]["topic"] in PRIVATE
    assert ask(ws, op="ping")["ret_msg"] == "pong"
    assert recent(clients).json()["retCode"] == clients.signed(EXECUTIONS).json()["retCode"] == 0


def test_every_fault_has_a_case():
    assert CASES.keys() == FAULTS.keys()
