"""How far back the last thousand trades prove a symbol complete, and what is asked of accounts."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from marketdata.bybit.records import Parsed
from marketdata.capture.accounts import OpenedSecrets, read_roster
from marketdata.capture.books import Books
from marketdata.capture.feeds import Feed
from marketdata.capture.links import Link
from marketdata.capture.repairs import Repairs
from marketdata.coverage.accounts import known_until
from marketdata.coverage.audit import declare_unheard
from marketdata.coverage.findings import Finding
from marketdata.coverage.gap_rows import (
    BEYOND_REACH,
    TOO_EARLY,
    Span,
    give_up_gaps,
    is_due,
    note_attempt,
    open_gaps,
)
from marketdata.coverage.spans import TICK
from marketdata.coverage.trades import _Reach
from marketdata.models import CaptureGap, CoverageInterval, PrivateExecution, PublicTrade, Stream
from marketdata.tests.capture.conftest import capture_config
from marketdata.tests.capture.test_reconcile import reconciler_for
from marketdata.tests.factories import PrivateExecutionFactory
from marketdata.tests.gateway import gateway_to
from marketdata.tests.records import trade

pytestmark = pytest.mark.django_db(transaction=True)

T = datetime(2026, 11, 1, 12, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return T + timedelta(seconds=seconds)


def gap_from(start: datetime, end: datetime | None, **changes) -> CaptureGap:
    options = {"stream": "trades", "symbol": "BTCUSDT", "reason": "lost"} | changes
    return CaptureGap.objects.create(started_at=start, ended_at=end, **options)


def keep_trade(record: Any) -> None:
    PublicTrade.objects.bulk_insert([PublicTrade(None, *record)])


class TestReach:
    """One match of many trades of one millisecond, of which the stream brought the first."""

    def match(self, sandbox, count: int, heard: int):
        rows = sandbox.make_trades("BTCUSDT", count)
        assert len({row["T"] for row in rows}) == 1
        sandbox.send_trades("BTCUSDT", rows)
        moment = datetime.fromtimestamp(int(rows[0]["T"]) / 1000, UTC)
        keep = {row["i"] for row in rows[:heard]}
        reconciler_for(sandbox).trades("BTCUSDT", Span(moment, moment))
        for row in rows[:heard]:
            if not PublicTrade.objects.filter(trade_id=row["i"]).exists():
                keep_trade(trade(0)._replace(trade_id=row["i"], exchange_ts=moment))
        PublicTrade.objects.exclude(trade_id__in=keep).delete()
        CaptureGap.objects.all().delete()
        assert PublicTrade.objects.count() == heard
        return moment

    def test_an_answer_that_begins_within_the_first_millisecond_does_not_fill_it(self, sandbox):
        moment = self.match(sandbox, 1500, heard=30)
        gap = gap_from(moment, moment + timedelta(seconds=5))
        finding = reconciler_for(sandbox).trades_of("BTCUSDT", [gap], gap.ended_at)
        gap.refresh_from_db()
        assert finding.new == 1000
        assert (gap.state, gap.started_at, gap.ended_at) == ("partial", moment, moment + TICK)

    def test_nor_does_one_that_has_some_stored_trades_of_that_millisecond(self, sandbox):
        """A full spool drops trades of a millisecond and keeps later ones of the same."""
        moment = self.match(sandbox, 1500, heard=600)
        gap = gap_from(moment, moment + timedelta(seconds=5))
        reconciler_for(sandbox).trades_of("BTCUSDT", [gap], gap.ended_at)
        gap.refresh_from_db()
        assert (gap.state, gap.started_at, gap.ended_at) == ("partial", moment, moment + TICK)

    @pytest.mark.parametrize(
        ("stored", "is_filled"),
        [
            # Nothing stored from before the gap: that the answer is older is all there is.
            ([], True),
            ([("shown", 3)], True),
            # What came after the gap proves nothing about its beginning.
            ([("other", 5), ("shown", 900)], False),
            ([("other", 5)], False),
        ],
    )
    def test_a_stored_trade_from_before_the_gap_must_be_in_the_answer(self, stored, is_filled):
        shown = [trade(n) for n in range(1000)]
        for kind, n in stored:
            row = trade(n) if kind == "shown" else trade(n)._replace(trade_id="of another kind")
            keep_trade(row)
        known = [trade(n).exchange_ts for kind, n in stored if kind == "shown"]
        reach = _Reach("BTCUSDT", Parsed(shown, []), known)
        gap = Span(trade(10).exchange_ts, trade(2000).exchange_ts)
        assert reach.missing_of(gap) == (None if is_filled else gap)

    def test_a_gap_of_another_symbol_is_not_touched(self, sandbox):
        sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 30))
        now = datetime.now(UTC)
        gaps = [
            gap_from(now - timedelta(hours=1), now + timedelta(seconds=1), symbol=symbol)
            for symbol in ("BTCUSDT", "ETHUSDT")
        ]
        reconciler_for(sandbox).trades_of("BTCUSDT", gaps[:1], gaps[0].ended_at)
        for gap in gaps:
            gap.refresh_from_db()
        assert [gap.state for gap in gaps] == ["filled", "open"]
        assert [gap.rows_added for gap in gaps] == [30, 0]

    def test_what_is_out_of_reach_is_not_asked_for_again(self, sandbox):
        for _ in range(12):
            sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 100))
        gap = gap_from(at(0), at(5))
        reconciler_for(sandbox).trades_of("BTCUSDT", [gap], gap.ended_at)
        gap.refresh_from_db()
        assert (gap.state, gap.evidence) == ("open", {"note": BEYOND_REACH})
        assert open_gaps() == []


class TestTooEarly:
    """No answer is complete of what is younger than a lag, whatever a gap's end says."""

    @pytest.fixture
    def context(self, tenants):
        return read_roster(["bob/main"], secrets=OpenedSecrets("a test")).contexts[0]

    def ahead(self, **changes) -> CaptureGap:
        """A gap that was ended by a clock an hour ahead."""
        now = datetime.now(UTC)
        return gap_from(now - timedelta(minutes=1), now + timedelta(hours=1), **changes)

    def test_of_trades_what_is_old_enough_leaves_the_gap(self, sandbox):
        sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 30))
        gap, reconciler = self.ahead(), reconciler_for(sandbox)
        start, end, now = gap.started_at, gap.ended_at, reconciler.exchange_time()
        finding = reconciler.trades_of("BTCUSDT", [gap], now)
        gap.refresh_from_db()
        interval = CoverageInterval.objects.get()
        assert (gap.state, gap.attempts, gap.rows_added, gap.ended_at) == ("open", 0, 30, end)
        assert start <= interval.started_at <= start + TICK
        assert now - TICK <= interval.ended_at <= now
        assert gap.started_at == interval.ended_at + TICK
        assert (finding.missing.end, finding.note) == (end, TOO_EARLY)

    def test_of_trades_what_is_beyond_reach_is_a_gap_of_its_own(self, sandbox):
        for _ in range(12):
            sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 100))
        gap, reconciler = self.ahead(), reconciler_for(sandbox)
        start = gap.started_at
        reconciler.trades_of("BTCUSDT", [gap], reconciler.exchange_time())
        gap.refresh_from_db()
        beyond = CaptureGap.objects.exclude(pk=gap.pk).get()
        interval = CoverageInterval.objects.get()
        oldest = PublicTrade.objects.order_by("exchange_ts")[0].exchange_ts
        assert (beyond.started_at, beyond.ended_at) == (start, oldest)
        assert (beyond.state, beyond.evidence["note"]) == ("open", BEYOND_REACH)
        assert interval.started_at == oldest + TICK
        assert gap.started_at == interval.ended_at + TICK
        assert open_gaps() == [gap]

    @pytest.mark.parametrize("stream", ["executions", "orders", "wallet"])
    def test_of_accounts_it_stays_as_it_is(self, exchange, tenants, context, stream):
        gap = self.ahead(stream=stream, symbol="", account=tenants["bob"])
        exchange.script("bob/main", 5)
        reconciler = reconciler_for(exchange)
        before, now = (gap.started_at, gap.ended_at), reconciler.exchange_time()
        findings = reconciler.repair(Stream(stream), context, [gap], now)
        gap.refresh_from_db()
        assert (gap.state, gap.attempts, gap.started_at, gap.ended_at) == ("open", 0, *before)
        assert findings[0].new > 0
        assert findings[0].missing == Span(*before)
        assert not CoverageInterval.objects.exists()

    @pytest.mark.parametrize(("age", "state"), [(20, "open"), (40, "filled")])
    def test_by_hand_a_gap_is_filled_when_a_lag_has_passed(
        self, exchange, tenants, context, monkeypatch, age, state
    ):
        monkeypatch.setattr("marketdata.coverage.reconciler_base.LAG_SECONDS", 30.0)
        now = datetime.now(UTC)
        span = Span(now - timedelta(seconds=age + 5), now - timedelta(seconds=age))
        gap = gap_from(span.start, span.end)
        account = {"stream": "executions", "symbol": "", "account": tenants["bob"]}
        gap_of_account = gap_from(span.start, span.end, **account)
        reconciler, asked = reconciler_for(exchange), Span(now - timedelta(hours=1), now)
        findings = [reconciler.trades("BTCUSDT", asked), reconciler.executions(context, asked)]
        for each, finding in zip((gap, gap_of_account), findings, strict=True):
            each.refresh_from_db()
            assert each.state == state
            assert bool(finding.missing) == (state == "open")

    def test_what_lies_beside_a_gap_is_kept_too(self, sandbox):
        sandbox.send_trades("BTCUSDT", sandbox.make_trades("BTCUSDT", 30))
        gap = gap_from(at(0), at(1))
        reconciler_for(sandbox).trades_of("BTCUSDT", [gap], datetime.now(UTC))
        gap.refresh_from_db()
        assert (gap.state, gap.rows_added, PublicTrade.objects.count()) == ("filled", 0, 30)


