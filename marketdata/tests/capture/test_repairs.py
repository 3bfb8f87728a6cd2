"""A running capture asks for what its streams missed, and says what became of it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from django.db import OperationalError

from accounts.models import BybitAccount
from marketdata.bybit.environments import Endpoints
from marketdata.capture.feeds import Feed
from marketdata.capture.service import CaptureService
from marketdata.coverage import accounts as account_module
from marketdata.exits import ExitCode
from marketdata.models import (
    CaptureGap,
    Order,
    PositionSnapshot,
    PrivateExecution,
    PublicTrade,
    WalletSnapshot,
)
from marketdata.tests.capture.conftest import NEVER, TENANTS, Running, capture_config
from marketdata.tests.capture.repairing import audit_now, claim, times_of, until, until_idle
from marketdata.tests.gateway import Answer, Asked

pytestmark = pytest.mark.django_db(transaction=True)

EXECUTIONS, ORDERS, WALLET = "/execution/list", "/order/history", "/wallet-balance"


def miss(exchange, name: str = "bob/main", steps: int = 3) -> None:
    """Let things happen on an account while it is not connected."""
    exchange.refuse(NEVER)
    exchange.break_connections("reset", account=name)
    exchange.script(name, steps)
    exchange.refuse(0)


def miss_trades(exchange, count: int, symbol: str = "BTCUSDT") -> None:
    """Trades of one match a piece while nobody is connected."""
    exchange.refuse(NEVER)
    exchange.break_connections("reset", channel="public")
    while count:
        made = min(count, 100)
        exchange.send_trades(symbol, exchange.make_trades(symbol, made))
        count -= made
    exchange.refuse(0)


def hear(exchange, name: str = "bob/main", steps: int = 2) -> None:
    exchange.script(name, steps)
    exchange.drain()


def gap_of(account: BybitAccount, stream: str = "executions") -> CaptureGap | None:
    return CaptureGap.objects.filter(account=account, stream=stream).order_by("-pk").first()


def has_gap(account: BybitAccount, stream: str, state: str, attempts: int = 1) -> bool:
    gap = gap_of(account, stream)
    return gap is not None and gap.state == state and gap.attempts >= attempts


def made_and_stored(exchange, account: BybitAccount) -> tuple[set[str], set[str]]:
    name = f"{account.user.username}/{account.account_name}"
    made = {row["execId"] for row in exchange.private_rows(name, "execution")}
    stored = PrivateExecution.objects.filter(account=account)
    return made, set(stored.values_list("exec_id", flat=True))


def fails(path: str, *, after: int = 0, status: int = 500) -> Callable[..., Answer | None]:
    """A rule: requests for `path` fail, but for so many first ones."""
    seen = iter(range(10**9))

    def rule(asked: Asked, forward: Callable[[], Answer]) -> Answer | None:
        if asked.path.endswith(path) and next(seen) >= after:
            return Answer(status, b"")
        return None

    return rule


def closing(leg: Any) -> dict[str, Any]:
    """The market order that closes a leg of a position."""
    return {
        "category": "linear",
        "symbol": leg.symbol,
        "side": "Sell" if leg.index == 1 else "Buy",
        "orderType": "Market",
        "qty": str(leg.size),
        "positionIdx": leg.index,
        "reduceOnly": True,
    }


class TestAccounts:
    """Private streams are repaired after every reconnection."""

    def test_what_happened_while_an_account_was_away_is_all_there(
        self, exchange, repairing, tenants
    ):
        with repairing() as running:
            hear(exchange)
            miss(exchange, steps=90)
            until(running, lambda: has_gap(tenants["bob"], "wallet", "unfillable"))
            report = running.finish()
        made, stored = made_and_stored(exchange, tenants["bob"])
        assert stored == made
        assert len(made) > 100
        states = CaptureGap.objects.values_list("account__user__username", "stream", "state")
        assert set(states) == {
            ("bob", "executions", "filled"), ("bob", "orders", "partial"),
            ("bob", "positions", "unfillable"), ("bob", "wallet", "unfillable"),
        }  # fmt: skip
        assert report.exit_code == ExitCode.OK

    def test_each_order_ends_in_its_last_state(self, exchange, repairing, tenants):
        with repairing() as running:
            hear(exchange)
            miss(exchange, steps=30)
            until(running, lambda: has_gap(tenants["bob"], "orders", "partial"))
        rows = exchange.private_rows("bob/main", "order")
        last = {
            row["orderId"]: row for row in sorted(rows, key=lambda row: int(row["updatedTime"]))
        }
        stored = Order.objects.filter(account=tenants["bob"]).order_by("exchange_ts", "id")
        assert {row.order_id: row.status for row in stored} == {
            order_id: row["orderStatus"] for order_id, row in last.items()
        }
        assert "cannot be asked for again" in gap_of(tenants["bob"], "orders").evidence["note"]

    def test_positions_and_balances_are_as_they_are_at_the_end_of_the_gap(
        self, exchange, repairing, tenants
    ):
        def close(desk: Any) -> None:
            for leg in desk.account.legs_of("BTCUSDT"):
                if leg.size:
                    desk.trader.create(closing(leg))

        with repairing() as running:
            hear(exchange)
            exchange.refuse(NEVER)
            exchange.break_connections("reset", account="bob/main")
            exchange.script("bob/main", 30)
            exchange._desk("bob/main", close)
            exchange.refuse(0)
            until(running, lambda: has_gap(tenants["bob"], "wallet", "unfillable"))
        gap = gap_of(tenants["bob"], "positions")
        fetched = PositionSnapshot.objects.filter(
            account=tenants["bob"], exchange_ts__gte=gap.ended_at
        )
        # A list of all positions leaves those out that were closed meanwhile.
        sizes = {(row.symbol, row.position_idx): row.size for row in fetched}
        assert sizes["BTCUSDT", 1] == sizes["BTCUSDT", 2] == 0
        assert sizes["ETHUSDT", 1] > 0 or sizes["ETHUSDT", 2] > 0
        assert WalletSnapshot.objects.filter(exchange_ts__gte=gap.ended_at).exists()

    def test_the_gap_of_a_quiet_account_ends_without_a_row(self, exchange, repairing, tenants):
        with repairing() as running:
            miss(exchange, steps=0)
            until(running, lambda: has_gap(tenants["bob"], "executions", "filled"))
        gap = gap_of(tenants["bob"])
        assert gap.ended_at is not None
        assert gap.rows_added == 0
        assert not PrivateExecution.objects.exists()

    def test_what_happened_before_capture_began_is_fetched_at_its_start(
        self, exchange, serving, repairing, tenants
    ):
        with serving():
            hear(exchange)
        exchange.script("bob/main", 20)
        with repairing() as running:
            until(running, lambda: has_gap(tenants["bob"], "executions", "filled"))
        made, stored = made_and_stored(exchange, tenants["bob"])
        assert stored == made

    def test_a_first_connection_brings_the_present_state(self, exchange, repairing, tenants):
        with repairing():
            assert WalletSnapshot.objects.values("account").distinct().count() == 3
        assert not CaptureGap.objects.exists()

    def test_the_report_says_what_was_repaired(self, exchange, repairing, tenants):
        with repairing() as running:
            hear(exchange)
            before = len(made_and_stored(exchange, tenants["bob"])[0])
            miss(exchange, steps=10)
            until(running, lambda: has_gap(tenants["bob"], "wallet", "unfillable"))
            report = running.finish()
        missed = len(made_and_stored(exchange, tenants["bob"])[0]) - before
        told = report.as_json()["repairs"]["executions of bob/main"]
        assert (told["stored"], told["filled"], told["open"]) == (missed, 1, 0)
        assert gap_of(tenants["bob"]).rows_added == missed


class TestLag:
    """REST may lag behind the streams, and so may its clock: a gap is judged afterwards."""

    def lags(self, path: str, key: str = "") -> Callable[..., Answer | None]:
        """A rule: the first answer to requests for `path` is one of before anything happened."""
        seen = iter(range(10**9))

        def rule(asked: Asked, forward: Callable[[], Answer]) -> Answer | None:
            if not asked.path.endswith(path) or (key and asked.key != key) or next(seen) > 0:
                return None
            answer = forward()
            body = orjson.loads(answer.body)
            body["result"] |= {"list": [], "nextPageCursor": ""}
            return answer._replace(body=orjson.dumps(body))

        return rule

    def test_executions_that_rest_shows_late_are_there_when_the_gap_is_filled(
        self, exchange, gateway, repairing, tenants
    ):
        with repairing(repair_settle=0.3) as running:
            hear(exchange)
            gateway.rule = self.lags(EXECUTIONS, exchange.accounts["bob/main"].api_key)
            miss(exchange, steps=20)
            until(running, lambda: has_gap(tenants["bob"], "executions", "filled"))
        made, stored = made_and_stored(exchange, tenants["bob"])
        assert stored == made
        assert gap_of(tenants["bob"]).attempts == 1

    def test_trades_that_rest_shows_late_are_there_when_the_gap_is_filled(
        self, exchange, gateway, repairing
    ):
        with repairing(symbols=("BTCUSDT",), private=False, repair_settle=2.0) as running:
            exchange.send_trades("BTCUSDT", exchange.make_trades("BTCUSDT", 20))
            exchange.drain()
            gateway.rule = self.lags("/recent-trade")
            asked = len(gateway.of("/recent-trade"))
            miss_trades(exchange, 300)
            gaps = CaptureGap.objects.filter(stream="trades", symbol="BTCUSDT")
            until(running, gaps.filter(state="filled").exists)
        assert PublicTrade.objects.count() == 320
        assert len(gateway.of("/recent-trade")) - asked == 2

    def test_the_first_audit_looks_again_at_what_was_repaired_first(
        self, exchange, serving, repairing, tenants
    ):
        with serving():
            hear(exchange)
        exchange.script("bob/main", 20)
        # All is too young for an audit.
        with repairing(audit_lag=NEVER) as running:
            until(running, lambda: has_gap(tenants["bob"], "executions", "filled"))
            link = running.service.repairs._links[tenants["bob"].pk]
            assert link.audited_until <= gap_of(tenants["bob"]).started_at

    def test_a_clock_of_rest_that_is_behind_ends_no_gap_too_early(
        self, exchange, gateway, repairing
    ):
        def behind(asked: Asked, forward: Callable[[], Answer]) -> Answer | None:
            if not asked.path.endswith("/time"):
                return None
            answer = forward()
            body = orjson.loads(answer.body)
            nanoseconds = int(body["result"]["timeNano"]) - 400_000_000
            body["result"]["timeNano"] = str(nanoseconds)
            return answer._replace(body=orjson.dumps(body))

        gateway.rule = behind
        with repairing(symbols=("BTCUSDT",), private=False, repair_margin=1.0) as running:
            exchange.send_trades("BTCUSDT", exchange.make_trades("BTCUSDT", 20))
            exchange.drain()
            miss_trades(exchange, 300)
            gaps = CaptureGap.objects.filter(stream="trades", symbol="BTCUSDT")
            until(running, gaps.filter(state="filled").exists)
        assert gaps.get().ended_at >= PublicTrade.objects.last_trade_ts("BTCUSDT")
        assert PublicTrade.objects.count() == 320


class TestTrouble:
    """What arrived is stored, what did not stays a gap, and one account's trouble is its own."""

    def test_a_cursor_that_repeats_leaves_the_gap_open(self, exchange, gateway, repairing, tenants):
        first: list[Answer] = []

        def circle(asked: Asked, forward: Callable[[], Answer]) -> Answer | None:
            if not asked.path.endswith(EXECUTIONS):
                return None
            answer = first[0] if first else forward()
            first.append(answer)
            body = orjson.loads(answer.body)
            body["result"]["nextPageCursor"] = "round"
            return answer._replace(body=orjson.dumps(body))

        with repairing() as running:
            hear(exchange)
            gateway.rule = circle
            asked_before = len(gateway.of(EXECUTIONS))
            miss(exchange, steps=3)
            until(running, lambda: has_gap(tenants["bob"], "executions", "open"))
        made, stored = made_and_stored(exchange, tenants["bob"])
        assert stored == made
        assert "nextPageCursor repeats" in gap_of(tenants["bob"]).evidence["note"]
        assert len(gateway.of(EXECUTIONS)) - asked_before == 2

    def test_a_page_that_fails_costs_only_what_did_not_arrive_and_is_asked_for_again(
        self, exchange, gateway, repairing, tenants
    ):
        with repairing(repair_delay=0.0, sweep_interval=0.05) as running:
            hear(exchange)
            gateway.rule = fails(EXECUTIONS, after=1)
            miss(exchange, steps=120)
            until(running, lambda: has_gap(tenants["bob"], "executions", "open"))
            assert len(made_and_stored(exchange, tenants["bob"])[1]) >= 100
            assert "HTTP 500" in gap_of(tenants["bob"]).evidence["note"]
            gateway.rule = lambda asked, forward: None
            until(running, lambda: has_gap(tenants["bob"], "executions", "filled", 2))
        made, stored = made_and_stored(exchange, tenants["bob"])
        assert stored == made
        assert "note" not in gap_of(tenants["bob"]).evidence

    def test_a_wallet_that_cannot_be_had_stops_neither_streams_nor_executions(
        self, exchange, gateway, repairing, tenants
    ):
        gateway.rule = fails(WALLET)
        with repairing() as running:
            hear(exchange)
            miss(exchange)
            until(running, lambda: has_gap(tenants["bob"], "wallet", "open"))
            hear(exchange)
            report = running.finish()
        made, stored = made_and_stored(exchange, tenants["bob"])
        assert stored == made
        assert gap_of(tenants["bob"]).state == "filled"
        assert report.as_json()["repairs"]["wallet of bob/main"]["open"] == 1

    def test_a_refused_key_is_asked_no_more_until_it_connects_again(
        self, exchange, gateway, repairing, tenants
    ):
        key = exchange.accounts["bob/main"].api_key
        with repairing(repair_delay=0.0, sweep_interval=0.02) as running:
            hear(exchange)
            exchange.set_account("bob/main", refusal="10005")
            miss(exchange)
            until(running, lambda: has_gap(tenants["bob"], "wallet", "open"))
            asked = len(gateway.of(EXECUTIONS, key))
            miss(exchange, "alice/main")
            until(running, lambda: has_gap(tenants["alice"], "wallet", "unfillable"))
            assert len(gateway.of(EXECUTIONS, key)) == asked
            for stream in ("executions", "orders", "wallet"):
                assert "10005" in gap_of(tenants["bob"], stream).evidence["note"]
            exchange.set_account("bob/main", refusal="")
            exchange.break_connections("reset", account="bob/main")
            ended = CaptureGap.objects.filter(ended_at__isnull=False)
            until(running, lambda: not ended.filter(state="open").exists())
        made, stored = made_and_stored(exchange, tenants["bob"])
        assert stored == made

    def test_a_banned_address_is_silent_while_streams_go_on(
        self, exchange, gateway, repairing, tenants
    ):
        with repairing(repair_delay=0.0, sweep_interval=0.02) as running:
            hear(exchange)
            before = len(gateway.of("/time"))
            gateway.rule = lambda asked, forward: Answer(403, b"")
            miss(exchange)
            until(running, lambda: gateway.of("/time")[before:])
            until(running, lambda: exchange.wait_for_private("bob/main") is None)
            asked = len(gateway.asked)
            for name in TENANTS:
                hear(exchange, name)
            miss(exchange, "alice/main")
            exchange.wait_for_private("alice/main")
            until(running, lambda: gap_of(tenants["alice"]))
            link = running.service.repairs._links[tenants["alice"].pk]
            until(running, lambda: link.has_wishes and link.supervisor.lives == 2)
            report = running.finish()
        assert len(gateway.asked) == asked
        assert PrivateExecution.objects.filter(account=tenants["charlie"]).exists()
        assert gap_of(tenants["bob"]).state == "open"
        assert report.exit_code == ExitCode.OK

    def test_a_gap_does_not_end_before_a_connection_that_was_lost_meanwhile(
        self, exchange, gateway, repairing, tenants
    ):
        asked, go_on = threading.Event(), threading.Event()

        def late(one: Asked, forward: Callable[[], Answer]) -> Answer | None:
            if not one.path.endswith("/time") or asked.is_set():
                return None
            answer = forward()
            asked.set()
            go_on.wait(20)
            return answer

        with repairing() as running:
            hear(exchange)
            gateway.rule = late
            miss(exchange)
            until(running, asked.is_set)
            miss(exchange)
            exchange.wait_for_private("bob/main")
            supervisor = running.service.repairs._links[tenants["bob"].pk].supervisor
            until(running, lambda: supervisor.lives == 3)
            go_on.set()
            until(running, lambda: has_gap(tenants["bob"], "wallet", "unfillable"))
        newest = PrivateExecution.objects.filter(account=tenants["bob"]).latest("exchange_ts")
        gap = gap_of(tenants["bob"])
        assert gap.state == "filled"
        assert gap.started_at <= newest.exchange_ts <= gap.ended_at
        assert gap.evidence["outages"] == 2

    def test_an_account_that_is_disabled_meanwhile_is_left_alone(
        self, exchange, gateway, repairing, tenants
    ):
        asked, go_on = threading.Event(), threading.Event()
        key = exchange.accounts["bob/main"].api_key

        def hang(one: Asked, forward: Callable[[], Answer]) -> Answer | None:
            if one.key == key and one.path.endswith(EXECUTIONS):
                asked.set()
                go_on.wait(20)
            return None

        with repairing() as running:
            gateway.rule = hang
            miss(exchange)
            until(running, asked.is_set)
            BybitAccount.objects.filter(pk=tenants["bob"].pk).update(status="disabled")
            until(running, lambda: tenants["bob"].pk not in running.service.private._serving)
            go_on.set()
            miss(exchange, "alice/main")
            until(running, lambda: has_gap(tenants["alice"], "executions", "filled"))
            report = running.finish()
        assert not PrivateExecution.objects.filter(account=tenants["bob"]).exists()
        assert gap_of(tenants["bob"]).state == "open"
        assert report.exit_code == ExitCode.OK

    def test_an_account_whose_answers_hang_delays_nobody_and_no_stop(
        self, exchange, gateway, repairing, tenants, monkeypatch
    ):
        monkeypatch.setattr("marketdata.capture.repairs.STOP_SECONDS", 0.05)
        key = exchange.accounts["bob/main"].api_key
        asked, go_on = threading.Event(), threading.Event()

        def hang(one: Asked, forward: Callable[[], Answer]) -> Answer | None:
            if one.key == key:
                asked.set()
                go_on.wait(20)
            return None

        with repairing() as running:
            gateway.rule = hang
            miss(exchange)
            until(running, asked.is_set)
            miss(exchange, "alice/main")
            until(running, lambda: has_gap(tenants["alice"], "wallet", "unfillable"))
            # One that must not wait for an answer: it would take the client's ten seconds.
            assert [one.path for one in gateway.asked if one.key == key][-1].endswith(EXECUTIONS)
            report = running.finish()
            go_on.set()
            for thread in running.service.repairs._threads:
                thread.join(20)
        assert report.exit_code == ExitCode.OK
        assert gap_of(tenants["bob"]).state == "open"

    def test_a_database_that_is_away_is_waited_for(self, exchange, repairing, tenants, monkeypatch):
        monkeypatch.setattr("marketdata.capture.repairs.DATABASE_PAUSE_SECONDS", 0.01)
        note, failures = account_module.note_attempt, iter(range(3))

        def away(*args: Any, **kwargs: Any) -> Any:
            if next(failures, None) is not None:
                raise OperationalError("away")
            return note(*args, **kwargs)

        monkeypatch.setattr(account_module, "note_attempt", away)
        with repairing() as running:
            hear(exchange)
            miss(exchange)
            until(running, lambda: has_gap(tenants["bob"], "wallet", "unfillable"))
        made, stored = made_and_stored(exchange, tenants["bob"])
        assert (stored, gap_of(tenants["bob"]).state) == (made, "filled")


