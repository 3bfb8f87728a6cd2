"""Races and retries around claims, leases and beginnings."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from django.db import InternalError, OperationalError

from accounts.tests.factories import BybitAccountFactory
from marketdata.capture import gaps as gaps_module
from marketdata.capture import vouching
from marketdata.capture.audits import Audits
from marketdata.capture.books import Books
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import TICK, Feed
from marketdata.capture.lease import Lease
from marketdata.capture.parts import Part
from marketdata.capture.private_writers import OrderWriter
from marketdata.capture.public_writers import TradeWriter
from marketdata.coverage.ledger import gaps_of, intervals_of, vouch
from marketdata.coverage.spans import Span
from marketdata.models import CaptureGap, PublicTrade
from marketdata.tests.records import START, trade

FEED = Feed("trades", "BTCUSDT")


def at(ms):
    return START + ms * TICK


@pytest.mark.django_db
def test_a_renewal_takes_back_what_is_claimed_between_two_looks(monkeypatch):
    """A beat and a mark of the service's thread between `claimed` and `open_from`."""
    monkeypatch.setattr(gaps_module, "BEAT_MARGIN", timedelta(0))
    monkeypatch.setattr(vouching, "EVERY_SECONDS", 0.0)
    books = Books()
    writer = TradeWriter(books.tally, books.quarantine)
    for number in (0, 1):
        writer.write([trade(number)])
        books.gaps.note_rows(FEED, at(number), at(number))
    books.gaps.beat([FEED], at(100), START)
    writer.flush()
    claimed = books.gaps.claimed

    def with_service_between(feed):
        spans = claimed(feed)
        books.gaps.beat([FEED], at(200), START)
        books.vouch([writer])
        return spans

    books.gaps.claimed = with_service_between
    supervisor = SimpleNamespace(lives_on=lambda life: True, renew=lambda life, reason: None)
    link = SimpleNamespace(supervisor=supervisor, name="BTCUSDT", feed=lambda s: FEED)
    Audits(CaptureConfig(), books)._renew(link, 1, Span(at(50), at(60)))
    books.vouch([writer])
    books.persist()
    [gap] = gaps_of(FEED)
    assert gap.started_at == at(60)
    assert all(row.ended_at < at(60) for row in intervals_of(FEED)), [
        (r.started_at - START, r.ended_at - START) for r in intervals_of(FEED)
    ]


@pytest.mark.django_db
def test_who_stands_by_outlasts_a_database_that_only_reads(monkeypatch):
    monkeypatch.setattr("marketdata.capture.lease.WAIT_SECONDS", 0.0)
    refusals = [InternalError("cannot execute INSERT in a read-only transaction")]
    refusals[0].__cause__ = SimpleCause()
    lease = Lease(15)

    def acquire():
        if refusals:
            raise refusals.pop()

    monkeypatch.setattr(lease, "acquire", acquire)
    assert lease.wait(threading.Event())


class SimpleCause(Exception):
    sqlstate = "25006"


@pytest.mark.django_db
def test_a_beginning_that_is_tried_again_declares_each_hole_once(monkeypatch):
    vouch(*FEED, at(0), at(10), "live")
    CaptureGap.objects.create(
        stream="trades", symbol="BTCUSDT", started_at=at(50), ended_at=at(60), reason="lost"
    )
    books, part = Books(), None
    part = Part(CaptureConfig(), books, None)
    begin, failures = books.begin, [OperationalError("gone")]

    def failing(feeds):
        if failures:
            raise failures.pop()
        begin(feeds)

    books.begin = failing
    with pytest.raises(OperationalError):
        part._go_on({FEED: lambda: None})
    part._go_on({FEED: lambda: None})
    books.persist()
    holes = CaptureGap.objects.filter(reason__contains="died")
    assert holes.count() == 1


@pytest.mark.django_db
def test_what_may_come_late_at_a_first_stop_is_declared_by_the_next_start():
    """A private row may be 2 s older than one before it; the first stop comes between the two."""
    account = BybitAccountFactory.create()
    feed = Feed("orders", "", account.pk)
    now = datetime.now(UTC).replace(microsecond=0)
    books = Books()
    writer = OrderWriter(books.tally, books.quarantine)
    books.begin([feed])
    books.gaps.note_rows(feed, now, now)
    books.gaps.end(datetime.now(UTC))
    books.vouch([writer], closing=True)
    books.persist()
    books.end()
    late = now - timedelta(seconds=1)
    again = Books()
    Part(CaptureConfig(), again, None)._go_on({feed: lambda: now})
    again.persist()
    claims = [Span(r.started_at, r.ended_at) for r in intervals_of(feed)]
    missing = [Span(g.started_at, g.ended_at or now) for g in gaps_of(feed)]
    assert not any(c.start <= late <= c.end for c in claims)
    assert any(s.start <= late <= s.end for s in missing), (late, missing)


@pytest.mark.django_db
def test_a_spool_that_is_replayed_after_an_archive_stores_no_trade_twice():
    """The archive has the trade at its rounded time; the spool, or the stream, at its own."""
    row = trade(0)
    archived = row._replace(exchange_ts=row.exchange_ts + timedelta(milliseconds=1), sequence=None)
    PublicTrade.objects.bulk_insert([PublicTrade(None, *archived)])
    books = Books()
    writer = TradeWriter(books.tally, books.quarantine)
    writer.write([row])
    writer.flush()
    assert PublicTrade.objects.filter(trade_id=row.trade_id).count() == 1
