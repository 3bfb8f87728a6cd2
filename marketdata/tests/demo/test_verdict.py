"""The verdict sees what is lost, doubled or altered, and forgives nothing else."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from marketdata.bybit.environments import Environment
from marketdata.capture.service import CaptureConfig, CaptureReport, StreamStatus
from marketdata.demo.verdict import Judge, Ledger, Verdict
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
        "lastPrice": "60000.1", "markPrice": "60000.1", "indexPrice": "60000.1",
        "bid1Price": "60000.1", "bid1Size": "1", "ask1Price": "60000.1", "ask1Size": "2",
        "fundingRate": "0.0001", "openInterest": "50000",
        "nextFundingTime": str(EPOCH_MS + 8 * 3_600_000),
    }  # fmt: skip
    ts = EPOCH_MS + milliseconds
    return {"event": "sent", "connection": connection, "topic": TICKERS, "ts": ts, "state": state}


def session(
    *events: dict[str, Any], connection: int = 1, how: str = "client"
) -> list[dict[str, Any]]:
    opening = [
        {"event": "subscribed", "connection": connection, "topic": topic}
        for topic in (TRADES, TICKERS)
    ]
    return [*opening, *events, {"event": "closed", "connection": connection, "how": how}]


def store(*records: Any) -> None:
    for record in records:
        model = PublicTrade if len(record) == len(trade()) else TickerSnapshot
        model.objects.bulk_insert([model(None, *record)])


def judge(events: list[dict[str, Any]], **counts: int) -> Verdict:
    """Judge what is stored; `counts` are tickers received and trades counted as duplicates."""
    heard = counts.get(
        "tickers", sum(event.get("topic") == TICKERS and "ts" in event for event in events)
    )
    columns = {"received": 0, "duplicate": 0, "quarantined": counts.get("quarantined", 0)}
    streams = [
        StreamStatus(stream=stream, counts=columns | own, lag_seconds=None, silent_seconds=None)
        for stream, own in (
            ("trades", {"duplicate": counts.get("duplicate", 0)}),
            ("tickers", {"received": heard, "quarantined": 0}),
        )
    ]
    report = CaptureReport(
        seconds=1,
        streams=streams,
        gaps=0,
        reconnects=0,
        violations=[],
        problems=[],
        exit_code=ExitCode.OK,
    )
    config = CaptureConfig(symbols=("BTCUSDT",), environment=Environment.SANDBOX)
    return Judge(Ledger.read(events), report, config, since=START).judge()


def figures(verdict: Verdict) -> tuple[int, int, int, int]:
    return verdict.lost, verdict.duplicated, verdict.mutated, verdict.quarantined


def test_what_was_sent_and_stored_is_green():
    store(trade(1), trade(2), ticker(900))
    verdict = judge(session(sent_trades(1, 2), sent_ticker(0), sent_ticker(900)))
    assert verdict.problems == []
    assert verdict.is_green
    assert verdict.stored == {"public_trades": 2, "ticker_snapshots": 1}


def test_a_trade_that_is_not_stored_is_lost():
    store(trade(1), ticker(0))
    assert figures(judge(session(sent_trades(1, 2), sent_ticker(0)))) == (1, 0, 0, 0)


def test_a_trade_of_a_broken_connection_is_lost_unless_a_gap_covers_it():
    store(trade(1), ticker(0))
    broken = session(sent_trades(1, 2), sent_ticker(0), how="reset")
    assert judge(broken).lost == 1
    CaptureGap.objects.create(
        stream="trades",
        symbol="BTCUSDT",
        started_at=trade(1).exchange_ts,
        ended_at=trade(9).exchange_ts,
    )
    assert judge(broken).lost == 0
    assert judge(broken).declared == 1


def test_a_gap_excuses_nothing_on_a_connection_that_we_closed_ourselves():
    store(trade(1), ticker(0))
    CaptureGap.objects.create(stream="trades", symbol="BTCUSDT", started_at=START, ended_at=None)
    assert judge(session(sent_trades(1, 2), sent_ticker(0))).lost == 1


@pytest.mark.parametrize("change", [{"symbol": "ETHUSDT"}, {"stream": "tickers"}])
def test_a_gap_of_another_stream_or_symbol_excuses_nothing(change):
    store(trade(1), ticker(0))
    span = {"stream": "trades", "symbol": "BTCUSDT", "started_at": START}
    CaptureGap.objects.create(**span | change)
    assert judge(session(sent_trades(1, 2), sent_ticker(0), how="reset")).lost == 1


def test_what_was_sent_before_the_subscription_or_after_its_end_need_not_be_stored():
    store(trade(1), ticker(0))
    ending = {"event": "unsubscribed", "connection": 1, "topic": TRADES}
    events = session(sent_trades(1), sent_ticker(0), ending, sent_trades(3))
    assert judge([sent_trades(4), *events]).is_green


def test_one_ledger_row_in_two_rows_is_duplicated_whatever_the_time():
    store(trade(1), trade(1, exchange_ts=START + timedelta(hours=1)), ticker(0))
    assert figures(judge(session(sent_trades(1), sent_ticker(0)))) == (0, 1, 0, 0)


def test_counting_more_duplicates_than_were_sent_again_is_duplication():
    store(trade(1), ticker(0))
    twice = session(sent_trades(1), sent_trades(1), sent_ticker(0))
    assert judge(twice, duplicate=1).is_green
    assert judge(twice, duplicate=3).duplicated == 2


@pytest.mark.parametrize(
    "change",
    [
        {"price": Decimal("60000.2")}, {"size": Decimal("0.004")}, {"side": "Sell"},
        {"is_block_trade": True}, {"is_rpi": True}, {"sequence": None},
        {"exchange_ts": START + timedelta(seconds=1)},
    ],
)  # fmt: skip
def test_a_trade_with_any_other_value_is_mutated(change):
    store(trade(1, **change), ticker(0))
    assert figures(judge(session(sent_trades(1), sent_ticker(0)))) == (0, 0, 1, 0)


def test_a_trade_that_was_never_sent_is_mutated():
    store(trade(1), trade(2), ticker(0))
    assert judge(session(sent_trades(1), sent_ticker(0))).mutated == 1


@pytest.mark.parametrize(
    "change",
    [{"last_price": Decimal(1)}, {"funding_rate": None}, {"next_funding_time": START}],
)
def test_a_ticker_with_any_other_value_is_mutated(change):
    store(trade(1), ticker(0, **change))
    assert figures(judge(session(sent_trades(1), sent_ticker(0)))) == (0, 0, 1, 0)


def test_a_ticker_at_a_time_when_none_was_sent_is_mutated():
    store(trade(1), ticker(0), ticker(7))
    assert judge(session(sent_trades(1), sent_ticker(0))).mutated == 1


def test_the_last_state_of_an_interval_that_is_not_stored_is_lost():
    store(trade(1), ticker(0), ticker(2000))
    sent = [sent_ticker(ms) for ms in (0, 500, 2000)]
    assert judge(session(sent_trades(1), *sent)).lost == 1


def test_ticker_states_that_never_arrived_are_lost():
    store(trade(1), ticker(900))
    sent = [sent_ticker(ms) for ms in (0, 500, 900)]
    assert judge(session(sent_trades(1), *sent), tickers=2).lost == 1


def test_quarantined_rows_are_no_success():
    store(trade(1), ticker(0))
    verdict = judge(session(sent_trades(1), sent_ticker(0)), quarantined=4)
    assert figures(verdict) == (0, 0, 0, 4)
    assert not verdict.is_green


def test_a_stream_that_stored_nothing_is_no_success():
    store(trade(1))
    verdict = judge(session(sent_trades(1)))
    assert verdict.problems == ["ticker_snapshots: nothing stored of BTCUSDT"]
