"""The sandbox's market endpoints, through pybit and through plain HTTP."""

from __future__ import annotations

import time
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
import requests
from pybit.unified_trading import HTTP

from marketdata.sandbox.wire import trade_row

MINUTE_MS = 60_000


@pytest.fixture
def http(sandbox):
    client = HTTP(testnet=False)
    client.endpoint = sandbox.rest_url
    yield client
    client.client.close()


def get(sandbox, path, **query):
    return requests.get(f"{sandbox.rest_url}/v5/market/{path}", params=query, timeout=10)


def trades_at(*times_ms, price="100", size="2"):
    return [
        trade_row(
            "BTCUSDT",
            price=price,
            size=size,
            side="Buy",
            time_ms=at,
            trade_id=str(number),
            seq=number,
        )
        for number, at in enumerate(times_ms)
    ]


def bars(http, **query):
    return http.get_kline(category="linear", symbol="BTCUSDT", **query)["result"]["list"]


@pytest.fixture
def minute(http):
    """The start of the minute five minutes ago."""
    now = int(http.get_server_time()["time"])
    return now - now % MINUTE_MS - 5 * MINUTE_MS


def test_every_answer_has_the_envelope_and_the_rate_headers(sandbox):
    for path in ("time", "kline"):
        answer = get(sandbox, path)
        assert answer.status_code == 200
        assert set(answer.json()) == {"retCode", "retMsg", "result", "retExtInfo", "time"}
        headers = {"X-Bapi-Limit", "X-Bapi-Limit-Status", "X-Bapi-Limit-Reset-Timestamp"}
        assert headers < set(answer.headers)


def test_the_time_is_now(http):
    answer = http.get_server_time()
    assert abs(answer["time"] - time.time() * 1000) < 60_000
    assert int(answer["result"]["timeNano"]) // 10**9 == int(answer["result"]["timeSecond"])


def test_instruments_come_in_pages_with_an_encoded_cursor(http):
    cursor, pages = "", list[list[str]]()
    while not pages or cursor:
        result = http.get_instruments_info(category="linear", limit=1, cursor=cursor)["result"]
        pages.append([row["symbol"] for row in result["list"]])
        cursor = result["nextPageCursor"]
        assert "=" not in cursor
    assert pages == [["BTCUSDT"], ["ETHUSDT"]]


def test_a_cursor_that_is_encoded_once_more_works_as_well(sandbox):
    first = get(sandbox, "instruments-info", category="linear", limit=1).json()["result"]
    cursor = first["nextPageCursor"]
    second = get(sandbox, "instruments-info", category="linear", cursor=cursor).json()["result"]
    assert [row["symbol"] for row in second["list"]] == ["ETHUSDT"]


def test_an_instrument_has_the_grids_of_price_and_size(http):
    answer = http.get_instruments_info(category="linear", symbol="BTCUSDT", status="Trading")
    (row,) = answer["result"]["list"]
    assert (row["settleCoin"], row["contractType"]) == ("USDT", "LinearPerpetual")
    assert (row["priceFilter"]["tickSize"], row["lotSizeFilter"]["qtyStep"]) == ("0.10", "0.001")
    assert row["lotSizeFilter"]["minNotionalValue"] == "5"
    closed = http.get_instruments_info(category="linear", status="Closed")["result"]
    assert closed["list"] == []


@pytest.mark.parametrize(
    ("path", "query", "message"),
    [
        ("instruments-info", {}, "Category is invalid"),
        ("instruments-info", {"category": "linear", "limit": "1001"}, "limit invalid"),
        ("instruments-info", {"category": "linear", "status": "Open"}, "status invalid"),
        ("instruments-info", {"category": "linear", "cursor": "x"}, "cursor invalid"),
        ("instruments-info", {"category": "linear", "symbol": "NOPE"}, "symbol invalid"),
        ("recent-trade", {"category": "spot", "symbol": "BTCUSDT"}, "Category is invalid"),
        ("recent-trade", {"category": "linear"}, "symbol invalid"),
        (
            "recent-trade",
            {"category": "linear", "symbol": "BTCUSDT", "limit": "0"},
            "limit invalid",
        ),
        ("tickers", {"category": "linear", "symbol": "NOPE"}, "symbol invalid"),
        ("kline", {"category": "spot", "symbol": "BTCUSDT"}, "Category is invalid"),
        ("kline", {"symbol": "BTCUSDT", "interval": "2"}, "interval invalid"),
        ("kline", {"symbol": "BTCUSDT", "interval": "1", "start": "x"}, "start invalid"),
    ],
)
def test_a_wrong_parameter_is_a_business_error(sandbox, path, query, message):
    answer = get(sandbox, path, **query)
    assert answer.status_code == 200
    assert (answer.json()["retCode"], answer.json()["result"]) == (10001, {})
    assert answer.json()["retMsg"] == f"params error: {message}"


