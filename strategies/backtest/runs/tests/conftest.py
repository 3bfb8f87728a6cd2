"""A captured market, and the command that trades on it."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command

from marketdata.models import PublicTrade, Stream, TickerSnapshot
from marketdata.tests.factories import (
    CoverageIntervalFactory,
    InstrumentFactory,
    PublicTradeFactory,
    TickerSnapshotFactory,
)
from strategies.tests.factories import StrategyFactory

SINCE = datetime(2026, 1, 2, 7, tzinfo=UTC)
UNTIL = SINCE + timedelta(hours=2)
FUNDING = datetime(2026, 1, 2, 8, tzinfo=UTC)
CONFIG = {"grid_count": 10, "grid_step": 0.1, "amount": "100"}
WINDOW = ("--since", SINCE.isoformat(), "--until", UNTIL.isoformat())


def store_market(*, prices=None, count=1500):
    """Trades of two hours on a walk around 50,000, or at these prices, and tickers beside them."""
    walk = random.Random(1)
    price = 500_000
    trades, tickers = [], []
    steps = prices or [None] * count
    for number, given in enumerate(steps):
        at = SINCE + number * (UNTIL - SINCE) / len(steps)
        at = at.replace(microsecond=at.microsecond // 1000 * 1000)
        price = int(given * 10) if given else price + int(walk.gauss(0, 120))
        both = {"exchange_ts": at, "local_ts": at}
        trades.append(PublicTradeFactory.build(**both, price=Decimal(price) / 10))
        if number % 10 == 0:
            due = FUNDING if at < FUNDING else FUNDING + timedelta(hours=8)
            tickers.append(TickerSnapshotFactory.build(**both, next_funding_time=due))
    PublicTrade.objects.bulk_create(trades)
    TickerSnapshot.objects.bulk_create(tickers)
    InstrumentFactory.create()


def vouch(since=SINCE, until=UNTIL, streams=(Stream.TRADES, Stream.TICKERS)):
    """Say that capture saw everything."""
    for stream in streams:
        CoverageIntervalFactory.create(
            stream=stream, symbol="BTCUSDT", started_at=since, ended_at=until
        )


@pytest.fixture
def market(db):
    """Two hours of BTCUSDT, captured whole."""
    store_market()
    vouch()


@pytest.fixture
def strategy(alice_account):
    """Alice's grid."""
    return StrategyFactory.create(account=alice_account, name="grid", config=CONFIG)


@pytest.fixture
def config_file(tmp_path):
    """The same grid in a file."""
    path = tmp_path / "grid.json"
    path.write_text(json.dumps(CONFIG))
    return path


@pytest.fixture
def backtest(capsys):
    """Run the command on the window and return what it says."""

    def run(*arguments, window=WINDOW):
        call_command("backtest", *window, *map(str, arguments))
        return capsys.readouterr().out

    return run


@pytest.fixture
def backtest_json(backtest):
    """The same, read from its line of JSON."""

    def run(*arguments, **options):
        return json.loads(backtest(*arguments, "--json", **options))["backtests"]

    return run
