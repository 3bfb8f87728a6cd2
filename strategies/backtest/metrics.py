"""What a run comes to in figures.

Money is exact. What is a statistic of the curve is taken at every trade, to double precision:
extremes that lie between two points of the curve are not missed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Context, Decimal
from typing import NamedTuple

import numpy as np

from gridcore.instrument import EXACT, ZERO, Scale
from strategies.backtest.curve import Floats, History
from strategies.backtest.ledger import Ledger
from strategies.backtest.margins import MarginTerms, initial_margin
from strategies.backtest.terms import time_of
from strategies.backtest.trades import Ints

SHARES = Context(prec=28)
MS_PER_HOUR = 3_600_000
HOURS_PER_YEAR = 24 * 365.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawdown:
    """The deepest fall: `share` of the equity at the peak before it, and when it was."""

    share: Decimal
    peak: Decimal
    peak_time: datetime
    trough: Decimal
    trough_time: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Metrics:
    """The figures of a run; money in USDT, shares as fractions, None where undefined.

    `return_share`: final equity over starting balance, less 1. `realised` and `unrealised` are
    gross, `fees` positive when paid, `funding` positive when received, `forgiven` a debt that a
    liquidation left; together they make up what equity gained. `win_rate`: of the fills that
    closed, those whose profit exceeded their own fee. `turnover`: the value traded,
    `turnover_share` over the starting balance. `peak_margin`: the highest initial margin of the
    positions. `distance_to_liquidation`: the least share by which the price had to move on,
    0 for a run that was liquidated.
    """

    starting_balance: Decimal
    final_equity: Decimal
    return_share: Decimal
    realised: Decimal
    unrealised: Decimal
    fees: Decimal
    funding: Decimal
    forgiven: Decimal
    max_drawdown: Drawdown | None
    under_water: timedelta
    under_water_share: float
    longest_under_water: timedelta
    sharpe: float | None
    sortino: float | None
    trades: int
    closing_trades: int
    win_rate: float | None
    turnover: Decimal
    turnover_share: Decimal
    peak_margin: Decimal
    distance_to_liquidation: float | None


class Falls(NamedTuple):
    """Where equity was below its peak; -1 is the start. Times in ms."""

    share: float
    peak_index: int
    trough_index: int
    under_water_ms: int
    longest_ms: int


def falls_of(pieces: Iterable[tuple[Ints, Floats]], start: float) -> Falls:
    """Return the deepest fall as a share of the peak at that time, and the time under water.

    The drawdown at a time is 1 - equity/peak, the peak being the highest equity so far, the
    start included (Magdon-Ismail and Atiya, "Maximum Drawdown", Risk, 2004). Equity is under
    water from the first trade below the peak to the first that is not.
    """
    peak, peak_index, was_under, offset, last_ms = start, -1, False, 0, 0
    deepest = Falls(0.0, -1, -1, 0, 0)
    begins: list[Ints] = []
    ends: list[Ints] = []
    for times, equity in pieces:
        peaks = np.maximum(np.maximum.accumulate(equity), peak)
        fall = 1.0 - equity / peaks
        at = int(fall.argmax())
        under = equity < peaks
        if fall[at] > deepest.share:
            before = np.flatnonzero(~under[:at])
            top = offset + int(before[-1]) if len(before) else peak_index
            deepest = Falls(float(fall[at]), top, offset + at, 0, 0)
        turns = np.diff(under.astype(np.int8), prepend=np.int8(was_under))
        begins.append(times[turns == 1])
        ends.append(times[turns == -1])
        dry = np.flatnonzero(~under)
        if len(dry):
            peak, peak_index = float(peaks[-1]), offset + int(dry[-1])
        was_under, last_ms, offset = bool(under[-1]), int(times[-1]), offset + len(times)
    if was_under:
        ends.append(np.array([last_ms]))
    if not begins:
        return deepest
    lengths = np.concatenate(ends) - np.concatenate(begins)
    return deepest._replace(
        under_water_ms=int(lengths.sum()), longest_ms=int(lengths.max(initial=0))
    )


def sharpe_ratio(returns: Floats) -> float | None:
    """Return mean / standard deviation of hourly returns, annualised; no risk-free rate.

    Sharpe, "The Sharpe Ratio", Journal of Portfolio Management, 1994; the deviation is the
    sample's (n - 1), and a year has 8766 hours.
    """
    if len(returns) < 2 or not (deviation := float(returns.std(ddof=1))):
        return None
    return float(returns.mean()) / deviation * math.sqrt(HOURS_PER_YEAR)


def sortino_ratio(returns: Floats) -> float | None:
    """Return mean / downside deviation of hourly returns, annualised; the target is 0.

    Sortino and Price, "Performance Measurement in a Downside Risk Framework", Journal of
    Investing, 1994: the deviation is the root of the mean square of losses, over all returns.
    """
    if len(returns) < 2:
        return None
    downside = math.sqrt(float(np.square(np.minimum(returns, 0.0)).mean()))
    return float(returns.mean()) / downside * math.sqrt(HOURS_PER_YEAR) if downside else None


def hourly_returns(history: History) -> Floats:
    """Return equity over equity an hour before, less 1, at full hours; each the last before it."""
    times = history.trades.times
    if not len(times):
        return np.empty(0)
    first, last = int(times[0]), int(times[-1])
    hours = np.arange((first // MS_PER_HOUR + 1) * MS_PER_HOUR, last + 1, MS_PER_HOUR)
    equity = history.equity_of(np.searchsorted(times, hours, side="left") - 1)
    return np.asarray(equity[1:] / equity[:-1] - 1.0, dtype=np.float64)


def metrics_of(
    history: History,
    ledger: Ledger,
    *,
    starting_balance: Decimal,
    terms: MarginTerms,
    scale: Scale,
) -> Metrics:
    """Work out the figures of a run from what was written down."""
    fills, forgiven = ledger.fills, ZERO
    funding = _total(payment.amount for payment in ledger.payments)
    if ledger.liquidation is not None:
        forgiven = ledger.liquidation.forgiven
    times, state = history.trades.times, history.changes[-1].state
    final = state.equity(scale.value(int(history.trades.prices[-1]))) if len(times) else state.cash
    realised = _total(fill.closed_pnl for fill in fills)
    fees = _total(fill.fee for fill in fills)
    turnover = _total(EXACT.multiply(fill.qty, fill.price) for fill in fills)
    gained = EXACT.subtract(final, starting_balance)
    closing = [fill for fill in fills if fill.closed_size]
    wins = sum(fill.closed_pnl > fill.fee for fill in closing)
    falls = falls_of(history.equities(), float(starting_balance))
    span = int(times[-1] - times[0]) if len(times) else 0
    returns = hourly_returns(history)
    return Metrics(
        starting_balance=starting_balance,
        final_equity=final,
        return_share=SHARES.divide(gained, starting_balance),
        realised=realised,
        unrealised=_total(
            [gained, fees, *(each.copy_negate() for each in (realised, funding, forgiven))]
        ),
        fees=fees,
        funding=funding,
        forgiven=forgiven,
        max_drawdown=_drawdown(history, falls, starting_balance, scale),
        under_water=timedelta(milliseconds=falls.under_water_ms),
        under_water_share=falls.under_water_ms / span if span else 0.0,
        longest_under_water=timedelta(milliseconds=falls.longest_ms),
        sharpe=sharpe_ratio(returns),
        sortino=sortino_ratio(returns),
        trades=len(fills),
        closing_trades=len(closing),
        win_rate=wins / len(closing) if closing else None,
        turnover=turnover,
        turnover_share=SHARES.divide(turnover, starting_balance),
        peak_margin=_peak_margin(history, terms, scale),
        distance_to_liquidation=_distance(history) if ledger.liquidation is None else 0.0,
    )


def _total(amounts: Iterable[Decimal]) -> Decimal:
    total = ZERO
    for amount in amounts:
        total = EXACT.add(total, amount)
    return total


def _drawdown(history: History, falls: Falls, start: Decimal, scale: Scale) -> Drawdown | None:
    if falls.trough_index < 0:
        return None
    times, prices = history.trades.times, history.trades.prices

    def equity_at(index: int) -> Decimal:
        if index < 0:
            return start
        return history.state_at(index).equity(scale.value(int(prices[index])))

    peak, trough = equity_at(falls.peak_index), equity_at(falls.trough_index)
    return Drawdown(
        share=SHARES.divide(EXACT.subtract(peak, trough), peak),
        peak=peak,
        peak_time=time_of(int(times[max(falls.peak_index, 0)])),
        trough=trough,
        trough_time=time_of(int(times[falls.trough_index])),
    )


def _peak_margin(history: History, terms: MarginTerms, scale: Scale) -> Decimal:
    table = terms.table()
    return max(
        (
            initial_margin(table, (state.long_size, state.short_size), scale.value(highest))
            for state, _, highest in history.extremes()
        ),
        default=ZERO,
    )


def _distance(history: History) -> float | None:
    distances = [
        distance
        for state, lowest, highest in history.extremes()
        for distance in (
            None if state.liquidated_below is None else 1 - state.liquidated_below / lowest,
            None if state.liquidated_above is None else state.liquidated_above / highest - 1,
        )
        if distance is not None
    ]
    return min(distances, default=None)
