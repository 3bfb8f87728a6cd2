"""The verdict sees what is lost, doubled or altered, and forgives nothing else."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from marketdata.bybit.environments import Environment
from marketdata.capture.config import CaptureConfig
from marketdata.capture.report import CaptureReport, StreamStatus
from marketdata.demo.ledger import Ledger
from marketdata.demo.result import Verdict
from marketdata.demo.verdict import Judge, Watermark
from marketdata.exits import ExitCode
from marketdata.models import CaptureGap, PublicTrade, TickerSnapshot
from marketdata.tests.records import START, ticker, trade

pytestmark = pytest.mark.django_db

EPOCH_MS = int(START.timestamp() * 1000)
TRADES, TICKERS = "publicTrade.BTCUSDT", "tickers.BTCUSDT"


def sent_trades(*numbers: int, connection: int = 1) -> dict[str, Any]:
    rows = [
        {
            "T": EPOCH_MS + n, "s": "BTCUSDT", "S": "Buy", "v": "0.003", "p": "60000.10",
            "i": trade(n).trade_id, "BT": False, "RPI": False, "seq": 1000 + n,
        }
        for n in numbers
    ]  # fmt: skip
    return {"event": "sent", "connection": connection, "topic": TRADES, "rows": rows}


def sent_ticker(milliseconds: int, connection: int = 1) -> dict[str, Any]:
    state = {
        "symbol": "BTCUSDT", "lastPrice": "60000.1", "markPrice": "60000.1",
        "indexPrice": "60000.1", "bid1Price": "60000.1", "bid1Size": "1", "ask1Price": "60000.1",
        "ask1Size": "2", "fundingRate": "0.0001", "openInterest": "50000",
        "nextFundingTime": str(EPOCH_MS + 8 * 3_600_000),
    }  # fmt: skip
    ts = EPOCH_MS + milliseconds
    return {"event": "sent", "connection": connection, "topic": TICKERS, "ts": ts, "state": state}


def session(
    *events: dict[str, Any], connection: int = 1, how: str = "client", ms: int = 1_000_000
) -> list[dict[str, Any]]:
    opening = [
        {"event": "subscribed", "connection": connection, "topic": topic}
        for topic in (TRADES, TICKERS)
    ]
    closing = {"event": "closed", "connection": connection, "how": how, "ms": EPOCH_MS + ms}
    return [*opening, *events, closing]


class Scene:
    """A database, what is stored in it, and what capture counted."""

    def __init__(self) -> None:
        self.before = Watermark()
        self.counted: dict[tuple[str, str], int] = {}

    def store(self, *records: Any, local_ts: Any = None) -> None:
        for record in records:
            model = PublicTrade if len(record) == len(trade()) else TickerSnapshot
            arrived = record._replace(local_ts=local_ts or timezone.now())
            model.objects.bulk_insert([model(None, *arrived)])

    def gap(self, start: int, end: int | None, **changes: Any) -> None:
        options = {"stream": "trades", "symbol": "BTCUSDT", "started_at": at(start)}
        options["ended_at"] = None if end is None else at(end)
        CaptureGap.objects.create(**options | changes)

    def count(self, stream: str, **columns: int) -> None:
        for column, rows in columns.items():
            self.counted[stream, column] = rows

    def judge(self, events: list[dict[str, Any]]) -> Verdict:
        report = CaptureReport(
            seconds=1,
            streams=[
                self._status("trades", PublicTrade, _sent(events, TRADES)),
                self._status("tickers", TickerSnapshot, _sent(events, TICKERS)),
            ],
            gaps=0, reconnects=0, violations=[], problems=[], exit_code=ExitCode.OK,
        )  # fmt: skip
        config = CaptureConfig(symbols=("BTCUSDT",), environment=Environment.SANDBOX)
        return Judge(Ledger.read(events), report, config, self.before).judge()

    def _status(self, stream: str, model: Any, sent: int) -> StreamStatus:
        counts = dict.fromkeys(("duplicate", "conflated", "quarantined"), 0)
        counts |= {"received": sent, "stored": self.before.rows(model).count()}
        own = {column: rows for (name, column), rows in self.counted.items() if name == stream}
        return StreamStatus(
            stream=stream, counts=counts | own, lag_seconds=None, silent_seconds=None
        )


def _sent(events: list[dict[str, Any]], topic: str) -> int:
    sent = [e for e in events if e["event"] == "sent" and e["topic"] == topic]
    return sum(len(event.get("rows", [0])) for event in sent)


def at(milliseconds: int) -> Any:
    return START + timedelta(milliseconds=milliseconds)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def figures(verdict: Verdict) -> tuple[int, int, int, int]:
    return verdict.lost, verdict.duplicated, verdict.mutated, verdict.quarantined


def test_what_was_sent_and_stored_is_green(scene):
    scene.store(trade(1), trade(2), ticker(900))
    verdict = scene.judge(session(sent_trades(1, 2), sent_ticker(0), sent_ticker(900)))
    assert verdict.problems == []
    assert verdict.is_green
    assert verdict.stored == {"public_trades": 2, "ticker_snapshots": 1}


def test_what_another_capture_had_stored_before_is_not_judged():
    Scene().store(trade(99), ticker(99))
    scene = Scene()
    scene.store(trade(1), ticker(0))
    assert scene.judge(session(sent_trades(1), sent_ticker(0))).is_green


def test_a_trade_that_is_not_stored_is_lost(scene):
    scene.store(trade(1), ticker(0))
    assert figures(scene.judge(session(sent_trades(1, 2), sent_ticker(0)))) == (1, 0, 0, 0)


class TestBreak:
    """Rows on the wire at a break are declared, and nothing else is."""

    def events(self, *numbers: int, again: bool = True) -> list[dict[str, Any]]:
        broken = session(sent_trades(*numbers), sent_ticker(0), how="reset", ms=5000)
        if not again:
            return broken
        return broken + session(
            sent_trades(9000, connection=2), sent_ticker(9000, connection=2), connection=2
        )

    @pytest.fixture
    def broken(self, scene):
        scene.store(trade(1), trade(9000), ticker(0), ticker(9000))
        scene.gap(0, 9000, stream="tickers")
        return scene

    def test_a_trade_that_was_on_the_wire_is_declared_by_its_gap(self, broken):
        broken.gap(1, 9000)
        broken.count("trades", received=2)
        verdict = broken.judge(self.events(1, 2))
        assert verdict.problems == []
        assert (verdict.lost, verdict.declared) == (0, 1)

    def test_without_a_gap_row_it_is_lost_and_the_break_is_missed(self, broken):
        verdict = broken.judge(self.events(1, 2))
        assert verdict.lost == 1
        assert any("no gap row" in problem for problem in verdict.problems)

    @pytest.mark.parametrize("change", [{"symbol": "ETHUSDT"}, {"stream": "tickers"}])
    def test_a_gap_of_another_stream_or_symbol_excuses_nothing(self, broken, change):
        broken.gap(1, 9000, **change)
        assert broken.judge(self.events(1, 2)).lost == 1

    def test_a_row_before_one_that_is_stored_had_arrived(self, broken):
        broken.store(trade(3))
        broken.gap(3, 9000)
        broken.count("trades", received=3)
        assert broken.judge(self.events(1, 2, 3)).lost == 1

    def test_a_gap_that_does_not_begin_with_a_stored_row_excuses_nothing(self, broken):
        """So a last frame that arrived and was dropped is found: the gap begins with it."""
        broken.gap(2, 9000)
        broken.count("trades", received=2)
        assert broken.judge(self.events(1, 2)).lost == 1

    def test_a_gap_that_begins_too_early_excuses_nothing(self, broken):
        broken.gap(0, 9000)
        assert broken.judge(self.events(1, 2)).lost == 1

    def test_rows_that_arrived_beyond_what_was_sent_are_noticed(self, broken):
        broken.gap(1, 9000)
        broken.count("trades", received=3)
        problems = broken.judge(self.events(1, 2)).problems
        assert any("rows received" in problem for problem in problems)

    def test_a_capture_that_never_came_back_is_noticed(self, scene):
        scene.store(trade(1), ticker(0))
        scene.gap(1, None)
        scene.gap(0, None, stream="tickers")
        problems = scene.judge(self.events(1, again=False)).problems
        assert any("not subscribed again" in problem for problem in problems)

    def test_a_ticker_state_on_the_wire_was_not_received(self, broken):
        broken.gap(1, 9000)
        late = sent_ticker(4000)
        events = self.events(1)
        events.insert(4, late)
        broken.count("tickers", received=2)
        assert broken.judge(events).is_green
        broken.count("tickers", received=3)
        assert not broken.judge(events).is_green


def test_a_gap_excuses_nothing_on_a_connection_that_we_closed_ourselves(scene):
    scene.store(trade(1), ticker(0))
    scene.gap(1, None)
    assert scene.judge(session(sent_trades(1, 2), sent_ticker(0))).lost == 1


def test_what_was_sent_before_the_subscription_or_after_its_end_need_not_be_stored(scene):
    scene.store(trade(1), ticker(0))
    ending = {"event": "unsubscribed", "connection": 1, "topic": TRADES}
    scene.count("trades", received=1)
    events = session(sent_trades(1), sent_ticker(0), ending, sent_trades(3))
    assert scene.judge([sent_trades(4), *events]).is_green


def test_one_ledger_row_in_two_rows_is_duplicated_whatever_the_time(scene):
    scene.store(trade(1), trade(1, exchange_ts=at(3_600_000)), ticker(0))
    assert scene.judge(session(sent_trades(1), sent_ticker(0))).duplicated == 1


def test_counting_more_duplicates_than_were_sent_again_is_duplication(scene):
    scene.store(trade(1), ticker(0))
    twice = session(sent_trades(1), sent_trades(1), sent_ticker(0))
    scene.count("trades", duplicate=1)
    assert scene.judge(twice).is_green
    scene.count("trades", duplicate=3)
    assert scene.judge(twice).duplicated == 2


def test_a_ticker_counted_as_a_duplicate_is_duplication(scene):
    scene.store(trade(1), ticker(0))
    scene.count("tickers", duplicate=1)
    assert scene.judge(session(sent_trades(1), sent_ticker(0))).duplicated == 1


def test_a_row_that_is_counted_as_stored_and_is_not_there_is_noticed(scene):
    scene.store(trade(1), ticker(0))
    scene.count("tickers", stored=2)
    problems = scene.judge(session(sent_trades(1), sent_ticker(0))).problems
    assert problems == ["tickers: 2 counted as stored, 1 are"]


@pytest.mark.parametrize(
    "change",
    [
        {"price": Decimal("60000.2")}, {"size": Decimal("0.004")}, {"side": "Sell"},
        {"is_block_trade": True}, {"is_rpi": True}, {"sequence": None}, {"exchange_ts": at(1000)},
    ],
)  # fmt: skip
def test_a_trade_with_any_other_value_is_mutated(scene, change):
    scene.store(trade(1, **change), ticker(0))
    assert figures(scene.judge(session(sent_trades(1), sent_ticker(0)))) == (0, 0, 1, 0)


@pytest.mark.parametrize("days", [-1, 400])
def test_a_time_of_arrival_that_cannot_be_is_mutated(scene, days):
    scene.store(trade(1), local_ts=timezone.now() + timedelta(days=days))
    scene.store(ticker(0))
    assert scene.judge(session(sent_trades(1), sent_ticker(0))).mutated == 1


def test_a_trade_that_was_never_sent_is_mutated(scene):
    scene.store(trade(1), trade(2), ticker(0))
    assert scene.judge(session(sent_trades(1), sent_ticker(0))).mutated == 1


@pytest.mark.parametrize(
    "change",
    [{"last_price": Decimal(1)}, {"funding_rate": None}, {"next_funding_time": START}],
)
def test_a_ticker_with_any_other_value_is_mutated(scene, change):
    scene.store(trade(1), ticker(0, **change))
    assert figures(scene.judge(session(sent_trades(1), sent_ticker(0)))) == (0, 0, 1, 0)


def test_a_ticker_at_a_time_when_none_was_sent_is_mutated(scene):
    scene.store(trade(1), ticker(0), ticker(7))
    assert scene.judge(session(sent_trades(1), sent_ticker(0))).mutated == 1


def test_the_last_state_of_an_interval_that_is_not_stored_is_lost(scene):
    scene.store(trade(1), ticker(0), ticker(2000))
    sent = [sent_ticker(ms) for ms in (0, 500, 2000)]
    assert scene.judge(session(sent_trades(1), *sent)).lost == 1


def test_ticker_states_that_never_arrived_are_noticed(scene):
    scene.store(trade(1), ticker(900))
    sent = [sent_ticker(ms) for ms in (0, 500, 900)]
    scene.count("tickers", received=2)
    problems = scene.judge(session(sent_trades(1), *sent)).problems
    assert problems == ["tickers : 2 rows received, 3 to 3 came"]


def test_quarantined_rows_are_no_success(scene):
    scene.store(trade(1), ticker(0))
    scene.count("trades", quarantined=4)
    verdict = scene.judge(session(sent_trades(1), sent_ticker(0)))
    assert figures(verdict) == (0, 0, 0, 4)
    assert not verdict.is_green


def test_a_stream_that_stored_nothing_is_no_success(scene):
    scene.store(trade(1))
    verdict = scene.judge(session(sent_trades(1)))
    assert verdict.problems == ["nothing stored of tickers BTCUSDT"]
