"""A topic that is refused to one account: it is said, and the account's others are captured."""

from __future__ import annotations

import pytest

from marketdata.exits import ExitCode
from marketdata.models import CaptureGap, PrivateExecution, WalletSnapshot
from marketdata.sandbox.private.sockets import PrivateSession
from marketdata.tests.capture.test_private_service import state, until

pytestmark = pytest.mark.django_db(transaction=True)

REFUSAL = "wallet: error:handler not found,topic:wallet"


@pytest.fixture
def _no_wallet_for_bob(monkeypatch):
    topics = PrivateSession.topics

    def given(session: PrivateSession) -> set[str]:
        everything: set[str] = topics.fget(session)
        return everything - {"wallet"} if session._connection.account == "bob/main" else everything

    monkeypatch.setattr(PrivateSession, "topics", property(given))


@pytest.mark.usefixtures("_no_wallet_for_bob")
def test_the_other_topics_are_captured_and_the_missing_one_is_a_gap(exchange, serving, tenants):
    with serving("alice/main", "charlie/main") as running:
        until(running, lambda: state(tenants["bob"]) == ("error", REFUSAL))
        for name in exchange.accounts:
            exchange.script(name, 2)
        exchange.drain()
        report = running.finish()
    assert report.set_aside == {"bob/main": REFUSAL}
    assert (report.reconnects, report.violations, report.exit_code) == (0, [], ExitCode.OK)
    gap = CaptureGap.objects.get()
    assert (gap.account, gap.stream, gap.reason) == (
        tenants["bob"], "wallet", f"refused: {REFUSAL}",
    )  # fmt: skip
    made = exchange.private_rows("bob/main", "execution")
    assert PrivateExecution.objects.filter(account=tenants["bob"]).count() == len(made) > 0
    with_wallets = WalletSnapshot.objects.values_list("account__user__username", flat=True)
    assert set(with_wallets) == {"alice", "charlie"}
