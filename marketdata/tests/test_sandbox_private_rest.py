"""The lists of an account, asked for by the real pybit and by hand."""

from __future__ import annotations

import hashlib
import hmac
import time
from decimal import Decimal
from urllib.parse import unquote

import pytest
import requests
from pybit.exceptions import FailedRequestError, InvalidRequestError
from pybit.unified_trading import HTTP

from marketdata.sandbox.limits import Rate
from marketdata.sandbox.private import history
from marketdata.sandbox.private.history import Executions, Orders
from marketdata.sandbox.private.signing import is_in_window

DAY_MS = 24 * 3600 * 1000
WEEK_MS = 7 * DAY_MS


def client(sandbox, account="alice", **options):
    keys = sandbox.accounts[account]
    secret = options.pop("api_secret", keys.api_secret)
    http = HTTP(api_key=keys.api_key, api_secret=secret, max_retries=1, retry_delay=0, **options)
    http.endpoint = sandbox.rest_url
    return http


@pytest.fixture
def http(private_sandbox):
    return client(private_sandbox)


def listed(answer):
    return answer["result"]["list"]


def refusal(call, **query):
    with pytest.raises(InvalidRequestError) as caught:
        call(**query)
    return caught.value.status_code


def pages(call, **query):
    """All pages, the cursor handed back as it came."""
    cursor, rows = "", []
    while True:
        answer = call(category="linear", cursor=cursor, **query)
        rows.append(listed(answer))
        cursor = answer["result"]["nextPageCursor"]
        if not cursor:
            return rows


def execution(number, ms, **more):
    return {
        "category": "linear", "symbol": "BTCUSDT", "execId": f"e{number}", "orderId": f"o{number}",
        "orderLinkId": "", "execType": "Trade", "execTime": str(ms), "execPnl": "1",
    } | more  # fmt: skip


def now_ms():
    return int(time.time() * 1000)


def last_states(sandbox):
    """Each order in its last state, whenever that was sent."""
    rows = sandbox.private_rows("alice", "order")
    return {row["orderId"]: row for row in sorted(rows, key=lambda row: int(row["updatedTime"]))}


# --- lists ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [7, 100])
def test_paging_shows_each_execution_once_newest_first(private_sandbox, http, limit):
    private_sandbox.script("alice", 60)
    made = private_sandbox.private_rows("alice", "execution")
    found = pages(http.get_executions, limit=limit)
    rows = [row for page in found for row in page]
    assert sorted(row["execId"] for row in rows) == sorted(row["execId"] for row in made)
    times = [int(row["execTime"]) for row in rows]
    assert times == sorted(times, reverse=True)
    assert {len(page) for page in found[:-1]} <= {limit}


def test_a_listed_execution_is_the_streamed_one_without_its_profit(private_sandbox, http):
    private_sandbox.script("alice", 20)
    streamed = {row["execId"]: row for row in private_sandbox.private_rows("alice", "execution")}
    answer = http.get_executions(category="linear", limit=100)
    assert answer["result"]["category"] == "linear"
    for row in listed(answer):
        assert not {"execPnl", "closedPnl", "positionIdx", "category"} & row.keys()
        assert row.items() <= streamed[row["execId"]].items()


def test_new_rows_do_not_disturb_the_paging(private_sandbox, http):
    private_sandbox.script("alice", 20)
    before = len(private_sandbox.private_rows("alice", "execution"))
    first = http.get_executions(category="linear", limit=5)
    private_sandbox.script("alice", 20)
    cursor = first["result"]["nextPageCursor"]
    rest = []
    while cursor:
        answer = http.get_executions(category="linear", limit=100, cursor=cursor)
        rest += listed(answer)
        cursor = answer["result"]["nextPageCursor"]
    assert len({row["execId"] for row in listed(first) + rest}) == before


def test_a_cursor_comes_encoded_and_is_understood_both_ways(private_sandbox, http):
    private_sandbox.script("alice", 10)
    cursor = http.get_executions(category="linear", limit=2)["result"]["nextPageCursor"]
    assert "%3A" in cursor
    assert "%2C" in cursor
    one = http.get_executions(category="linear", limit=2, cursor=cursor)
    two = http.get_executions(category="linear", limit=2, cursor=unquote(cursor))
    assert listed(one) == listed(two)
    assert refusal(http.get_executions, category="linear", cursor="nonsense") == 10001


