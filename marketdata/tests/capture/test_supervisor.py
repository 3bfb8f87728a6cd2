"""A supervisor keeps its connection alive, whatever ends it."""

from __future__ import annotations

import threading
from datetime import timedelta
from itertools import count
from types import SimpleNamespace

import pytest

from marketdata.bybit.errors import ExchangeUnavailable
from marketdata.bybit.ws_client import ConnectionState
from marketdata.capture import supervisor as module
from marketdata.capture.feeds import Feed
from marketdata.capture.gaps import GapBook
from marketdata.capture.supervisor import Supervisor
from marketdata.tests.records import START

FEED = Feed("trades", "BTCUSDT")


class ScriptedClient:
    """A client that lives through `script`, one word a connection, and then stays up."""

    def __init__(self, *script: str) -> None:
        self.state = ConnectionState()
        self.script = list(script)
        self.log: list[str] = []
        self.steady = threading.Event()
        self.now = "up"
        self.rejected_topics: dict[str, str] = {}

    def connect(self) -> None:
        self.now = self.script.pop(0) if self.script else "up"
        self.log.append(self.now)
        if self.now == "refused":
            raise ExchangeUnavailable("connection refused")
        if self.now == "bug":
            raise RuntimeError("a bug")
        if self.now == "up":
            self.steady.set()

    def disconnect(self) -> None:
        self.log.append("disconnect")

    def unsubscribe(self, timeout: float = 2.0) -> None:
        self.log.append("unsubscribe")

    def is_connected(self) -> bool:
        return self.now != "lost"

    def silent_seconds(self) -> float:
        return 100.0 if self.now == "silent" else 0.0


@pytest.fixture
def supervise(monkeypatch):
    monkeypatch.setattr(module, "POLL_SECONDS", 0.001)
    books: list[GapBook] = []

    def start(client: ScriptedClient) -> tuple[Supervisor, GapBook]:
        gaps = GapBook()
        books.append(gaps)
        supervisor = Supervisor(
            "test",
            client,
            gaps,
            {"publicTrade.BTCUSDT": FEED},
            on_connecting=lambda: None,
            first_delay=0.001,
            longest_delay=0.01,
        )
        supervisor.start()
        return supervisor, gaps

    return start


def test_it_connects_again_after_every_kind_of_end(supervise):
    client = ScriptedClient("refused", "lost", "refused", "silent")
    supervisor, gaps = supervise(client)
    assert client.steady.wait(30)
    supervisor.stop()
    assert client.log == [
        "refused", "lost", "disconnect", "refused", "silent", "disconnect", "up", "unsubscribe", "disconnect",
    ]  # fmt: skip
    # No row came in between: all of it is one gap.
    assert gaps.opened == 1
    assert not supervisor.is_alive()


def test_a_connection_that_is_lost_before_any_row_may_have_lost_all_since_it_was_begun(
    supervise, monkeypatch
):
    """Topics are subscribed one by one: rows of the first may be lost before the last is given."""
    clock = (START + timedelta(seconds=passed) for passed in count())
    monkeypatch.setattr(module, "datetime", SimpleNamespace(now=lambda zone: next(clock)))
    client, subscribed_at = ScriptedClient("lost"), []
    connect = client.connect
    monkeypatch.setattr(client, "connect", lambda: (subscribed_at.append(next(clock)), connect()))
    supervisor, gaps = supervise(client)
    assert client.steady.wait(30)
    supervisor.stop()
    assert gaps.open_since()[FEED] <= subscribed_at[0]


def test_it_asks_for_no_more_rows_before_it_closes(supervise):
    client = ScriptedClient()
    supervisor, gaps = supervise(client)
    assert supervisor.connected.wait(30)
    supervisor.stop()
    assert client.log[-2:] == ["unsubscribe", "disconnect"]
    assert gaps.opened == 0


def test_a_bug_ends_it_and_is_kept_for_whoever_looks(supervise):
    supervisor, _ = supervise(ScriptedClient("bug"))
    supervisor._thread.join(30)
    assert not supervisor.is_alive()
    assert isinstance(supervisor.error, RuntimeError)


def test_a_connection_that_does_not_bring_everything_is_made_anew_once(supervise):
    client = ScriptedClient("up")
    supervisor, gaps = supervise(client)
    assert supervisor.connected.wait(30)
    gaps.note_rows(FEED, START, START)
    client.steady.clear()
    supervisor.renew(1, "its topic was silent")
    assert client.steady.wait(30)
    # Of a connection that is gone by now.
    supervisor.renew(1, "its topic was silent")
    supervisor.stop()
    assert client.log == ["up", "disconnect", "up", "unsubscribe", "disconnect"]
    assert [gap.reason for gap in gaps.unwritten()] == ["its topic was silent"]
