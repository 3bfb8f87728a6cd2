"""The equity curve of a run.

Between two changes of the account equity is a line in the price, so that nothing has to be noted
while trading but the changes. The curve has a point at each fill, at each funding settlement and
at each full minute; `low` and `high` are the extremes since the point before, both ends included,
worked out from the extreme prices between. All in exact Decimals.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from operator import itemgetter
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from gridcore.instrument import EXACT, Scale
from strategies.backtest.account import State
from strategies.backtest.terms import MS_PER_MINUTE
from strategies.backtest.trades import Ints, Trades

Floats: TypeAlias = npt.NDArray[np.float64]


class Change(NamedTuple):
    """The account from the trade `first` on; equity right after it, at its own time and price."""

    first: int
    time_ms: int
    equity: Decimal
    state: State


class Point(NamedTuple):
    """Equity at a time, in quote coin, and its extremes since the point before."""

    time_ms: int
    equity: Decimal
    low: Decimal
    high: Decimal


Curve: TypeAlias = list[Point]


class Spans(NamedTuple):
    """Stretches of trades with one account state each, cut at full minutes too.

    `starts` are indices of trades, the other columns ticks; `states` name the change that holds.
    """

    starts: Ints
    lows: Ints
    highs: Ints
    lasts: Ints
    states: Ints


class History:
    """All trades of a run and all changes of its account, the first before any trade."""

    def __init__(self, trades: Trades, changes: Sequence[Change], scale: Scale) -> None:
        self.trades = trades
        self.changes = changes
        self._scale = scale
        self._from = np.array([change.first for change in changes], dtype=np.int64)

    # --- The curve ------------------------------------------------------------------------

    def curve(self) -> Curve:
        """Return the points, in the order of time."""
        if not len(self.trades):
            return []
        return list(self._points(self.spans()))

    def spans(self) -> Spans:
        """Return the stretches on which equity is one line, none longer than a minute."""
        prices = self.trades.prices
        starts = np.union1d(self._from, self._minute_starts())
        starts = starts[starts < len(prices)]
        ends = np.append(starts[1:], len(prices))
        return Spans(
            starts=starts,
            lows=np.minimum.reduceat(prices, starts),
            highs=np.maximum.reduceat(prices, starts),
            lasts=prices[ends - 1],
            states=np.searchsorted(self._from, starts, side="right") - 1,
        )

    def _minute_starts(self) -> Ints:
        """Return the first trade at or after each full minute that follows a trade."""
        return np.searchsorted(self.trades.times, self._minutes(), side="left")

    def _minutes(self) -> Ints:
        first, last = (int(self.trades.times[at]) for at in (0, -1))
        start = (first // MS_PER_MINUTE + 1) * MS_PER_MINUTE
        return np.arange(start, last + 1, MS_PER_MINUTE, dtype=np.int64)

    def _events(self) -> dict[int, list[tuple[int, Decimal | None]]]:
        """Return, by the trade that ends them, full minutes and changes with their equity.

        In the order of time: between two trades there may be minutes on both sides of a funding.
        """
        events = defaultdict[int, list[tuple[int, Decimal | None]]](list)
        for minute, at in zip(
            self._minutes().tolist(), self._minute_starts().tolist(), strict=True
        ):
            events[at].append((minute, None))
        for change in self.changes[1:]:
            events[change.first].append((change.time_ms, change.equity))
            events[change.first].sort(key=itemgetter(0))
        return events

    def _points(self, spans: Spans) -> Iterator[Point]:
        events = self._events()
        low = high = last = self.changes[0].equity
        for start, bottom, top, end, number in zip(
            *(column.tolist() for column in spans), strict=True
        ):
            for time_ms, equity in events.get(start, ()):
                if equity is not None:
                    low, high, last = min(low, equity), max(high, equity), equity
                yield Point(time_ms, last, low, high)
                low = high = last
            state = self.changes[number].state
            if state.net:
                slope = EXACT.multiply(state.net, self._scale.step)
                worst, best, last = (
                    EXACT.fma(slope, ticks, state.cash) for ticks in (bottom, top, end)
                )
                if worst > best:
                    worst, best = best, worst
                low, high = min(low, worst), max(high, best)
            else:
                last = state.cash
                low, high = min(low, last), max(high, last)
        yield Point(int(self.trades.times[-1]), last, low, high)

    # --- All of it ------------------------------------------------------------------------

    def state_at(self, index: int) -> State:
        """Return the account after this trade."""
        number = int(np.searchsorted(self._from, index, side="right")) - 1
        return self.changes[number].state

    def extremes(self) -> Iterator[tuple[State, int, int]]:
        """Return each state that lasted for a trade, with its lowest and highest ticks."""
        prices, starts = self.trades.prices, self._from
        numbers = np.flatnonzero(np.append(starts[1:], len(prices)) > starts)
        if len(numbers):
            lows = np.minimum.reduceat(prices, starts[numbers]).tolist()
            highs = np.maximum.reduceat(prices, starts[numbers]).tolist()
            for number, low, high in zip(numbers.tolist(), lows, highs, strict=True):
                yield self.changes[number].state, low, high

    def equity_of(self, indices: Ints) -> Floats:
        """Return the equity after these trades, to double precision."""
        cash, slope = self._lines()
        states = np.searchsorted(self._from, indices, side="right") - 1
        prices = self.trades.prices[indices].astype(np.float64)
        return np.asarray(cash[states] + slope[states] * prices, dtype=np.float64)

    def equities(self, chunk: int = 1 << 16) -> Iterator[tuple[Ints, Floats]]:
        """Return times and equities of all trades, to double precision, in pieces."""
        cash, slope = self._lines()
        size = len(self.trades)
        ends = np.append(self._from[1:], size)
        for start in range(0, size, chunk):
            stop = min(start + chunk, size)
            counts = np.clip(ends, start, stop) - np.clip(self._from, start, stop)
            prices = self.trades.prices[start:stop]
            yield (
                self.trades.times[start:stop],
                np.repeat(cash, counts) + np.repeat(slope, counts) * prices,
            )

    def _lines(self) -> tuple[Floats, Floats]:
        step = self._scale.step
        cash = np.array([float(change.state.cash) for change in self.changes])
        slope = np.array([float(change.state.net * step) for change in self.changes])
        return cash, slope