class TestWhenAgain:
    """A gap that could not be filled is asked for again, ever more seldom."""

    @pytest.mark.parametrize(
        ("attempts", "seconds"), [(1, 60), (2, 120), (5, 960), (7, 3600), (500, 3600)]
    )
    def test_delays_double_to_an_hour(self, attempts, seconds):
        gap = CaptureGap(attempts=attempts, updated_at=at(0))
        assert not is_due(gap, at(seconds - 1), 60.0)
        assert is_due(gap, at(seconds), 60.0)

    def test_a_gap_that_nobody_asked_for_is_due(self):
        assert is_due(CaptureGap(attempts=0, updated_at=at(0)), at(0), 60.0)

    def test_only_what_has_ended_and_is_open_is_asked_for(self):
        wanted = gap_from(at(0), at(5))
        gap_from(at(0), None)
        gap_from(at(0), at(5), state="partial")
        gap_from(at(0), at(5), state="filled")
        assert open_gaps() == [wanted]

    def test_given_up_gaps_say_why(self):
        gap = gap_from(at(0), at(5), stream="tickers")
        other = gap_from(at(0), at(5))
        give_up_gaps("gone", stream="tickers")
        for each in (gap, other):
            each.refresh_from_db()
        assert (gap.state, gap.evidence, other.state) == ("unfillable", {"note": "gone"}, "open")

    def test_of_a_new_connection_long_gaps_of_symbols_are_asked_for_and_all_of_accounts(
        self, exchange, tenants
    ):
        repairs = Repairs(capture_config(exchange, gap_threshold=5.0), Books())
        gaps = [CaptureGap(started_at=at(0), ended_at=at(n), attempts=9) for n in (4.9, 5)]
        symbol = Link(name="X", symbol="X", supervisor=_up(), writers={})
        account = Link(
            name="b",
            context=read_roster(["bob/main"], secrets=OpenedSecrets("a test")).contexts[0],
            supervisor=_up(),
            writers={},
        )
        assert list(map(repairs._choice(symbol, True), gaps)) == [False, True]
        assert list(map(repairs._choice(account, True), gaps)) == [True, True]

    def test_a_sweep_wants_what_is_due_and_nothing_else(self, sandbox):
        repairs = Repairs(capture_config(sandbox), Books())
        links = {}
        for symbol in ("BTCUSDT", "ETHUSDT", "SOLUSDT"):
            links[symbol] = Link(name=symbol, symbol=symbol, supervisor=_up(), writers={})
            repairs.add(links[symbol])
        for symbol in ("BTCUSDT", "ETHUSDT"):
            gap_from(at(0), at(5), symbol=symbol, attempts=3)
        CaptureGap.objects.filter(symbol="BTCUSDT").update(
            updated_at=timezone.now() - timedelta(seconds=241)
        )
        repairs._sweep()
        assert [symbol for symbol, link in links.items() if link.has_wishes] == ["BTCUSDT"]
        assert repairs._queue.take() == "BTCUSDT"