def test_the_cursor_is_empty_at_the_end(private_sandbox, http):
    assert listed(http.get_executions(category="linear")) == []
    private_sandbox.send_private("alice", "execution", [execution(n, now_ms()) for n in range(4)])
    answer = http.get_executions(category="linear", limit=4)
    assert (len(listed(answer)), answer["result"]["nextPageCursor"]) == (4, "")


def test_lists_can_be_narrowed(private_sandbox, http):
    rows = [
        execution(1, now_ms()),
        execution(2, now_ms(), symbol="ETHUSDT"),
        execution(3, now_ms(), execType="Funding"),
    ]
    private_sandbox.send_private("alice", "execution", rows)
    for query, expected in (
        ({"symbol": "ETHUSDT"}, ["e2"]),
        ({"execType": "Funding"}, ["e3"]),
        ({"orderId": "o1", "symbol": "ETHUSDT", "startTime": 0, "endTime": 1}, ["e1"]),
        ({"symbol": "SOLUSDT"}, []),
    ):
        answer = http.get_executions(category="linear", **query)
        assert [row["execId"] for row in listed(answer)] == expected


def test_windows_of_seven_days(private_sandbox, http):
    now = now_ms()
    days = {n: execution(n, now - n * DAY_MS) for n in (0, 3, 6, 8, 13, 20)}
    private_sandbox.send_private("alice", "execution", list(days.values()))

    def found(**query):
        answer = http.get_executions(category="linear", **query)
        return [int(row["execId"][1:]) for row in listed(answer)]

    assert found() == [0, 3, 6]
    assert found(startTime=now - 13 * DAY_MS) == [6, 8, 13]
    assert found(endTime=now - 7 * DAY_MS) == [8, 13]
    assert found(startTime=now - 20 * DAY_MS, endTime=now - 13 * DAY_MS) == [13, 20]
    too_long = {"startTime": now - WEEK_MS - 1, "endTime": now}
    backwards = {"startTime": now, "endTime": now - 1}
    for query in (too_long, backwards):
        assert refusal(http.get_executions, category="linear", **query) == 10001
        assert refusal(http.get_order_history, category="linear", **query) == 10001


def test_the_history_has_each_order_that_is_over_in_its_last_state(private_sandbox, http):
    private_sandbox.script("alice", 40)
    last = last_states(private_sandbox)
    rows = [row for page in pages(http.get_order_history, limit=50) for row in page]
    assert {row["orderId"]: row["updatedTime"] for row in rows} == {
        order_id: row["updatedTime"] for order_id, row in last.items()
    }
    assert {"avgPrice": "", "stopOrderType": ""}.items() & rows[0].items() == set()
    assert not {"closedPnl", "category"} & rows[0].keys()
    assert all("positionIdx" in row for row in rows)


def test_open_orders_are_those_that_are_open(private_sandbox, http):
    private_sandbox.events("alice", 60)
    last = last_states(private_sandbox).items()
    is_open = {one for one, row in last if row["orderStatus"] in ("New", "PartiallyFilled")}
    rows = listed(http.get_open_orders(category="linear", settleCoin="USDT"))
    assert {row["orderId"] for row in rows} == is_open
    for symbol in ("BTCUSDT", "ETHUSDT"):
        some = listed(http.get_open_orders(category="linear", symbol=symbol, limit=50))
        assert some == [row for row in rows if row["symbol"] == symbol]
    closed = listed(
        http.get_open_orders(category="linear", settleCoin="USDT", openOnly=1, limit=50)
    )
    assert closed
    assert not is_open & {row["orderId"] for row in closed}
    one = closed[0]["orderId"]
    assert listed(http.get_open_orders(category="linear", orderId=one))[0]["orderId"] == one
    assert not is_open & {
        row["orderId"] for row in listed(http.get_order_history(category="linear"))
    }
    assert refusal(http.get_open_orders, category="linear") == 10001


def test_positions_of_a_symbol_show_flat_legs_and_of_a_coin_only_what_is_held(
    private_sandbox, http
):
    flat = listed(http.get_positions(category="linear", symbol="BTCUSDT"))
    assert [(row["positionIdx"], row["side"], row["size"]) for row in flat] == [
        (1, "", "0"),
        (2, "", "0"),
    ]
    assert listed(http.get_positions(category="linear", settleCoin="USDT")) == []
    private_sandbox.script("alice", 30)
    held = listed(http.get_positions(category="linear", settleCoin="USDT"))
    assert held
    assert all(Decimal(row["size"]) > 0 for row in held)
    streamed = {
        (row["symbol"], row["positionIdx"]): row
        for row in private_sandbox.private_rows("alice", "position")
    }
    for row in held:
        same = streamed[row["symbol"], row["positionIdx"]]
        assert (row["avgPrice"], row["size"]) == (same["entryPrice"], same["size"])
        assert "entryPrice" not in row
    assert listed(http.get_positions(category="linear", settleCoin="USDC")) == []
    assert refusal(http.get_positions, category="linear") == 10001
    assert refusal(http.get_positions, category="linear", symbol="NOPE") == 10001


