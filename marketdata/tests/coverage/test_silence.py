"""What an audit learns of a silent topic, and what it takes back of what was claimed."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import cast

import pytest
from django.db import OperationalError

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.bybit.records import Parsed
from marketdata.capture.audits import Audits
from marketdata.capture.books import Books
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import TICK, Feed
from marketdata.capture.links import Link
from marketdata.capture.public_writers import TradeWriter
from marketdata.capture.supervisor import Supervisor
from marketdata.coverage import reconciler_base
from marketdata.coverage import trades as trades_module
from marketdata.coverage.ledger import gaps_of, intervals_of, vouch
from marketdata.coverage.reconciler import GapReconciler
from marketdata.coverage.reconciler_base import stored_keys
from marketdata.coverage.spans import Span
from marketdata.models import CaptureGap, PublicTrade, Stream
from marketdata.tests.records import START, trade

pytestmark = pytest.mark.django_db

FEED = Feed("trades", "BTCUSDT")
REACH = 5


def at(ms):
    return START + ms * TICK


def made_until(ms):
    """A trade every five milliseconds."""
    return [trade(number) for number in range(0, ms, 5)]


def silently_lost(made):
    """The times of rows that are not stored, and in no gap or vouched for in spite of it."""
    stored = set(PublicTrade.objects.values_list("trade_id", flat=True))
    gaps = [Span(g.started_at, g.ended_at or at(10**9)) for g in gaps_of(FEED)]
    claims = [Span(row.started_at, row.ended_at) for row in intervals_of(FEED)]
    lost = [row.exchange_ts for row in made if row.trade_id not in stored]
    return [
        (moment - START) // TICK
        for moment in lost
        if not any(span.start <= moment <= span.end for span in gaps)
        or any(span.start <= moment <= span.end for span in claims)
    ]


class Live:
    """A capture of one symbol, and a REST that shows the last trades of what was made."""

    def __init__(self) -> None:
        self.books = Books()
        self.writer = TradeWriter(self.books.tally, self.books.quarantine)
        self.audits = Audits(CaptureConfig(), self.books)
        self.link = Link(
            name=FEED.symbol,
            symbol=FEED.symbol,
            supervisor=cast(Supervisor, SimpleNamespace(lives=1)),
            writers={Stream.TRADES: self.writer},
        )

    def keep(self):
        self.writer.flush()
        self.books.vouch([self.writer])
        self.books.persist()

    def hear(self, rows):
        for row in rows:
            self.writer.write([row])
            self.books.gaps.note_rows(FEED, row.exchange_ts, row.exchange_ts)
        self.keep()

    def beat(self, ms):
        """Other topics of the connection have come so far."""
        self.books.gaps.beat([FEED], at(ms), START)
        self.keep()

    def reconciler(self, made, meanwhile=lambda: None):
        def get_recent_trades(symbol, limit):
            meanwhile()
            return Parsed(made[-REACH:], [])

        one = GapReconciler(
            Environment.SANDBOX, Endpoints(rest="http://127.0.0.1:1"), lag=0.0,
            settle=lambda stream: self.audits.settle(self.link, stream),
        )  # fmt: skip
        client = SimpleNamespace(
            get_recent_trades=get_recent_trades,
            get_server_time=lambda: made[-1].exchange_ts,
            close=lambda: None,
        )
        one._client = lambda context=None: client
        return one

    def audit(self, made, meanwhile=lambda: None):
        finding = self.audits.ask(self.link, self.reconciler(made, meanwhile))
        for span in finding.unseen:
            self.books.voucher.revoke(FEED, span)
        self.keep()


@pytest.fixture
def live(monkeypatch):
    monkeypatch.setattr("marketdata.coverage.trades.MOST_RECENT_TRADES", REACH)
    monkeypatch.setattr("marketdata.capture.gaps.BEAT_MARGIN", timedelta(0))
    monkeypatch.setattr("marketdata.capture.vouching.EVERY_SECONDS", 0.0)
    return Live()


def bounds(rows):
    return [((row.started_at - START) // TICK, (row.ended_at - START) // TICK) for row in rows]


class TestClaimsThatWereMade:
    """What REST cannot prove of what was claimed is taken back, where it is declared."""

    @pytest.fixture
    def made(self):
        """A topic silent from 20 on, across a short outage (50 to 60) that is not filled yet."""
        vouch(*FEED, at(0), at(49), "live")
        vouch(*FEED, at(61), at(100), "live")
        CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=at(50), ended_at=at(60), reason="lost"
        )
        made = made_until(100)
        PublicTrade.objects.bulk_insert([PublicTrade(None, *row) for row in made[:5]])
        return made

    def test_every_claim_since_the_last_trade_that_came(self, live, made):
        finding = live.reconciler(made).audit_trades("BTCUSDT", Span(at(0), at(100)))
        assert finding.unheard
        assert silently_lost(made) == []

    def test_by_a_reconciliation_too_which_has_no_capture_beside_it(self, live, made):
        PublicTrade.objects.bulk_insert([PublicTrade(None, *made[8])])
        live.reconciler(made).trades("BTCUSDT", Span(at(0), at(100)))
        assert bounds(intervals_of(FEED))[0] == (0, 39)
        assert silently_lost(made[9:]) == []

    def test_a_capture_beside_it_does_not_claim_it_again(self, live):
        live.hear(made_until(25))
        live.beat(100)
        assert bounds(intervals_of(FEED)) == [(1, 99)]
        another_process = Live().reconciler(made_until(100))
        another_process.audit_trades("BTCUSDT", Span(at(0), at(100)))
        for ms in (200, 210):
            live.beat(ms)
            assert bounds(intervals_of(FEED)) == [(1, 19), (76, ms - 1)]
            assert silently_lost(made_until(100)) == []


class TestBeforeAGap:
    """A gap begins where the other topics had come; its own may have been silent by then."""

    def lose(self, live, made):
        live.hear(made[:5])
        for ms in range(20, 100, 10):
            live.beat(ms)
        live.books.gaps.open([FEED], "lost", at(100))
        live.keep()
        live.hear([row for row in made if row.exchange_ts >= at(290)])
        return CaptureGap.objects.get()

    def test_what_rest_does_not_prove_is_taken_back(self, live):
        made = made_until(300)
        gap = self.lose(live, made)
        live.reconciler(made).trades_of("BTCUSDT", [gap], at(300))
        live.keep()
        assert silently_lost(made) == []
        assert bounds(intervals_of(FEED))[0] == (1, 19)

    def test_what_rest_proves_stays(self, live):
        made = [*made_until(25), *(trade(n) for n in (150, 290, 295))]
        gap = self.lose(live, made)
        live.reconciler(made).trades_of("BTCUSDT", [gap], at(300))
        live.keep()
        assert gaps_of(FEED) == []
        assert bounds(intervals_of(FEED))[0] == (1, 89)

    def test_of_a_busy_symbol_nothing_more_is_lost(self, live):
        made = made_until(300)
        live.hear(made[:5])
        live.books.gaps.open([FEED], "lost", at(100))
        live.hear(made[-2:])
        live.reconciler(made).trades_of("BTCUSDT", [CaptureGap.objects.get()], at(300))
        live.keep()
        assert bounds(intervals_of(FEED))[0] == (1, 19)

    def test_what_a_spool_brings_meanwhile_is_not_taken_back(self, live, monkeypatch):
        """Once it is stored it is vouched for: the last trade that is known then is another."""
        made = made_until(300)
        PublicTrade.objects.bulk_insert([PublicTrade(None, *row) for row in made[:5]])
        gap = CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=at(100), ended_at=at(290), reason="lost"
        )
        last_before, replayed = trades_module._last_before, []

        def then_the_spool_is_replayed(*of):
            before = last_before(*of)
            if not replayed:
                replayed[:] = made[5:20]
                PublicTrade.objects.bulk_insert([PublicTrade(None, *row) for row in replayed])
                vouch(*FEED, at(0), at(99), "live")
            return before

        monkeypatch.setattr(trades_module, "_last_before", then_the_spool_is_replayed)
        live.reconciler(made).trades_of("BTCUSDT", [gap], at(300))
        # All but the time since the last trade, which REST does not prove.
        assert bounds(intervals_of(FEED))[0] == (0, 94)


class TestAnAnswerThatBeginsBeyondTheFrontier:
    """The frontier trails, so a busy symbol's answer may begin later: the stream may still bring
    what is between, or it is lost."""

    def test_of_a_silent_topic_what_is_between_is_lost(self, live):
        made = made_until(200)
        live.hear(made[:5])
        for until in range(50, 200, 50):
            live.beat(until - 30)
            live.audit(made_until(until))
        live.hear(made[-1:])
        live.audit(made)
        assert silently_lost(made) == []

    @pytest.mark.parametrize("passes", ["beat", "row"])
    def test_it_is_never_vouched_for_when_the_frontier_passes(self, live, passes):
        made = made_until(100)
        live.hear(made[:5])
        live.audit(made)
        assert gaps_of(FEED) == []
        if passes == "beat":
            live.beat(99)
        else:
            live.hear([trade(99)])
        assert bounds(gaps_of(FEED)) == [(20, 75)]
        assert bounds(intervals_of(FEED)) == [(1, 19), (76, 98)]

    def test_what_was_claimed_of_it_is_taken_back(self, live):
        live.hear(made_until(25))
        live.beat(50)
        assert bounds(intervals_of(FEED)) == [(1, 49)]
        live.audit(made_until(100))
        live.beat(99)
        assert bounds(intervals_of(FEED)) == [(1, 19), (76, 98)]

    def test_an_answer_counts_though_the_database_goes_while_it_is_stored(self, live, monkeypatch):
        made = made_until(100)
        live.hear(made[:5])
        reconciler = live.reconciler(made)
        store = reconciler._store

        def then_the_database_goes(*of):
            store(*of)
            raise OperationalError("gone")

        monkeypatch.setattr(reconciler, "_store", then_the_database_goes)
        with pytest.raises(OperationalError):
            live.audits.ask(live.link, reconciler)
        later = [trade(150), trade(160)]
        live.hear(later)
        assert silently_lost([*made, *later]) == []

    def test_a_burst_that_is_still_on_its_way_is_not_lost(self, live):
        made = made_until(100)
        live.hear(made[:5])
        live.audit(made)
        live.hear(made[5:])
        live.beat(120)
        assert not CaptureGap.objects.exists()
        assert bounds(intervals_of(FEED)) == [(1, 119)]

    def test_what_is_claimed_while_an_answer_is_stored_is_not_held_against_it(
        self, live, monkeypatch
    ):
        """REST is faster than the stream, which has brought everything by the end."""
        made = made_until(100)
        live.hear(made[:5])

        def then_the_stream_comes(*of):
            known = stored_keys(*of)
            live.hear(made[5:])
            live.beat(120)
            return known

        monkeypatch.setattr(reconciler_base, "stored_keys", then_the_stream_comes)
        live.audit(made)
        assert not CaptureGap.objects.exists()
        assert bounds(intervals_of(FEED)) == [(1, 119)]

    def test_rows_that_come_while_rest_answers_count(self, live):
        made = made_until(100)
        live.hear(made[:5])
        live.audit(made, meanwhile=lambda: live.hear(made[5:]))
        live.beat(120)
        assert not CaptureGap.objects.exists()

    def test_a_topic_that_speaks_again_while_rest_answers_has_lost_what_was_before(self, live):
        made = made_until(100)
        live.hear(made[:5])
        live.audit(made, meanwhile=lambda: live.hear(made[-1:]))
        assert silently_lost(made) == []
        assert gaps_of(FEED)

    def test_a_gap_that_opens_leaves_it_to_its_repair(self, live):
        made = made_until(100)
        live.hear(made[:5])
        live.audit(made)
        live.books.gaps.open([FEED], "lost", at(100))
        live.hear([trade(150)])
        live.beat(200)
        assert bounds(gaps_of(FEED)) == [(20, 150)]
        assert silently_lost(made) == []