def test_an_unknown_route_is_not_found(sandbox):
    answer = get(sandbox, "nope")
    assert (answer.status_code, answer.json()["retCode"]) == (404, 10017)


def test_recent_trades_are_capped_and_hold_what_nobody_listened_to(sandbox, http):
    rows = sandbox.make_trades("BTCUSDT", 1500)
    sandbox.send_trades("BTCUSDT", rows)
    query = {"category": "linear", "symbol": "BTCUSDT"}
    listed = http.get_public_trade_history(**query, limit=1000)["result"]["list"]
    assert [row["execId"] for row in listed] == [row["i"] for row in rows[:499:-1]]
    assert len(http.get_public_trade_history(**query)["result"]["list"]) == 500


def test_a_recent_trade_is_the_streamed_one_under_other_names(sandbox, http):
    (row,) = sandbox.make_trades("BTCUSDT", 1)
    sandbox.send_trades("BTCUSDT", [row])
    answer = http.get_public_trade_history(category="linear", symbol="BTCUSDT")
    (listed,) = answer["result"]["list"]
    assert listed == {
        "execId": row["i"],
        "symbol": "BTCUSDT",
        "price": row["p"],
        "size": row["v"],
        "side": row["S"],
        "time": str(row["T"]),
        "isBlockTrade": row["BT"],
        "isRPITrade": row["RPI"],
        "seq": str(row["seq"]),
    }


def test_tickers_are_the_merged_states(sandbox, http):
    sandbox.send_ticker("ETHUSDT", lastPrice="1.5")
    both = http.get_tickers(category="linear")["result"]["list"]
    one = http.get_tickers(category="linear", symbol="ETHUSDT")["result"]["list"]
    assert [row["symbol"] for row in both] == ["BTCUSDT", "ETHUSDT"]
    assert one == both[1:]
    assert one[0]["lastPrice"] == "1.5"


def test_the_volume_of_the_klines_is_the_sum_of_the_trades(sandbox, http):
    rows = sandbox.make_trades("BTCUSDT", 1200) + sandbox.make_trades("BTCUSDT", 3)
    sandbox.send_trades("BTCUSDT", rows)
    listed = bars(http, interval=1)
    assert sum(Decimal(bar[5]) for bar in listed) == sum(Decimal(row["v"]) for row in rows)
    turnover = sum(Decimal(row["v"]) * Decimal(row["p"]) for row in rows)
    assert sum(Decimal(bar[6]) for bar in listed) == turnover


def test_a_kline_has_open_high_low_close_volume_and_turnover(sandbox, http, minute):
    for price in ("10", "12", "9", "11"):
        sandbox.send_trades("BTCUSDT", trades_at(minute, price=price))
    assert bars(http, interval=1)[-1] == [str(minute), "10", "12", "9", "11", "8", "84"]


def test_klines_are_newest_first_and_flat_where_nothing_was_traded(sandbox, http, minute):
    sandbox.send_trades("BTCUSDT", trades_at(minute, minute + 2 * MINUTE_MS, price="7"))
    listed = bars(http, interval="1")
    starts = [int(bar[0]) for bar in listed]
    assert starts == list(range(starts[0], minute - 1, -MINUTE_MS))
    assert listed[-2][1:] == ["7", "7", "7", "7", "0", "0"]


def test_klines_are_cut_by_start_end_and_limit(sandbox, http, minute):
    sandbox.send_trades("BTCUSDT", trades_at(minute))
    second, third = minute + MINUTE_MS, minute + 2 * MINUTE_MS

    def starts(**query):
        return [int(bar[0]) for bar in bars(http, interval=1, **query)]

    assert starts(start=minute, end=third) == [third, second, minute]
    assert starts(start=minute, end=third, limit=1) == [third]
    assert starts(start=second, limit=1) == [second]
    assert starts(end=minute) == [minute]


def test_longer_klines_join_the_minutes(sandbox, http):
    hour = 1_700_000_000_000 // (60 * MINUTE_MS) * 60 * MINUTE_MS
    for at, price in ((0, "10"), (59, "30"), (60, "20")):
        sandbox.send_trades("BTCUSDT", trades_at(hour + at * MINUTE_MS, price=price))
    query = {"interval": 60, "start": hour, "end": hour + 119 * MINUTE_MS}
    later, first = bars(http, **query)
    assert first == [str(hour), "10", "30", "10", "30", "4", "80"]
    assert later[1:6] == ["20", "20", "20", "20", "2"]


def test_there_are_no_klines_before_the_first_trade(http):
    assert bars(http, interval=1) == []


def test_the_urls_are_on_loopback(sandbox):
    for url in (sandbox.rest_url, sandbox.ws_public_url, sandbox.ws_private_url):
        assert urlsplit(url).hostname == "127.0.0.1"
    assert sandbox.environment()["BYBIT_REST_URL"] == sandbox.rest_url
