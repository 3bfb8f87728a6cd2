"""manage.py check_account against the sandbox."""

from __future__ import annotations

import base64
import json
import secrets
from datetime import UTC, datetime, timedelta

import pytest
from auditlog import get_logentry_model
from django.core.management import CommandError, call_command

from accounts.models import ApiCredential, BybitAccount
from accounts.secret import Secret
from accounts.tests.factories import ApiCredentialFactory, BybitAccountFactory
from marketdata.bybit.environments import Endpoints
from marketdata.capture.accounts import OpenedSecrets, read_roster
from marketdata.exits import ConfigurationError, ExitCode
from marketdata.key_check import ANYWHERE, Checked, Outcome, gravest

pytestmark = pytest.mark.django_db
SAFE = {"permissions": {"ContractTrade": ["Order"]}, "ips": ["127.0.0.1"], "expiredAt": ""}
WITHDRAWS = SAFE | {"permissions": {"Wallet": ["AccountTransfer", "Withdraw"]}}


@pytest.fixture
def tenants(private_sandbox, settings):
    """The sandbox's three accounts, each with its key, whose rights are harmless."""
    settings.BYBIT_ENDPOINTS = Endpoints(rest=private_sandbox.rest_url)
    made = {}
    for name, known in private_sandbox.accounts.items():
        made[name] = BybitAccountFactory.create(user__username=name, account_name="main")
        ApiCredentialFactory.create(
            account=made[name], api_key=known.api_key, secret=known.api_secret
        )
        private_sandbox.set_account(name, key=SAFE)
    return made


@pytest.fixture
def check(capsys):
    def run(*arguments: str):
        code = 0
        try:
            call_command("check_account", *arguments)
        except SystemExit as end:
            code = int(str(end.code))
        said = capsys.readouterr().out
        return (code, {each["account"]: each for each in json.loads(said)["accounts"]}) if (
            "--json" in arguments
        ) else (code, said)  # fmt: skip

    return run


def state(account):
    row = BybitAccount.objects.unscoped().get(pk=account.pk)
    return row.status, row.status_reason


def credential(account):
    return ApiCredential.objects.for_account(account).get(is_active=True)


def openings():
    log = get_logentry_model().objects
    return log.filter(additional_data__has_key="purpose").exclude(
        additional_data__purpose="rotation"
    )


def served():
    roster = read_roster(secrets=OpenedSecrets("a test"))
    return {context.name for context in roster.contexts}, roster.set_aside


def test_sound_keys_are_said_to_be(tenants, check):
    code, told = check("--all", "--json")
    assert (code, len(told)) == (0, 3)
    assert {each["outcome"] for each in told.values()} == {"ok"}
    assert told["alice/main"]["addresses"] == ["127.0.0.1"]
    assert told["alice/main"]["uid"] == 1001
    assert told["alice/main"]["warnings"] == []
    assert credential(tenants["alice"]).checked_at is not None


def test_a_key_that_may_withdraw_is_refused_and_its_account_set_aside(
    private_sandbox, tenants, check
):
    private_sandbox.set_account("bob", key=WITHDRAWS)
    code, told = check("--all", "--json")
    assert (code, told["bob/main"]["outcome"], told["alice/main"]["outcome"]) == (
        8,
        "refused",
        "ok",
    )
    reason = (
        "The key may move money (Wallet: AccountTransfer, Wallet: Withdraw): make one that may not."
    )
    assert state(tenants["bob"]) == ("error", reason)
    assert state(tenants["alice"]) == ("enabled", "")
    names, aside = served()
    assert (names, aside) == ({"alice/main", "charlie/main"}, {tenants["bob"].pk: reason})
    # The credential is as it was, and opens.
    secret = private_sandbox.accounts["bob"].api_secret
    assert credential(tenants["bob"]).open_secret("a test") == Secret(secret)


def test_permissions_that_were_taken_away_lift_the_refusal(private_sandbox, tenants, check):
    private_sandbox.set_account("bob", key=WITHDRAWS)
    check("--account", "bob/main")
    private_sandbox.set_account("bob", key=SAFE)
    assert check("--account", "bob/main")[0] == 0
    assert state(tenants["bob"]) == ("enabled", "")
    assert "bob/main" in served()[0]