class TestSymbols:
    """Of public streams long gaps are repaired at once, short ones by the sweep."""

    def gap(self, symbol: str = "BTCUSDT") -> CaptureGap | None:
        return CaptureGap.objects.filter(stream="trades", symbol=symbol).order_by("-pk").first()

    def is_judged(self, state: str, symbol: str = "BTCUSDT") -> bool:
        gap = self.gap(symbol)
        return gap is not None and gap.state == state and gap.attempts > 0

    def hear(self, exchange, count: int = 20) -> None:
        exchange.send_trades("BTCUSDT", exchange.make_trades("BTCUSDT", count))
        exchange.drain()

    @pytest.mark.parametrize(
        "timing",
        [{"gap_threshold": 0.0}, {"gap_threshold": NEVER, "sweep_interval": 0.05}],
        ids=["at once", "by the sweep"],
    )
    def test_a_quiet_symbol_is_repaired(self, exchange, repairing, timing):
        with repairing(symbols=("BTCUSDT", "ETHUSDT"), private=False, **timing) as running:
            self.hear(exchange)
            miss_trades(exchange, 300)
            until(running, lambda: self.is_judged("filled"))
            report = running.finish()
        assert PublicTrade.objects.count() == 320
        assert self.gap().rows_added == 300
        assert report.as_json()["repairs"]["trades"]["stored"] == 300

    def test_a_short_gap_waits_for_the_sweep(self, exchange, repairing):
        with repairing(symbols=("BTCUSDT",), private=False, gap_threshold=NEVER) as running:
            self.hear(exchange)
            miss_trades(exchange, 10)
            exchange.wait_for_topics("publicTrade.BTCUSDT")
            self.hear(exchange)
            running.finish()
        assert PublicTrade.objects.count() == 40
        assert (self.gap().state, self.gap().attempts) == ("open", 0)

    def test_of_more_than_a_thousand_trades_the_rest_stays_missing_with_its_bounds(
        self, exchange, repairing
    ):
        with repairing(symbols=("BTCUSDT",), private=False) as running:
            self.hear(exchange)
            until(running, lambda: PublicTrade.objects.count() == 20)
            last = PublicTrade.objects.last_trade_ts("BTCUSDT")
            miss_trades(exchange, 1500)
            until(running, lambda: self.is_judged("partial"))
        fetched = PublicTrade.objects.filter(symbol="BTCUSDT").order_by("exchange_ts", "id")[20:]
        gap = self.gap()
        assert len(fetched) == gap.rows_added == 1000
        assert (gap.started_at, gap.ended_at) == (last, fetched[0].exchange_ts)

    def test_tickers_are_given_up(self, exchange, repairing):
        with repairing(symbols=("BTCUSDT",), private=False, sweep_interval=0.05) as running:
            exchange.break_connections("reset")
            until(running, lambda: CaptureGap.objects.filter(state="unfillable").exists())
        assert set(
            CaptureGap.objects.filter(state="unfillable").values_list("stream", flat=True)
        ) == {"tickers"}


