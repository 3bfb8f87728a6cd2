"""`manage.py backtest` as its users type it: what it trades, stores, says, and how it ends."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from gridcore.matching import FILL_MODELS, strict_cross
from marketdata.capture.feeds import Feed
from marketdata.coverage.pruned import REASON, declare_pruned
from marketdata.coverage.spans import TICK, Span
from marketdata.exits import ExitCode
from marketdata.models import PublicTrade, Stream, TickerSnapshot
from marketdata.tests.factories import CaptureGapFactory, InstrumentFactory
from strategies.backtest import run_backtest
from strategies.backtest.runs.loading import contract_of, load_trades, recorded_fundings
from strategies.backtest.runs.tests.conftest import (
    CONFIG,
    FUNDING,
    SINCE,
    UNTIL,
    WINDOW,
    store_market,
    vouch,
)
from strategies.backtest.terms import time_of
from strategies.config import StrategyConfig
from strategies.models import BacktestSummary, EquityPoint, FundingPayment, Run, SimulatedFill
from strategies.tests.factories import StrategyFactory

pytestmark = pytest.mark.django_db
NAME = "alice/account of alice/grid"


def refused(backtest, *arguments, **options):
    """The exit code and the words of a command that does not succeed."""
    with pytest.raises(CommandError) as raised:
        backtest(*arguments, **options)
    assert not Run.objects.unscoped().exists()
    return raised.value.returncode, str(raised.value)


def own_result():
    """The market of the database, traded without the command."""
    contract = contract_of("BTCUSDT")
    return run_backtest(
        load_trades("BTCUSDT", SINCE, UNTIL, contract.info.tick_size),
        contract,
        StrategyConfig.from_json(CONFIG),
        starting_balance=Decimal(10_000),
        funding=recorded_fundings("BTCUSDT", SINCE, UNTIL),
    )


def columns(record):
    return {field.name: getattr(record, field.name) for field in fields(record)}


def same_columns(row, record):
    return {name: getattr(row, name) for name in columns(record)}


def test_what_is_stored_equals_the_result_to_the_last_digit(market, strategy, backtest):
    backtest("--strategy", NAME)
    result = own_result()
    run = Run.objects.for_user(strategy.user).get()
    rows = {"run": run, "account": strategy.account, "user": strategy.user}
    fills = SimulatedFill.objects.filter(**rows).order_by("pk")
    assert [same_columns(row, each) for row, each in zip(fills, result.fills, strict=True)] == [
        columns(each) for each in result.fills
    ]
    payments = FundingPayment.objects.filter(**rows).order_by("pk")
    assert [
        same_columns(row, each) for row, each in zip(payments, result.funding, strict=True)
    ] == [columns(each) for each in result.funding]
    points = EquityPoint.objects.filter(**rows).order_by("pk")
    assert list(points.values_list("time", "equity", "low", "high")) == [
        (time_of(at), *equity) for at, *equity in result.curve
    ]
    # There is something to compare, and it has more digits than SQLite's decimals.
    assert len(result.fills) > 50
    assert len(result.funding) == 1
    digits = [len(fill.closed_pnl.as_tuple().digits) for fill in result.fills]
    assert max(digits) > 15


def test_the_summary_has_every_figure(market, strategy, backtest):
    backtest("--strategy", NAME)
    summary, metrics = BacktestSummary.objects.for_user(strategy.user).get(), own_result().metrics
    expected = columns(metrics)
    fall = expected.pop("max_drawdown")
    assert summary.fills == expected.pop("trades")
    assert {name: getattr(summary, name) for name in expected} == expected
    assert (summary.max_drawdown, summary.peak, summary.trough) == (
        fall.share,
        fall.peak,
        fall.trough,
    )
    assert (summary.since, summary.until, summary.symbol) == (SINCE, UNTIL, "BTCUSDT")
    assert summary.code_version.startswith("gridcore ")
    assert summary.coverage["complete"] is True
    run = summary.run
    assert (run.run_type, run.status, run.strategy, run.config) == (
        Run.RunType.BACKTEST,
        Run.Status.COMPLETED,
        strategy,
        CONFIG,
    )


def test_the_same_market_gives_the_same_run(market, config_file, backtest_json):
    def run(*more):
        [found] = backtest_json("--config", config_file, "--symbol", "btcusdt", *more)
        del found["seconds"]
        return found

    first = run()
    assert run() == first
    slow = run("--every-trade")
    assert slow["handed_over"] == slow["public_trades"] > first["handed_over"]
    differing = {name for name in first if first[name] != slow[name]}
    assert differing == {"assumptions", "handed_over"}


@pytest.mark.parametrize("option", ["--balance=5000", "--leverage=5", "--maker-fee=-0.01"])
def test_what_a_user_decides_is_among_the_assumptions(market, config_file, backtest_json, option):
    arguments = ("--config", config_file, "--symbol", "BTCUSDT")
    [usual], [other] = backtest_json(*arguments), backtest_json(*arguments, option)
    assert usual["data_fingerprint"] == other["data_fingerprint"]
    assert usual["assumptions"] != other["assumptions"]


def test_another_trade_is_another_fingerprint(market, config_file, backtest_json):
    arguments = ("--config", config_file, "--symbol", "BTCUSDT")
    [whole] = backtest_json(*arguments)
    window = ("--since", SINCE.isoformat(), "--until", (UNTIL - timedelta(minutes=1)).isoformat())
    [shorter] = backtest_json(*arguments, window=window)
    assert whole["data_fingerprint"] != shorter["data_fingerprint"]


def test_funding_is_paid_at_the_instant_with_the_rate_recorded_before_it(
    market, strategy, backtest
):
    backtest("--strategy", NAME)
    payment = FundingPayment.objects.get()
    assert (payment.time, payment.rate) == (FUNDING, Decimal("0.0001"))
    assert payment.mark_price == Decimal("50000.1")
    net = payment.long_size - payment.short_size
    assert payment.amount == -net * payment.mark_price * payment.rate


def test_a_window_with_a_gap_is_not_traded(market, strategy, backtest):
    CaptureGapFactory.create(
        symbol="BTCUSDT", stream=Stream.TRADES, reason="the line was cut",
        started_at=SINCE + timedelta(hours=3), ended_at=SINCE + timedelta(hours=4),
    )  # fmt: skip
    until = SINCE + timedelta(hours=4)
    code, words = refused(
        backtest, "--strategy", NAME, window=("--since", SINCE.isoformat(), "--until", str(until))
    )
    assert code == ExitCode.DATA_INCOMPLETE
    assert "50.000% complete: 2 holes" in words
    assert "from 2026-01-02 10:00:00 to" in words
    assert "the line was cut" in words


def test_a_window_that_was_pruned_is_not_traded(market, strategy, backtest):
    declare_pruned(Feed(Stream.TRADES, "BTCUSDT"), Span(SINCE, SINCE + timedelta(hours=1) - TICK))
    code, words = refused(backtest, "--strategy", NAME)
    assert code == ExitCode.DATA_INCOMPLETE
    assert "pruned" in words
    assert REASON in words


def test_with_allow_gaps_it_is_traded_and_the_gap_is_told(market, strategy, backtest):
    window = ("--since", SINCE.isoformat(), "--until", (UNTIL + timedelta(hours=1)).isoformat())
    said = backtest("--strategy", NAME, "--allow-gaps", window=window)
    assert "The trades of the window are 66.667% complete: 1 hole, 3,599.999 s." in said
    coverage = BacktestSummary.objects.get().coverage
    assert coverage["complete"] is False
    [hole] = coverage["feeds"]["trades"]["holes"]
    assert hole["from"] == (UNTIL + timedelta(milliseconds=1)).isoformat()


def test_missing_tickers_do_not_stop_a_run_but_the_missing_rate_is_told(db, strategy, backtest):
    store_market()
    vouch(streams=[Stream.TRADES])
    TickerSnapshot.objects.all().delete()
    said = backtest("--strategy", NAME)
    assert "Funding settlements without a recorded rate, which cost nothing: 1." in said
    assert BacktestSummary.objects.get().missing_funding == ["2026-01-02T08:00:00Z"]


def test_a_run_without_fills_says_why(db, alice_account, backtest_json):
    store_market(prices=[50_000.0] * 50)
    vouch()
    StrategyFactory.create(account=alice_account, name="grid", config=CONFIG)
    [found] = backtest_json("--strategy", NAME)
    assert found["fills"] == 0
    assert found["no_fills_because"].startswith("The price never went through any of the ")
    assert BacktestSummary.objects.get().no_fills_because == found["no_fills_because"]


def test_a_balance_that_carries_no_order_is_the_reason(market, strategy, backtest):
    said = backtest("--strategy", NAME, "--balance", "1")
    assert "No fills: Every order was declined: " in said
    assert "the free margin did not carry them" in said


def test_a_config_is_stored_under_the_account_that_is_named(
    market, config_file, backtest_json, bob_account
):
    arguments = ("--config", config_file, "--symbol", "BTCUSDT")
    [found] = backtest_json(*arguments)
    assert found["run"] is None
    assert not Run.objects.unscoped().exists()
    [found] = backtest_json(*arguments, "--account", "bob/account of bob")
    run = Run.objects.for_account(bob_account).get()
    assert (str(run.pk), run.strategy, run.config) == (found["run"], None, CONFIG)


def test_a_name_is_printed_as_it_is(market, alice_account, backtest):
    hostile = "[/] [red]<script>alert(1)</script>"
    StrategyFactory.create(account=alice_account, name=hostile, config=CONFIG)
    assert f"{hostile} on BTCUSDT" in backtest("--strategy", f"alice/account of alice/{hostile}")


def test_no_save_stores_nothing(market, strategy, backtest):
    assert "Not stored." in backtest("--strategy", NAME, "--no-save")
    assert not Run.objects.unscoped().exists()


def test_several_jobs_in_processes_are_those_of_one(market, config_file, tmp_path, backtest_json):
    wide = tmp_path / "wide.json"
    wide.write_text(json.dumps(CONFIG | {"grid_step": 0.3}))
    arguments = ("--config", config_file, "--config", wide, "--symbol", "BTCUSDT")
    one, two = backtest_json(*arguments), backtest_json(*arguments, "--jobs", "2")
    for found in (*one, *two):
        del found["seconds"]
    assert one == two
    assert [found["name"] for found in one] == ["grid", "wide"]
    assert one[0]["fills"] != one[1]["fills"]


def test_exported_files_give_the_run_of_the_database(
    market, config_file, tmp_path, backtest_json, capsys
):
    arguments = ("--config", config_file, "--symbol", "BTCUSDT")
    [stored] = backtest_json(*arguments)
    call_command("export_trades", "--symbol", "BTCUSDT", *WINDOW, "--out", str(tmp_path), "--json")
    capsys.readouterr()
    paths = sorted(tmp_path.rglob("*.parquet"))
    [found] = backtest_json(*arguments, "--source", *paths)
    assert found["data_fingerprint"] == stored["data_fingerprint"]
    assert found["final_equity"] == stored["final_equity"]
    assert found["assumptions"]["source"] == [path.name for path in paths]


def test_a_file_of_another_symbol_is_refused_before_its_holes(
    market, config_file, tmp_path, backtest, capsys
):
    call_command("export_trades", "--symbol", "BTCUSDT", *WINDOW, "--out", str(tmp_path), "--json")
    [path] = tmp_path.glob("*.parquet")
    InstrumentFactory.create(symbol="ETHUSDT")
    code, words = refused(
        backtest, "--config", config_file, "--symbol", "ETHUSDT", "--source", path
    )
    assert (code, words) == (ExitCode.CONFIGURATION, f"{path} holds BTCUSDT, not ETHUSDT.")


def test_a_price_of_zero_is_no_market(market, strategy, backtest):
    PublicTrade.objects.filter(pk=PublicTrade.objects.first().pk).update(price=0)
    assert refused(backtest, "--strategy", NAME) == (
        ExitCode.CONFIGURATION,
        "The trades of BTCUSDT make no market: prices must be positive ticks, not 0.",
    )


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_grid_that_cannot_be_built_does_not_cost_the_other_results(
    market, config_file, tmp_path, capsys, jobs
):
    dense = tmp_path / "dense.json"
    dense.write_text(json.dumps(CONFIG | {"grid_step": 0.00001}))
    configs = [each for path in (config_file, dense, config_file) for each in ("--config", path)]
    with pytest.raises(CommandError, match="dense cannot be traded: duplicate prices") as raised:
        call_command(
            *("backtest", *WINDOW, *map(str, configs)),
            *("--symbol", "BTCUSDT", "--jobs", jobs, "--json"),
        )
    assert raised.value.returncode == ExitCode.CONFIGURATION
    first, second = json.loads(capsys.readouterr().out)["backtests"]
    assert first["fills"] == second["fills"] > 0


def test_an_interrupted_run_is_not_stored_and_those_before_it_are(
    market, config_file, alice_account, backtest, monkeypatch
):
    def interrupted(order, trade, previous):
        if Run.objects.unscoped().exists():
            signal.raise_signal(signal.SIGTERM)
        return strict_cross(order, trade, previous)

    monkeypatch.setitem(FILL_MODELS, "strict_cross", interrupted)
    arguments = ("--config", config_file) * 2
    with pytest.raises(CommandError) as raised:
        backtest(*arguments, "--symbol", "BTCUSDT", "--account", "alice/account of alice")
    run = Run.objects.unscoped().get()
    assert raised.value.returncode == ExitCode.INTERRUPTED
    assert str(raised.value) == (
        f"Interrupted: 1 of 2 backtests were done; stored: grid as run {run.pk}."
    )
    assert run.simulated_fills.count() == BacktestSummary.objects.get().fills > 0


def test_an_interruption_ends_the_processes_that_trade(market, config_file, backtest, monkeypatch):
    def interrupting(order, trade, previous):
        os.kill(os.getppid(), signal.SIGTERM)
        signal.pause()

    monkeypatch.setitem(FILL_MODELS, "strict_cross", interrupting)
    arguments = ("--config", config_file) * 2
    with pytest.raises(CommandError) as raised:
        backtest(*arguments, "--symbol", "BTCUSDT", "--jobs", "2")
    assert raised.value.returncode == ExitCode.INTERRUPTED
    assert str(raised.value) == "Interrupted: 0 of 2 backtests were done, and nothing is stored."
    assert multiprocessing.active_children() == []


def test_a_killed_process_is_said(market, config_file, backtest, monkeypatch):
    monkeypatch.setitem(FILL_MODELS, "strict_cross", lambda *_: signal.raise_signal(signal.SIGKILL))
    arguments = ("--config", config_file) * 2
    with pytest.raises(CommandError, match="A process that traded was killed") as raised:
        backtest(*arguments, "--symbol", "BTCUSDT", "--jobs", "2")
    assert raised.value.returncode == ExitCode.ERROR


def test_a_page_that_cannot_be_written_is_said_after_the_result(market, strategy, tmp_path, capsys):
    page = tmp_path / ("x" * 250 + ".html")
    with pytest.raises(CommandError) as raised:
        call_command("backtest", "--strategy", NAME, *WINDOW, "--report", str(page))
    assert raised.value.returncode == ExitCode.ERROR
    assert str(raised.value) == f"{page} cannot be written: File name too long."
    assert (
        f"Stored as run {Run.objects.for_user(strategy.user).get().pk}." in capsys.readouterr().out
    )
    assert list(tmp_path.iterdir()) == []


def test_a_page_takes_the_place_of_one_only_when_it_is_whole(
    market, config_file, tmp_path, backtest, monkeypatch
):
    page = tmp_path / "grid.html"
    page.write_text("of yesterday")

    def full(path, text, **options):
        path.touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(Path, "write_text", full)
        arguments = ("--config", config_file, "--symbol", "BTCUSDT", "--report", page)
        code, words = refused(backtest, *arguments)
    assert (code, words) == (ExitCode.ERROR, f"{page} cannot be written: No space left on device.")
    assert page.read_text() == "of yesterday"
    assert sorted(tmp_path.iterdir()) == [page, config_file]
    backtest(*arguments)
    assert "of yesterday" not in page.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), ExitCode.USAGE, "Name a --strategy or a --config."),
        (("--strategy", "nobody/grid"), ExitCode.CONFIGURATION,
         "No strategy of nobody is called grid."),
        (("--config", "nowhere.json", "--symbol", "BTCUSDT"), ExitCode.CONFIGURATION,
         "nowhere.json cannot be read: No such file or directory."),
        (("--strategy", NAME, "--leverage", "0"), ExitCode.USAGE,
         "--leverage: leverage must be at least 1, not 0."),
        (("--strategy", NAME, "--jobs", "0"), ExitCode.USAGE, "--jobs must be at least 1."),
        (("--strategy", NAME, "--symbol", "ETHUSDT"), ExitCode.CONFIGURATION,
         "One backtest trades one symbol, and these are BTCUSDT, ETHUSDT."),
        (("--strategy", NAME, "--source", "db", "x.parquet"), ExitCode.USAGE,
         "--source is the database or files, not both."),
        (("--strategy", NAME, "--report", "/nowhere/at/all.html"), ExitCode.CONFIGURATION,
         "There is no folder /nowhere/at for the report."),
        (("--strategy", NAME, "--report", "/dev"), ExitCode.CONFIGURATION,
         "/dev is no file, which a report could replace."),
        (("--strategy", NAME, "--balance", "0"), 1, "Error: argument --balance: 0 is not positive."),
        (("--strategy", NAME, "--maker-fee", "nan"), 1,
         "Error: argument --maker-fee: 'nan' is no finite number."),
    ],
)  # fmt: skip
def test_what_cannot_be_done_is_said(market, strategy, backtest, arguments, code, words):
    assert refused(backtest, *arguments) == (code, words)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON: Expecting property name"),
        ("[1]", "must hold a JSON object"),
        ('{"grid_size": 3}', "is refused: Unknown key 'grid_size'"),
        ('{"grid_count": 0, "amount": "5"}', "is refused: grid_count must be positive, not 0."),
        ('{"grid_count": 4}', "has no amount: how much to order is not decided."),
    ],
)
def test_a_config_file_is_refused_in_words(market, backtest, tmp_path, text, words):
    path = tmp_path / "grid.json"
    path.write_text(text)
    code, said = refused(backtest, "--config", path, "--symbol", "BTCUSDT")
    assert code == ExitCode.CONFIGURATION
    assert said.startswith(str(path))
    assert words in said


def test_a_name_that_several_strategies_have_is_not_guessed(
    market, strategy, bob_account, backtest
):
    StrategyFactory.create(account=bob_account, name="grid", config=CONFIG)
    code, words = refused(backtest, "--strategy", "grid")
    assert code == ExitCode.CONFIGURATION
    assert words == f"grid may be {NAME} or bob/account of bob/grid: say which."


@pytest.mark.parametrize("more", [(), ("--allow-gaps",)])
def test_an_unknown_contract_is_said(db, config_file, backtest, more):
    code, words = refused(backtest, "--config", config_file, "--symbol", "BTCUSDT", *more)
    assert (code, words.split(":")[0]) == (
        ExitCode.CONFIGURATION,
        "The rules of BTCUSDT are not known",
    )