def test_a_new_key_is_not_refused_for_the_old_one(private_sandbox, tenants, check):
    private_sandbox.set_account("bob", key=WITHDRAWS)
    check("--user", "bob")
    row = credential(tenants["bob"])
    row.seal_secret("another")
    row.save()
    assert "bob/main" not in served()[0], "the secret of the refused key, entered again"
    row.api_key = "another key"
    row.seal_secret("another")
    row.save()
    assert "bob/main" in served()[0]


def test_a_key_that_is_entered_while_the_exchange_answers_is_not_judged(
    private_sandbox, tenants, check, monkeypatch
):
    from marketdata import key_check

    def meanwhile(information):
        ApiCredential.objects.for_account(tenants["bob"]).update(api_key="another key")
        return "It may withdraw."

    monkeypatch.setattr(key_check, "refusal_of", meanwhile)
    check("--user", "bob")
    assert (credential(tenants["bob"]).refusal, state(tenants["bob"])) == ("", ("enabled", ""))


def test_another_reason_for_an_error_is_not_cured_by_a_sound_key(tenants, check):
    BybitAccount.objects.for_account(tenants["bob"]).update(status="error", status_reason="other")
    assert check("--user", "bob")[0] == 0
    assert state(tenants["bob"]) == ("error", "other")


def test_a_key_that_the_exchange_does_not_accept(private_sandbox, tenants, check):
    private_sandbox.set_account("bob", refusal="33004")
    code, told = check("--all", "--json")
    assert (code, told["bob/main"]["outcome"]) == (1, "not accepted")
    assert state(tenants["bob"])[0] == "error"
    private_sandbox.set_account("bob", refusal="")
    assert check("--user", "bob")[0] == 0
    assert state(tenants["bob"]) == ("enabled", "")


def test_an_account_without_a_key_that_opens(tenants, check):
    ApiCredential.objects.for_account(tenants["alice"]).update(is_active=False)
    ApiCredential.objects.for_account(tenants["bob"]).update(sealed_secret=b"damaged")
    code, told = check("--all", "--json")
    assert (code, told["charlie/main"]["outcome"]) == (4, "ok")
    assert told["alice/main"]["reason"] == "The account has no active credential."
    assert "damaged" in told["bob/main"]["reason"]


def test_an_answer_that_cannot_be_read_permits_nothing_and_refuses_nothing(
    private_sandbox, tenants, check
):
    private_sandbox.set_account("bob", key={"permissions": None})
    code, told = check("--user", "bob", "--json")
    assert (code, told["bob/main"]["outcome"]) == (75, "not known")
    assert state(tenants["bob"]) == ("enabled", "")
    assert credential(tenants["bob"]).checked_at is None


def test_an_exchange_that_is_not_there(tenants, check, settings):
    settings.BYBIT_ENDPOINTS = Endpoints(rest="http://127.0.0.1:9")
    assert check("--all")[0] == ExitCode.UNAVAILABLE
    settings.BYBIT_ENDPOINTS = Endpoints()
    code, said = check("--user", "bob")
    assert code == ExitCode.CONFIGURATION
    assert "BYBIT_REST_URL" in said


def test_the_table_says_what_is_to_be_said(private_sandbox, tenants, check):
    soon = datetime.now(UTC) + timedelta(days=3)
    expiring = SAFE | {"ips": ["*"], "expiredAt": soon.strftime("%Y-%m-%dT%H:%M:%SZ")}
    private_sandbox.set_account("alice", key=expiring)
    private_sandbox.set_account("bob", key=WITHDRAWS)
    code, said = check("--user", "alice", "--user", "bob")
    assert code == 8
    assert f"alice/main: warning: it expires within 7 days: {soon:%F %H:%M} UTC" in said
    assert f"alice/main: warning: {ANYWHERE}" in said
    assert "bob/main: The key may move money (Wallet: AccountTransfer, Wallet: Withdraw)" in said
    assert "charlie" not in said
    assert credential(tenants["alice"]).expires_at == soon.replace(microsecond=0)