class TestAudits:
    """A stream that was never interrupted is not taken at its word."""

    def is_declared(self) -> bool:
        return CaptureGap.objects.filter(reason__contains="did not bring").exists()

    def test_an_execution_that_is_not_in_the_table_is_stored_and_declared(
        self, exchange, repairing, tenants, caplog
    ):
        with repairing() as running:
            hear(exchange)
            until(running, lambda: made_and_stored(exchange, tenants["bob"])[1])
            running.service.private.writers[0].flush()
            running.service.books.end()
            lost = PrivateExecution.objects.filter(account=tenants["bob"]).latest("exchange_ts")
            PrivateExecution.objects.filter(pk=lost.pk).delete()
            claim(Feed("executions", "", tenants["bob"].pk), lost.exchange_ts, lost.exchange_ts)
            audit_now(running, tenants["bob"].pk)
            until(running, self.is_declared)
            report = running.finish()
        gap = CaptureGap.objects.get()
        assert gap.reason == "the stream did not bring 1 rows that REST shows"
        assert (gap.state, gap.source, gap.rows_added) == ("filled", "rest", 1)
        assert gap.started_at == gap.ended_at == lost.exchange_ts
        assert PrivateExecution.objects.filter(exec_id=lost.exec_id).exists()
        assert report.as_json()["repairs"]["executions of bob/main"]["not_streamed"] == 1
        assert gap.reason in caplog.text

    def test_trades_that_were_never_pushed_are_stored_and_declared(self, exchange, repairing):
        with repairing(symbols=("BTCUSDT",), private=False) as running:
            link = running.service.repairs._links["BTCUSDT"]
            running.service.books.end()
            audit_now(running, "BTCUSDT")
            until(running, lambda: link.audited_until is not None)
            until_idle(running, "BTCUSDT")
            rows = exchange.make_trades("BTCUSDT", 7)
            claim(Feed("trades", "BTCUSDT"), *times_of(rows))
            exchange._call(lambda server: server.tapes["BTCUSDT"].record(rows))
            audit_now(running, "BTCUSDT")
            until(running, self.is_declared)
        assert PublicTrade.objects.count() == 7
        assert CaptureGap.objects.get().rows_added == 7

    def test_a_stream_that_brought_everything_is_not_accused(self, exchange, repairing, tenants):
        with repairing() as running:
            link = running.service.repairs._links[tenants["bob"].pk]
            hear(exchange, steps=20)
            before = link.audited_until
            audit_now(running, tenants["bob"].pk)
            until(running, lambda: link.audited_until > before)
        assert not CaptureGap.objects.exists()


