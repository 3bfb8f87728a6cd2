"""Spoil what a drill left in the database, each way so that one check of the judge must notice."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.utils import timezone

from marketdata.drill.truth import Truth
from marketdata.models import (
    CaptureGap,
    CoverageInterval,
    Order,
    PrivateExecution,
    PublicTrade,
    QuarantinedMessage,
    Stream,
)

Sabotage = Callable[[Truth], None]
MILLISECOND = timedelta(milliseconds=1)


def lose_trade(truth: Truth) -> None:
    """A trade that was stored is not there, and no gap says so."""
    victim = next(trade for trade in _trades() if not _gaps_at(trade.exchange_ts).exists())
    victim.delete()


def alter_trade(truth: Truth) -> None:
    """A trade has another price."""
    trade = _trades()[0]
    PublicTrade.objects.filter(pk=trade.pk).update(price=trade.price + Decimal("0.1"))


def invent_trade(truth: Truth) -> None:
    """A trade that was never made."""
    stranger = _trades()[0]
    stranger.pk, stranger.trade_id = None, "00000000-0000-0000-0000-000000000000"
    stranger.save(force_insert=True)


def double_trade(truth: Truth) -> None:
    """A trade is there a second time, a millisecond later."""
    twin = _trades()[0]
    twin.pk, twin.exchange_ts = None, twin.exchange_ts + MILLISECOND
    twin.save(force_insert=True)


def lose_trade_in_coverage(truth: Truth) -> None:
    """A trade is not there; a gap says so, but an interval vouches for its time."""
    at = _lose_declared(_trades()[0], Stream.TRADES, symbol=_trades()[0].symbol)
    symbol = next(iter(CaptureGap.objects.filter(reason=REASON))).symbol
    CoverageInterval.objects.create(
        stream=Stream.TRADES, symbol=symbol, started_at=at - MILLISECOND,
        ended_at=at + MILLISECOND, source=CoverageInterval.Source.ARCHIVE,
    )  # fmt: skip


def lose_execution(truth: Truth) -> None:
    """An execution is not there, and an open gap says so: it could have been asked for."""
    victim = PrivateExecution.objects.unscoped().order_by("-pk")[0]
    _lose_declared(victim, Stream.EXECUTIONS, account_id=victim.account_id)


def lose_last_state(truth: Truth) -> None:
    """The last state of an order is not there, and a gap says so: it could have been asked for."""
    last = Order.objects.unscoped().order_by("-exchange_ts")[0]
    _lose_declared(last, Stream.ORDERS, account_id=last.account_id)


def fill_gap(truth: Truth) -> None:
    """A trade is not there, in a gap that is said to be filled."""
    victim = _trades()[0]
    _lose_declared(victim, Stream.TRADES, symbol=victim.symbol)
    CaptureGap.objects.filter(reason=REASON).update(state=CaptureGap.State.FILLED)


def false_gap(truth: Truth) -> None:
    """A gap of a time at which nothing happened."""
    at = timezone.now() + timedelta(hours=1)
    _gap(at, Stream.TRADES, symbol=_trades()[0].symbol)


def quarantine_more(truth: Truth) -> None:
    """Something sound is quarantined."""
    now = timezone.now()
    QuarantinedMessage.objects.create(
        topic="publicTrade.BTCUSDT", reason="sabotage", raw_text='{"sound": true}',
        digest="sabotage", first_seen=now, last_seen=now,
    )  # fmt: skip


REASON = "sabotage"
WAYS: dict[str, Sabotage] = {
    way.__name__: way
    for way in (
        lose_trade, alter_trade, invent_trade, double_trade, lose_trade_in_coverage,
        lose_execution, lose_last_state, fill_gap, false_gap, quarantine_more,
    )
}  # fmt: skip


def _trades() -> Any:
    # Not by the key: a repair may have stored last what was made before anybody had asked.
    return PublicTrade.objects.order_by("-exchange_ts", "-pk")


def _gaps_at(at: datetime) -> Any:
    return CaptureGap.objects.filter(started_at__lte=at).exclude(ended_at__lt=at)


def _lose_declared(row: Any, stream: Stream, **whose: Any) -> datetime:
    at: datetime = row.exchange_ts
    row.delete()
    _gap(at, stream, **whose)
    return at


def _gap(at: datetime, stream: Stream, **whose: Any) -> None:
    CaptureGap.objects.create(
        stream=stream,
        started_at=at - MILLISECOND,
        ended_at=at + MILLISECOND,
        reason=REASON,
        **whose,
    )