def test_nothing_that_is_said_or_written_holds_a_secret(private_sandbox, tenants, check, caplog):
    caplog.set_level("DEBUG")
    private_sandbox.set_account("bob", refusal="10004")
    said = check("--all")[1] + str(check("--all", "--json"))
    seen = said + caplog.text + repr([vars(entry) for entry in openings()])
    assert "1001" in seen
    for known in private_sandbox.accounts.values():
        assert known.api_secret not in seen
        assert known.api_key not in seen


def test_each_opening_names_its_purpose(tenants, check):
    check("--user", "bob")
    [entry] = openings()
    assert entry.object_pk == str(credential(tenants["bob"]).pk)
    assert entry.additional_data["purpose"] == "check_account"


def test_whose_accounts_is_always_said(tenants, check):
    for arguments in ([], ["--all", "--user", "bob"], ["--account", "bob/main", "--all"]):
        with pytest.raises(CommandError):
            call_command("check_account", *arguments)
    for arguments in (["--user", "nobody"], ["--account", "nobody/main"]):
        with pytest.raises(ConfigurationError, match="is called"):
            call_command("check_account", *arguments)


def test_all_of_no_accounts_are_well_for_a_timer_that_was_there_before_them(capsys):
    call_command("check_account", "--all", "--json")
    call_command("check_account", "--all")
    assert capsys.readouterr().out.splitlines() == [
        '{"accounts": [], "exit_code": 0}',
        "There is no account to check that is not disabled.",
    ]


def test_an_account_whose_owner_has_entered_no_key_yet_fails_no_check_of_all(tenants, check):
    ApiCredential.objects.for_account(tenants["alice"]).delete()
    code, told = check("--all", "--json")
    assert (code, told["alice/main"]["outcome"]) == (0, "no usable key")
    assert check("--account", "alice/main", "--json")[0] == 4


def test_a_disabled_account_is_checked_when_it_is_named(private_sandbox, tenants, check):
    BybitAccount.objects.for_account(tenants["bob"]).update(status="disabled")
    assert set(check("--all", "--json")[1]) == {"alice/main", "charlie/main"}
    with pytest.raises(ConfigurationError, match="no account to check"):
        call_command("check_account", "--user", "bob")
    private_sandbox.set_account("bob", key=WITHDRAWS)
    assert check("--account", "bob/main")[0] == 8
    assert state(tenants["bob"]) == ("disabled", "")


def test_of_several_outcomes_the_gravest_counts():
    codes = [gravest([Checked(account="a", outcome=each)]) for each in Outcome]
    assert codes == [8, 1, 4, 75, 0]
    everything = [Checked(account="a", outcome=each) for each in reversed(Outcome)]
    assert [gravest(everything[:count]) for count in range(6)] == [0, 0, 75, 4, 1, 8]


# --- secrets that stay open ------------------------------------------------------------------


def test_who_looks_again_and_again_opens_a_secret_once(tenants, settings):
    opened = OpenedSecrets("capture")
    first = read_roster(secrets=opened).contexts
    assert (read_roster(secrets=opened).contexts, len(openings())) == (first, 3)
    key = secrets.token_bytes(32)
    settings.GRIDBOT_CREDENTIAL_KEYS = [
        base64.b64encode(key).decode(), *settings.GRIDBOT_CREDENTIAL_KEYS,
    ]  # fmt: skip
    call_command("rotate_credential_keys", "--json")
    # Sealed anew is opened again; the same secret is no reason to connect again.
    assert (read_roster(secrets=opened).contexts, len(openings())) == (first, 6)


def test_what_is_no_longer_served_is_forgotten(tenants):
    opened = OpenedSecrets("capture")
    read_roster(secrets=opened)
    BybitAccount.objects.for_account(tenants["bob"]).update(status="disabled")
    read_roster(secrets=opened)
    assert set(opened._opened) == {credential(tenants[name]).pk for name in ("alice", "charlie")}


def test_a_secret_of_a_moved_row_is_not_taken_from_memory(tenants):
    opened = OpenedSecrets("capture")
    read_roster(secrets=opened)
    BybitAccount.objects.for_account(tenants["bob"]).update(environment="mainnet")
    roster = read_roster(secrets=opened)
    assert "altered or belongs to another row" in roster.set_aside[tenants["bob"].pk]
