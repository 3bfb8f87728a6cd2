"""The sandbox's streams, read by the real pybit over loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from itertools import groupby

import pytest
from pybit.unified_trading import WebSocket

from marketdata.sandbox import SandboxConfig, SandboxServer

TRADES, TICKERS = "publicTrade.BTCUSDT", "tickers.BTCUSDT"


class Stream(WebSocket):  # type: ignore[misc]
    """pybit on another host: keeps what it reads, and notes when it is cut off."""

    def __init__(self, url, **options):
        self.url, self.frames, self.cut = url, [], threading.Event()
        super().__init__("linear", testnet=False, **options)

    def _connect(self, _):
        super()._connect(self.url)

    def _on_message(self, message):
        self.frames.append(json.loads(message))
        super()._on_message(message)

    def _on_error(self, error):
        socket = self.ws.sock
        super()._on_error(error)
        if socket is not None:
            socket.shutdown()  # which the library forgets after a reset
        self.cut.set()

    def of(self, topic):
        return [frame for frame in self.frames if frame.get("topic") == topic]


@pytest.fixture
def stream(sandbox) -> Iterator[Stream]:
    one = Stream(sandbox.ws_public_url, retries=2, restart_on_error=False)
    yield one
    one.exit()


def ignore(message) -> None:
    """A callback for tests that look at the frames."""


def events(sandbox, kind):
    return [line for line in sandbox.ledger() if line["event"] == kind]


def test_a_ticker_begins_with_a_full_snapshot_and_goes_on_with_what_changed(sandbox, stream):
    stream.ticker_stream("BTCUSDT", ignore)
    sandbox.wait_for_topics(TICKERS)
    sandbox.send_ticker("BTCUSDT", lastPrice="60001.00", bid1Price="60000.90")
    sandbox.drain()
    snapshot, delta = stream.of(TICKERS)
    assert (snapshot["type"], delta["type"]) == ("snapshot", "delta")
    assert {"markPrice", "indexPrice", "openInterest", "fundingRate"} < set(snapshot["data"])
    assert delta["data"] == {
        "symbol": "BTCUSDT",
        "lastPrice": "60001.00",
        "bid1Price": "60000.90",
    }
    assert delta["ts"] > snapshot["ts"]
    assert delta["cs"] > snapshot["cs"]


def test_the_merged_ticker_equals_the_ledgers(sandbox, stream):
    merged = []
    stream.ticker_stream("BTCUSDT", lambda message: merged.append(dict(message["data"])))
    sandbox.wait_for_topics(TICKERS)
    for price in range(5):
        sandbox.send_ticker("BTCUSDT", lastPrice=str(price), markPrice="7")
    sandbox.drain()
    assert merged == [line["state"] for line in events(sandbox, "sent")]
    assert [frame["ts"] for frame in stream.of(TICKERS)] == [
        line["ts"] for line in events(sandbox, "sent")
    ]


def test_trades_before_the_subscription_are_not_sent(sandbox, stream):
    before, after = (sandbox.make_trades("BTCUSDT", count) for count in (2, 3))
    sandbox.send_trades("BTCUSDT", before)
    stream.trade_stream("BTCUSDT", ignore)
    sandbox.wait_for_topics(TRADES)
    sandbox.send_trades("BTCUSDT", after)
    sandbox.drain()
    (frame,) = stream.of(TRADES)
    assert frame["data"] == after == sandbox.rows_sent("BTCUSDT")


def test_a_match_of_more_than_1024_trades_is_split_and_shares_its_seq(sandbox, stream):
    stream.trade_stream("BTCUSDT", ignore)
    sandbox.wait_for_topics(TRADES)
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 2500))
    sandbox.drain()
    frames = stream.of(TRADES)
    assert [len(frame["data"]) for frame in frames] == [1024, 1024, 452]
    assert len({row["seq"] for frame in frames for row in frame["data"]}) == 1


def test_a_drain_proves_that_everything_was_read(sandbox, stream):
    stream.trade_stream(["BTCUSDT", "ETHUSDT"], ignore)
    sandbox.wait_for_topics(TRADES, "publicTrade.ETHUSDT")
    for _ in range(500):
        sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 5))
    assert sandbox.drain() == 1
    read = [row for frame in stream.of(TRADES) for row in frame["data"]]
    assert read == sandbox.rows_sent("BTCUSDT")
    assert len(read) == 2500


def test_nothing_is_sent_after_unsubscribing(sandbox, stream):
    stream.trade_stream("BTCUSDT", ignore)
    sandbox.wait_for_topics(TRADES)
    stream.unsubscribe(TRADES)
    sandbox.wait_for(lambda status: not status["connections"][0]["topics"])
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 1))
    sandbox.drain()
    assert stream.of(TRADES) == []
    assert [line["topic"] for line in events(sandbox, "unsubscribed")] == [TRADES]


@pytest.mark.parametrize(
    ("how", "recorded"), [("reset", "reset"), ("close", "server"), ("fin", "server")]
)
def test_a_break_is_noticed_by_the_client_and_recorded(sandbox, stream, how, recorded):
    stream.trade_stream("BTCUSDT", ignore)
    sandbox.wait_for_topics(TRADES)
    assert sandbox.break_connections(how) == 1
    assert stream.cut.wait(10)
    sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 1))
    assert [line["how"] for line in events(sandbox, "closed")] == [recorded]
    assert events(sandbox, "sent") == []


def test_a_client_that_leaves_is_recorded(sandbox, stream):
    sandbox.wait_for_connections(1)
    stream.exit()
    sandbox.wait_for_connections(0)
    (closed,) = events(sandbox, "closed")
    assert (closed["connection"], closed["how"]) == (1, "client")


def test_a_client_that_comes_back_gets_a_new_snapshot(sandbox):
    stream = Stream(sandbox.ws_public_url)
    stream.ticker_stream("BTCUSDT", ignore)
    sandbox.wait_for_topics(TICKERS)
    sandbox.break_connections("reset")
    sandbox.wait_for_topics(TICKERS)
    sandbox.drain()
    stream.exit()
    assert [frame["type"] for frame in stream.of(TICKERS)] == ["snapshot", "snapshot"]
    assert {line["connection"] for line in events(sandbox, "subscribed")} == {1, 2}


def test_the_random_market_looks_like_the_exchange_and_stops_when_paused():
    enough, rows = threading.Event(), []

    def on_trades(message):
        rows.extend(message["data"])
        if len(rows) > 2000:
            enough.set()

    with SandboxServer(SandboxConfig(rate=5000, symbols=("BTCUSDT",))) as sandbox:
        stream = Stream(sandbox.ws_public_url)
        stream.ticker_stream("BTCUSDT", ignore)
        stream.trade_stream("BTCUSDT", on_trades)
        assert enough.wait(20)
        sandbox.pause()
        sandbox.drain()
        stream.exit()
        assert rows == sandbox.rows_sent("BTCUSDT")
        assert sandbox.status()["sent"][TRADES] == len(rows)
    times = [frame["ts"] for frame in stream.of(TICKERS)]
    assert all(len(list(same)) == 1 for _, same in groupby(times))
    assert times == sorted(times)
    assert all(row["T"] <= frame["ts"] for frame in stream.of(TRADES) for row in frame["data"])
    assert [row["T"] for row in rows] == sorted(row["T"] for row in rows)


def test_pause_really_pauses_and_resume_goes_on():
    with SandboxServer(SandboxConfig(rate=5000)) as sandbox:
        stream = Stream(sandbox.ws_public_url)
        stream.trade_stream("BTCUSDT", ignore)
        sandbox.wait_for(lambda status: status["sent"])
        sandbox.pause()
        sent = sandbox.status()["sent"]
        # Each subscription takes longer than several steps of the market.
        stream.ticker_stream("BTCUSDT", ignore)
        sandbox.wait_for_topics(TICKERS)
        stream.trade_stream("ETHUSDT", ignore)
        sandbox.wait_for_topics("publicTrade.ETHUSDT")
        assert sandbox.status()["sent"] == sent | {TICKERS: 1}
        sandbox.resume()
        sandbox.wait_for(lambda status: status["sent"][TRADES] > sent[TRADES])
        stream.exit()
