"""What is vouched for is stored: marks wait for their rows, quarantine cuts, spools hold back."""

from __future__ import annotations

import pytest
from django.db import OperationalError

from marketdata.bybit.records import Parsed, Reject
from marketdata.capture import vouching
from marketdata.capture.books import Books
from marketdata.capture.collectors import PublicCollector
from marketdata.capture.feeds import TICK, Feed
from marketdata.capture.public_writers import TickerWriter, TradeWriter
from marketdata.capture.tally import UNKNOWN, StreamKey
from marketdata.coverage.ledger import vouch
from marketdata.coverage.spans import Span
from marketdata.models import CaptureGap, CoverageInterval
from marketdata.tests.records import START, ticker, trade

pytestmark = pytest.mark.django_db

TRADES, TICKERS = StreamKey("trades"), StreamKey("tickers")
FEED, OTHER = Feed("trades", "BTCUSDT"), Feed("trades", "ETHUSDT")
TICKER_FEED = Feed("tickers", "BTCUSDT")


class Desk:
    """Books with their writers, and rows that arrive as if from a socket."""

    def __init__(self):
        self.books = Books()
        options = {"tally": self.books.tally, "quarantine": self.books.quarantine}
        self.trades = TradeWriter(**options)
        self.tickers = TickerWriter(**options, interval_ms=1000)
        self.writers = [self.trades, self.tickers]

    def receive(self, *numbers: int, symbol: str = "BTCUSDT") -> None:
        records = [trade(n, symbol=symbol) for n in numbers]
        self.trades.write(records)
        times = [record.exchange_ts for record in records]
        self.books.gaps.note_rows(Feed("trades", symbol), min(times), max(times))

    def look(self):
        self.books.voucher.look(self.writers)
        self.books.persist()

    def reject(self, topic: str, key: StreamKey = TRADES) -> None:
        self.books.quarantine.add(key, Reject(topic, "price is negative", "raw"))


@pytest.fixture
def desk(monkeypatch):
    monkeypatch.setattr(vouching, "EVERY_SECONDS", 0.0)
    return Desk()


def at(n: int):
    return trade(n).exchange_ts


def covered(feed: Feed = FEED):
    rows = CoverageInterval.objects.filter(stream=feed.stream, symbol=feed.symbol)
    return [(row.started_at, row.ended_at) for row in rows.order_by("started_at")]


def test_rows_that_are_only_received_are_not_vouched_for(desk):
    desk.receive(1, 5)
    desk.look()
    assert covered() == []
    desk.trades.flush()
    desk.look()
    assert covered() == [(at(1) + TICK, at(5) - TICK)]


def test_rows_that_came_after_the_mark_do_not_hold_it_back(desk):
    desk.receive(1, 5)
    desk.look()
    desk.trades.flush()
    desk.receive(9)
    desk.look()
    assert covered() == [(at(1) + TICK, at(5) - TICK)]


def test_a_row_that_was_set_aside_at_once_stands_in_for_no_stored_one(desk):
    """Counted alone, it would make it look as if a row that waits were settled."""
    desk.receive(1, 5)
    desk.look()
    desk.reject("publicTrade.ETHUSDT")
    desk.reject("publicTrade.ETHUSDT")
    desk.look()
    assert covered() == []


def test_one_interval_grows_as_the_stream_runs(desk):
    for n in range(1, 8):
        desk.receive(n)
        desk.trades.flush()
        desk.look()
    desk.look()
    assert covered() == [(at(1) + TICK, at(7) - TICK)]


def test_an_outage_divides_and_the_two_sides_meet_the_gap_exactly(desk):
    desk.receive(1, 5)
    desk.books.gaps.open([FEED], "lost", START)
    desk.receive(20, 25)
    desk.trades.flush()
    desk.look()
    gap = CaptureGap.objects.get()
    assert covered() == [
        (at(1) + TICK, gap.started_at - TICK),
        (gap.ended_at + TICK, at(25) - TICK),
    ]


