"""`manage.py coverage`: shares, holes, klines, exit codes."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from accounts.tests.factories import BybitAccountFactory
from marketdata.bybit.environments import Endpoints
from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.klines import kline_from
from marketdata.bybit.rest_client import BybitRestClient
from marketdata.capture.feeds import Feed
from marketdata.coverage.ledger import Source, vouch
from marketdata.coverage.report import UNVOUCHED, report_on
from marketdata.coverage.spans import TICK, Span
from marketdata.coverage.verify import MINUTE, whole_minutes
from marketdata.exits import ExitCode
from marketdata.models import CaptureGap, PublicTrade
from marketdata.sandbox.wire import trade_row
from marketdata.tests.factories import PublicTradeFactory

pytestmark = pytest.mark.django_db

FEED = Feed("trades", "BTCUSDT")
NOW = datetime.now(UTC)
START = NOW.replace(second=0, microsecond=0) - timedelta(minutes=10)


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def covered(start: float, end: float, source: Source = Source.LIVE, feed: Feed = FEED) -> None:
    vouch(*feed, at(start), at(end) - TICK, source)


def gap(start: float, end: float | None, **changes) -> CaptureGap:
    values = {"stream": "trades", "symbol": "BTCUSDT", "reason": "the connection was lost"}
    ended_at = None if end is None else at(end) - TICK
    return CaptureGap.objects.create(started_at=at(start), ended_at=ended_at, **values | changes)


def run(capsys, *arguments: str) -> tuple[int, str]:
    code = 0
    try:
        call_command("coverage", *arguments)
    except SystemExit as end:
        code = int(end.code or 0)
    except CommandError as error:
        return error.returncode, str(error)
    return code, capsys.readouterr().out


def told(since=None, until=None):
    report = report_on(FEED, "BTCUSDT", since, until, NOW)
    holes = [((h.span.start, h.span.end + TICK), h.state) for h in report.holes]
    return round(report.share, 4), holes


class TestReport:
    """What is said of one feed."""

    def test_what_is_whole_is_said_to_be(self):
        covered(0, 60)
        covered(60, 100, Source.ARCHIVE)
        assert told() == (1.0, [])

    def test_a_gap_is_told_with_its_part_of_the_span(self):
        covered(0, 60)
        gap(60, 80)
        covered(80, 100)
        assert told() == (0.8, [((at(60), at(80)), "open")])
        assert told(at(70), at(100) - TICK) == (0.6667, [((at(70), at(80)), "open")])
        assert told(at(0), at(60) - TICK) == (1.0, [])

    def test_what_a_gap_row_says_is_missing_no_interval_proves(self):
        covered(0, 60)
        gap(60, 80, state="partial")
        covered(60, 75, Source.ARCHIVE)
        covered(80, 100)
        assert told() == (0.8, [((at(60), at(80)), "partial")])

    def test_what_nobody_speaks_of_is_not_complete(self):
        covered(0, 60)
        covered(80, 100)
        assert told() == (0.8, [((at(60), at(80)), UNVOUCHED)])

    def test_gap_rows_that_overlap_are_told_once(self):
        covered(0, 60)
        gap(60, 80)
        gap(70, 90, state="unfillable")
        covered(90, 100)
        assert told() == (
            0.7, [((at(60), at(80)), "open"), ((at(80), at(90)), "unfillable")]
        )  # fmt: skip

    def test_before_the_first_row_and_after_the_last_nothing_is_vouched_for(self):
        covered(0, 50)
        share, holes = told(at(-25), at(75) - TICK)
        assert share == 0.5
        assert [span for span, _ in holes] == [(at(-25), at(0)), (at(50), at(75))]

    def test_a_gap_that_lasts_reaches_to_now(self):
        covered(0, 60)
        gap(60, None)
        _, ((span, state),) = told()
        assert (span, state) == ((at(60), NOW + TICK), "open")

    def test_rows_that_nothing_vouches_for_are_not_complete(self):
        PublicTradeFactory.create(exchange_ts=at(0))
        PublicTradeFactory.create(exchange_ts=at(10))
        assert told() == (0.0, [((at(0), at(10) + TICK), UNVOUCHED)])

    def test_the_first_row_itself_is_no_hole(self):
        PublicTradeFactory.create(exchange_ts=at(0) - TICK)
        covered(0, 60)
        assert told() == (1.0, [])


class TestCommand:
    """The command."""

    def test_complete_is_zero(self, capsys):
        covered(0, 60)
        code, out = run(capsys)
        assert code == ExitCode.OK
        assert "BTCUSDT trades" in out
        assert "100.000% complete" in out
        assert "All 1 feeds are complete." in out

    @pytest.mark.parametrize("state", ["open", "partial", "unfillable"])
    def test_a_gap_of_any_kind_is_six_and_is_named(self, capsys, state):
        covered(0, 60)
        gap(60, 70, state=state, source="rest")
        code, out = run(capsys)
        assert code == ExitCode.DATA_INCOMPLETE
        words = f"missing {at(60):%Y-%m-%d %H:%M:%S}.000 to {at(69):%Y-%m-%d %H:%M:%S}.999 {state}"
        assert words in out
        assert "the connection was lost" in out

    def test_a_hole_of_a_millisecond_in_a_week_is_not_rounded_away(self, capsys):
        covered(-604_800, 0)
        covered(0.001, 60)
        code, out = run(capsys)
        assert code == ExitCode.DATA_INCOMPLETE
        assert "99.999% complete, 0.001 s missing" in out

    def test_json_is_one_line(self, capsys):
        covered(0, 60)
        gap(60, 70)
        code, out = run(capsys, "--json")
        (feed,) = json.loads(out)["feeds"]
        assert code == ExitCode.DATA_INCOMPLETE
        assert (feed["symbol"], feed["stream"], feed["account"]) == ("BTCUSDT", "trades", None)
        assert feed["missing"][0]["reason"] == "the connection was lost"
        assert feed["missing_seconds"] == 10.0

    def test_symbols_streams_and_accounts_are_picked(self, capsys):
        account = BybitAccountFactory.create(user__username="alice", account_name="main")
        other = BybitAccountFactory.create(user__username="bob", account_name="main")
        for pk in (account.pk, other.pk):
            covered(0, 60, feed=Feed("orders", "", pk))
        covered(0, 60)
        covered(0, 60, feed=Feed("tickers", "BTCUSDT"))
        assert "bob" not in run(capsys, "--account", "alice/main")[1]
        assert "All 1 feeds" in run(capsys, "--account", str(other.pk))[1]
        assert "All 2 feeds" in run(capsys, "--symbol", "btcusdt")[1]
        assert "All 1 feeds" in run(capsys, "--symbol", "BTCUSDT", "--stream", "trades")[1]

    def test_what_was_never_captured_is_said_so(self, capsys):
        code, words = run(capsys, "--symbol", "NOPEUSDT")
        assert code == ExitCode.CONFIGURATION
        assert "Nothing was captured of that" in words
        assert run(capsys, "--account", "nobody")[0] == ExitCode.CONFIGURATION

    def test_a_span_that_ends_before_it_begins_is_refused(self, capsys):
        assert run(capsys, "--since", "1h", "--until", "2h")[0] == ExitCode.USAGE


class TestVerify:
    """`--verify`, against the sandbox's klines, which it makes of what it has sent."""

    @pytest.fixture
    def market(self, sandbox, settings):
        """Two minutes of trades, on the exchange and in the database."""
        settings.BYBIT_ENDPOINTS = Endpoints(rest=sandbox.rest_url, ws_public=sandbox.ws_public_url)
        rows = [
            trade_row(
                "BTCUSDT", price="100", size=f"0.00{n}", side="Buy", trade_id=str(n), seq=n,
                time_ms=int(at(n * 20).timestamp() * 1000), block=n == 5,
            )
            for n in range(1, 6)
        ]  # fmt: skip
        sandbox.send_trades("BTCUSDT", rows)
        for n, row in enumerate(rows, 1):
            PublicTradeFactory.create(
                trade_id=row["i"], size=Decimal(row["v"]), exchange_ts=at(n * 20),
                is_block_trade=row["BT"],
            )  # fmt: skip
        covered(0, 150)

    def test_minutes_that_agree_are_counted(self, market, capsys):
        code, out = run(capsys, "--stream", "trades", "--verify")
        assert code == ExitCode.OK, out
        assert "2 minutes were compared with the exchange's klines, 0 differ" in out

    @pytest.mark.parametrize(("change", "delta"), [("-0.002", "-0.002"), ("0.5", "+0.5")])
    def test_a_minute_that_differs_is_named_with_the_difference(
        self, market, capsys, change, delta
    ):
        row = PublicTrade.objects.get(trade_id="2")
        if change == "-0.002":
            row.delete()
        else:
            PublicTradeFactory.create(exchange_ts=at(30), size=Decimal(change))
        code, out = run(capsys, "--stream", "trades", "--verify")
        assert code == ExitCode.DATA_INCOMPLETE
        (line,) = [line for line in out.splitlines() if "difference" in line]
        assert line.startswith(f"  {at(0):%Y-%m-%d %H:%M}: captured ")
        assert line.endswith(f"exchange 0.003, difference {delta}")
        assert "1 differ" in out

    def test_minutes_that_are_not_covered_are_not_compared(self, market, capsys):
        PublicTradeFactory.create(exchange_ts=at(130), size=Decimal(9))
        _, out = run(capsys, "--stream", "trades", "--verify")
        assert "2 minutes were compared" in out

    def test_a_difference_of_exactly_the_block_trades_is_explained(
        self, market, capsys, monkeypatch
    ):
        ask = BybitRestClient.get_klines

        def without_blocks(self, *arguments):
            return [
                bar._replace(volume=bar.volume - Decimal("0.005") * (bar.start == at(60)))
                for bar in ask(self, *arguments)
            ]

        monkeypatch.setattr(BybitRestClient, "get_klines", without_blocks)
        code, out = run(capsys, "--stream", "trades", "--verify")
        assert code == ExitCode.OK
        assert "(exactly its block trades)" in out

    @pytest.mark.parametrize("asked", [("--stream", "tickers"), ("--until", at(55).isoformat())])
    def test_nothing_to_verify_is_said_and_is_six(self, market, capsys, asked):
        covered(0, 150, feed=Feed("tickers", "BTCUSDT"))
        assert run(capsys, *asked)[0] == ExitCode.OK
        code, out = run(capsys, *asked, "--verify")
        assert code == ExitCode.DATA_INCOMPLETE
        assert "There was nothing to verify" in out
        code, out = run(capsys, *asked, "--verify", "--json")
        told = json.loads(out)
        assert (code, told["minutes_compared"]) == (ExitCode.DATA_INCOMPLETE, 0)
        assert told["complete"] is False

    def test_json_tells_a_verification_from_none(self, market, capsys):
        assert json.loads(run(capsys, "--json")[1])["minutes_compared"] is None
        assert json.loads(run(capsys, "--json", "--verify")[1])["minutes_compared"] == 2

    def test_an_exchange_that_does_not_answer_is_75(self, market, capsys, settings):
        settings.BYBIT_ENDPOINTS = Endpoints(
            rest="http://127.0.0.1:9", ws_public="ws://127.0.0.1:9"
        )
        assert run(capsys, "--verify")[0] == ExitCode.UNAVAILABLE


