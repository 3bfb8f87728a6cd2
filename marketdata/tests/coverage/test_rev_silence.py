"""What an audit learns of a silent topic, and what it takes back of what was claimed."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marketdata.bybit.environments import Endpoints, Environment
from marketdata.bybit.errors import BybitError
from marketdata.bybit.records import Parsed
from marketdata.capture import gaps as gaps_module
from marketdata.capture import vouching
from marketdata.capture.books import Books
from marketdata.capture.feeds import TICK, Feed
from marketdata.capture.public_writers import TradeWriter
from marketdata.coverage import trades as trades_module
from marketdata.coverage.ledger import gaps_of, intervals_of, vouch
from marketdata.coverage.reconciler import GapReconciler
from marketdata.coverage.spans import Span
from marketdata.models import CaptureGap, PublicTrade
from marketdata.tests.records import START, trade

pytestmark = pytest.mark.django_db

FEED = Feed("trades", "BTCUSDT")
REACH = 5


class Client:
    """REST that shows the last trades of what was made."""

    def __init__(self, made):
        self.made = made

    def get_recent_trades(self, symbol, limit):
        return Parsed(self.made[-REACH:], [])

    def close(self):
        pass


@pytest.fixture
def reconciler(monkeypatch):
    monkeypatch.setattr(trades_module, "MOST_RECENT_TRADES", REACH)

    def build(made, settle=lambda stream: ()):
        one = GapReconciler(
            Environment.SANDBOX, Endpoints(rest="http://127.0.0.1:1"), lag=0.0, settle=settle
        )
        one._client = lambda context=None: Client(made)
        return one

    return build


def at(ms):
    return START + ms * TICK


def silently_lost(made):
    """The rows that are not stored, and of which no gap speaks that is not filled."""
    stored = set(PublicTrade.objects.values_list("trade_id", flat=True))
    missing = [Span(g.started_at, g.ended_at or at(10**9)) for g in gaps_of(FEED)]
    return [
        (row.exchange_ts - START) // TICK
        for row in made
        if row.trade_id not in stored
        and not any(s.start <= row.exchange_ts <= s.end for s in missing)
    ]


def store(rows):
    PublicTrade.objects.bulk_insert([PublicTrade(None, *row) for row in rows])


def test_every_claim_since_the_last_trade_that_came_is_taken_back(reconciler):
    """A topic silent from 20 on, across a short outage (50 to 60) that is not filled yet."""
    vouch(*FEED, at(0), at(49), "live")
    vouch(*FEED, at(61), at(100), "live")
    CaptureGap.objects.create(
        stream="trades", symbol="BTCUSDT", started_at=at(50), ended_at=at(60), reason="lost"
    )
    made = [trade(n) for n in range(0, 100, 5)]
    store([row for row in made if row.exchange_ts <= at(20)])
    reconciler_ = reconciler(made)
    finding = reconciler_.audit_trades("BTCUSDT", Span(at(0), at(100)))
    assert finding.unheard
    assert silently_lost(made) == []


def test_a_topic_that_froze_before_its_connection_was_lost(reconciler, monkeypatch):
    """The gap begins at the frontier of the other topics; REST shows nothing before its end."""
    monkeypatch.setattr(gaps_module, "BEAT_MARGIN", timedelta(0))
    monkeypatch.setattr(vouching, "EVERY_SECONDS", 0.0)
    books = Books()
    writer = TradeWriter(books.tally, books.quarantine)

    def keep():
        writer.flush()
        books.vouch([writer])
        books.persist()

    def hear(row):
        writer.write([row])
        books.gaps.note_rows(FEED, row.exchange_ts, row.exchange_ts)

    made = [trade(n) for n in range(0, 300, 5)]
    for row in made:
        if row.exchange_ts <= at(20):
            hear(row)
    for ms in range(20, 100, 10):
        books.gaps.beat([FEED], at(ms), START)
        keep()
    books.gaps.open([FEED], "lost", at(100))
    keep()
    heard = [row for row in made if row.exchange_ts >= at(290)]
    for row in heard:
        hear(row)
    keep()
    gap = CaptureGap.objects.get()
    settle = lambda stream: books.gaps.claimed(FEED)  # noqa: E731
    reconciler(made, settle).trades_of("BTCUSDT", [gap], at(300))
    keep()
    print([(r.started_at - START, r.ended_at - START) for r in intervals_of(FEED)])
    assert silently_lost(made) == []


def test_an_answer_that_begins_beyond_the_frontier_of_a_silent_topic(reconciler, monkeypatch):
    """Frontiers trail by the margin of beats, and up to a ping more; a busy symbol's answer may
    begin later than that. What it proves missing is vouched for when the frontier passes."""
    monkeypatch.setattr(gaps_module, "BEAT_MARGIN", timedelta(0))
    monkeypatch.setattr(vouching, "EVERY_SECONDS", 0.0)
    books = Books()
    writer = TradeWriter(books.tally, books.quarantine)
    made = [trade(n) for n in range(0, 200, 5)]

    def keep():
        writer.flush()
        books.vouch([writer])
        books.persist()

    def hear(row):
        writer.write([row])
        books.gaps.note_rows(FEED, row.exchange_ts, row.exchange_ts)

    def audit(until):
        rows = [row for row in made if row.exchange_ts <= at(until)]
        settle = lambda stream: books.gaps.claimed(FEED)  # noqa: E731
        finding = reconciler(rows, settle).audit_trades("BTCUSDT", Span(at(0), at(until)))
        for span in finding.unseen:
            books.voucher.revoke(FEED, span)
        keep()
        return finding

    for row in made[:5]:
        hear(row)
    keep()
    for until in range(50, 200, 50):
        books.gaps.beat([FEED], at(until - 30), START)
        keep()
        audit(until)
    hear(made[-1])
    keep()
    audit(200)
    assert silently_lost(made) == []