def test_the_wallet_is_the_streamed_one(private_sandbox, http):
    private_sandbox.script("alice", 30)
    (row,) = listed(http.get_wallet_balance(accountType="UNIFIED"))
    streamed = private_sandbox.private_rows("alice", "wallet")[-1]
    assert row["totalWalletBalance"] == streamed["totalWalletBalance"]
    assert row["coin"][0]["availableToWithdraw"] == ""
    assert listed(http.get_wallet_balance(accountType="UNIFIED", coin="BTC"))[0]["coin"] == []
    assert refusal(http.get_wallet_balance, accountType="CONTRACT") == 10001


def test_a_key_says_what_it_may_do(private_sandbox, http):
    result = http.get_api_key_information()["result"]
    assert result["apiKey"] == private_sandbox.accounts["alice"].api_key
    assert (result["readOnly"], result["secret"]) == (0, "")


def test_what_a_key_may_do_is_chosen(private_sandbox, http):
    usual = http.get_api_key_information()["result"]
    assert usual["permissions"]["ContractTrade"] == ["Order", "Position"]
    assert (usual["ips"], usual["uta"]) == (["*"], 1)
    key = {"permissions": {"Wallet": ["Withdraw"]}, "ips": ["10.0.0.1"], "expiredAt": "", "uta": 0}
    url = f"{private_sandbox.rest_url}/sandbox/account"
    requests.post(url, json={"account": "alice", "key": key}, timeout=20).raise_for_status()
    chosen = http.get_api_key_information()["result"]
    assert chosen == usual | key
    assert client(private_sandbox, "bob").get_api_key_information()["result"]["ips"] == ["*"]
    for wrong in (5, [], {"apiKey": "another"}):
        answer = requests.post(url, json={"account": "alice", "key": wrong}, timeout=20)
        assert answer.status_code == 400
        assert answer.json()["error"].startswith("key is an object of permissions, ips")
    assert http.get_api_key_information()["result"] == chosen


@pytest.mark.parametrize("method", ["get_executions", "get_order_history"])
@pytest.mark.parametrize(
    "query", [{"limit": 0}, {"limit": 101}, {"startTime": "x"}, {"cursor": "1"}]
)
def test_wrong_parameters_are_refused(http, method, query):
    assert refusal(getattr(http, method), category="linear", **query) == 10001
    assert refusal(getattr(http, method), category="spot") == 10001


def test_accounts_see_their_own_alone(private_sandbox):
    private_sandbox.script("alice", 5)
    bob = client(private_sandbox, "bob")
    assert listed(bob.get_executions(category="linear")) == []
    assert listed(bob.get_order_history(category="linear")) == []


# --- who may ask ---------------------------------------------------------------------------------


def test_a_wrong_secret_is_refused(private_sandbox):
    assert (
        refusal(client(private_sandbox, api_secret="wrong").get_executions, category="linear")
        == 10004
    )


def ask(sandbox, query="category=linear", *, signed=None, key=None, late_ms=0, **headers):
    """A request by hand, signed as the documents say."""
    account = sandbox.accounts["alice"]
    stamp, window = str(now_ms() - late_ms), "5000"
    text = f"{stamp}{account.api_key}{window}{query if signed is None else signed}"
    sign = hmac.new(account.api_secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    headers = {
        "X-BAPI-API-KEY": key or account.api_key, "X-BAPI-TIMESTAMP": stamp,
        "X-BAPI-RECV-WINDOW": window, "X-BAPI-SIGN": sign,
    } | headers  # fmt: skip
    return requests.get(
        f"{sandbox.rest_url}/v5/execution/list?{query}", headers=headers, timeout=20
    )


def test_the_query_counts_as_it_stands(private_sandbox):
    raw = "category=linear&cursor=1%3A2%2C1%3A2"
    assert ask(private_sandbox, raw).json()["retCode"] == 0
    assert ask(private_sandbox, raw, signed=unquote(raw)).json()["retCode"] == 10004


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"key": "nobody"}, 10003),
        ({"late_ms": 6000}, 10002),
        ({"late_ms": -2000}, 10002),
        ({"X-BAPI-TIMESTAMP": "soon"}, 10001),
        ({"X-BAPI-SIGN": "0" * 64}, 10004),
        ({"X-BAPI-SIGN": "é"}, 10004),
    ],
)
def test_who_is_not_served_gets_a_code_and_http_200(private_sandbox, wrong, code):
    answer = ask(private_sandbox, **wrong)
    assert (answer.status_code, answer.json()["retCode"]) == (200, code)
    assert "X-Bapi-Limit" in answer.headers