def test_klines_of_more_than_a_page_are_asked_for_in_pages(sandbox):
    first = START - 2500 * MINUTE
    row = trade_row(
        "BTCUSDT", price="100", size="7", side="Buy", trade_id="1", seq=1,
        time_ms=int(first.timestamp() * 1000),
    )  # fmt: skip
    sandbox.send_trades("BTCUSDT", [row])
    endpoints = Endpoints(rest=sandbox.rest_url)
    with closing(BybitRestClient(environment="sandbox", endpoints=endpoints)) as client:
        bars = client.get_klines("BTCUSDT", first, START)
    assert [bar.start for bar in bars] == [first + n * MINUTE for n in range(2501)]
    assert bars[0].volume == 7


def test_only_whole_minutes_that_are_over_are_compared():
    span = Span(at(30), at(300))
    assert list(whole_minutes(span, at(239))) == [at(60), at(120)]
    assert list(whole_minutes(Span(at(0), at(60) - TICK), at(999))) == [at(0)]
    assert list(whole_minutes(Span(at(0), at(60) - 2 * TICK), at(999))) == []
    assert timedelta(minutes=1) == MINUTE


GOOD = ["1790134680000", "1", "2", "0.5", "1.5", "10.25", "15"]


def test_a_kline_is_seven_strings():
    bar = kline_from(GOOD, datetime(2026, 12, 1, tzinfo=UTC))
    assert (bar.volume, bar.start.second) == (Decimal("10.25"), 0)


@pytest.mark.parametrize(
    "row",
    [
        None, [], GOOD[:6], [*GOOD, "1"], [1790134680000, *GOOD[1:]], ["1790134680001", *GOOD[1:]],
        [*GOOD[:5], "-1", "1"], [*GOOD[:5], "1e5", "1"], ["17901346800000", *GOOD[1:]],
    ],
)  # fmt: skip
def test_anything_else_is_none(row):
    with pytest.raises(MalformedMessage):
        kline_from(row, datetime(2026, 12, 1, tzinfo=UTC))
