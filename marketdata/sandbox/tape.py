"""What was traded: the last trades of each symbol and one-minute bars, for the REST endpoints.

Bounded: 1000 trades and one week of minutes a symbol. Bars count every trade, block and RPI
trades included; a minute without trades is a flat bar at the last close, as on the exchange.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from marketdata.sandbox.wire import Row

RECENT = 1000
MINUTE_MS = 60_000
MINUTES_KEPT = 7 * 24 * 60


@dataclass(slots=True)
class Bar:
    """Open, high, low and close in USDT, volume in base coin, turnover in USDT."""

    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal = Decimal()
    turnover: Decimal = Decimal()

    def add(self, price: Decimal, size: Decimal) -> None:
        """Count one trade in."""
        self.high, self.low, self.close = max(self.high, price), min(self.low, price), price
        self.volume += size
        self.turnover += price * size

    def join(self, later: Bar) -> None:
        """Count a later bar in."""
        self.high, self.low = max(self.high, later.high), min(self.low, later.low)
        self.close = later.close
        self.volume += later.volume
        self.turnover += later.turnover

    def flat(self) -> Bar:
        """The bar of a span without trades that follows this one."""
        return Bar(self.close, self.close, self.close, self.close)

    def wire(self, start_ms: int) -> list[str]:
        """The seven strings of `/v5/market/kline`."""
        figures = (self.open, self.high, self.low, self.close, self.volume, self.turnover)
        return [str(start_ms), *(format(figure, "f") for figure in figures)]


class Tape:
    """One symbol's trades."""

    def __init__(self) -> None:
        self._recent: deque[Row] = deque(maxlen=RECENT)
        self._minutes: dict[int, Bar] = {}
        self.total = 0

    def record(self, rows: Iterable[Row]) -> None:
        """Remember trades; a row that is no trade (recordings may hold some) is left out."""
        for row in rows:
            try:
                time_ms, price, size = int(row["T"]), Decimal(row["p"]), Decimal(row["v"])
            except (KeyError, TypeError, ValueError, InvalidOperation):
                continue
            self.total += 1
            self._recent.append(row)
            self._count(time_ms // MINUTE_MS, price, size)

    def recent(self, limit: int) -> list[Row]:
        """The last trades, newest first."""
        newest = reversed(self._recent)
        return [row for row, _ in zip(newest, range(limit), strict=False)]

    def bars(self, minutes: int, *, until_ms: int) -> Iterator[tuple[int, Bar]]:
        """Bars of so many minutes, ascending and without holes, with their starts in ms."""
        joined: dict[int, Bar] = {}
        for minute in sorted(self._minutes):
            bar, start = self._minutes[minute], minute - minute % minutes
            if start in joined:
                joined[start].join(bar)
            else:
                joined[start] = Bar(
                    bar.open, bar.high, bar.low, bar.close, bar.volume, bar.turnover
                )
        if not joined:
            return
        bar = joined[min(joined)]
        for start in range(min(joined), max(max(joined), until_ms // MINUTE_MS) + 1, minutes):
            bar = joined.get(start) or bar.flat()
            yield start * MINUTE_MS, bar

    def _count(self, minute: int, price: Decimal, size: Decimal) -> None:
        bar = self._minutes.get(minute)
        if bar is None:
            bar = self._minutes[minute] = Bar(price, price, price, price)
            if len(self._minutes) > MINUTES_KEPT:
                del self._minutes[min(self._minutes)]
        bar.add(price, size)
