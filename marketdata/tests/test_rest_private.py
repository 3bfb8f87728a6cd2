"""The account's REST lists, against a real HTTP server that says what a test tells it."""

from __future__ import annotations

import hashlib
import hmac
import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from marketdata.bybit.errors import (
    AuthenticationFailed,
    ExchangeUnavailable,
    MalformedMessage,
    RateLimited,
)
from marketdata.bybit.rest_client import BybitRestClient
from marketdata.tests import test_rest_client as rest
from marketdata.tests.test_normalizer import payload
from marketdata.tests.test_private_samples import (
    ACCOUNT,
    COIN,
    EXECUTION,
    ORDER,
    POSITION,
    assert_says,
)

server = rest.server
client = rest.client

START = datetime(2026, 9, 1, 12, tzinfo=UTC)
DAY_MS = 86_400_000
START_MS = 1_788_264_000_000


def execution(exec_id="e1", **changes):
    return payload("http_get_executions")["result"]["list"][0] | {"execId": exec_id} | changes


def order(order_id="o1", **changes):
    return (
        payload("http_get_orders_realtime")["result"]["list"][0] | {"orderId": order_id} | changes
    )


def page(server, *rows, cursor=""):
    server.ok({"category": "linear", "list": list(rows), "nextPageCursor": cursor})


def test_a_documented_answer_yields_every_execution(server, client):
    answer = payload("http_get_executions")
    server.say(answer)
    parsed, cursor = client.get_executions()
    assert (len(parsed.records), parsed.rejects) == (2, [])
    assert cursor == "132766%3A2%2C132766%3A2"
    for record, row in zip(parsed.records, answer["result"]["list"], strict=True):
        assert_says(record, row, EXECUTION)
        assert record.raw_json == row
        assert (record.exec_pnl, record.closed_pnl) == (None, None)
    assert [record.position_idx for record in parsed.records] == [1, 2]


def test_executions_are_asked_for_as_documented(server, client):
    page(server)
    client.get_executions(
        "BTCUSDT", START, START + timedelta(microseconds=1), cursor="1%3A2", limit=7
    )
    path, query, headers = server.requests[0]
    assert path == "/v5/execution/list"
    assert query == {
        "category": "linear", "symbol": "BTCUSDT", "startTime": str(START_MS),
        "endTime": str(START_MS + 1), "limit": "7", "cursor": "1:2",
    }  # fmt: skip
    headers = {name.upper(): value for name, value in headers.items()}
    signed = headers["X-BAPI-TIMESTAMP"] + rest.KEY + headers["X-BAPI-RECV-WINDOW"]
    mac = hmac.new(rest.SECRET.encode(), (signed + server.queries[0]).encode(), hashlib.sha256)
    assert headers["X-BAPI-SIGN"] == mac.hexdigest()
    assert "cursor=1%3A2&" in server.queries[0]


def test_without_times_and_symbol_none_are_asked_for(server, client):
    page(server)
    client.get_executions()
    assert server.requests[0][1] == {"category": "linear", "limit": "100"}


def test_rows_come_oldest_first(server, client):
    rows = [execution("c", execTime="1672282722431"), execution("b"), execution("a")]
    page(server, *rows)
    parsed, cursor = client.get_executions()
    assert [record.exec_id for record in parsed.records] == ["a", "b", "c"]
    assert cursor == ""


def test_the_envelope_s_category_counts(server, client):
    server.ok({"category": "spot", "list": [execution(), execution(category="linear")]})
    parsed, _ = client.get_executions()
    assert (len(parsed.records), parsed.rejects) == (1, [])
    assert client.ignored == {"execution-list spot": 1}


def test_a_bad_row_costs_no_other(server, client):
    page(server, execution("a"), execution("b", execQty=""), None, execution("c", execType="New"))
    parsed, _ = client.get_executions()
    assert len(parsed.records) == 2
    assert {reject.topic for reject in parsed.rejects} == {"execution-list"}
    assert client.unknown == {"execution execType New": 1}


def test_in_one_way_mode_every_fill_is_of_the_one_leg(server):
    client = rest.connect(server.url, hedge_mode=False)
    page(server, execution())
    assert client.get_executions()[0].records[0].position_idx == 0
    client.close()


def test_a_long_span_is_asked_for_in_weeks(server, client):
    for name in "abc":
        page(server, execution(name))
    found = client.get_executions_all(start=START, end=START + timedelta(days=15))
    assert [record.exec_id for record in found.records] == ["a", "b", "c"]
    spans = [(int(query["startTime"]), int(query["endTime"])) for _, query, _ in server.requests]
    assert spans == [
        (START_MS, START_MS + 7 * DAY_MS),
        (START_MS + 7 * DAY_MS, START_MS + 14 * DAY_MS),
        (START_MS + 14 * DAY_MS, START_MS + 15 * DAY_MS),
    ]


@pytest.mark.parametrize(("span", "requests"), [(timedelta(0), 1), (timedelta(days=7), 1),
                                               (timedelta(days=7, milliseconds=1), 2)])  # fmt: skip
