"""A text frame that is no UTF-8: it ends its connection, and costs nothing but itself."""

from __future__ import annotations

import pytest

from marketdata.exits import ExitCode
from marketdata.models import CaptureGap, PrivateExecution, PublicTrade, QuarantinedMessage

pytestmark = pytest.mark.django_db(transaction=True)

NO_TEXT = b'{"topic": "publicTrade.BTCUSDT", "data": "\xff\xfe"}'
PUBLIC_TOPICS = 4
PRIVATE_TOPICS = 4


def wait_for_another_connection(server, topics: int, account: str = "") -> None:
    """Wait until whoever was connected is connected anew, with all its topics."""
    before = {one["connection"] for one in connections_of(server.status(), account)}

    def is_new(status) -> bool:
        now = connections_of(status, account)
        return bool(now) and all(
            one["connection"] not in before and len(one["topics"]) == topics for one in now
        )

    assert server.send_raw(NO_TEXT, None, account or None) == 1
    server.wait_for(is_new)


def connections_of(status, account: str) -> list[dict]:
    return [one for one in status["connections"] if one["account"] == account]


def test_the_market_is_captured_on_with_a_gap(sandbox, capturing):
    rows = [sandbox.make_trades("BTCUSDT", 3) for _ in range(2)]
    with capturing() as running:
        sandbox.send_trades("BTCUSDT", rows[0])
        wait_for_another_connection(sandbox, PUBLIC_TOPICS)
        sandbox.send_trades("BTCUSDT", rows[1])
        sandbox.drain()
        report = running.finish()
    message = QuarantinedMessage.objects.get()
    assert message.reason.startswith("a frame that cannot be decoded")
    assert message.count == 1
    assert set(PublicTrade.objects.values_list("trade_id", flat=True)) == {
        row["i"] for row in rows[0] + rows[1]
    }
    lost = CaptureGap.objects.filter(stream="trades", symbol="BTCUSDT")
    assert lost.filter(reason="the connection was lost").count() == 1
    assert (report.reconnects, report.violations, report.exit_code) == (1, [], ExitCode.OK)


def test_an_account_s_is_quarantined_under_it_and_costs_the_others_nothing(
    exchange, serving, tenants
):
    with serving() as running:
        wait_for_another_connection(exchange, PRIVATE_TOPICS, "bob/main")
        for name in exchange.accounts:
            exchange.script(name, 2)
        exchange.drain()
        report = running.finish()
    message = QuarantinedMessage.objects.get()
    assert message.reason.startswith("a frame that cannot be decoded")
    assert message.account == tenants["bob"]
    for name, account in tenants.items():
        made = exchange.private_rows(f"{name}/main", "execution")
        assert PrivateExecution.objects.filter(account=account).count() == len(made) > 0
    assert set(CaptureGap.objects.values_list("account__user__username", flat=True)) == {"bob"}
    assert (report.reconnects, report.violations, report.exit_code) == (1, [], ExitCode.OK)
