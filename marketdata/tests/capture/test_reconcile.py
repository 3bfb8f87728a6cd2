"""Reconciliation: what capture missed is asked for by REST, and the rest is said."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command
from django.db.models import F
from django.utils import timezone

from accounts.models import BybitAccount
from marketdata.bybit.environments import Endpoints, Environment
from marketdata.capture.accounts import OpenedSecrets, read_roster
from marketdata.coverage.gap_rows import Span, note_attempt
from marketdata.coverage.reconciler import GapReconciler
from marketdata.exits import ConfigurationError, ExitCode
from marketdata.models import CaptureGap, Order, PrivateExecution, PublicTrade, QuarantinedMessage
from marketdata.tests.test_normalizer import payload

pytestmark = pytest.mark.django_db(transaction=True)


@contextmanager
def captured(run, *names):
    """A capture that has ended when the block begins."""
    with run(*names) as running:
        yield running
    assert running.report.exit_code == ExitCode.OK


def make(server, count: int) -> None:
    """Trades that nobody is there to hear."""
    server.send_trades("BTCUSDT", server.make_trades("BTCUSDT", count))


def reconciler_for(server, *, rest: str = "") -> GapReconciler:
    endpoints = Endpoints(
        rest=rest or server.rest_url,
        ws_public=server.ws_public_url,
        ws_private=server.ws_private_url,
    )
    return GapReconciler(Environment.SANDBOX, endpoints)


def lately() -> Span:
    return Span(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC) + timedelta(seconds=1))


class TestTrades:
    """The exchange shows the last thousand of a symbol."""

    def hear(self, sandbox, capturing, count: int) -> None:
        with capturing():
            make(sandbox, count)
            sandbox.drain()

    def test_what_happened_while_capture_was_off_is_fetched(self, sandbox, capturing):
        self.hear(sandbox, capturing, 20)
        make(sandbox, 300)
        finding = reconciler_for(sandbox).trades("BTCUSDT", lately())
        assert (finding.new, finding.missing) == (300, None)
        assert PublicTrade.objects.count() == 320
        assert CaptureGap.objects.count() == 0

    def test_a_recorded_gap_is_filled_and_says_by_what(self, sandbox, capturing):
        self.hear(sandbox, capturing, 20)
        make(sandbox, 300)
        self.hear(sandbox, capturing, 20)
        finding = reconciler_for(sandbox).trades("BTCUSDT", lately())
        assert (finding.new, finding.missing) == (300, None)
        gap = CaptureGap.objects.get(stream="trades", symbol="BTCUSDT")
        assert (gap.state, gap.source, gap.rows_added, gap.attempts) == ("filled", "rest", 300, 1)

    def archived(self) -> None:
        """What is stored came from an archive: in whole seconds, without flags and sequence."""
        for trade in PublicTrade.objects.all():
            trade.exchange_ts = trade.exchange_ts.replace(microsecond=0)
            trade.is_block_trade, trade.is_rpi, trade.sequence = False, False, None
            trade.save()

    def test_what_an_archive_brought_at_a_rounded_time_is_not_stored_again(
        self, sandbox, capturing
    ):
        self.hear(sandbox, capturing, 20)
        self.archived()
        make(sandbox, 30)
        finding = reconciler_for(sandbox).trades("BTCUSDT", lately())
        assert (finding.found, finding.new, finding.missing) == (50, 30, None)
        assert PublicTrade.objects.count() == 50
        assert QuarantinedMessage.objects.count() == 0

    def test_what_an_archive_brought_with_another_price_is_a_conflict(self, sandbox, capturing):
        self.hear(sandbox, capturing, 20)
        self.archived()
        PublicTrade.objects.filter(trade_id=PublicTrade.objects.all()[0].trade_id).update(price=1)
        finding = reconciler_for(sandbox).trades("BTCUSDT", lately())
        assert (finding.new, finding.refused) == (0, 1)
        assert finding.missing
        assert PublicTrade.objects.count() == 20

    def test_the_same_id_at_another_time_is_another_trade(self, sandbox, capturing):
        self.hear(sandbox, capturing, 20)
        self.archived()
        PublicTrade.objects.update(exchange_ts=F("exchange_ts") - timedelta(seconds=3))
        assert reconciler_for(sandbox).trades("BTCUSDT", lately()).new == 20

    def test_a_second_time_nothing_is_new(self, sandbox, capturing):
        self.hear(sandbox, capturing, 20)
        make(sandbox, 30)
        reconciler = reconciler_for(sandbox)
        assert reconciler.reconcile_public_trades("BTCUSDT", lately().start, lately().end) == 30
        assert reconciler.reconcile_public_trades("BTCUSDT", lately().start, lately().end) == 0
        assert QuarantinedMessage.objects.count() == 0

    def test_a_gap_of_more_than_a_thousand_trades_stays_open_with_its_bounds(
        self, sandbox, capturing
    ):
        self.hear(sandbox, capturing, 20)
        last = PublicTrade.objects.last_trade_ts("BTCUSDT")
        for _ in range(3):
            make(sandbox, 600)
        finding = reconciler_for(sandbox).trades("BTCUSDT", lately())
        oldest = PublicTrade.objects.filter(exchange_ts__gt=last).order_by("exchange_ts")[0]
        assert finding.new == 1000
        assert finding.missing == Span(last, oldest.exchange_ts)
        gap = CaptureGap.objects.get(stream="trades")
        assert (gap.started_at, gap.ended_at, gap.state) == (last, oldest.exchange_ts, "open")

    def test_the_part_of_a_recorded_gap_that_is_out_of_reach_stays_open(self, sandbox, capturing):
        self.hear(sandbox, capturing, 20)
        for _ in range(3):
            make(sandbox, 600)
        self.hear(sandbox, capturing, 20)
        before = CaptureGap.objects.get(stream="trades", symbol="BTCUSDT")
        finding = reconciler_for(sandbox).trades("BTCUSDT", lately())
        after = CaptureGap.objects.get(stream="trades", symbol="BTCUSDT")
        assert (after.state, after.rows_added) == ("partial", finding.new)
        assert before.started_at == after.started_at < after.ended_at < before.ended_at
        assert finding.missing == Span(after.started_at, after.ended_at)

    def test_a_gap_that_lasts_is_left_to_capture(self, sandbox, capturing):
        self.hear(sandbox, capturing, 20)
        last = PublicTrade.objects.last_trade_ts("BTCUSDT")
        gap = CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=last, reason="lost"
        )
        make(sandbox, 30)
        assert reconciler_for(sandbox).trades("BTCUSDT", lately()).new == 30
        gap.refresh_from_db()
        assert (gap.state, gap.ended_at, gap.attempts) == ("open", None, 1)

    def test_a_capture_that_ended_before_the_span_leaves_its_beginning_missing(
        self, sandbox, capturing
    ):
        self.hear(sandbox, capturing, 20)
        PublicTrade.objects.update(exchange_ts=F("exchange_ts") - timedelta(hours=5))
        make(sandbox, 1500)
        finding = reconciler_for(sandbox).trades("BTCUSDT", lately())
        assert finding.missing is not None
        assert finding.missing.start == finding.asked.start

    def test_a_first_look_that_reaches_back_far_enough_misses_nothing(self, sandbox):
        make(sandbox, 1024)
        start = datetime.now(UTC) + timedelta(milliseconds=1)
        until = start + timedelta(hours=1)
        finding = reconciler_for(sandbox).trades("BTCUSDT", Span(start, until))
        assert (finding.missing, CaptureGap.objects.count()) == (None, 0)

    def test_an_exchange_that_does_not_answer_leaves_everything_missing(self, sandbox, capturing):
        self.hear(sandbox, capturing, 20)
        endpoints = Endpoints(rest="http://127.0.0.1:1", ws_public="ws://127.0.0.1:1")
        reconciler = GapReconciler(Environment.SANDBOX, endpoints)
        finding = reconciler.trades("BTCUSDT", lately())
        assert finding.missing is not None
        assert finding.unreachable


class TestGapRows:
    """A gap shrinks by what is complete, and is filled only when nothing is left of it."""

    T = datetime(2026, 1, 1, tzinfo=UTC)

    def at(self, minutes: int) -> datetime:
        return self.T + timedelta(minutes=minutes)

    @pytest.mark.parametrize(
        ("complete", "expected"),
        [
            ((0, 60), ("filled", 10, 50)),
            ((10, 50), ("filled", 10, 50)),
            ((0, 30), ("partial", 30, 50)),
            ((30, 60), ("partial", 10, 30)),
            ((20, 40), ("partial", 10, 50)),
            (None, ("open", 10, 50)),
        ],
    )
    def test_what_is_left(self, complete, expected):
        gap = CaptureGap.objects.create(
            stream="trades", symbol="X", started_at=self.at(10), ended_at=self.at(50), reason="r"
        )
        span = complete and Span(self.at(complete[0]), self.at(complete[1]))
        note_attempt(gap.pk, span, rows_added=3)
        gap.refresh_from_db()
        state, start, end = expected
        assert (gap.state, gap.started_at, gap.ended_at) == (state, self.at(start), self.at(end))
        assert (gap.attempts, gap.rows_added) == (1, 3)

    def test_an_end_that_capture_writes_meanwhile_is_kept(self):
        gap = CaptureGap.objects.create(
            stream="trades", symbol="X", started_at=self.at(10), reason="r"
        )
        CaptureGap.objects.filter(pk=gap.pk).update(ended_at=self.at(90))
        note_attempt(gap.pk, Span(self.at(0), self.at(60)), rows_added=0)
        gap.refresh_from_db()
        assert (gap.state, gap.started_at, gap.ended_at) == ("partial", self.at(60), self.at(90))

    def test_a_gap_that_is_gone_is_no_error(self):
        note_attempt(4711, None, rows_added=0)


class TestAccounts:
    """Executions come back whole; of an order the last state."""

    def miss(self, exchange, serving) -> None:
        with serving():
            for name in exchange.accounts:
                exchange.script(name, 2)
            exchange.drain()
        for name in exchange.accounts:
            exchange.script(name, 40)

    def context(self, name: str):
        return next(
            c
            for c in read_roster([name], secrets=OpenedSecrets("a test")).contexts
            if c.name == name
        )

    def test_executions_that_were_missed_are_fetched_over_all_pages(
        self,
        exchange,
        serving,
        tenants,
    ):
        self.miss(exchange, serving)
        finding = reconciler_for(exchange).executions(self.context("bob/main"), lately())
        made = {row["execId"] for row in exchange.private_rows("bob/main", "execution")}
        stored = PrivateExecution.objects.filter(account=tenants["bob"])
        assert finding.missing is None
        assert set(stored.values_list("exec_id", flat=True)) == made
        assert len(made) > 50
        assert QuarantinedMessage.objects.count() == 0

    def test_what_rest_does_not_say_stays_empty(self, exchange, serving, tenants):
        self.miss(exchange, serving)
        reconciler_for(exchange).executions(self.context("bob/main"), lately())
        assert PrivateExecution.objects.filter(account=tenants["bob"], exec_pnl=None).exists()

    def test_the_last_state_of_each_order_is_fetched(
        self,
        exchange,
        serving,
        tenants,
    ):
        self.miss(exchange, serving)
        finding = reconciler_for(exchange).orders(self.context("bob/main"), lately())
        last: dict[str, dict] = {}
        for row in exchange.private_rows("bob/main", "order"):
            kept = last.get(row["orderId"])
            if kept is None or int(row["updatedTime"]) >= int(kept["updatedTime"]):
                last[row["orderId"]] = row
        stored = Order.objects.filter(account=tenants["bob"]).order_by("exchange_ts", "id")
        newest = {row.order_id: row.status for row in stored}
        assert finding.missing is None
        assert newest == {order_id: row["orderStatus"] for order_id, row in last.items()}

    def test_an_order_that_is_older_than_the_lists_reach_back_has_its_last_state_too(
        self, exchange, serving, tenants
    ):
        """One that rested for weeks, and ended while nobody listened."""
        now = datetime.now(UTC)
        made, ended = (
            str(int((now - before).timestamp() * 1000))
            for before in (timedelta(days=30), timedelta(minutes=1))
        )
        resting, open_still = (
            {"orderId": name, "createdTime": made, "updatedTime": made, "orderStatus": "New"}
            for name in ("rested-for-weeks", "rests-still")
        )
        row = payload("ws_private_order")["data"][0]
        with serving():
            exchange.send_private("bob/main", "order", [row | resting, row | open_still])
            exchange.drain()
        over = {"updatedTime": ended, "orderStatus": "Cancelled", "leavesQty": "0"}
        exchange.send_private("bob/main", "order", [row | resting | over])
        CaptureGap.objects.create(
            stream="orders", account_id=tenants["bob"].pk, reason="lost",
            started_at=now - timedelta(minutes=2), ended_at=now,
        )  # fmt: skip
        finding = reconciler_for(exchange).orders(self.context("bob/main"), lately())
        assert (finding.stored, finding.missing) == (1, None)
        last = Order.objects.filter(account=tenants["bob"]).latest("exchange_ts")
        assert (last.order_id, last.status) == ("rested-for-weeks", "Cancelled")

    def test_gaps_of_the_account_are_closed_and_nobody_else_s(
        self,
        exchange,
        serving,
        tenants,
    ):
        self.miss(exchange, serving)
        with serving():
            for name in exchange.accounts:
                exchange.script(name, 1)
            exchange.drain()
        # The first row after a gap ends it with a margin, which has not passed yet.
        CaptureGap.objects.update(ended_at=timezone.now())
        reconciler = reconciler_for(exchange)
        reconciler.executions(self.context("bob/main"), lately())
        reconciler.orders(self.context("bob/main"), lately())
        states = CaptureGap.objects.values_list("account__user__username", "stream", "state")
        assert ("bob", "executions", "filled") in states
        assert ("bob", "orders", "partial") in states
        assert ("alice", "executions", "open") in states

    def test_a_one_way_account_keeps_its_one_leg(self, exchange, serving, tenants):
        self.miss(exchange, serving)
        BybitAccount.objects.filter(pk=tenants["bob"].pk).update(position_mode="one_way")
        began = timezone.now()
        reconciler_for(exchange).executions(self.context("bob/main"), lately())
        fetched = PrivateExecution.objects.filter(account=tenants["bob"], local_ts__gte=began)
        assert set(fetched.values_list("position_idx", flat=True)) <= {0, None}

    def test_a_row_that_is_refused_is_missing(self, exchange, serving, tenants, monkeypatch):
        self.miss(exchange, serving)
        PrivateExecution.objects.filter(account=tenants["bob"]).update(exec_qty=77)
        finding = reconciler_for(exchange).executions(self.context("bob/main"), lately())
        assert finding.refused > 0
        assert finding.missing == finding.asked
        assert "in quarantine" in finding.note

    def test_a_refused_key_is_said_and_the_gap_stays(
        self,
        exchange,
        serving,
        tenants,
    ):
        self.miss(exchange, serving)
        exchange.set_account("bob/main", refusal="10003")
        finding = reconciler_for(exchange).executions(self.context("bob/main"), lately())
        assert finding.missing == finding.asked
        assert finding.note
        assert not finding.unreachable


class TestCommand:
    """What the user types."""

    @pytest.fixture(autouse=True)
    def _settings(self, sandbox, settings):
        settings.BYBIT_ENDPOINTS = Endpoints(
            rest=sandbox.rest_url,
            ws_public=sandbox.ws_public_url,
            ws_private=sandbox.ws_private_url,
        )
        settings.EVENTSAVER_SYMBOLS = ["BTCUSDT"]

    def reconcile(self, *arguments: str) -> int:
        try:
            call_command("reconcile", *arguments)
        except SystemExit as error:
            return int(error.code or 0)
        return 0

    def test_it_says_what_was_found_and_ends_with_zero(self, sandbox, capturing, capsys):
        with capturing():
            make(sandbox, 20)
            sandbox.drain()
        make(sandbox, 30)
        assert self.reconcile("--since", "2h") == 0
        out = capsys.readouterr().out
        assert "30 rows were new; nothing is missing." in out
        assert "BTCUSDT" in out

    def test_it_ends_with_six_when_something_stays_missing(self, sandbox, capturing, capsys):
        with capturing():
            make(sandbox, 20)
            sandbox.drain()
        make(sandbox, 3000)
        assert self.reconcile("--since", "2h", "--stream", "trades") == ExitCode.DATA_INCOMPLETE
        assert "1 of 1 are incomplete" in capsys.readouterr().out

    def test_json_is_one_line_with_what_became_of_each_stream(self, sandbox, capturing, capsys):
        for count in (3000, 20):
            with capturing():
                make(sandbox, 20)
                sandbox.drain()
            make(sandbox, count)
        capsys.readouterr()
        code = self.reconcile("--since", "2h", "--stream", "trades", "--json")
        told = json.loads(capsys.readouterr().out)
        gap = CaptureGap.objects.get(state="partial")
        (finding,) = told["findings"]
        assert code == told["exit_code"] == ExitCode.DATA_INCOMPLETE
        assert (finding["stream"], finding["subject"]) == ("trades", "BTCUSDT")
        assert finding["state"] == "incomplete"
        assert (finding["gaps_asked"], finding["gaps"]) == (1, {"partial": 1})
        assert finding["rows_added"] == told["rows_added"] == 1000 - 20
        assert finding["missing"]["from"] == gap.started_at.isoformat()
        assert "more trades than" in finding["note"]

    def test_json_names_what_failed(self, sandbox, capturing, settings, capsys):
        settings.BYBIT_ENDPOINTS = Endpoints(
            rest="http://127.0.0.1:1", ws_public="ws://127.0.0.1:1"
        )
        code = self.reconcile("--since", "2h", "--symbol", "BTCUSDT", "--json")
        told = json.loads(capsys.readouterr().out)
        (finding,) = told["findings"]
        assert code == told["exit_code"] == ExitCode.UNAVAILABLE
        assert (finding["state"], finding["rows_found"]) == ("failed", 0)
        assert finding["missing"] == finding["asked"]
        assert finding["note"]

    def test_an_account_that_is_not_served_cannot_be_asked_for(self, tenants):
        BybitAccount.objects.filter(pk=tenants["bob"].pk).update(status="disabled")
        with pytest.raises(ConfigurationError, match="bob/main: not enabled"):
            self.reconcile("--since", "2h", "--account", "bob/main")
        with pytest.raises(ConfigurationError, match="No account is called eve"):
            self.reconcile("--since", "2h", "--account", "eve")

    def test_an_exchange_that_is_away_is_75(self, sandbox, capturing, settings):
        with capturing():
            make(sandbox, 20)
            sandbox.drain()
        settings.BYBIT_ENDPOINTS = Endpoints(
            rest="http://127.0.0.1:1", ws_public="ws://127.0.0.1:1"
        )
        assert self.reconcile("--since", "2h", "--symbol", "BTCUSDT") == ExitCode.UNAVAILABLE