def _up() -> Any:
    """A supervisor whose connection brings nothing."""
    supervisor = SimpleNamespace(connected=threading.Event(), was_tried=threading.Event())
    supervisor.given_feeds = list
    return supervisor


class TestExecutionsAsked:
    """From what is known for certain, with an overlap, whatever this machine's clock says."""

    @pytest.fixture
    def context(self, tenants):
        return read_roster(["bob/main"], secrets=OpenedSecrets("a test")).contexts[0]

    def gap(self, tenants, start: float, end: float, **changes) -> CaptureGap:
        options = {"stream": "executions", "symbol": "", "account": tenants["bob"]} | changes
        return gap_from(at(start), at(end), **options)

    def row(self, tenants, seconds: float) -> PrivateExecution:
        return PrivateExecutionFactory.create(account=tenants["bob"], exchange_ts=at(seconds))

    def test_from_the_last_row_before_the_gap(self, tenants, context):
        self.row(tenants, -500)
        self.row(tenants, 5000)
        assert known_until(context, self.gap(tenants, 0, 60)) == at(-500)

    def test_from_the_end_of_a_gap_that_was_filled_since(self, tenants, context):
        self.row(tenants, -500)
        self.gap(tenants, -400, -100, state="filled")
        self.gap(tenants, -90, -50)
        assert known_until(context, self.gap(tenants, 0, 60)) == at(-100)

    def test_from_the_gap_itself_where_nothing_is_known(self, tenants, context):
        PrivateExecutionFactory.create(account=tenants["alice"], exchange_ts=at(-500))
        assert known_until(context, self.gap(tenants, 0, 60)) == at(0)

    @pytest.mark.parametrize("zone", ["UTC", "Asia/Almaty", "America/St_Johns"])
    def test_the_window_is_exact_in_every_time_zone(
        self, exchange, tenants, context, zone, monkeypatch
    ):
        self.row(tenants, -500)
        gap = self.gap(tenants, 0, 10 * 86_400)
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        try:
            with gateway_to(exchange.rest_url) as gateway:
                reconciler = reconciler_for(exchange, rest=gateway.url)
                gap.refresh_from_db()
                reconciler.repair(Stream.EXECUTIONS, context, [gap], at(10 * 86_400))
            asked = [(one.query["startTime"], one.query["endTime"]) for one in gateway.asked]
        finally:
            monkeypatch.undo()
            time.tzset()
        start, end = 1793534400_000 - 560_000, 1793534400_000 + 10 * 86_400_000 + 1000
        week = 7 * 86_400_000
        assert asked == [
            (str(start), str(start + week)),
            (str(start + week), str(end)),
        ]


