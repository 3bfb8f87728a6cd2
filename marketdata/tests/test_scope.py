"""Whose accounts a command is about: what `--account`, `--user` and `--all` mean."""

from __future__ import annotations

import argparse
import json

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from accounts.models import BybitAccount
from accounts.tests.factories import BybitAccountFactory
from marketdata.capture.accounts import OpenedSecrets, read_roster
from marketdata.exits import ConfigurationError, ExitCode
from marketdata.management.arguments import accounts_in_scope, add_scope
from marketdata.tests.factories import OrderFactory, PublicTradeFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def main():
    """An account called main of each of alice and bob."""
    return {
        name: BybitAccountFactory.create(user__username=name, account_name="main")
        for name in ("alice", "bob")
    }


def meant(*arguments: str) -> list[BybitAccount]:
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_scope(parser, required=False)
    return accounts_in_scope(vars(parser.parse_args(arguments)))


def test_an_account_is_named_by_its_full_name_or_its_id(main):
    assert meant("--account", "alice/main") == [main["alice"]]
    assert meant("--account", str(main["bob"].pk)) == [main["bob"]]
    assert meant("--account", "bob/main", "--account", "alice/main") == list(main.values())


def test_users_all_and_nobody(main):
    disabled = BybitAccountFactory.create(user=main["bob"].user, status="disabled")
    assert meant("--user", "bob") == [main["bob"], disabled]
    assert meant("--all") == [*main.values(), disabled]
    assert meant() == []


def test_a_name_that_several_users_chose_means_none(main):
    with pytest.raises(ConfigurationError, match=r"Several users .* main: say USER/NAME"):
        meant("--account", "main")
    only = BybitAccountFactory.create(user=main["bob"].user, account_name="second")
    assert meant("--account", "second") == [only]


@pytest.mark.parametrize("scope", [("--account", "eve/main"), ("--user", "eve")])
def test_whom_nobody_knows_is_said(main, scope):
    with pytest.raises(ConfigurationError, match="is called eve"):
        meant(*scope)


def test_no_name_of_an_account_passes_for_that_of_another(main):
    """A tenant may call an account what they like: also as an operator calls another's."""
    alice, bob = main["alice"], main["bob"].user
    for name in (f"{alice.pk}", "alice/main"):
        BybitAccountFactory.create(user=bob, account_name=name)
        assert meant("--account", name) == [alice]
        roster = read_roster([name], secrets=OpenedSecrets("a test"))
        assert list(roster.names) == [alice.pk]


def test_a_switched_off_account_is_not_replaced_by_one_of_its_name(main):
    BybitAccount.objects.filter(pk=main["alice"].pk).update(status="disabled")
    BybitAccountFactory.create(user=main["bob"].user, account_name="alice/main")
    assert not read_roster(["alice/main"], secrets=OpenedSecrets("a test")).names


@pytest.mark.parametrize(
    "command",
    [
        ("coverage", "--stream", "executions"),
        ("coverage", "--stream", "trades", "--stream", "wallet"),
        ("reconcile", "--since", "1h", "--stream", "orders"),
    ],
)
def test_what_is_of_accounts_wants_to_know_whose(command):
    with pytest.raises(CommandError, match=r"--account.*--user.*--all") as refused:
        call_command(*command)
    assert refused.value.returncode == ExitCode.USAGE


@pytest.mark.parametrize(
    ("scope", "subjects"),
    [
        ((), {"BTCUSDT"}),
        (("--user", "alice"), {"alice/main"}),
        (("--all",), {"BTCUSDT", "alice/main", "bob/main"}),
        (("--all", "--symbol", "ETHUSDT"), {"alice/main", "bob/main"}),
    ],
)
def test_coverage_speaks_of_what_is_in_scope(main, capsys, scope, subjects):
    PublicTradeFactory.create()
    for account in main.values():
        OrderFactory.create(account=account)
    with pytest.raises(SystemExit):
        call_command("coverage", "--json", *scope)
    feeds = json.loads(capsys.readouterr().out)["feeds"]
    names = {str(account.pk): f"{name}/main" for name, account in main.items()}
    assert {names.get(feed["account"], feed["symbol"]) for feed in feeds} == subjects
