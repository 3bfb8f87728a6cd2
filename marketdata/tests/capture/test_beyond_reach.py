"""What REST does not show any more: declared with its bounds, and closed by an archive."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

import pytest
from django.core.management import call_command

from marketdata.bybit.values import time_from_ms
from marketdata.exits import ExitCode
from marketdata.models import CaptureGap, PublicTrade
from marketdata.sandbox.wire import trade_topic
from marketdata.tests.capture.repairing import times_of, until
from marketdata.tests.coverage.archive_files import row, text_of, write

pytestmark = pytest.mark.django_db(transaction=True)

SYMBOL = "BTCUSDT"
MISSED, SHOWN_BY_REST = 1500, 1000


def all_made(exchange: Any) -> list[dict[str, Any]]:
    """Every trade of the exchange, heard by somebody or not."""
    lines = (line for line in exchange.ledger() if line["event"] in ("sent", "made"))
    return [each for line in lines if line["topic"] == trade_topic(SYMBOL) for each in line["rows"]]


def archive_of(trades: list[dict[str, Any]], folder: Any) -> str:
    """The exchange's own file of these trades."""
    lines = [
        row(
            time_from_ms(int(each["T"])), 0,
            side=each["S"], size=each["v"], price=each["p"], trdMatchID=each["i"],
        )
        for each in trades
    ]  # fmt: skip
    day = time_from_ms(int(trades[0]["T"])).date()
    return str(write(folder / f"{SYMBOL}{day}.csv.gz", text_of(lines)))


def missing(capsys: Any, since: datetime) -> list[tuple[str, str, str]]:
    """What `coverage` says is missing of the trades: from, to, and how it stands."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        call_command("coverage", "--symbol", SYMBOL, "--since", since.isoformat(), "--json")
    # The tickers of an outage are gone for good.
    assert ended.value.code == ExitCode.DATA_INCOMPLETE
    feeds = json.loads(capsys.readouterr().out.splitlines()[-1])["feeds"]
    [trades] = [feed for feed in feeds if feed["stream"] == "trades"]
    return [(each["from"], each["to"], each["state"]) for each in trades["missing"]]


def test_a_gap_of_more_than_rest_shows_is_closed_by_an_archive(
    exchange, repairing, tmp_path, capsys
):
    with repairing(symbols=(SYMBOL,), private=False) as running:
        for _ in range(2):
            exchange.send_trades(SYMBOL, exchange.make_trades(SYMBOL, 10))
        until(running, lambda: PublicTrade.objects.count() == 20)
        last = PublicTrade.objects.last_trade_ts(SYMBOL)
        exchange.refuse(3600)
        exchange.break_connections("reset", channel="public")
        for _ in range(MISSED // 100):
            exchange.send_trades(SYMBOL, exchange.make_trades(SYMBOL, 100))
        exchange.refuse(0)
        until(running, lambda: CaptureGap.objects.filter(stream="trades", state="partial").exists())
        running.finish()
    made = all_made(exchange)
    hidden = made[20 : 20 + MISSED - SHOWN_BY_REST]
    gap = CaptureGap.objects.get(stream="trades", state="partial")
    assert gap.started_at == last <= times_of(hidden)[0]
    assert times_of(hidden)[1] <= gap.ended_at
    assert missing(capsys, last) == [
        (gap.started_at.isoformat(), gap.ended_at.isoformat(), "partial"),
    ]
    call_command("import_trades", archive_of(made, tmp_path), "--environment", "sandbox")
    assert missing(capsys, last) == []
    gap.refresh_from_db()
    assert (gap.state, gap.source) == ("filled", "archive")
    assert set(PublicTrade.objects.values_list("trade_id", flat=True)) == {
        each["i"] for each in made
    }
