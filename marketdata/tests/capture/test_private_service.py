"""Several tenants' accounts at once: each its own rows, and nobody pays for another."""

from __future__ import annotations

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest
from django.db import IntegrityError

from accounts.models import ApiCredential, BybitAccount, User
from marketdata.capture.private_writers import ExecutionWriter
from marketdata.demo.ledger import Ledger
from marketdata.demo.verdict import Judge, Watermark
from marketdata.exits import ExitCode
from marketdata.models import (
    CaptureGap,
    Order,
    PositionSnapshot,
    PrivateExecution,
    PublicTrade,
    QuarantinedMessage,
    WalletSnapshot,
)
from marketdata.sandbox import SandboxServer
from marketdata.tests.capture.conftest import Running, credential_for
from strategies.models import Run

pytestmark = pytest.mark.django_db(transaction=True)

PRIVATE = (PrivateExecution, Order, PositionSnapshot, WalletSnapshot)
PAYLOADS = Path(__file__).parent.parent / "payloads"


def until(running: Running, holds: Callable[[], object]) -> None:
    """Wait until `holds`; the time limit of the test is the only one."""
    while not holds():
        assert not running.stop.wait(0.01)
        assert running.thread.is_alive()


def is_idle(running: Running) -> bool:
    """Whether everything that arrived is stored."""
    return not any(c["buffered"] for c in running.service.books.tally.snapshot().values())


def verdict_of(exchange: SandboxServer, running: Running, before: Watermark):
    report = running.finish()
    return Judge(Ledger.read(exchange.ledger()), report, running.service.config, before).judge()


def rows_of(account: BybitAccount) -> int:
    return sum(model.objects.filter(account=account).count() for model in PRIVATE)


def state(account: BybitAccount) -> tuple[str, str]:
    account.refresh_from_db()
    return account.status, account.status_reason


def test_every_row_of_every_account_is_stored_under_its_tenant(exchange, serving, tenants):
    before = Watermark()
    with serving() as running:
        for name in exchange.accounts:
            exchange.script(name, 30)
        exchange.drain()
        running.finish()
    verdict = verdict_of(exchange, running, before)
    assert verdict.problems == []
    for model in PRIVATE:
        assert model.objects.exists()
        assert all(row.user_id == row.account.user_id for row in model.objects.all())
    assert running.report.exit_code == ExitCode.OK


def test_public_streams_and_accounts_are_captured_side_by_side(exchange, serving):
    with serving(symbols=("BTCUSDT",)) as running:
        exchange.wait_for_topics("publicTrade.BTCUSDT")
        exchange.send_trades("BTCUSDT", exchange.make_trades("BTCUSDT", 5))
        exchange.script("bob/main", 2)
        exchange.drain()
        running.finish()
    assert PublicTrade.objects.count() == 5
    assert PrivateExecution.objects.exists()


def test_only_the_accounts_that_were_named_are_served(exchange, serving, tenants):
    with serving("bob/main", accounts=("bob/main",)) as running:
        exchange.script("bob/main", 2)
        exchange.script("alice/main", 2)
        exchange.drain()
        running.finish()
    assert rows_of(tenants["bob"]) > 0
    assert rows_of(tenants["alice"]) == 0


def test_a_broken_connection_of_one_account_is_a_gap_of_that_account(exchange, serving, tenants):
    with serving() as running:
        for name in exchange.accounts:
            exchange.script(name, 3)
        exchange.drain()
        exchange.break_connections("reset", account="bob/main")
        exchange.wait_for_private("bob/main")
        for name in exchange.accounts:
            exchange.script(name, 3)
        exchange.drain()
        report = running.finish()
    assert set(CaptureGap.objects.values_list("account__user__username", flat=True)) == {"bob"}
    assert set(CaptureGap.objects.values_list("stream", flat=True)) == {
        "executions", "orders", "positions", "wallet",
    }  # fmt: skip
    assert report.reconnects == 1