def test_a_span_has_as_many_windows_as_it_needs(server, client, span, requests):
    for _ in range(requests):
        page(server)
    assert client.get_executions_all("BTCUSDT", start=START, end=START + span).records == []
    assert len(server.requests) == requests


def test_all_pages_of_a_window_are_read(server, client):
    page(server, execution("b"), cursor="132766%3A2%2C1")
    page(server, execution("a"))
    pages = list(client.executions_pages(start=START, end=START + timedelta(days=1)))
    assert [[record.exec_id for record in parsed.records] for parsed in pages] == [["b"], ["a"]]
    first, second = server.queries
    assert "cursor" not in first
    assert "cursor=132766%3A2%2C1&" in second


@pytest.mark.parametrize("method", ["executions_pages", "order_history_pages"])
def test_cursors_in_a_circle_end_after_what_has_arrived(server, client, method):
    row = execution() if method == "executions_pages" else order()
    for cursor in ("a", "b", "a"):
        page(server, row, cursor=cursor)
    pages = getattr(client, method)(start=START, end=START)
    arrived = [next(pages) for _ in range(3)]
    assert [len(parsed.records) for parsed in arrived] == [1, 1, 1]
    with pytest.raises(MalformedMessage, match="nextPageCursor repeats"):
        next(pages)


@pytest.mark.parametrize("cursor", ["a&category=spot", "a#b", "a b", "\x00", "x" * 1025, "é", 5])
def test_a_cursor_that_is_none_is_not_sent(server, client, cursor):
    page(server, execution(), cursor=cursor)
    pages = client.executions_pages(start=START, end=START)
    assert len(next(pages).records) == 1
    with pytest.raises(MalformedMessage, match="nextPageCursor"):
        next(pages)


def test_pages_that_have_arrived_outlive_a_refusal(server, client):
    page(server, execution(), cursor="a")
    server.refuse(10005)
    pages = client.executions_pages(start=START, end=START)
    assert next(pages).records
    with pytest.raises(AuthenticationFailed):
        next(pages)


def test_a_page_waits_until_it_is_not_too_many(server, client):
    page(server, execution(), cursor="a")
    reset = str(int(time.time() * 1000) + 50)
    server.refuse(10006, X_Bapi_Limit_Reset_Timestamp=reset)
    page(server, execution())
    pages = list(client.executions_pages(start=START, end=START))
    assert [len(parsed.records) for parsed in pages] == [1, 1]


def test_a_page_does_not_wait_out_a_long_limit(server, client):
    page(server, execution(), cursor="a")
    server.say("", 429, Retry_After="30")
    pages = client.executions_pages(start=START, end=START)
    assert next(pages).records
    with pytest.raises(RateLimited):
        next(pages)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.get_executions(start=datetime(2026, 9, 1)),  # noqa: DTZ001
        lambda client: client.get_order_history(end=datetime(2026, 9, 1)),  # noqa: DTZ001
        lambda client: client.get_executions_all(start=START, end=datetime(2026, 9, 2)),  # noqa: DTZ001
        lambda client: client.get_executions_all(start=START, end=START - timedelta(seconds=1)),
        lambda client: client.get_order_history_all(start=START, end=START - timedelta(days=1)),
        lambda client: client.get_executions(limit=101),
        lambda client: client.get_order_history(limit=51),
        lambda client: client.get_executions(limit=0),
        lambda client: client.get_executions("BTC&USDT"),
        lambda client: client.get_open_orders(""),
        lambda client: client.get_positions("btcusdt"),
        lambda client: client.get_executions(cursor="a&b"),
    ],
)
def test_what_cannot_be_asked_is_not_asked(server, client, ask):
    with pytest.raises(ValueError, match=r"time zone|ends before|limit|symbol|Cursor"):
        ask(client)
    assert server.requests == []


def test_open_orders_are_read_as_documented(server, client):
    answer = payload("http_get_orders_realtime")
    server.say(answer)
    records, rejects = client.get_open_orders()
    assert rejects == []
    for record, row in zip(records, answer["result"]["list"], strict=True):
        assert_says(record, row, ORDER)
        assert record.avg_price is None
    path, query, _ = server.requests[0]
    assert path == "/v5/order/realtime"
    assert query == {"category": "linear", "settleCoin": "USDT", "limit": "50"}


def test_open_orders_are_read_page_by_page(server, client):
    page(server, order("a"), cursor="a%3A1")
    page(server, order("b"))
    found = client.get_open_orders("ETHUSDT")
    assert [record.order_id for record in found.records] == ["a", "b"]
    assert server.requests[1][1] == {
        "category": "linear", "symbol": "ETHUSDT", "limit": "50", "cursor": "a:1",
    }  # fmt: skip