def test_what_is_given_up_is_a_gap_between_two_intervals(desk):
    desk.receive(1, 5, 9)
    desk.books.voucher.exclude(FEED, "the spool was full", at(5), at(5))
    desk.trades.flush()
    desk.look()
    desk.receive(12)
    desk.trades.flush()
    desk.look()
    assert covered() == [(at(1) + TICK, at(5) - TICK), (at(5) + TICK, at(12) - TICK)]
    gap = CaptureGap.objects.get()
    assert (gap.started_at, gap.ended_at, gap.reason) == (at(5), at(5), "the spool was full")


def test_what_is_given_up_ahead_of_a_mark_is_cut_when_it_is_reached(desk):
    desk.receive(1, 5)
    desk.books.voucher.exclude(FEED, "the spool was full", at(8), at(9))
    desk.trades.flush()
    desk.look()
    assert covered() == [(at(1) + TICK, at(5) - TICK)]
    desk.receive(8, 9, 20)
    desk.trades.flush()
    desk.look()
    assert covered() == [(at(1) + TICK, at(8) - TICK), (at(9) + TICK, at(20) - TICK)]


def test_rows_on_disk_are_not_vouched_for(desk):
    desk.receive(1, 5)
    desk.trades.flush()
    desk.books.tally.add(TRADES, received=3, spooled=3)
    desk.look()
    assert covered() == []
    desk.books.tally.add(TRADES, spooled=-3, stored=3)
    desk.look()
    assert len(covered()) == 1


def test_a_ticker_that_is_held_back_is_not_vouched_for(desk):
    for n in (1100, 1200, 3300):
        record = ticker(n)
        desk.tickers.write([record])
        desk.books.gaps.note_rows(TICKER_FEED, record.exchange_ts, record.exchange_ts)
    desk.look()
    with desk.tickers._flushing:
        while desk.tickers._store_next():
            pass
    desk.look()
    ((start, end),) = covered(TICKER_FEED)
    assert start == ticker(1101).exchange_ts
    assert end < desk.tickers.held_since("BTCUSDT") <= ticker(3300).exchange_ts
    desk.tickers.flush()
    desk.look()
    assert covered(TICKER_FEED)[0][1] == ticker(3300).exchange_ts - TICK


class TestQuarantine:
    """A feed with a row in quarantine is cut until a row after it."""

    def cut(self, desk, topic: str, key: StreamKey = TRADES) -> list[CaptureGap]:
        for symbol in ("BTCUSDT", "ETHUSDT"):
            desk.receive(1, 5, symbol=symbol)
        desk.trades.flush()
        desk.look()
        desk.reject(topic, key)
        for n in (6, 7, 8, 9):
            for symbol in ("BTCUSDT", "ETHUSDT"):
                desk.receive(n, symbol=symbol)
            desk.trades.flush()
            desk.look()
        return list(CaptureGap.objects.order_by("symbol"))

    def test_the_span_with_the_row_is_a_gap_and_the_rest_is_not(self, desk):
        (gap,) = self.cut(desk, "publicTrade.BTCUSDT")
        assert (gap.symbol, gap.reason) == ("BTCUSDT", vouching.IN_QUARANTINE)
        first, second = covered()
        assert first == (at(1) + TICK, at(5) - TICK)
        assert (gap.started_at, gap.ended_at) == (first[1] + TICK, second[0] - TICK)
        # The row came after 5 and before 6 was noted.
        assert gap.started_at <= at(5)
        assert gap.ended_at >= at(6)
        assert second[1] == at(9) - TICK
        assert len(covered(OTHER)) == 1

    def test_a_row_of_an_unknown_symbol_of_the_stream_cuts_all_of_them(self, desk):
        assert [gap.symbol for gap in self.cut(desk, "publicTrade")] == ["BTCUSDT", "ETHUSDT"]

    def test_a_frame_that_cannot_be_read_may_have_been_of_any(self, desk):
        assert len(self.cut(desk, "", StreamKey(UNKNOWN))) == 2

    def test_a_topic_that_nobody_asked_for_concerns_nobody(self, desk):
        assert self.cut(desk, "orderbook.50.BTCUSDT", StreamKey(UNKNOWN)) == []

    def test_without_a_later_row_nothing_more_is_vouched_for(self, desk):
        desk.receive(1, 5)
        desk.trades.flush()
        desk.look()
        desk.reject("publicTrade.BTCUSDT")
        for _ in range(4):
            desk.look()
        assert covered() == [(at(1) + TICK, at(5) - TICK)]
        desk.books.voucher.look(desk.writers, closing=True)
        desk.books.persist()
        gap = CaptureGap.objects.get()
        assert (gap.started_at, gap.ended_at) == (at(5), at(5))