def test_a_refused_key_sets_its_account_aside_and_costs_the_others_nothing(
    exchange, serving, tenants
):
    exchange.set_account("bob/main", refusal="params")
    with serving("alice/main", "charlie/main") as running:
        until(running, lambda: state(tenants["bob"])[0] == "error")
        exchange.script("alice/main", 3)
        exchange.drain()
        report = running.report if running.finish() else None
    assert "Params Error" in state(tenants["bob"])[1]
    assert rows_of(tenants["alice"]) > 0
    assert list(report.set_aside) == ["bob/main"]
    assert report.exit_code == ExitCode.OK


def test_a_key_that_is_accepted_again_brings_its_account_back(exchange, serving, tenants):
    exchange.set_account("bob/main", refusal="params")
    with serving("alice/main") as running:
        until(running, lambda: state(tenants["bob"])[0] == "error")
        exchange.set_account("bob/main", refusal="")
        exchange.wait_for_private("bob/main")
        until(running, lambda: state(tenants["bob"]) == ("enabled", ""))


def test_an_account_without_a_key_is_set_aside_until_it_has_one(exchange, serving, tenants):
    ApiCredential.objects.filter(account=tenants["bob"]).update(is_active=False)
    with serving("alice/main") as running:
        until(running, lambda: state(tenants["bob"])[0] == "error")
        assert state(tenants["bob"])[1] == "The account has no active credential."
        known = exchange.accounts["bob/main"]
        credential_for(tenants["bob"], known.api_key, known.api_secret)
        exchange.wait_for_private("bob/main")
        until(running, lambda: state(tenants["bob"]) == ("enabled", ""))


def test_a_secret_whose_key_is_gone_sets_its_account_aside(exchange, serving, tenants):
    ApiCredential.objects.filter(account=tenants["bob"]).update(sealed_secret=b"\x01" + b"x" * 60)
    with serving("alice/main") as running:
        until(running, lambda: state(tenants["bob"])[0] == "error")
    assert "not in GRIDBOT_CREDENTIAL_KEYS" in state(tenants["bob"])[1]


def test_new_keys_are_used_without_a_restart(exchange, serving, tenants):
    with serving() as running:
        before = running.service.private._serving[tenants["bob"].pk][1]
        known = exchange.accounts["bob/main"]
        credential_for(tenants["bob"], known.api_key, known.api_secret[::-1])
        until(running, lambda: state(tenants["bob"])[0] == "error")
        credential_for(tenants["bob"], known.api_key, known.api_secret)
        until(running, lambda: state(tenants["bob"])[0] == "enabled")
        after = running.service.private._serving[tenants["bob"].pk][1]
    assert after is not before


@pytest.mark.parametrize("switch", ["account", "user"])
def test_what_is_switched_off_is_no_longer_captured(exchange, serving, tenants, switch):
    with serving() as running:
        if switch == "account":
            BybitAccount.objects.filter(pk=tenants["bob"].pk).update(status="disabled")
        else:
            User.objects.filter(username="bob").update(status="suspended")
        until(running, lambda: tenants["bob"].pk not in running.service.private._serving)
        until(running, lambda: not running.service.private._leaving)
        exchange.script("bob/main", 2)
        exchange.script("alice/main", 2)
        exchange.drain()
        report = running.finish()
    assert rows_of(tenants["bob"]) == 0
    assert rows_of(tenants["alice"]) > 0
    assert state(tenants["bob"])[0] == ("disabled" if switch == "account" else "enabled")
    assert report.exit_code == ExitCode.OK


def test_a_time_without_capture_is_a_gap_though_nothing_was_stored_before(
    exchange, serving, tenants
):
    with serving(flush_interval=60.0, batch_size=10_000) as running:
        exchange.script("bob/main", 2)
        exchange.drain()
        BybitAccount.objects.filter(pk=tenants["bob"].pk).update(status="disabled")
        until(running, lambda: tenants["bob"].pk not in running.service.private._serving)
        running.finish()
    left = CaptureGap.objects.filter(account=tenants["bob"], reason="the account was not captured")
    assert set(left.values_list("stream", flat=True)) == {
        *("executions", "orders", "positions", "wallet")
    }


def test_an_account_that_is_switched_on_is_captured(exchange, serving, tenants):
    BybitAccount.objects.filter(pk=tenants["bob"].pk).update(status="disabled")
    with serving("alice/main") as running:
        BybitAccount.objects.filter(pk=tenants["bob"].pk).update(status="enabled")
        exchange.wait_for_private("bob/main")
        exchange.script("bob/main", 2)
        exchange.drain()
        running.finish()
    assert rows_of(tenants["bob"]) > 0


