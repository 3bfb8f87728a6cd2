"""What a stream was believed to have brought is held against REST, and a silent topic is noticed."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from marketdata.bybit.values import time_from_ms
from marketdata.capture.feeds import Feed
from marketdata.models import CaptureGap, CoverageInterval, PrivateExecution, PublicTrade
from marketdata.tests.capture.conftest import NEVER
from marketdata.tests.capture.repairing import audit_now, claim, until

pytestmark = pytest.mark.django_db(transaction=True)

TRADES, TOPIC = Feed("trades", "BTCUSDT"), "publicTrade.BTCUSDT"
RECENT, EXECUTIONS = "/recent-trade", "/execution/list"
MARKET: dict[str, Any] = {"symbols": ("BTCUSDT", "ETHUSDT"), "private": False}


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is due is looked for often, and what is stored is vouched for at once."""
    monkeypatch.setattr("marketdata.capture.repairs.WATCH_SECONDS", 0.01)
    monkeypatch.setattr("marketdata.capture.vouching.EVERY_SECONDS", 0.0)


def trade(exchange, count: int, symbol: str = "BTCUSDT") -> None:
    """Trades that are pushed to whoever listens, a hundred a frame."""
    while count:
        made = min(count, 100)
        exchange.send_trades(symbol, exchange.make_trades(symbol, made))
        count -= made
    exchange.drain()


def hear(exchange, running, count: int = 5) -> None:
    """Trades that capture has stored, later than all before."""
    before = PublicTrade.objects.filter(symbol="BTCUSDT").count()
    trade(exchange, count)
    until(running, lambda: PublicTrade.objects.filter(symbol="BTCUSDT").count() >= before + count)


def miss(exchange, count: int) -> None:
    """Trades that are made, and not pushed, while everything else goes on."""
    exchange.fault("silence", topic=TOPIC)
    trade(exchange, count)
    exchange.end_faults("silence")


def gaps() -> Any:
    return CaptureGap.objects.filter(stream="trades", symbol="BTCUSDT").order_by("started_at")


def is_declared() -> bool:
    return bool(gaps().filter(reason__contains="did not bring").exists())


class TestWhatIsAudited:
    """Every answer is compared with every claim."""

    def test_what_was_missed_a_moment_ago_is_found_and_declared(self, exchange, repairing):
        with repairing(**MARKET, audit_lag=NEVER) as running:
            hear(exchange, running)
            miss(exchange, 30)
            hear(exchange, running)
            audit_now(running, "BTCUSDT")
            until(running, is_declared)
            report = running.finish()
        assert PublicTrade.objects.count() == 40
        assert (gaps().get().state, gaps().get().rows_added) == ("filled", 30)
        assert report.as_json()["repairs"]["trades"]["not_streamed"] == 30

    def test_a_restart_audits_what_the_last_capture_vouched_for(self, exchange, serving, repairing):
        with serving(symbols=MARKET["symbols"]) as running:
            exchange.wait_for_topics(TOPIC)
            hear(exchange, running)
            miss(exchange, 30)
            hear(exchange, running)
        assert PublicTrade.objects.count() == 10
        with repairing(**MARKET, gap_threshold=NEVER) as running:
            until(running, is_declared)
        assert PublicTrade.objects.count() == 40
        assert gaps().filter(state="filled").get().rows_added == 30

    def test_executions_are_audited_from_before_the_end_of_what_was_vouched_for(
        self, exchange, gateway, repairing, tenants
    ):
        now, feed = datetime.now(UTC), Feed("executions", "", tenants["bob"].pk)
        claim(feed, now - timedelta(hours=3), now - timedelta(minutes=2))
        key = exchange.accounts["bob/main"].api_key

        def asked_from() -> list[datetime]:
            asked = gateway.of(EXECUTIONS, key)
            return [time_from_ms(int(one.query["startTime"])) for one in asked]

        with repairing() as running:
            until(running, lambda: asked_from() and min(asked_from()) < now - timedelta(minutes=50))

    def test_a_repair_declares_what_it_brings_of_what_was_claimed(
        self, exchange, repairing, tenants
    ):
        account = tenants["bob"]
        with repairing() as running:
            exchange.script("bob/main", 20)
            until(running, lambda: PrivateExecution.objects.filter(account=account).count() > 5)
        lost = PrivateExecution.objects.filter(account=account).earliest("exchange_ts")
        later = PrivateExecution.objects.filter(account=account).latest("exchange_ts")
        claim(Feed("executions", "", account.pk), lost.exchange_ts, later.exchange_ts)
        PrivateExecution.objects.filter(pk=lost.pk).delete()
        unheard = CaptureGap.objects.filter(account=account, reason__contains="did not bring")
        with repairing(audit_lag=NEVER) as running:
            until(running, unheard.exists)
        assert unheard.get().started_at == lost.exchange_ts
        assert PrivateExecution.objects.filter(exec_id=lost.exec_id).exists()

    def test_of_what_rest_shows_no_more_the_bounds_are_declared(self, exchange, repairing):
        with repairing(**MARKET) as running:
            hear(exchange, running)
            hear(exchange, running)
            last = PublicTrade.objects.last_trade_ts("BTCUSDT")
            miss(exchange, 1500)
            hear(exchange, running)
            audit_now(running, "BTCUSDT")
            until(running, is_declared)
        found = PublicTrade.objects.filter(symbol="BTCUSDT", exchange_ts__gt=last)
        beyond = gaps().filter(state="open").get()
        feed_rows = CoverageInterval.objects.filter(stream="trades", symbol="BTCUSDT")
        assert not feed_rows.filter(started_at__lte=beyond.ended_at, ended_at__gte=last).exists()
        assert found.count() == 1000
        assert (beyond.started_at, beyond.ended_at) == (
            last,
            found.earliest("exchange_ts").exchange_ts,
        )

    def test_trades_from_before_anybody_listened_are_nobodys_miss(self, exchange, repairing):
        exchange.make_trades("BTCUSDT", 1)
        trade(exchange, 1200)
        with repairing(**MARKET) as running:
            hear(exchange, running)
            audit_now(running, "BTCUSDT")
            until(running, lambda: running.service.repairs._links["BTCUSDT"].audit_at)
        assert PublicTrade.objects.count() == 1005
        assert not CaptureGap.objects.exists()


