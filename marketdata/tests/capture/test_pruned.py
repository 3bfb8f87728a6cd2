"""A capture at work while its rows are pruned: it asks for none of them, and its claims hold."""

from __future__ import annotations

from datetime import timedelta

import pytest

from marketdata.capture.feeds import Feed
from marketdata.coverage.gap_rows import Span
from marketdata.coverage.ledger import Source, intervals_of, vouch
from marketdata.coverage.pruned import declare_pruned
from marketdata.coverage.spans import TICK, minus, union
from marketdata.models import CaptureGap, PrivateExecution, PublicTrade
from marketdata.prune.lots import Facts
from marketdata.tests.capture.repairing import audit_now, until
from marketdata.tests.capture.test_audits import MARKET, hear
from marketdata.tests.capture.test_reconcile import lately, make, reconciler_for
from marketdata.tests.prune.scene import prune

pytestmark = pytest.mark.django_db(transaction=True)

FEED = Feed("trades", "BTCUSDT")


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is due is looked for often, and what is stored is vouched for at once."""
    monkeypatch.setattr("marketdata.capture.repairs.WATCH_SECONDS", 0.01)
    monkeypatch.setattr("marketdata.capture.vouching.EVERY_SECONDS", 0.0)


def times() -> list:
    trades = PublicTrade.objects.filter(symbol="BTCUSDT").order_by("exchange_ts")
    return list(trades.values_list("exchange_ts", flat=True))


def vouched_to(at) -> bool:
    return any(row.ended_at >= at for row in intervals_of(FEED))


def gaps(state: str):
    return CaptureGap.objects.filter(stream="trades", symbol="BTCUSDT", state=state)


class TestRunning:
    """Between two chunks it stores, vouches and audits."""

    def test_its_claim_begins_later_and_goes_on(self, exchange, repairing):
        with repairing(**MARKET) as running:
            for _ in range(5):
                hear(exchange, running)
            # The newest millisecond is vouched for when a later one has come.
            before = times()
            cutoff = before[-6]
            until(running, lambda: vouched_to(cutoff))
            gone = prune(cutoff, Facts(FEED, "BTCUSDT")).deleted
            hear(exchange, running)
            newest = times()[-6]
            until(running, lambda: vouched_to(newest))
            assert gone == sum(at < cutoff for at in before) > 0
            spans = union(Span(row.started_at, row.ended_at) for row in intervals_of(FEED))
            assert spans[0].start == cutoff
            assert len(spans) == 1
            audit_now(running, "BTCUSDT")
            until(running, lambda: running.service.repairs._links["BTCUSDT"].audit_at)
        assert (min(times()), len(times())) == (cutoff, 30 - gone)
        assert not CaptureGap.objects.filter(reason__contains="did not bring").exists()

    def test_the_next_one_takes_up_where_it_ended(self, exchange, repairing):
        with repairing(**MARKET) as running:
            hear(exchange, running)
            hear(exchange, running)
            until(running, lambda: vouched_to(times()[4]))
        first = times()
        gone = prune(first[-1] + timedelta(days=30), Facts(FEED, "BTCUSDT")).deleted
        with repairing(**MARKET) as running:
            hear(exchange, running)
            until(running, lambda: gaps("filled").exists())
        [row] = gaps("pruned")
        assert len(times()) == 15 - gone
        claims = union(Span(each.started_at, each.ended_at) for each in intervals_of(FEED))
        assert minus([Span(row.ended_at + TICK, claims[-1].end)], claims) == []


class TestAsking:
    """REST shows more than is kept."""

    def test_an_audit_neither_stores_nor_misses_what_was_pruned(self, sandbox):
        make(sandbox, 30)
        reconciler = reconciler_for(sandbox)
        reconciler.trades("BTCUSDT", lately())
        rows = times()
        CaptureGap.objects.all().delete()
        vouch(*FEED, rows[0], rows[-1], Source.LIVE)
        declare_pruned(FEED, Span(rows[0], rows[-1] - TICK))
        PublicTrade.objects.filter(exchange_ts__lt=rows[-1]).delete()
        kept = len(times())
        # A capture that lives since before the prune believes to have heard all of it.
        reconciler._settle = lambda stream: [Span(rows[0], rows[-1])]
        finding = reconciler.audit_trades("BTCUSDT", lately())
        assert (finding.found, finding.new, finding.not_streamed) == (30, 0, 0)
        assert (len(times()), gaps("filled").count()) == (kept, 0)

    def test_a_gap_from_before_vouches_for_what_is_kept_alone(self, sandbox):
        make(sandbox, 10)
        reconciler = reconciler_for(sandbox)
        reconciler.trades("BTCUSDT", lately())
        rows = times()
        PublicTrade.objects.all().delete()
        CaptureGap.objects.all().delete()
        start = rows[0] - timedelta(hours=1)
        CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=start, reason="lost",
            ended_at=rows[-1],
        )  # fmt: skip
        asked = list(CaptureGap.objects.all())
        declare_pruned(FEED, Span(start, rows[0] - TICK))
        now = rows[-1] + timedelta(minutes=1)
        finding = reconciler.trades_of("BTCUSDT", asked, now)
        assert finding.new == 10
        [row] = intervals_of(FEED)
        assert (row.started_at, row.ended_at, row.source) == (rows[0], rows[-1], "rest")

    def test_what_may_have_been_silent_since_the_prune_is_taken_back(self, sandbox):
        """The last trade before the gap is pruned: what is claimed since then proves nothing."""
        for _ in range(2):
            make(sandbox, 600)
        reconciler = reconciler_for(sandbox)
        reconciler.trades("BTCUSDT", lately())
        oldest = times()[0]
        PublicTrade.objects.all().delete()
        CaptureGap.objects.all().delete()
        begins, hour = oldest - timedelta(hours=1), timedelta(hours=1)
        vouch(*FEED, begins - 2 * hour, begins - TICK, Source.LIVE)
        gap = CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=begins, ended_at=oldest + hour,
            reason="lost",
        )  # fmt: skip
        declare_pruned(FEED, Span(begins - 2 * hour, begins - hour - TICK))
        finding = reconciler.trades_of("BTCUSDT", [gap], oldest + 2 * hour)
        assert [span.start for span in finding.unseen] == [begins - hour]
        assert all(row.started_at > begins for row in intervals_of(FEED))

    def test_executions_that_were_pruned_do_not_come_back(self, exchange, tenants, repairing):
        account = tenants["bob"]
        with repairing() as running:
            exchange.script("bob/main", 20)
            until(running, lambda: PrivateExecution.objects.filter(account=account).count() > 5)
        rows = PrivateExecution.objects.filter(account=account).order_by("exchange_ts")
        stored = list(rows)
        feed = Feed("executions", account_id=account.pk)
        cutoff = stored[3].exchange_ts
        declare_pruned(feed, Span(stored[0].exchange_ts, cutoff - TICK))
        rows.filter(exchange_ts__lt=cutoff).delete()
        CaptureGap.objects.create(
            stream="executions", account=account, reason="lost",
            started_at=stored[0].exchange_ts, ended_at=stored[-1].exchange_ts,
        )  # fmt: skip
        asked = CaptureGap.objects.filter(stream="executions", account=account, state="open")
        with repairing() as running:
            until(running, lambda: not asked.filter(attempts=0).exists())
        assert rows.earliest("exchange_ts").exchange_ts >= cutoff
        assert all(row.started_at >= cutoff for row in intervals_of(feed))