def test_a_deleted_account_takes_its_rows_along_and_stops_nobody(exchange, serving, tenants):
    with serving() as running:
        exchange.script("bob/main", 2)
        exchange.drain()
        # PostgreSQL refuses a deletion while a row of the account is being inserted.
        until(running, lambda: is_idle(running))
        tenants["bob"].user.delete()
        exchange.script("alice/main", 2)
        exchange.drain()
        until(running, lambda: len(running.service.private._serving) == 2)
        report = running.finish()
    assert report.exit_code == ExitCode.OK
    assert not PrivateExecution.objects.filter(account__user__username="bob").exists()
    assert rows_of(tenants["alice"]) > 0


def test_an_account_that_is_deleted_with_an_open_gap_stops_nobody_s_books(
    exchange, serving, tenants
):
    def is_deleted() -> bool:
        try:
            tenants["bob"].user.delete()
        except IntegrityError:
            # A gap was written in the middle of it: whoever deletes tries again.
            return False
        return True

    exchange.set_account("bob/main", refusal="params")
    with serving("alice/main") as running:
        until(running, lambda: CaptureGap.objects.filter(account=tenants["bob"]).exists())
        until(running, is_deleted)
        exchange.send_raw("{broken", None, "alice/main")
        until(running, lambda: QuarantinedMessage.objects.filter(account=tenants["alice"]).exists())
        report = running.finish()
    assert report.exit_code == ExitCode.OK


def test_a_new_name_costs_no_connection(exchange, serving, tenants):
    with serving() as running:
        before = running.service.private._serving[tenants["bob"].pk][1]
        BybitAccount.objects.filter(pk=tenants["bob"].pk).update(account_name="other")
        until(running, lambda: "bob/other" in running.service.private.names.values())
        after = running.service.private._serving[tenants["bob"].pk][1]
    assert after is before


def test_a_poison_row_costs_one_row_of_its_own_account(exchange, serving, tenants, monkeypatch):
    rows = ExecutionWriter._rows

    def poisoned(self, key, batch):
        if any(row.exec_id.endswith("e") and key.account_id == tenants["bob"].pk for row in batch):
            raise IntegrityError("poison")
        return rows(self, key, batch)

    monkeypatch.setattr(ExecutionWriter, "_rows", poisoned)
    with serving() as running:
        for name in exchange.accounts:
            exchange.script(name, 20)
        exchange.drain()
        report = running.finish()
    assert report.violations == []
    assert not PrivateExecution.objects.filter(
        account=tenants["bob"], exec_id__endswith="e"
    ).exists()
    stored = {
        name: PrivateExecution.objects.filter(account=a).count() for name, a in tenants.items()
    }
    assert min(stored.values()) > 0
    quarantined = QuarantinedMessage.objects.values_list("account__user__username", flat=True)
    assert set(quarantined) <= {"bob"}


@pytest.mark.parametrize("text", ["{broken", '{"topic": "greeks", "data": []}'])
def test_a_bad_frame_is_quarantined_under_its_account(exchange, serving, tenants, text):
    with serving() as running:
        exchange.send_raw(text, None, "bob/main")
        exchange.script("bob/main", 1)
        exchange.drain()
        report = running.finish()
    assert QuarantinedMessage.objects.get().account == tenants["bob"]
    assert PrivateExecution.objects.filter(account=tenants["bob"]).exists()
    assert report.reconnects == 0


def test_an_empty_figure_costs_its_row_and_not_its_siblings(exchange, serving, tenants):
    frame = json.loads((PAYLOADS / "ws_private_execution.json").read_text())
    good = frame["data"][0]
    rows = [good | {"execId": "a"}, good | {"execId": "b", "execPrice": ""}, good | {"execId": "c"}]
    with serving() as running:
        exchange.send_private("bob/main", "execution", rows)
        exchange.drain()
        running.finish()
    assert sorted(PrivateExecution.objects.values_list("exec_id", flat=True)) == ["a", "c"]
    assert json.loads(QuarantinedMessage.objects.get().raw_text)["execId"] == "b"