class TestBooks:
    """What is said of gaps, from several threads."""

    def test_a_gap_does_not_end_when_its_connection_is_another_by_now(self):
        books, feed = Books(), Feed("trades", "BTCUSDT")
        books.gaps.open([feed], "lost", at(0))
        books.gaps.hand_over(at(5), [feed], lambda: False)
        assert books.gaps.open_since() == {feed: at(0)}
        books.gaps.hand_over(at(5), [feed], lambda: True)
        assert books.gaps.open_since() == {}

    def test_rows_within_a_gap_are_announced(self):
        gap_from(at(0), at(10), stream="trades")
        finding = Finding(Stream.TRADES, "BTCUSDT", Span(at(0), at(100)))
        rows = [trade(0)._replace(exchange_ts=at(seconds)) for seconds in (0, 10, 11, 50)]
        declare_unheard(finding, Feed("trades", "BTCUSDT"), rows, [Span(at(0), at(100))])
        declared = CaptureGap.objects.get(state="filled")
        assert (declared.started_at, declared.ended_at) == (at(11), at(50))
        assert (declared.rows_added, finding.not_streamed) == (2, 2)

    def test_a_note_is_of_the_last_attempt(self):
        gap = gap_from(at(0), at(10), evidence={"outages": 2, "note": "HTTP 500"})
        with transaction.atomic():
            note_attempt(gap.pk, Span(at(0), at(10)))
        gap.refresh_from_db()
        assert (gap.state, gap.evidence) == ("filled", {"outages": 2})