class TestReady:
    """Whoever waits for capture to be ready has its first repairs, and never waits for ever."""

    @pytest.fixture
    def run(self, exchange, gateway, tenants):
        """A service whose REST hangs until `go_on`: its events, by name."""
        events = {name: threading.Event() for name in ("go_on", "ready", "ticked", "stop")}

        def hang(asked: Asked, forward: Callable[[], Answer]) -> Answer | None:
            events["go_on"].wait(20)
            return None

        gateway.rule = hang
        endpoints = Endpoints(
            rest=gateway.url, ws_public=exchange.ws_public_url, ws_private=exchange.ws_private_url
        )
        config = capture_config(
            exchange, symbols=(), private=True, repair=True, endpoints=endpoints,
            sweep_interval=NEVER, audit_interval=NEVER,
        )  # fmt: skip
        service = CaptureService(config)
        running = Running(service)
        options = {"on_ready": events["ready"].set, "on_tick": lambda _: events["ticked"].set()}
        original = service.run
        service.run = lambda stop: original(stop, **options)  # type: ignore[method-assign]
        running.thread.start()
        yield running, events
        events["go_on"].set()
        running.finish()

    def test_it_is_ready_when_its_accounts_are_repaired(self, exchange, run):
        _, events = run
        for name in TENANTS:
            exchange.wait_for_private(name)
        for _ in range(3):
            events["ticked"].clear()
            assert events["ticked"].wait(20)
        assert not events["ready"].is_set()
        events["go_on"].set()
        assert events["ready"].wait(20)
        assert WalletSnapshot.objects.exists()

    def test_it_is_ready_in_the_end_though_nobody_answers(self, run, monkeypatch):
        monkeypatch.setattr("marketdata.capture.service.READY_SECONDS", 0.0)
        _, events = run
        assert events["ready"].wait(20)
        assert not events["go_on"].is_set()