class TestWhenItIsAudited:
    """Answers overlap, however busy a symbol is; a quiet one is asked after early."""

    def test_a_busy_symbol_is_audited_again_before_its_trades_are_out_of_reach(
        self, exchange, gateway, repairing, monkeypatch
    ):
        monkeypatch.setattr("marketdata.capture.audits.LEAST_SECONDS", 0.01)
        trade(exchange, 1000)
        with repairing(symbols=("BTCUSDT",), private=False) as running:
            until(running, lambda: len(gateway.of(RECENT)) > 3)

    @pytest.fixture
    def live(self, exchange, monkeypatch) -> Callable[[], None]:
        """The other topics of the connection bring something, of which all is believed."""
        monkeypatch.setattr("marketdata.capture.gaps.BEAT_MARGIN", timedelta(0))

        def bring() -> None:
            trade(exchange, 1, "ETHUSDT")
            exchange.send_ticker("ETHUSDT", lastPrice=str(100 + PublicTrade.objects.count()))

        return bring

    def test_a_silent_topic_is_found_out_and_its_connection_made_anew(
        self, exchange, repairing, live
    ):
        with repairing(**MARKET, topic_silence=0.1) as running:
            supervisor = running.service.public.supervisors[0]
            hear(exchange, running)
            exchange.fault("silence", topic=TOPIC)
            trade(exchange, 20)
            until(running, lambda: live() or supervisor.lives == 2)
            exchange.end_faults("silence")
            until(running, lambda: live() or gaps().filter(reason__contains="silent").exists())
            hear(exchange, running)
            filled = gaps().filter(reason__contains="silent", state="filled")
            until(running, lambda: live() or filled.exists())
        assert PublicTrade.objects.filter(symbol="BTCUSDT").count() == 30
        assert is_declared()

    def test_a_quiet_market_is_asked_after_and_left_alone(self, exchange, gateway, repairing, live):
        def probes() -> int:
            return sum(one.query["symbol"] == "BTCUSDT" for one in gateway.of(RECENT))

        with repairing(**MARKET, topic_silence=0.1) as running:
            hear(exchange, running)
            asked = probes()
            until(running, lambda: live() or probes() >= asked + 2)
            supervisor = running.service.public.supervisors[0]
            assert supervisor.lives == 1
        assert not CaptureGap.objects.exists()

    def test_without_others_that_live_nothing_is_suspected(self, exchange, gateway, repairing):
        with repairing(**MARKET, topic_silence=0.001) as running:
            hear(exchange, running)
            assert len(gateway.of(RECENT)) == 2
