"""Captured volume against the exchange's one-minute klines, minute by minute."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from marketdata.bybit.rest_client import BybitRestClient
from marketdata.coverage.spans import TICK, Span
from marketdata.models import PublicTrade

MINUTE = timedelta(minutes=1)
# How long after its end a minute's kline may still change.
SETTLED_AFTER = timedelta(seconds=5)


@dataclass
class Volumes:
    """What was captured of a minute, in the base coin; `block` and `rpi` are parts of `all`."""

    all: Decimal = Decimal()
    block: Decimal = Decimal()
    rpi: Decimal = Decimal()


@dataclass(frozen=True)
class Difference:
    """A minute whose captured volume is not the exchange's; base coin.

    Klines may leave out block or RPI trades (the exchange does not say): a difference that is
    exactly those is `explained`, and no sign of a missing trade.
    """

    symbol: str
    minute: datetime
    captured: Decimal
    exchange: Decimal | None
    explained: str = ""


@dataclass
class Verification:
    """What came of one symbol."""

    symbol: str
    minutes: int = 0
    differences: list[Difference] = field(default_factory=list)

    @property
    def unexplained(self) -> list[Difference]:
        """The differences that mean something is missing, or too much."""
        return [each for each in self.differences if not each.explained]


def is_sound(verifications: Sequence[Verification]) -> bool:
    """Whether minutes were compared, and none of them differs without a reason."""
    return any(each.minutes for each in verifications) and not any(
        each.unexplained for each in verifications
    )


def verify(client: BybitRestClient, symbol: str, covered: list[Span]) -> Verification:
    """Compare each whole, closed minute of `symbol` within `covered`.

    Raises BybitError when the exchange does not answer, or not in klines.
    """
    result = Verification(symbol)
    settled_by = client.get_server_time() - SETTLED_AFTER
    for span in covered:
        minutes = list(whole_minutes(span, settled_by))
        if not minutes:
            continue
        bars = {bar.start: bar.volume for bar in client.get_klines(symbol, minutes[0], minutes[-1])}
        captured = captured_volumes(symbol, Span(minutes[0], minutes[-1] + MINUTE - TICK))
        for minute in minutes:
            result.minutes += 1
            difference = _compared(symbol, minute, captured[minute], bars.get(minute))
            if difference is not None:
                result.differences.append(difference)
    return result


def whole_minutes(span: Span, settled_by: datetime) -> Iterator[datetime]:
    """The starts of the minutes that lie wholly in `span` and ended by `settled_by`."""
    minute = span.start.replace(second=0, microsecond=0)
    if minute < span.start:
        minute += MINUTE
    while minute + MINUTE - TICK <= span.end and minute + MINUTE <= settled_by:
        yield minute
        minute += MINUTE


def captured_volumes(symbol: str, span: Span) -> defaultdict[datetime, Volumes]:
    """The volume of each minute of `span`, added up exactly (SQLite's SUM is not exact)."""
    volumes: defaultdict[datetime, Volumes] = defaultdict(Volumes)
    trades = PublicTrade.objects.in_range(symbol, span.start, span.end + TICK)
    columns = ("exchange_ts", "size", "is_block_trade", "is_rpi")
    for at, size, is_block, is_rpi in trades.values_list(*columns).iterator():
        minute = volumes[at.astimezone(UTC).replace(second=0, microsecond=0)]
        minute.all += size
        minute.block += size * is_block
        minute.rpi += size * is_rpi
    return volumes


def _compared(
    symbol: str, minute: datetime, captured: Volumes, exchange: Decimal | None
) -> Difference | None:
    if exchange is None:
        # Nothing traded, or the minute is not listed: without trades there is no difference.
        return Difference(symbol, minute, captured.all, None) if captured.all else None
    if captured.all == exchange:
        return None
    explanations = {
        captured.all - captured.block - captured.rpi: "exactly its block and RPI trades",
        captured.all - captured.rpi: "exactly its RPI trades",
        captured.all - captured.block: "exactly its block trades",
    }
    return Difference(symbol, minute, captured.all, exchange, explanations.get(exchange, ""))
