"""Facts for tests: each row a second later than the last of its kind."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

from django.db import models
from factory.declarations import LazyAttribute, LazyFunction, SelfAttribute, Sequence, SubFactory
from factory.django import DjangoModelFactory

from accounts.tests.factories import BybitAccountFactory
from marketdata.models import (
    CaptureGap,
    CaptureLease,
    CoverageInterval,
    EnvironmentStamp,
    Instrument,
    Order,
    PositionSnapshot,
    PrivateExecution,
    PublicTrade,
    QuarantinedMessage,
    Side,
    Stream,
    TickerSnapshot,
    WalletSnapshot,
)
from strategies.tests.factories import RunFactory

START = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
DELAY = timedelta(milliseconds=40)

Model = TypeVar("Model", bound=models.Model)


def tick(n: int) -> datetime:
    """The time of the n-th row."""
    return START + timedelta(seconds=n)


class FactFactory(DjangoModelFactory[Model]):
    """A fact and its two times."""

    class Meta:
        abstract = True

    exchange_ts = Sequence(tick)
    local_ts = LazyAttribute(lambda row: row.exchange_ts + DELAY)


class PublicTradeFactory(FactFactory[PublicTrade]):
    """A public trade."""

    class Meta:
        model = PublicTrade

    symbol = "BTCUSDT"
    trade_id = Sequence(lambda n: f"00000000-0000-4000-8000-{n:012d}")
    side = Side.BUY
    price = Decimal("50000.5")
    size = Decimal("0.001")
    is_block_trade = False
    is_rpi = False
    sequence = Sequence(lambda n: 1_000_000 + n)


class TickerSnapshotFactory(FactFactory[TickerSnapshot]):
    """A merged ticker."""

    class Meta:
        model = TickerSnapshot

    symbol = "BTCUSDT"
    last_price = Decimal("50000.5")
    mark_price = Decimal("50000.1")
    index_price = Decimal("50000.2")
    bid1_price = Decimal("50000.4")
    bid1_size = Decimal("1.5")
    ask1_price = Decimal("50000.5")
    ask1_size = Decimal("2.5")
    funding_rate = Decimal("0.0001")
    next_funding_time = datetime(2026, 1, 2, 8, tzinfo=UTC)
    open_interest = Decimal("60000")


class InstrumentFactory(DjangoModelFactory[Instrument]):
    """A contract's rules."""

    class Meta:
        model = Instrument
        django_get_or_create = ("symbol",)

    symbol = "BTCUSDT"
    status = "Trading"
    base_coin = "BTC"
    quote_coin = "USDT"
    tick_size = Decimal("0.1")
    qty_step = Decimal("0.001")
    min_qty = Decimal("0.001")
    min_notional = Decimal("5")
    funding_interval_minutes = 480


class EnvironmentStampFactory(DjangoModelFactory[EnvironmentStamp]):
    """The stamp of a database: one row."""

    class Meta:
        model = EnvironmentStamp
        django_get_or_create = ("id",)

    id = 1
    environment = "sandbox"


class CaptureLeaseFactory(DjangoModelFactory[CaptureLease]):
    """The lease of a database: one row."""

    class Meta:
        model = CaptureLease
        django_get_or_create = ("id",)

    id = 1
    holder = "host, process 1"
    process = "boot/pid:[1]/1/1"
    token = "0" * 32
    epoch = 1
    acquired_at = START
    expires_at = START


class PrivateFactFactory(FactFactory[Model]):
    """A fact of an account."""

    class Meta:
        abstract = True

    account = SubFactory(BybitAccountFactory)
    raw_json = LazyFunction(dict[str, Any])


class PrivateExecutionFactory(PrivateFactFactory[PrivateExecution]):
    """A maker's fill."""

    class Meta:
        model = PrivateExecution

    run = SubFactory(RunFactory, account=SelfAttribute("..account"))
    symbol = "BTCUSDT"
    exec_id = Sequence(lambda n: f"execution-{n}")
    order_id = Sequence(lambda n: f"order-{n}")
    order_link_id = Sequence(lambda n: f"link-{n}")
    side = Side.BUY
    exec_type = "Trade"
    order_type = "Limit"
    exec_price = Decimal("50000")
    exec_qty = Decimal("0.01")
    exec_fee = Decimal("0.1")
    fee_currency = "USDT"
    closed_size = Decimal("0")
    leaves_qty = Decimal("0")
    is_maker = True
    position_idx = 1


class OrderFactory(PrivateFactFactory[Order]):
    """The first state of a limit order."""

    class Meta:
        model = Order

    run = SubFactory(RunFactory, account=SelfAttribute("..account"))
    symbol = "BTCUSDT"
    order_id = Sequence(lambda n: f"order-{n}")
    order_link_id = Sequence(lambda n: f"link-{n}")
    side = Side.BUY
    status = "New"
    order_type = "Limit"
    time_in_force = "PostOnly"
    price = Decimal("50000")
    qty = Decimal("0.01")
    leaves_qty = Decimal("0.01")
    cum_exec_qty = Decimal("0")
    position_idx = 1
    created_at = SelfAttribute("exchange_ts")


def digest(n: int) -> str:
    """A digest of its own for the n-th state."""
    return hashlib.sha256(str(n).encode()).hexdigest()[:32]


class PositionSnapshotFactory(PrivateFactFactory[PositionSnapshot]):
    """An open long leg."""

    class Meta:
        model = PositionSnapshot

    symbol = "BTCUSDT"
    position_idx = 1
    digest = Sequence(digest)
    side = Side.BUY
    size = Decimal("0.01")
    entry_price = Decimal("50000")
    liq_price = Decimal("40000")
    leverage = Decimal("10")
    unrealised_pnl = Decimal("-1.25")


class WalletSnapshotFactory(PrivateFactFactory[WalletSnapshot]):
    """A balance in USDT."""

    class Meta:
        model = WalletSnapshot

    coin = "USDT"
    digest = Sequence(digest)
    wallet_balance = Decimal("10000.25")
    equity = Decimal("9999")
    available_balance = Decimal("9000")


class CoverageIntervalFactory(DjangoModelFactory[CoverageInterval]):
    """An hour of trades, vouched for."""

    class Meta:
        model = CoverageInterval

    stream = Stream.TRADES
    symbol = "BTCUSDT"
    started_at = Sequence(tick)
    ended_at = LazyAttribute(lambda row: row.started_at + timedelta(hours=1))
    source = CoverageInterval.Source.LIVE


class CaptureGapFactory(DjangoModelFactory[CaptureGap]):
    """A minute of trades that is missing."""

    class Meta:
        model = CaptureGap

    stream = Stream.TRADES
    symbol = "BTCUSDT"
    started_at = Sequence(tick)
    ended_at = LazyAttribute(lambda row: row.started_at + timedelta(minutes=1))
    reason = "connection lost"


class QuarantinedMessageFactory(DjangoModelFactory[QuarantinedMessage]):
    """A message that could not be read."""

    class Meta:
        model = QuarantinedMessage

    topic = "publicTrade.BTCUSDT"
    reason = "price is not a number"
    raw_text = '{"p": "abc"}'
    digest = Sequence(digest)
    first_seen = Sequence(tick)
    last_seen = SelfAttribute("first_seen")
