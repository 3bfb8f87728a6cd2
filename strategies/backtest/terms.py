"""What trading costs and what the exchange allows: the terms of a backtest.

The default fees are Bybit's for a linear perpetual without VIP level: maker 0.02 %, taker 0.055 %.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from gridcore.instrument import InstrumentInfo, to_decimal, to_price
from gridcore.qty import MIN_NOTIONAL
from strategies.backtest.trades import Ints

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MS_PER_MINUTE = 60_000


def time_of(ms: int) -> datetime:
    """Return the time that is so many ms after 1970, exactly."""
    return EPOCH + timedelta(milliseconds=ms)


@dataclass(frozen=True, slots=True)
class Contract:
    """A linear perpetual: steps and limits, least order value (USDT), minutes between fundings."""

    info: InstrumentInfo
    min_notional: Decimal = MIN_NOTIONAL
    funding_interval_minutes: int = 480

    def __post_init__(self) -> None:
        to_price(self.min_notional, "min_notional")
        if self.funding_interval_minutes <= 0:
            raise ValueError(
                f"funding_interval_minutes must be positive, not {self.funding_interval_minutes}"
            )


@dataclass(frozen=True, slots=True)
class Fees:
    """Shares of an order's value; a negative one is a rebate."""

    maker: Decimal = Decimal("0.0002")
    taker: Decimal = Decimal("0.00055")

    def __post_init__(self) -> None:
        to_decimal(self.maker, "maker")
        to_decimal(self.taker, "taker")


@dataclass(frozen=True, slots=True)
class Settlement:
    """A funding settlement as recorded: when (ms), its rate, and the mark price if known."""

    time_ms: int
    rate: Decimal
    mark_price: Decimal | None = None

    def __post_init__(self) -> None:
        to_decimal(self.rate, "rate")
        if self.mark_price is not None:
            to_price(self.mark_price, "mark_price")


def due_instants(times: Ints, interval_minutes: int) -> range:
    """Return the instants after the first time and up to the last at which funding is due.

    Bybit settles at whole multiples of the interval, counted from midnight UTC.
    """
    if not len(times):
        return range(0)
    interval = interval_minutes * MS_PER_MINUTE
    return range((int(times[0]) // interval + 1) * interval, int(times[-1]) + 1, interval)


def settlements_of(
    tickers: Iterable[tuple[int, Decimal | None, int | None, Decimal | None]],
) -> list[Settlement]:
    """Return the settlements that tickers announced: the last rate and mark price before each.

    A ticker is (time in ms, funding rate of the coming settlement, its time in ms, mark price),
    in the order of time. A settlement that had not come by the last ticker is left out.
    """
    last: dict[int, Settlement] = {}
    latest = 0
    for time_ms, rate, due_ms, mark in tickers:
        latest = time_ms
        if rate is not None and due_ms is not None and time_ms < due_ms:
            last[due_ms] = Settlement(due_ms, rate, mark)
    return [last[due] for due in sorted(last) if due <= latest]