def test_a_database_that_is_away_forgets_nothing(desk, monkeypatch):
    desk.receive(1, 5)
    desk.trades.flush()
    desk.books.gaps.open([OTHER], "lost", START)
    with monkeypatch.context() as patch:
        patch.setattr(vouching, "vouch_all", lambda *_: (_ for _ in ()).throw(OperationalError()))
        with pytest.raises(OperationalError):
            desk.look()
    assert not CaptureGap.objects.exists()
    desk.look()
    assert (len(covered()), CaptureGap.objects.count()) == (1, 1)


def test_intervals_that_somebody_deleted_are_told_anew(desk):
    desk.receive(1, 5)
    desk.trades.flush()
    desk.look()
    CoverageInterval.objects.all().delete()
    desk.receive(9)
    desk.trades.flush()
    desk.look()
    assert covered() == [(at(1) + TICK, at(9) - TICK)]
    desk.receive(12)
    desk.trades.flush()
    desk.look()
    assert covered() == [(at(1) + TICK, at(12) - TICK)]


def test_marks_do_not_pile_up_while_rows_wait(desk):
    for n in range(1, 40):
        desk.receive(n)
        desk.look()
    assert len(desk.books.voucher._marks[TRADES]) == vouching.MOST_MARKS
    desk.trades.flush()
    desk.look()
    assert covered() == [(at(1) + TICK, at(39) - TICK)]


def test_one_feed_alone_does_not_say_how_far_its_connection_has_come(desk):
    collector = PublicCollector(
        ["BTCUSDT", "ETHUSDT"], desk.books, desk.trades, desk.tickers, digits=15
    )
    assert collector.newest is None
    times = {}
    for symbol, n in (("BTCUSDT", 50), ("ETHUSDT", 5)):
        records = [trade(n, symbol=symbol)]
        collector._keep(TRADES, Parsed(records, []), desk.trades.write, symbol)
        times[symbol] = at(n)
    assert collector.newest == times["ETHUSDT"]
    collector.on_connecting()
    assert collector.newest is None


def test_what_is_taken_back_is_in_no_interval_and_stays_so(desk):
    desk.receive(1, 5, 9)
    desk.trades.flush()
    desk.look()
    desk.books.voucher.revoke(FEED, Span(at(4), at(6)))
    desk.look()
    divided = (at(1) + TICK, at(4) - TICK)
    assert covered() == [divided, (at(6) + TICK, at(9) - TICK)]
    desk.receive(12, 15)
    desk.trades.flush()
    desk.look()
    desk.look()
    assert covered() == [divided, (at(6) + TICK, at(15) - TICK)]


def test_what_is_claimed_and_not_written_is_taken_back_as_well(desk):
    desk.receive(1, 5, 9)
    desk.trades.flush()
    desk.books.vouch(desk.writers)
    desk.books.voucher.revoke(FEED, Span(at(4), at(6)))
    desk.look()
    assert covered() == [(at(1) + TICK, at(4) - TICK), (at(6) + TICK, at(9) - TICK)]
    desk.receive(12)
    desk.trades.flush()
    desk.look()
    assert covered() == [(at(1) + TICK, at(4) - TICK), (at(6) + TICK, at(12) - TICK)]


def test_what_an_earlier_capture_vouched_for_is_taken_back(desk):
    vouch(*FEED, at(1), at(9), CoverageInterval.Source.LIVE)
    desk.books.voucher.revoke(FEED, Span(at(4), at(20)))
    desk.look()
    assert covered() == [(at(1), at(4) - TICK)]