def test_rows_belong_to_the_run_that_observes_the_account(exchange, serving, tenants):
    with serving() as running:
        exchange.script("bob/main", 2)
        exchange.drain()
        running.finish()
    run = Run.objects.get(account=tenants["bob"])
    assert (run.run_type, run.strategy, run.status) == ("live", None, "completed")
    assert set(PrivateExecution.objects.values_list("run", flat=True)) == {run.pk}


def figure(value) -> Decimal | None:
    return Decimal(value) if value != "" else None


SAMPLES = {
    "ws_private_execution.json": (
        PrivateExecution,
        {
            "exec_price": "execPrice", "exec_qty": "execQty", "exec_fee": "execFee",
            "exec_pnl": "execPnl", "closed_size": "closedSize", "leaves_qty": "leavesQty",
        },
    ),
    "ws_private_order.json": (
        Order,
        {
            "price": "price", "qty": "qty", "leaves_qty": "leavesQty", "avg_price": "avgPrice",
            "cum_exec_qty": "cumExecQty", "cum_exec_value": "cumExecValue",
            "cum_exec_fee": "cumExecFee", "closed_pnl": "closedPnl",
        },
    ),
    "ws_private_position.json": (
        PositionSnapshot,
        {
            "size": "size", "entry_price": "entryPrice", "mark_price": "markPrice",
            "liq_price": "liqPrice", "leverage": "leverage", "position_value": "positionValue",
            "initial_margin": "positionIM", "maintenance_margin": "positionMM",
            "unrealised_pnl": "unrealisedPnl", "cur_realised_pnl": "curRealisedPnl",
            "cum_realised_pnl": "cumRealisedPnl",
        },
    ),
}  # fmt: skip
SAMPLES["ws_position_short.json"] = SAMPLES["ws_private_position.json"]


@pytest.mark.parametrize("name", SAMPLES)
def test_a_real_message_is_stored_as_it_is(exchange, serving, tenants, name):
    model, figures = SAMPLES[name]
    frame = json.loads((PAYLOADS / name).read_text())
    with serving() as running:
        exchange.send_raw(json.dumps(frame), frame["topic"], "bob/main")
        exchange.drain()
        running.finish()
    row = model.objects.get()
    sent = frame["data"][0]
    assert {ours: getattr(row, ours) for ours in figures} == {
        ours: figure(sent[theirs]) for ours, theirs in figures.items()
    }
    assert row.raw_json == sent
    assert (row.account, row.symbol, row.side) == (tenants["bob"], sent["symbol"], sent["side"])


def test_a_real_wallet_message_is_stored_as_it_is(exchange, serving, tenants):
    frame = json.loads((PAYLOADS / "ws_private_wallet.json").read_text())
    with serving() as running:
        exchange.send_raw(json.dumps(frame), "wallet", "bob/main")
        exchange.drain()
        running.finish()
    row, sent = WalletSnapshot.objects.get(), frame["data"][0]
    coin = sent["coin"][0]
    assert (row.coin, row.wallet_balance) == (coin["coin"], Decimal(coin["walletBalance"]))
    assert row.equity == Decimal(coin["equity"])
    assert row.available_balance == Decimal(sent["totalAvailableBalance"])
    assert row.total_equity == Decimal(sent["totalEquity"])
    assert row.raw_json == sent


def test_a_flat_leg_without_a_side_is_stored_by_its_index(exchange, serving, tenants):
    frame = json.loads((PAYLOADS / "ws_private_position.json").read_text())
    open_leg = frame["data"][0] | {"positionIdx": 2, "side": "Sell"}
    flat = open_leg | {"side": "", "size": "0", "entryPrice": "0", "liqPrice": ""}
    with serving() as running:
        exchange.send_private("bob/main", "position", [open_leg], 1_790_000_000_000)
        exchange.send_private("bob/main", "position", [flat], 1_790_000_000_001)
        exchange.drain()
        running.finish()
    latest = PositionSnapshot.objects.latest_for(tenants["bob"], open_leg["symbol"])
    assert (latest.position_idx, latest.side, latest.size) == (2, "", 0)