def test_a_window_has_two_ends():
    assert is_in_window(5000, 5000, 10_000)
    assert not is_in_window(4999, 5000, 10_000)
    assert is_in_window(10_999, 5000, 10_000)
    assert not is_in_window(11_000, 5000, 10_000)


@pytest.mark.parametrize("code", [10003, 10004, 10005, 10010, 33004])
def test_an_account_can_be_refused_and_nobody_else(private_sandbox, http, code):
    private_sandbox.set_account("alice", refusal=str(code))
    assert refusal(http.get_executions, category="linear") == code
    assert listed(client(private_sandbox, "bob").get_executions(category="linear")) == []
    private_sandbox.set_account("alice", refusal="")
    assert listed(http.get_executions(category="linear")) == []


def test_too_many_visits_name_a_reset_that_lies_ahead(private_sandbox, http):
    private_sandbox.set_account("alice", refusal="10006")
    asked = now_ms()
    answer = ask(private_sandbox)
    assert answer.json()["retCode"] == 10006
    assert answer.headers["X-Bapi-Limit-Status"] == "0"
    assert int(answer.headers["X-Bapi-Limit-Reset-Timestamp"]) >= asked + 50
    with pytest.raises(FailedRequestError, match="retries exceeded"):
        http.get_executions(category="linear")


def test_fifty_requests_a_second_and_no_more():
    rate = Rate()

    def left(account, path, now):
        granted, left = rate.take(account, path, now, limit=50)
        return left if granted else -1

    assert [left("a", "/x", 1000) for _ in range(51)] == [*range(49, -1, -1), -1]
    assert left("b", "/x", 1000) == left("a", "/y", 1000) == 49
    assert left("a", "/x", 1999) == -1
    assert rate.reset_ms("a", "/x", 1500) == 2000
    assert left("a", "/x", 2000) == 49


def test_a_batch_gets_what_is_left_of_the_second():
    rate = Rate()
    assert rate.take("a", "/x", 1000, limit=10, wanted=7) == (7, 3)
    assert rate.take("a", "/x", 1500, limit=10, wanted=7) == (3, 0)
    assert rate.take("a", "/x", 1999, limit=10, wanted=7) == (0, 0)
    assert rate.take("a", "/x", 2000, limit=10, wanted=8) == (7, 0)


def test_the_headers_count_down(private_sandbox):
    left = [int(ask(private_sandbox).headers["X-Bapi-Limit-Status"]) for _ in range(2)]
    assert left[0] <= 49
    assert left[1] < 50


# --- what is kept --------------------------------------------------------------------------------


def test_the_oldest_are_forgotten_first(monkeypatch):
    monkeypatch.setattr(history, "FORGOTTEN_AT_ONCE", 2)
    executions, orders = Executions(most=3), Orders(most=3)
    for ms in range(10):
        executions.add([execution(ms, ms)])
        orders.add([{"orderId": str(ms), "createdTime": str(ms), "updatedTime": "1"}])
    for kept in (executions, orders):
        times = [entry.place[0] for entry in kept.newest_first(0, 99)]
        assert times == sorted(times, reverse=True)
        assert times[0] == 9
        assert len(times) <= 5
        assert kept.total == 10


def test_rows_that_are_nothing_are_not_kept():
    executions, orders = Executions(), Orders()
    executions.add(["x", {}, {"execTime": "soon"}, None])
    orders.add([{"createdTime": "1"}, {"createdTime": "1", "updatedTime": "1"}])
    assert (executions.total, orders.total) == (0, 0)


def test_an_older_state_of_an_order_changes_nothing():
    orders = Orders()
    states = [("New", 5), ("Filled", 7), ("PartiallyFilled", 6)]
    orders.add(
        {"orderId": "1", "createdTime": "5", "updatedTime": str(ms), "orderStatus": status}
        for status, ms in states
    )
    assert [entry.kind for entry in orders.newest_first(0, 9)] == ["Filled"]
