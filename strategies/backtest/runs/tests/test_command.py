"""`manage.py backtest` as its users type it: what it trades, stores, says, and how it ends."""

from __future__ import annotations

import json
from dataclasses import fields
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from marketdata.exits import ExitCode
from marketdata.models import Stream, TickerSnapshot
from marketdata.tests.factories import CaptureGapFactory
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


def test_an_unknown_contract_is_said(db, config_file, backtest):
    code, words = refused(backtest, "--config", config_file, "--symbol", "BTCUSDT", "--allow-gaps")
    assert (code, words.split(":")[0]) == (
        ExitCode.CONFIGURATION,
        "The rules of BTCUSDT are not known",
    )
