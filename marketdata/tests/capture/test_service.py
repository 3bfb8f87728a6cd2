"""The service against a real exchange on loopback, through real pybit."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from decimal import Decimal

import orjson
import pytest
from django.db import InterfaceError, InternalError, OperationalError
from django.db.models import F

from marketdata.bybit.ws_client import MAX_FRAME_CHARACTERS
from marketdata.capture.collectors import TRADES
from marketdata.capture.feeds import TICK, Feed
from marketdata.capture.gaps import GapBook
from marketdata.capture.lease import LeaseHeld
from marketdata.capture.public_writers import TradeWriter
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.service import CaptureService
from marketdata.capture.spool_log import SpoolLog
from marketdata.capture.tally import StreamKey
from marketdata.coverage.ledger import vouch
from marketdata.demo.ledger import Ledger
from marketdata.demo.verdict import Judge, Watermark
from marketdata.exits import ConfigurationError, ExitCode
from marketdata.models import (
    CaptureGap,
    CaptureLease,
    CoverageInterval,
    EnvironmentStamp,
    PublicTrade,
    QuarantinedMessage,
    TickerSnapshot,
)
from marketdata.sandbox import SandboxConfig, SandboxServer
from marketdata.tests.capture.conftest import Running, capture_config, until
from marketdata.tests.records import trade

pytestmark = pytest.mark.django_db(transaction=True)

TOPIC = "publicTrade.BTCUSDT"


def send(sandbox: SandboxServer, count: int = 3, symbol: str = "BTCUSDT") -> None:
    sandbox.send_trades(symbol, sandbox.make_trades(symbol, count))


def frame(*rows: dict, topic: str = TOPIC) -> str:
    return orjson.dumps({"topic": topic, "type": "snapshot", "ts": 1, "data": rows}).decode()


def judge(sandbox: SandboxServer, running, before: Watermark):
    report = running.finish()
    return Judge(Ledger.read(sandbox.ledger()), report, running.service.config, before).judge()


def test_what_the_exchange_sends_is_what_the_database_holds(sandbox, capturing):
    before = Watermark()
    with capturing() as running:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            send(sandbox, 40, symbol)
            sandbox.send_ticker(symbol, lastPrice="123.4", fundingRate="-0.0002")
        sandbox.drain()
        running.finish()
    verdict = judge(sandbox, running, before)
    assert verdict.problems == []
    assert verdict.stored["public_trades"] == 80
    assert running.report.exit_code == ExitCode.OK
    assert running.report.gaps == 0


def test_a_match_of_more_than_a_thousand_trades_is_stored_whole(sandbox, capturing):
    with capturing() as running:
        send(sandbox, 2500)
        sandbox.drain()
        running.finish()
    assert PublicTrade.objects.count() == 2500


def test_a_ticker_is_stored_with_the_fields_that_did_not_change(sandbox, capturing):
    with capturing() as running:
        sandbox.send_ticker("BTCUSDT", lastPrice="61000.5")
        sandbox.send_ticker("BTCUSDT", bid1Price="60999.9")
        sandbox.drain()
        running.finish()
    newest = TickerSnapshot.objects.filter(symbol="BTCUSDT").latest("exchange_ts")
    assert (newest.last_price, newest.bid1_price) == (Decimal("61000.5"), Decimal("60999.9"))
    assert newest.mark_price is not None


@pytest.mark.parametrize("how", ["reset", "close", "fin"])
def test_a_broken_connection_is_rebuilt_and_leaves_a_gap_for_each_stream(sandbox, capturing, how):
    with capturing() as running:
        send(sandbox)
        sandbox.drain()
        sandbox.break_connections(how)
        sandbox.wait_for_topics(TOPIC, "tickers.BTCUSDT", "tickers.ETHUSDT", "publicTrade.ETHUSDT")
        send(sandbox)
        sandbox.drain()
        report = running.finish()
    assert PublicTrade.objects.count() == 6
    assert report.reconnects == 1
    times = list(PublicTrade.objects.order_by("exchange_ts").values_list("exchange_ts", flat=True))
    gap = CaptureGap.objects.get(stream="trades", symbol="BTCUSDT")
    assert (gap.started_at, gap.ended_at) == (times[2], times[3])
    assert CaptureGap.objects.count() == 4
    assert not CaptureGap.objects.filter(ended_at=None).exists()


def test_a_refusing_exchange_is_asked_until_it_accepts(sandbox, capturing):
    with capturing() as running:
        send(sandbox)
        sandbox.drain()
        sandbox.refuse(3600)
        sandbox.break_connections("reset")
        for _ in range(1000):
            if running.service.public.supervisors[0].client.state.reconnect_count >= 3:
                break
            running.stop.wait(0.05)
        sandbox.refuse(0)
        sandbox.wait_for_topics(TOPIC)
        send(sandbox)
        sandbox.drain()
        running.finish()
    assert PublicTrade.objects.count() == 6
    gap = CaptureGap.objects.get(stream="trades", symbol="BTCUSDT")
    assert gap.evidence["outages"] >= 3


BAD_TEXTS = {
    "broken JSON": ('{"topic": "publicTrade.BTCUSDT", "data": [', "not JSON"),
    "no object": ("[1, 2]", "not a JSON object"),
    "a number": ("17", "not a JSON object"),
    "NaN": ('{"topic": "publicTrade.BTCUSDT", "data": NaN}', "data"),
    "a lone surrogate": ('{"topic": "publicTrade.BTCUSDT", "data": "\\ud800"}', "data"),
    "deep nesting": ("[" * 100_000, "not JSON"),
    "no topic": ('{"hello": "world"}', "neither data nor an answer"),
    "a strange answer": ('{"op": "subscribe", "success": false}', "neither data nor an answer"),
    "an unknown topic": (frame(topic="orderbook.50.BTCUSDT"), "not asked for"),
    "an unknown symbol": (frame(topic="publicTrade.NOPEUSDT"), "not asked for"),
    "a topic that is no text": ('{"topic": ["publicTrade.BTCUSDT"]}', "not asked for"),
    "no data": ('{"topic": "publicTrade.BTCUSDT", "ts": 1}', "data"),
    "a frame of 5 MB": ('{"x": "' + "x" * MAX_FRAME_CHARACTERS + '"}', "the limit is"),
}


@pytest.mark.parametrize("name", BAD_TEXTS)
def test_a_bad_frame_is_quarantined_and_the_connection_lives_on(sandbox, capturing, name):
    text, reason = BAD_TEXTS[name]
    with capturing() as running:
        sandbox.send_raw(text)
        send(sandbox)
        sandbox.drain()
        report = running.finish()
    assert reason in QuarantinedMessage.objects.get().reason
    assert PublicTrade.objects.count() == 3
    assert (report.reconnects, report.violations) == (0, [])


@pytest.mark.parametrize("change", [{"p": "1e5"}, {"v": float("nan")}, {"L": "\ud800", "S": ""}])
def test_the_good_rows_of_a_frame_are_stored_beside_a_bad_one(sandbox, capturing, change):
    good = sandbox.make_trades("BTCUSDT", 3)
    bad = good[1] | change
    text = {"topic": TOPIC, "type": "snapshot", "ts": 1, "data": [good[0], bad, good[2]]}
    with capturing() as running:
        sandbox.send_raw(json.dumps(text), TOPIC)
        sandbox.drain()
        report = running.finish()
    assert {row["i"] for row in good} - {bad["i"]} == set(
        PublicTrade.objects.values_list("trade_id", flat=True)
    )
    assert bad["i"] in QuarantinedMessage.objects.get().raw_text
    assert report.violations == []


def test_a_frame_of_a_hundred_thousand_bad_rows_costs_its_good_ones_nothing(sandbox, capturing):
    good = sandbox.make_trades("BTCUSDT", 2)
    rows = [good[0], *range(100_000, 200_000), good[1]]
    with capturing() as running:
        sandbox.send_raw(json.dumps({"topic": TOPIC, "data": rows}), TOPIC)
        sandbox.drain()
        report = running.finish()
    assert report.exit_code == ExitCode.OK
    assert PublicTrade.objects.count() == 2
    assert running.service.books.tally.snapshot()[TRADES]["quarantined"] == 100_000
    assert sum(QuarantinedMessage.objects.values_list("count", flat=True)) == 100_000


def test_a_refused_topic_is_a_gap_while_it_lasts(sandbox, capturing):
    with capturing(symbols=("BTCUSDT", "NOPEUSDT"), expected=("BTCUSDT",)) as running:
        send(sandbox)
        sandbox.drain()
        running.finish()
    gaps = CaptureGap.objects.filter(symbol="NOPEUSDT")
    assert {gap.stream for gap in gaps} == {"trades", "tickers"}
    assert all("handler not found" in gap.reason for gap in gaps)
    assert not CaptureGap.objects.filter(symbol="BTCUSDT").exists()


def test_a_gap_that_a_dead_capture_left_open_ends_with_the_first_row(sandbox, capturing):
    left = CaptureGap.objects.create(
        stream="trades", symbol="BTCUSDT", started_at=trade(1).exchange_ts, reason="lost"
    )
    with capturing() as running:
        send(sandbox)
        sandbox.drain()
        running.finish()
    left.refresh_from_db()
    first = PublicTrade.objects.order_by("exchange_ts")[0]
    assert (left.started_at, left.ended_at) == (trade(1).exchange_ts, first.exchange_ts)
    assert CaptureGap.objects.filter(stream="trades").count() == 1


def test_a_value_that_the_database_cannot_hold_exactly_is_quarantined(sandbox, capturing):
    row = sandbox.make_trades("BTCUSDT", 1)[0] | {"p": "123456789012345678.0000000000001"}
    with capturing() as running:
        sandbox.send_raw(frame(row), TOPIC)
        sandbox.drain()
        running.finish()
    assert PublicTrade.objects.count() == 0
    assert QuarantinedMessage.objects.count() == 1


def test_stopping_in_the_middle_of_a_busy_market_loses_nothing(transactional_db):
    config = SandboxConfig(symbols=("BTCUSDT", "ETHUSDT"), rate=3000, seed=5)
    before = Watermark()
    with SandboxServer(config) as sandbox:
        running = Running(CaptureService(capture_config(sandbox)))
        running.thread.start()
        sandbox.wait_for_topics(TOPIC)
        while (
            running.service.books.tally.snapshot().get(("trades", None), {}).get("received", 0)
            < 2000
        ):
            assert not running.stop.wait(0.01)
        running.finish()
        verdict = judge(sandbox, running, before)
    assert verdict.problems == []
    assert verdict.declared == 0


def test_the_time_since_the_last_run_is_a_gap(sandbox, capturing):
    PublicTrade.objects.bulk_insert([PublicTrade(None, *trade(1))])
    with capturing() as running:
        send(sandbox)
        sandbox.drain()
        running.finish()
    gap = CaptureGap.objects.get(stream="trades", symbol="BTCUSDT")
    first = PublicTrade.objects.exclude(trade_id=trade(1).trade_id).order_by("exchange_ts")[0]
    assert (gap.started_at, gap.ended_at) == (trade(1).exchange_ts, first.exchange_ts)


def test_a_database_of_another_environment_is_refused(sandbox):
    EnvironmentStamp.objects.create(environment="mainnet")
    service = CaptureService(capture_config(sandbox))
    with pytest.raises(ConfigurationError, match="holds mainnet data"):
        service.run(threading.Event())
    assert ConfigurationError("x").returncode == 4


def test_a_writer_that_dies_stops_the_capture(sandbox, capturing, monkeypatch):
    def broken(self, key, batch):
        raise RuntimeError("a bug")

    monkeypatch.setattr(TradeWriter, "_insert", broken)
    with capturing() as running:
        send(sandbox, 200)
        report = running.wait()
    assert report.exit_code == ExitCode.UNAVAILABLE
    assert any("a part of capture died" in problem for problem in report.problems)


def test_more_rows_than_memory_may_hold_go_to_disk(sandbox, capturing, monkeypatch):
    def away(self, key, batch):
        raise OperationalError("away")

    monkeypatch.setattr(TradeWriter, "_insert", away)
    monkeypatch.setattr("marketdata.capture.service.WRITER_STOP_SECONDS", 0)
    service = CaptureService(capture_config(sandbox, spool_after=0.0))
    service.public.writers[0].buffer.capacity = 5100
    with capturing(service) as running:
        send(sandbox, 5000)
        until(lambda: service.books.tally.waiting(StreamKey("trades")) == 5000)
        until(lambda: not sum(service.public.writers[0].pending().values()))
        send(sandbox, 200)
        sandbox.drain()
        report = running.finish()
    assert report.exit_code == ExitCode.UNAVAILABLE
    assert any("5200 rows are safe in" in problem for problem in report.problems)
    assert (report.violations, report.spool["left"]) == ([], 5200)


def test_neither_database_nor_disk_stops_the_capture(sandbox, capturing, monkeypatch):
    def away(self, *args):
        raise OperationalError("away")

    def full(self, *args):
        raise OSError("no space left")

    monkeypatch.setattr(TradeWriter, "_insert", away)
    monkeypatch.setattr(SpoolLog, "append", full)
    monkeypatch.setattr("marketdata.capture.service.WRITER_STOP_SECONDS", 0)
    service = CaptureService(capture_config(sandbox))
    service.public.writers[0].buffer.capacity = 10
    with capturing(service) as running:
        # More than a writer takes in hand at once.
        send(sandbox, 5000)
        send(sandbox, 200)
        report = running.wait()
    assert report.exit_code == ExitCode.UNAVAILABLE
    assert any("rows of trades wait for the database" in problem for problem in report.problems)
    (trades,) = (each.counts for each in report.streams if each.stream == "trades")
    assert trades["received"] > 10
    assert report.violations == [f"trades: {trades['received']} rows are still buffered at the end"]


def test_many_symbols_are_spread_over_connections(sandbox, monkeypatch):
    monkeypatch.setattr("marketdata.capture.public_part.SYMBOLS_PER_CONNECTION", 1)
    service = CaptureService(capture_config(sandbox))
    assert [s.client.topics for s in service.public.supervisors] == [
        ["publicTrade.BTCUSDT", "tickers.BTCUSDT"],
        ["publicTrade.ETHUSDT", "tickers.ETHUSDT"],
    ]


def test_gaps_and_quarantine_wait_while_the_database_is_away(sandbox, capturing, monkeypatch):
    failures = iter([OperationalError("away")] * 2)
    persist = GapBook.persist

    def flaky(self):
        for error in failures:
            raise error
        persist(self)

    with capturing() as running:
        monkeypatch.setattr(GapBook, "persist", flaky)
        monkeypatch.setattr("marketdata.capture.service.CLOSING_PAUSE_SECONDS", 0)
        sandbox.send_raw("broken")
        sandbox.drain()
        report = running.finish()
    assert report.exit_code == ExitCode.OK
    assert QuarantinedMessage.objects.count() == 1


@pytest.mark.parametrize("kind", [InternalError, InterfaceError])
def test_books_that_the_database_refuses_wait_and_a_refusal_is_told_of(
    sandbox, capturing, monkeypatch, caplog, kind
):
    failures = iter([kind("refused")] * 2)
    flush = Quarantine.flush

    def flaky(self):
        for error in failures:
            raise error
        flush(self)

    with capturing() as running:
        monkeypatch.setattr("marketdata.capture.service.CLOSING_PAUSE_SECONDS", 0)
        monkeypatch.setattr(Quarantine, "flush", flaky)
        report = running.finish()
    assert report.exit_code == ExitCode.OK
    assert next(failures, None) is None
    alarms = [record.message for record in caplog.records if "ALARM" in record.message]
    assert bool(alarms) is (kind is InternalError)


def test_what_could_not_be_written_at_the_end_is_said(sandbox, capturing, monkeypatch):
    def away(self):
        raise OperationalError("away")

    with capturing() as running:
        monkeypatch.setattr(Quarantine, "flush", away)
        monkeypatch.setattr("marketdata.capture.service.CLOSING_PAUSE_SECONDS", 0)
        report = running.finish()
    assert report.exit_code == ExitCode.UNAVAILABLE
    assert report.problems == ["gaps and quarantine wait on disk for the next capture"]


def test_rows_that_nobody_accounts_for_stop_the_capture(sandbox, capturing):
    with capturing() as running:
        running.service.books.tally.add(TRADES, received=1)
        report = running.wait()
    assert report.exit_code == ExitCode.ERROR
    assert report.violations == ["trades: received 1, accounted for 0"]


def test_too_many_messages_for_quarantine_stop_the_capture(sandbox, capturing, monkeypatch):
    monkeypatch.setattr(Quarantine, "flush", lambda self: None)
    with capturing() as running:
        running.service.books.quarantine._capacity = 1
        for text in ("a", "b", "c"):
            sandbox.send_raw(text)
        report = running.wait()
    assert report.exit_code == ExitCode.UNAVAILABLE


def spans_of(symbol: str, stream: str = "trades"):
    rows = CoverageInterval.objects.filter(stream=stream, symbol=symbol).order_by("started_at")
    return list(rows.values_list("started_at", "ended_at"))


def test_what_is_stored_at_the_end_is_vouched_for(sandbox, capturing):
    with capturing() as running:
        for _ in range(3):
            send(sandbox, 40)
        sandbox.drain()
        running.finish()
    times = PublicTrade.objects.order_by("exchange_ts").values_list("exchange_ts", flat=True)
    start, end = times.first() + TICK, times.last() - TICK
    # On a fast machine all of them are of two milliseconds, and nothing lies between.
    assert spans_of("BTCUSDT") == ([(start, end)] if start <= end else [])
    assert not CaptureGap.objects.exists()


def test_an_outage_divides_what_is_vouched_for(sandbox, capturing):
    with capturing() as running:
        for _ in range(5):
            send(sandbox, 9)
            sandbox.drain()
        sandbox.drain()
        sandbox.break_connections("reset")
        sandbox.wait_for_topics(TOPIC)
        for _ in range(5):
            send(sandbox, 9)
            sandbox.drain()
        sandbox.drain()
        running.finish()
    gap = CaptureGap.objects.get(stream="trades", symbol="BTCUSDT")
    (_, before), (after, _) = spans_of("BTCUSDT")
    assert (before, after) == (gap.started_at - TICK, gap.ended_at + TICK)


def test_the_gap_since_a_capture_that_was_killed_begins_where_it_had_vouched_to(sandbox, capturing):
    """Rows that it stored later prove nothing of what lay between them."""
    rows = [trade(n) for n in (1, 5, 9)]
    PublicTrade.objects.bulk_insert([PublicTrade(None, *row) for row in rows])
    until = trade(4).exchange_ts
    vouch("trades", "BTCUSDT", None, trade(1).exchange_ts, until, "live")
    with capturing() as running:
        send(sandbox)
        sandbox.drain()
        running.finish()
    gap = CaptureGap.objects.get(stream="trades", symbol="BTCUSDT")
    assert gap.started_at == until + TICK


def test_the_gap_of_a_quiet_stream_begins_where_it_was_vouched_to_without_rows(sandbox, capturing):
    PublicTrade.objects.bulk_insert([PublicTrade(None, *trade(1))])
    until = trade(60_000).exchange_ts
    vouch("trades", "BTCUSDT", None, trade(2).exchange_ts, until, "live")
    with capturing() as running:
        send(sandbox)
        sandbox.drain()
        running.finish()
    gap = CaptureGap.objects.get(stream="trades", symbol="BTCUSDT")
    assert gap.started_at == until + TICK


def test_a_symbol_without_trades_is_as_complete_as_its_connection(sandbox, capturing):
    with capturing() as running:
        send(sandbox, 2)
        sandbox.drain()
        while PublicTrade.objects.count() < 2:
            running.stop.wait(0.01)
        newest = PublicTrade.objects.latest("exchange_ts").exchange_ts
        later = [row | {"T": row["T"] + 30_000} for row in sandbox.make_trades("ETHUSDT", 2)]
        sandbox.send_trades("ETHUSDT", later)
        sandbox.drain()
        running.service.books.gaps._clock = lambda: newest + timedelta(seconds=30)
        # One feed alone would not be believed.
        collector = running.service.public.collectors[0]
        collector._newest[Feed("tickers", "ETHUSDT")] = newest + timedelta(seconds=30)
        while not (collector.newest and collector.newest > newest + timedelta(seconds=20)):
            running.stop.wait(0.01)
        running.service.public.beat()
        running.finish()
    ((_, end),) = spans_of("BTCUSDT")
    assert end > newest + timedelta(seconds=20)


def test_while_another_capture_works_a_second_one_does_not(sandbox, capturing):
    with capturing() as running:
        second = CaptureService(capture_config(sandbox))
        with pytest.raises(LeaseHeld, match="Another capture writes to this database"):
            second.run(running.stop)
        report = running.finish()
    assert report.exit_code == ExitCode.OK
    CaptureService(capture_config(sandbox)).run(running.stop)


def test_a_capture_whose_lease_was_taken_stops(sandbox, capturing):
    with capturing(lease_seconds=0.1) as running:
        CaptureLease.objects.update(epoch=F("epoch") + 1)
        report = running.wait()
    assert report.exit_code == ExitCode.UNAVAILABLE
    assert report.problems == ["Another capture has taken over from epoch 1."]