def test_the_history_of_orders_is_read_in_weeks_and_pages(server, client):
    page(server, order("b", avgPrice="0", orderStatus="Cancelled"), cursor="c")
    page(server, order("a"))
    page(server, order("c"))
    found = client.get_order_history_all("ETHUSDT", start=START, end=START + timedelta(days=8))
    assert [record.order_id for record in found.records] == ["b", "a", "c"]
    assert found.records[0].avg_price == Decimal(0)
    assert {path for path, _, _ in server.requests} == {"/v5/order/history"}
    assert server.requests[0][1] == {
        "category": "linear", "symbol": "ETHUSDT", "limit": "50", "startTime": str(START_MS),
        "endTime": str(START_MS + 7 * DAY_MS),
    }  # fmt: skip


def test_one_page_of_the_history_comes_with_its_cursor(server, client):
    page(server, order(), cursor="next%3A")
    parsed, cursor = client.get_order_history(start=START)
    assert (len(parsed.records), cursor) == (1, "next%3A")


def test_positions_are_read_by_their_rest_names(server, client):
    answer = payload("http_get_positions")
    server.say(answer)
    records, rejects = client.get_positions()
    assert rejects == []
    names = POSITION | {"entry_price": "avgPrice"}
    for record, row in zip(records, answer["result"]["list"], strict=True):
        assert_says(record, row, names)
        assert record.exchange_ts == datetime(2023, 10, 19, 0, 5, tzinfo=UTC)
    assert [record.side for record in records] == ["Buy", "Sell", ""]
    path, query, _ = server.requests[0]
    assert path == "/v5/position/list"
    assert query == {"category": "linear", "settleCoin": "USDT", "limit": "200"}


def test_the_positions_of_a_symbol_are_asked_for_by_it(server, client):
    page(server)
    with pytest.raises(MalformedMessage, match="time is before 2018"):
        client.get_positions("BTCUSDT")
    assert server.requests[0][1] == {"category": "linear", "symbol": "BTCUSDT", "limit": "200"}


def test_the_wallet_is_read_coin_by_coin(server, client):
    answer = payload("http_get_wallet_balance") | {"time": START_MS}
    server.say(answer)
    records, rejects = client.get_wallet_balance()
    assert rejects == []
    [account] = answer["result"]["list"]
    for record, coin in zip(records, account["coin"], strict=True):
        assert_says(record, coin, COIN)
        assert_says(record, account, ACCOUNT)
        assert record.exchange_ts == START
        assert record.raw_json == account | {"coin": [coin]}
    path, query, _ = server.requests[0]
    assert (path, query) == ("/v5/account/wallet-balance", {"accountType": "UNIFIED"})


def test_an_answer_without_a_plausible_time_has_no_wallet(server, client):
    server.say(payload("http_get_wallet_balance"))
    with pytest.raises(MalformedMessage, match="time is before 2018: 1234567890"):
        client.get_wallet_balance()


@pytest.mark.parametrize(
    ("remaining", "reset", "least", "most"),
    [("0", 900, 0.5, 0.9), ("1", 900, 0, 0), ("0", -50, 0, 0), ("0", 10**9, 4, 5)],
)
def test_the_exchange_s_own_count_is_heeded(server, client, remaining, reset, least, most):
    server.say(
        {"retCode": 0, "result": {"list": []}, "time": START_MS},
        X_Bapi_Limit="50",
        X_Bapi_Limit_Status=remaining,
        X_Bapi_Limit_Reset_Timestamp=str(START_MS + reset),
    )
    client.get_executions()
    assert least <= client._limiter.wait_time() <= most
    assert client._limiter.wait_time("order") == 0


@pytest.mark.parametrize("headers", [{"X_Bapi_Limit_Status": "0"}, {"X_Bapi_Limit_Status": "no"},
                                     {"X_Bapi_Limit_Status": "0",
                                      "X_Bapi_Limit_Reset_Timestamp": "soon"}])  # fmt: skip
def test_a_count_that_is_none_is_left_alone(server, client, headers):
    server.say({"retCode": 0, "result": {"list": []}, "time": START_MS}, **headers)
    client.get_executions()
    assert client._limiter.wait_time() == 0


@pytest.mark.parametrize("method", ["get_executions", "get_order_history", "get_open_orders",
                                    "get_positions", "get_wallet_balance"])  # fmt: skip
def test_a_refused_key_is_said_so_everywhere(server, client, method):
    server.refuse(10003, f"API key is invalid: {rest.KEY}")
    with pytest.raises(AuthenticationFailed) as caught:
        getattr(client, method)()
    assert caught.value.code == 10003
    seen = rest.everything_about(caught.value)
    assert "canary" not in seen


@pytest.mark.parametrize(
    "body", ['{"retCode":0,"result":' + "9" * 5000 + "}", '{"result":' + "[" * 100_000],
    ids=["digits", "depth"],
)  # fmt: skip
def test_an_answer_that_no_parser_takes_is_unavailable(server, client, body):
    server.say(body)
    with pytest.raises(ExchangeUnavailable, match="not a V5 answer"):
        client.get_wallet_balance()


def test_without_a_key_nothing_private_is_asked():
    client = BybitRestClient()
    with pytest.raises(AuthenticationFailed):
        client.get_wallet_balance()
    client.close()
