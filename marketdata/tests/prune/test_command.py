"""`manage.py prune`, as its user types it."""

from __future__ import annotations

import json
import os
import signal
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from accounts.tests.factories import BybitAccountFactory
from marketdata.capture.accounts import full_name
from marketdata.coverage.ledger import Source, vouch
from marketdata.exits import ExitCode
from marketdata.models import CaptureGap, PrivateExecution, PublicTrade, TickerSnapshot
from marketdata.prune.policy import retention_age
from marketdata.prune.pruner import Pruning
from marketdata.tests.factories import (
    PrivateExecutionFactory,
    QuarantinedMessageFactory,
    TickerSnapshotFactory,
)
from marketdata.tests.prune.scene import ago, store_trades

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Tables are not vacuumed where it is not about that."""
    monkeypatch.setattr("marketdata.management.commands.prune.give_back", lambda *a, **k: None)


@pytest.fixture
def market():
    """Trades of two symbols and tickers: ten 100 days old and ten of today, each."""
    for symbol in ("BTCUSDT", "ETHUSDT"):
        for age in (100, 0):
            store_trades(*range(10), symbol=symbol, start=ago(days=age, hours=2))
        vouch("trades", symbol, None, ago(days=101), ago(minutes=1), Source.LIVE)
    for age in (100, 20, 0):
        TickerSnapshotFactory(exchange_ts=ago(days=age, hours=2))


def run(capsys, *arguments: str) -> tuple[int, str]:
    try:
        call_command("prune", *arguments)
    except SystemExit as end:
        return int(end.code or 0), capsys.readouterr().out
    except CommandError as error:
        return error.returncode, str(error)
    return 0, capsys.readouterr().out


def told(capsys, *arguments: str) -> Any:
    code, out = run(capsys, *arguments, "--json")
    assert code == 0, out
    return json.loads(out)


class TestPolicy:
    """What goes is what an age was given for."""

    def test_older_than_means_what_is_the_operators(self, capsys, market):
        account = BybitAccountFactory()
        for age in (100, 0):
            PrivateExecutionFactory(account=account, exchange_ts=ago(days=age))
            QuarantinedMessageFactory(
                account=account, first_seen=ago(days=100), last_seen=ago(days=100)
            )
        QuarantinedMessageFactory(first_seen=ago(days=100), last_seen=ago(days=100))
        said = told(capsys, "--older-than", "90d", "--tickers", "14d")
        rows = {(each["kind"], each["of"]): each["rows_deleted"] for each in said["lots"]}
        assert rows == {
            ("trades", "BTCUSDT"): 10, ("trades", "ETHUSDT"): 10, ("tickers", "BTCUSDT"): 2,
            ("quarantine", "the market"): 1,
        }  # fmt: skip
        assert (PublicTrade.objects.count(), TickerSnapshot.objects.count()) == (20, 1)
        assert PrivateExecution.objects.unscoped().count() == 2

    def test_the_settings_say_it_where_no_age_is_given(self, capsys, market, settings):
        settings.GRIDBOT_RETENTION = {"tickers": timedelta(days=14)}
        assert told(capsys)["rows_deleted"] == 2
        said = told(capsys, "--trades", "90d")
        assert {each["kind"] for each in said["lots"]} == {"trades"}

    def test_one_symbol_alone(self, capsys, market):
        said = told(capsys, "--trades", "90d", "--symbol", "ethusdt")
        assert {each["of"] for each in said["lots"]} == {"ETHUSDT"}
        assert PublicTrade.objects.filter(symbol="BTCUSDT").count() == 20

    @pytest.mark.parametrize("ages", [("--older-than", "90d"), ()])
    def test_a_symbol_is_not_all_that_is_in_quarantine(self, capsys, market, settings, ages):
        settings.GRIDBOT_RETENTION = dict.fromkeys(("trades", "quarantine"), timedelta(days=90))
        QuarantinedMessageFactory(first_seen=ago(days=100), last_seen=ago(days=100))
        assert told(capsys, *ages, "--symbol", "ETHUSDT")["rows_deleted"] == 10
        named = told(capsys, *ages, "--quarantine", "90d", "--trades", "90d", "--symbol", "ETHUSDT")
        assert named["rows_deleted"] == 1

    def test_of_accounts_what_is_named_goes_of_whom_is_named(self, capsys):
        alice, bob = BybitAccountFactory(), BybitAccountFactory()
        for account in (alice, bob):
            for age in (400, 0):
                PrivateExecutionFactory(account=account, exchange_ts=ago(days=age))
        said = told(capsys, "--executions", "365d", "--account", full_name(alice))
        assert [(each["of"], each["rows_deleted"]) for each in said["lots"]] == [
            (full_name(alice), 1)
        ]
        assert PrivateExecution.objects.unscoped().filter(account=bob).count() == 2

    @pytest.mark.parametrize("ages", [("--older-than", "90d"), ()])
    def test_a_scope_alone_names_nothing(self, capsys, market, settings, ages):
        settings.GRIDBOT_RETENTION = dict.fromkeys(("trades", "quarantine"), timedelta(days=90))
        account = BybitAccountFactory()
        code, said = run(capsys, *ages, "--account", full_name(account))
        assert (code, "Of accounts say what" in said) == (ExitCode.USAGE, True)
        assert PublicTrade.objects.count() == 40

    def test_what_an_account_has_in_quarantine_goes_by_its_own_name(self, capsys, market):
        account = BybitAccountFactory()
        old = {"first_seen": ago(days=100), "last_seen": ago(days=100)}
        for owner in (None, account):
            QuarantinedMessageFactory(account=owner, **old)
        scope = "--orders", "90d", "--account", full_name(account)
        said = told(capsys, "--older-than", "90d", *scope)
        assert [lot["of"] for lot in said["lots"] if lot["kind"] == "quarantine"] == ["the market"]
        assert told(capsys, "--quarantine", "90d", *scope)["rows_deleted"] == 1

    @pytest.mark.parametrize(
        ("arguments", "code", "words"),
        [
            ((), ExitCode.CONFIGURATION, "pass --older-than 90d"),
            (("--orders", "90d"), ExitCode.USAGE, "Whose orders?"),
            (
                ("--backtests", "90d", "--wallet", "1d"),
                ExitCode.USAGE,
                "Whose wallet and backtests?",
            ),
            (("--trades", "90d", "--all"), ExitCode.USAGE, "Of accounts say what"),
            (("--quarantine", "90d", "--symbol", "X"), ExitCode.USAGE, "Of symbols say what"),
            (("--older-than", "30m"), 1, "from 1h to 36500d"),
            (("--older-than", "2026-01-01"), 1, "is no age"),
            (("--orders", "9d", "--account", "nobody"), ExitCode.CONFIGURATION, "No account"),
        ],
    )
    def test_what_is_not_clear_is_refused(self, capsys, market, arguments, code, words):
        assert run(capsys, *arguments)[0] == code
        assert words in run(capsys, *arguments)[1]
        assert PublicTrade.objects.count() == 40

    @pytest.mark.parametrize("text", ["59m", "0d", "36501d", "999999w", "-1d", "1.5d", ""])
    def test_ages_that_are_none(self, text):
        with pytest.raises(ValueError, match="age"):
            retention_age(text)


class TestClock:
    """A clock that is ahead would have too much deleted."""

    @pytest.fixture
    def stale(self):
        """Trades of which the newest are 60 days old, by this clock."""
        for age in (100, 60):
            store_trades(*range(10), start=ago(days=age, hours=2))
        vouch("trades", "BTCUSDT", None, ago(days=101), ago(days=60), Source.LIVE)

    @pytest.mark.parametrize("flags", [(), ("--dry-run",)])
    def test_one_that_is_far_ahead_of_the_newest_row_is_not_believed(self, capsys, stale, flags):
        code, said = run(capsys, "--older-than", "90d", *flags)
        assert code == ExitCode.CONFIGURATION
        assert "a clock that is ahead" in said
        assert (PublicTrade.objects.count(), CaptureGap.objects.count()) == (20, 0)
        assert told(capsys, "--trades", "90d", "--idle")["rows_deleted"] == 10

    def test_what_accounts_bring_tells_the_time_too(self, capsys, stale):
        PrivateExecutionFactory(exchange_ts=ago(hours=23))
        assert told(capsys, "--trades", "90d")["rows_deleted"] == 10

    def test_without_any_row_there_is_nothing_to_compare_with(self, capsys):
        QuarantinedMessageFactory(first_seen=ago(days=100), last_seen=ago(days=100))
        assert told(capsys, "--quarantine", "90d")["rows_deleted"] == 1


class TestOutput:
    """What it says, and how it ends."""

    def test_a_dry_run_deletes_and_declares_nothing(self, capsys, market):
        code, out = run(capsys, "--older-than", "90d", "--dry-run")
        assert code == 0
        assert "21 rows would go; nothing was deleted." in out
        assert (PublicTrade.objects.count(), CaptureGap.objects.count()) == (40, 0)

    def test_a_dry_run_in_one_line(self, capsys, market):
        said = told(capsys, "--trades", "90d", "--dry-run")
        [line] = said["kinds"]
        assert (line["kind"], line["of"]) == ("trades", "every symbol")
        assert (line["rows"], line["rows_due"]) == (40, 20)
        span = [datetime.fromisoformat(line[name]) for name in ("first_due", "last_due")]
        assert span[1] - span[0] == timedelta(minutes=9)
        assert 0 < line["bytes_due"] == pytest.approx(line["bytes"] / 2, abs=1)
        assert set(line["bytes_ahead"]) == {"30", "90"}

    def test_what_went_is_said(self, capsys, market):
        code, out = run(capsys, "--trades", "90d")
        assert code == 0
        assert "trades of BTCUSDT: 10 of 10 rows deleted, all before" in out
        assert "20 rows deleted; the longest transaction took" in out

    def test_of_a_symbol_that_nobody_knows_nothing_is_due(self, capsys, market):
        assert run(capsys, "--trades", "9d", "--symbol", "BTCUSTD") == (0, "Nothing is due.\n")

    def test_nothing_is_due(self, capsys, market):
        assert run(capsys, "--trades", "200d") == (0, "Nothing is due.\n")

    def test_a_signal_ends_it_between_two_transactions(self, capsys, market, monkeypatch):
        whole = Pruning.run

        def interrupted(self, stop, told) -> None:
            self.pace.rows = 4
            whole(self, stop, lambda rows: os.kill(os.getpid(), signal.SIGTERM))

        with monkeypatch.context() as patched:
            patched.setattr(Pruning, "run", interrupted)
            code, out = run(capsys, "--trades", "90d")
        assert (code, PublicTrade.objects.count()) == (ExitCode.INTERRUPTED, 36)
        assert "Stopped by a signal: the same command goes on with the rest." in out
        assert told(capsys, "--trades", "90d")["rows_deleted"] == 16


def test_the_room_is_given_back_once_it_is_done(capsys, market, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "marketdata.management.commands.prune.give_back",
        lambda tables, stop, before: asked.append((sorted(t.__name__ for t in tables), before > 0)),
    )
    run(capsys, "--trades", "90d")
    assert asked == [(["PublicTrade"], True)]
    run(capsys, "--trades", "90d")
    assert len(asked) == 1


def test_coverage_ends_with_what_is_kept(capsys, market):
    run(capsys, "--trades", "90d", "--symbol", "BTCUSDT")
    call_command("coverage", "--symbol", "BTCUSDT", "--stream", "trades", "--json")
    [feed] = json.loads(capsys.readouterr().out)["feeds"]
    assert (feed["missing"], feed["share"]) == ([], 1.0)
    assert feed["pruned_until"] < feed["from"]
    with pytest.raises(SystemExit) as end:
        call_command("coverage", "--symbol", "BTCUSDT", "--stream", "trades", "--since", "95d")
    assert end.value.code == ExitCode.DATA_INCOMPLETE
    assert "pruned: older than retention keeps" in capsys.readouterr().out


def test_what_is_kept_of_another_stream_stays_vouched_for(capsys, market):
    run(capsys, "--tickers", "14d")
    assert {row.stream for row in CaptureGap.objects.all()} == {"tickers"}
