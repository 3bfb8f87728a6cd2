"""The REST client against a real HTTP server on this machine that says what a test tells it."""

from __future__ import annotations

import copy
import json
import logging
import socket
import threading
import time
import traceback
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from json import JSONDecodeError
from urllib.parse import parse_qs, urlsplit

import pytest
from pybit import exceptions as pybit_errors
from requests import exceptions as requests_errors

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.bybit.error_table import TABLE, translate, translated_errors
from marketdata.bybit.errors import (
    AuthenticationFailed,
    BybitError,
    ExchangeRejected,
    ExchangeUnavailable,
    MalformedMessage,
    RateLimited,
)
from marketdata.bybit.rate_limiter import RateLimiter
from marketdata.bybit.records import InstrumentRecord
from marketdata.bybit.rest_client import BybitRestClient, instrument_from
from marketdata.tests.test_normalizer import payload

KEY = "canaryKEYcanary123"
SECRET = "canarySECRETcanarySECRETcanary123456"


class Answers(ThreadingHTTPServer):
    """Gives the scripted answers one after the other, and keeps the paths asked for."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = []
        self.requests = []
        self.queries = []

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def say(self, body, status=200, **headers):
        text = body if isinstance(body, str) else json.dumps(body)
        self.script.append((status, text.encode(), headers))

    def ok(self, result):
        self.say({"retCode": 0, "retMsg": "OK", "result": result, "time": 1})

    def refuse(self, code, message="no", **headers):
        self.say({"retCode": code, "retMsg": message, "result": {}}, **headers)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Answers

    def do_GET(self):
        parts = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.server.requests.append((parts.path, query, dict(self.headers)))
        self.server.queries.append(parts.query)
        status, body, headers = self.server.script.pop(0)
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    server = Answers()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def connect(url, **options):
    options.setdefault("rate_limiter", RateLimiter())
    client = BybitRestClient(
        KEY, SECRET, environment="sandbox", endpoints=Endpoints(rest=url), **options
    )
    client._http.retry_delay = 0
    return client


@pytest.fixture
def client(server):
    client = connect(server.url)
    yield client
    client.close()


def test_the_servers_time_is_read_to_the_microsecond(server, client):
    server.ok({"timeSecond": "1790134712", "timeNano": "1790134712126456789"})
    assert client.get_server_time() == datetime(2026, 9, 23, 3, 38, 32, 126_456, tzinfo=UTC)
    assert server.requests[0][0] == "/v5/market/time"


@pytest.mark.parametrize("value", ["", "1", "9" * 19, 1790134712126456789, None])
def test_a_servers_time_that_is_none_is_refused(server, client, value):
    server.ok({"timeNano": value})
    with pytest.raises(MalformedMessage, match="timeNano"):
        client.get_server_time()


@pytest.mark.parametrize("answer", [{"retCode": 0, "result": []}, {"retCode": 0}])
def test_an_answer_without_a_result_is_malformed(server, client, answer):
    server.say(answer)
    with pytest.raises(MalformedMessage, match="result is "):
        client.get_server_time()


def test_a_documented_trade_is_read_from_rest(server, client):
    server.say(payload("http_get_trades_recent"))
    [record], rejects = client.get_recent_trades("BTCUSDT")
    assert rejects == []
    assert record.exchange_ts == datetime(2024, 3, 8, 9, 54, 39, tzinfo=UTC)
    assert (record.price, record.size) == (Decimal("27450.50"), Decimal("0.005"))
    assert (record.is_block_trade, record.is_rpi, record.sequence) == (False, False, None)
    assert datetime.now(UTC) - record.local_ts < timedelta(seconds=30)


def test_recent_trades_are_asked_for_by_symbol_and_limit(server, client):
    server.ok({"list": []})
    client.get_recent_trades("BTCUSDT", limit=7)
    path, query, headers = server.requests[0]
    assert path == "/v5/market/recent-trade"
    assert query == {"category": "linear", "symbol": "BTCUSDT", "limit": "7"}
    assert not any(name.startswith("X-BAPI") for name in headers)


def test_recent_trades_come_oldest_first(server, client):
    server.say(payload("http_get_trades_recent_newest_first"))
    records = client.get_recent_trades("BTCUSDT").records
    assert [record.trade_id[-1] for record in records] == ["1", "2", "3", "4"]
    assert [record.is_rpi for record in records] == [False, False, False, True]
    assert records[0].is_block_trade
    assert records[0].sequence == 814547787694


def test_recent_trades_in_any_order_come_oldest_first(server, client):
    answer = payload("http_get_trades_recent_newest_first")
    answer["result"]["list"].sort(key=lambda row: row["execId"])
    server.say(answer)
    records = client.get_recent_trades("BTCUSDT").records
    assert [record.trade_id[-1] for record in records] == ["1", "2", "3", "4"]


def test_a_bad_trade_from_rest_is_set_aside(server, client):
    answer = payload("http_get_trades_recent_newest_first")
    answer["result"]["list"][1]["price"] = "1e5"
    answer["result"]["list"][2]["seq"] = ""
    server.say(answer)
    records, [reject] = client.get_recent_trades("BTCUSDT")
    assert len(records) == 3
    assert records[1].sequence is None
    assert reject.topic == "recent-trade.BTCUSDT"
    assert reject.reason == "price is not a decimal number: '1e5'"
    assert json.loads(reject.raw)["execId"].endswith("3")


@pytest.mark.parametrize(
    ("symbol", "limit"), [("BTC&x=1", 5), ("", 5), ("BTCUSDT", 0), ("BTCUSDT", 1001)]
)
def test_what_cannot_be_asked_is_not_asked(server, client, symbol, limit):
    with pytest.raises(ValueError, match=r"symbol|limit"):
        client.get_recent_trades(symbol, limit)
    assert server.requests == []


def test_instruments_are_read_with_their_rules(server, client):
    server.say(payload("http_get_instruments_linear"))
    btc, eth = client.get_instruments()
    assert btc == InstrumentRecord(
        "BTCUSDT", "Trading", "BTC", "USDT", Decimal("0.5"), Decimal("0.001"), Decimal("0.001"),
        Decimal("5"), 8,
    )  # fmt: skip
    assert eth.symbol == "ETHUSDT"


def instrument(symbol="BTCUSDT", **changes):
    row = copy.deepcopy(payload("http_get_instruments_linear")["result"]["list"][0])
    return row | {"symbol": symbol} | changes


def test_instruments_are_read_page_by_page(server, client):
    server.ok({"list": [instrument("AUSDT")], "nextPageCursor": "first%3A1"})
    dated = instrument("BUSDT-27NOV26", contractType="LinearFutures")
    server.ok({"list": [dated, instrument("BUSDT")], "nextPageCursor": ""})
    assert [row.symbol for row in client.get_instruments()] == ["AUSDT", "BUSDT"]
    first, second = (query for _, query, _ in server.requests)
    assert first == {"category": "linear", "status": "Trading", "limit": "1000"}
    assert second == {**first, "cursor": "first:1"}


def test_cursors_in_a_circle_are_refused(server, client):
    for cursor in ("a", "b", "a"):
        server.ok({"list": [], "nextPageCursor": cursor})
    with pytest.raises(MalformedMessage, match="nextPageCursor repeats"):
        client.get_instruments()


def test_cursors_without_an_end_are_refused(server):
    client = connect(server.url, rate_limiter=RateLimiter(query_rate=1000))
    for cursor in range(101):
        server.ok({"list": [{}], "nextPageCursor": str(cursor)})
    with pytest.raises(MalformedMessage, match="does not end within 100 pages"):
        client.get_instruments()
    client.close()


def test_empty_pages_are_not_followed_for_long(server, client):
    for cursor in range(3):
        server.ok({"list": [], "nextPageCursor": str(cursor)})
    with pytest.raises(MalformedMessage, match="goes on after 3 empty pages"):
        client.get_instruments()


@pytest.mark.parametrize(
    "result",
    [{}, {"list": {}}, {"list": [], "nextPageCursor": 5}],
    ids=["none", "object", "cursor"],
)
def test_a_page_that_is_none_is_malformed(server, client, result):
    server.ok(result)
    with pytest.raises(MalformedMessage):
        client.get_instruments()


def test_a_malformed_instrument_is_logged_and_left_out(server, client, caplog):
    broken = instrument("CUSDT", priceFilter={"tickSize": "NaN"})
    server.ok({"list": [instrument("AUSDT"), broken, None, instrument("BUSDT")]})
    with caplog.at_level(logging.WARNING):
        rows = client.get_instruments()
    assert [row.symbol for row in rows] == ["AUSDT", "BUSDT"]
    assert "reason=tickSize is not a decimal number: 'NaN'" in caplog.text
    assert "reason=row is not an object: None" in caplog.text


@pytest.mark.parametrize(
    "changes",
    [
        {"contractType": "LinearFutures"},
        {"contractType": "InversePerpetual"},
        {"settleCoin": "USDC"},
    ],
)
def test_other_kinds_of_contract_are_left_out(changes):
    assert instrument_from(instrument(**changes)) is None


def test_what_an_instrument_may_lack_is_unknown():
    row = instrument()
    del row["fundingInterval"], row["lotSizeFilter"]["minNotionalValue"]
    record = instrument_from(row)
    assert record
    assert (record.funding_interval_minutes, record.min_notional) == (None, None)


@pytest.mark.parametrize(
    "changes",
    [{"fundingInterval": True}, {"fundingInterval": 0}, {"fundingInterval": 2**31},
     {"fundingInterval": "480"}, {"lotSizeFilter": None}, {"baseCoin": ""}, {"status": None},
     {"symbol": "btc"}, {"priceFilter": {"tickSize": "0"}}, {"priceFilter": {}}],
)  # fmt: skip
def test_an_instrument_with_a_bad_rule_is_refused(changes):
    with pytest.raises(MalformedMessage):
        instrument_from(instrument(**changes))


@pytest.mark.parametrize("code", [10003, 10004, 10005, 10007, 10010, 33004])
def test_a_refused_key_is_an_authentication_failure(server, client, code):
    server.refuse(code, f"error sign! origin_string[1790134712126{KEY}5000]")
    with pytest.raises(AuthenticationFailed) as caught:
        client.get_server_time()
    assert caught.value.code == code
    assert not caught.value.retryable
    assert str(caught.value) == f"The exchange refused the key (retCode {code})."


def test_other_refusals_carry_code_and_text(server, client):
    server.refuse(10001, "params error: symbol invalid")
    with pytest.raises(
        ExchangeRejected, match="retCode 10001: params error: symbol invalid"
    ) as caught:
        client.get_server_time()
    assert caught.value.code == 10001
    assert not isinstance(caught.value, AuthenticationFailed)


@pytest.mark.parametrize("code", [10000, 10016, 502, "10016"])
def test_an_error_of_the_exchange_itself_is_worth_another_try(server, client, code):
    server.refuse(code)
    with pytest.raises(ExchangeUnavailable) as caught:
        client.get_server_time()
    assert caught.value.retryable


def test_too_many_requests_say_how_long_to_wait(server, client):
    reset = str(int((time.time() + 20) * 1000))
    server.refuse(10006, "Too many visits!", X_Bapi_Limit_Reset_Timestamp=reset)
    with pytest.raises(RateLimited) as caught:
        client.get_server_time()
    assert 15 < caught.value.retry_after <= 20


@pytest.mark.parametrize("reset", ["1700000000000", "", "soon", "-5"])
def test_a_reset_in_the_past_or_unknown_is_a_wait_of_a_second(server, client, reset):
    server.refuse(10006, X_Bapi_Limit_Reset_Timestamp=reset)
    with pytest.raises(RateLimited) as caught:
        client.get_server_time()
    assert caught.value.retry_after == 1.0


def test_a_reset_in_the_far_future_is_a_wait_of_ten_minutes(server, client):
    server.refuse(10006, X_Bapi_Limit_Reset_Timestamp="9" * 15)
    with pytest.raises(RateLimited) as caught:
        client.get_server_time()
    assert caught.value.retry_after == 600


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [(403, {}, 600), (429, {}, 1), (429, {"Retry_After": "30"}, 30)],
)
def test_an_address_that_asks_too_much_is_told_to_wait(server, client, status, headers, seconds):
    server.say("<html>access too frequent</html>", status, **headers)
    with pytest.raises(RateLimited) as caught:
        client.get_server_time()
    assert caught.value.retry_after == seconds


def test_after_a_hit_nothing_is_sent_until_the_pause_is_over(server, client):
    server.say("", 403)
    with pytest.raises(RateLimited):
        client.get_server_time()
    with pytest.raises(RateLimited, match="from this address") as caught:
        client.get_server_time()
    assert 590 < caught.value.retry_after <= 600
    assert len(server.requests) == 1


def test_a_ban_of_the_address_stops_every_key_and_no_other_host(server, client):
    server.say("", 403)
    with pytest.raises(RateLimited):
        client.get_server_time()
    for other in (
        connect(server.url),
        BybitRestClient(environment="sandbox", endpoints=Endpoints(rest=server.url)),
    ):
        with pytest.raises(RateLimited, match="from this address"):
            other.get_server_time()
        other.close()
    assert len(server.requests) == 1
    assert BybitRestClient()._bans is not client._bans


def test_too_many_requests_of_one_key_stop_no_other(server, client):
    server.refuse(10006)
    with pytest.raises(RateLimited):
        client.get_server_time()
    other = connect(server.url)
    server.ok({"timeSecond": "1790134712", "timeNano": "1790134712126456000"})
    other.get_server_time()
    other.close()
    assert len(server.requests) == 2


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408, 204])
def test_a_server_in_trouble_is_unavailable(server, client, status):
    server.say("" if status == 204 else "<html>Bad Gateway</html>", status)
    with pytest.raises(ExchangeUnavailable, match=f"HTTP {status}"):
        client.get_server_time()


@pytest.mark.parametrize(("status", "kind"), [(401, AuthenticationFailed), (404, ExchangeRejected)])
def test_other_statuses_are_refusals(server, client, status, kind):
    server.say("", status)
    with pytest.raises(kind) as caught:
        client.get_server_time()
    assert caught.value.code == status


@pytest.mark.parametrize(
    "body", ["<html>502</html>", "", "[]", "null", "5", '"text"', '{"retCode": 10001}', "{", "\x00"]
)
def test_a_body_that_is_no_v5_answer_is_unavailable(server, client, body):
    server.say(body)
    with pytest.raises(ExchangeUnavailable, match="The answer is not"):
        client.get_server_time()


def test_an_answer_with_headers_that_contradict_each_other_is_unavailable(server, client):
    server.say({}, content_length="500")
    with pytest.raises(ExchangeUnavailable, match="InvalidHeader"):
        client.get_server_time()


def test_half_a_body_is_unavailable(server, client):
    server.say('{"retCode": 0, "result": {', Content_Length="500")
    with pytest.raises(ExchangeUnavailable, match="cannot be reached"):
        client.get_server_time()


def test_a_redirect_is_not_followed(server, client):
    server.say("", 302, Location="http://127.0.0.1:1/elsewhere")
    with pytest.raises(ExchangeUnavailable, match="TooManyRedirects"):
        client.get_server_time()
    assert len(server.requests) == 1


def test_a_request_out_of_time_is_repeated_once_and_then_refused(server, client):
    server.refuse(10002, "invalid request, please check your server timestamp")
    server.refuse(10002, "invalid request, please check your server timestamp")
    with pytest.raises(ExchangeRejected, match="check this machine's clock") as caught:
        client.get_server_time()
    assert caught.value.code == 10002
    assert len(server.requests) == 2


def test_a_refused_connection_is_unavailable():
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        client = connect(f"http://127.0.0.1:{unused.getsockname()[1]}")
        with pytest.raises(ExchangeUnavailable, match="ConnectionError"):
            client.get_server_time()
        client.close()


def test_a_server_that_never_answers_is_unavailable():
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        client = connect(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout=0.2)
        with pytest.raises(ExchangeUnavailable, match="ReadTimeout"):
            client.get_server_time()
        client.close()


def test_a_proxy_of_the_environment_is_not_used_on_loopback(server, client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", "")
    server.ok({"timeNano": "1790134712126456789"})
    assert client.get_server_time()


@pytest.mark.parametrize(
    ("environment", "host"),
    [("mainnet", "api"), ("testnet", "api-testnet"), (Environment.DEMO, "api-demo")],
)
def test_each_environment_has_its_host_whatever_the_endpoints(environment, host):
    client = BybitRestClient(
        environment=environment, endpoints=Endpoints(rest="http://127.0.0.1:1")
    )
    assert client._http.endpoint == f"https://{host}.bybit.com"
    assert client._http.client.trust_env


@pytest.mark.parametrize(("testnet", "host"), [(True, "api-testnet"), (False, "api")])
def test_without_an_environment_the_testnet_flag_decides(testnet, host):
    assert BybitRestClient(testnet=testnet)._http.endpoint == f"https://{host}.bybit.com"


@pytest.mark.parametrize(
    "endpoints", [None, Endpoints(), Endpoints(rest="http://exchange.example")]
)
def test_the_sandbox_needs_an_endpoint_that_is_safe(endpoints):
    with pytest.raises(ValueError, match="BYBIT_REST_URL"):
        BybitRestClient(environment="sandbox", endpoints=endpoints)


def test_clients_of_one_key_share_their_limiter():
    first, second = BybitRestClient("k", "s"), BybitRestClient("k", "s")
    assert first._limiter is second._limiter
    assert first._limiter is RateLimiter.for_key("k")
    assert BybitRestClient("other", "s")._limiter is not first._limiter


def test_clients_without_a_key_share_a_limiter_by_host():
    assert BybitRestClient()._limiter is BybitRestClient()._limiter
    assert BybitRestClient()._limiter is not BybitRestClient(testnet=False)._limiter


def error_classes(module):
    """What a module offers that can be raised; warnings are for developers."""
    return [
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, Warning)
    ]


@pytest.mark.parametrize("module", [pybit_errors, requests_errors])
def test_every_error_of_the_libraries_is_in_the_table(module):
    kinds = error_classes(module)
    assert len(kinds) >= 5
    assert [kind for kind in kinds if kind not in TABLE] == []


def test_every_error_of_the_network_becomes_one_of_ours():
    for kind in [*error_classes(requests_errors), PermissionError, OSError, KeyError, TypeError]:
        details = ("text", "doc", 0) if issubclass(kind, JSONDecodeError) else ("text",)
        assert isinstance(translate(kind(*details)), BybitError), kind


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (PermissionError("Authenticated endpoints require keys."), AuthenticationFailed),
        (pybit_errors.UnauthorizedExceptionError("canary"), AuthenticationFailed),
        (pybit_errors.TopicMismatchError("canary"), ExchangeRejected),
        (requests_errors.InvalidHeader("canary"), AuthenticationFailed),
        (requests_errors.InvalidURL("canary"), ExchangeRejected),
        (requests_errors.SSLError("canary"), ExchangeUnavailable),
        (OSError("canary"), ExchangeUnavailable),
        (ValueError("sleep length must be non-negative"), RateLimited),
        (
            UnicodeEncodeError("latin-1", "canary\u20ac", 6, 7, "ordinal not in range"),
            AuthenticationFailed,
        ),
        (pybit_errors.InvalidRequestError("canary", "no", 403, "", {}), RateLimited),
        (pybit_errors.InvalidRequestError("canary", None, None, "", None), ExchangeRejected),
        (pybit_errors.InvalidRequestError("canary", "no", 10006, "", None), RateLimited),
    ],
)
def test_an_error_becomes_ours_without_its_text(error, kind):
    with pytest.raises(kind) as caught, translated_errors():
        raise error
    assert type(caught.value) is kind
    assert "canary" not in everything_about(caught.value)


@pytest.mark.parametrize("error", [ValueError("ours"), ZeroDivisionError(), RuntimeError("ours")])
def test_errors_of_our_own_are_left_alone(error):
    with pytest.raises(type(error)) as caught, translated_errors():
        raise error
    assert caught.value is error


def test_errors_that_are_translated_already_pass():
    error = MalformedMessage("p is missing")
    with pytest.raises(MalformedMessage) as caught, translated_errors():
        raise error
    assert caught.value is error


def everything_about(error):
    """What an error reporter could find outside this file: messages, attributes, variables."""
    texts = []
    while error is not None:
        trace = traceback.TracebackException.from_exception(error, capture_locals=True)
        texts += [repr(error), str(error), repr(vars(error))]
        texts += [
            value
            for frame in trace.stack
            if frame.filename != __file__
            for value in (frame.locals or {}).values()
        ]
        error = error.__cause__ or error.__context__
    return " ".join(texts)


def signed(client):
    """A call with headers that carry key and signature, as the private part makes them."""
    with translated_errors():
        return client._http.get_wallet_balance(accountType="canaryUNIFIED")


@pytest.mark.parametrize("code", [10001, 10003, 10004, 10006, 10016, 110007])
def test_no_secret_is_in_an_error_whatever_the_exchange_repeats(server, client, code, caplog):
    caplog.set_level(logging.DEBUG)
    server.refuse(code, f"key {KEY} secret {SECRET} sign {'0123456789abcdef' * 4}")
    with pytest.raises(BybitError) as caught:
        signed(client)
    assert server.requests[0][2]["X-Bapi-Api-Key".upper()] == KEY
    seen = everything_about(caught.value)
    assert "canary" not in seen
    assert "0123456789abcdef" not in seen
    assert not any(secret in caplog.text for secret in (KEY, SECRET, "0123456789abcdef"))


def test_no_secret_is_logged_when_a_broken_answer_repeats_it(server, client, caplog):
    caplog.set_level(logging.DEBUG)
    server.say(f"<html>{KEY}</html>", 500)
    with pytest.raises(ExchangeUnavailable) as caught:
        signed(client)
    assert KEY not in everything_about(caught.value) + caplog.text


def test_no_secret_is_in_an_error_of_the_network(caplog):
    client = connect("http://127.0.0.1:1")
    with pytest.raises(ExchangeUnavailable) as caught:
        signed(client)
    assert "canaryKEY" not in everything_about(caught.value) + caplog.text
    client.close()


@pytest.mark.parametrize("key", [KEY + "\n", KEY + "\u20ac", ""])
def test_a_key_that_cannot_be_sent_is_not_repeated(server, key):
    client = BybitRestClient(
        key or None, SECRET, environment="sandbox", endpoints=Endpoints(rest=server.url),
        rate_limiter=RateLimiter(),
    )  # fmt: skip
    with pytest.raises(AuthenticationFailed) as caught:
        signed(client)
    assert "canaryKEY" not in everything_about(caught.value)


def test_no_secret_is_in_a_repr(client):
    assert "canary" not in f"{client!r} {client._http!r} {client._limiter!r}"
    assert "127.0.0.1" in repr(client)


def test_what_led_to_an_error_is_emptied_too():
    undecodable = UnicodeDecodeError("utf-8", b"canary", 0, 1, "no")
    undecodable.add_note("canary")
    outer = requests_errors.ConnectionError("canary", request="canary", response="canary")
    outer.__cause__ = undecodable
    undecodable.__context__ = outer
    with pytest.raises(ExchangeUnavailable) as caught, translated_errors():
        raise outer
    assert "canary" not in f"{vars(outer)} {vars(undecodable)} {undecodable.object!r} {outer!r}"
    assert caught.value.__cause__ is None


def test_a_hit_pauses_orders_as_well_as_queries(server, client):
    server.refuse(10006)
    with pytest.raises(RateLimited):
        client.get_server_time()
    assert client._limiter.wait_time("order") > 0.5
