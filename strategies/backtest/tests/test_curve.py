"""The curve against one that is worked out trade by trade."""

from __future__ import annotations

import random

import numpy as np
import pytest

from strategies.backtest import Settlement, Trades, run_backtest
from strategies.backtest.tests.markets import START_MS, D, config, contract, run

MINUTE = 60_000


def walk(seed, size=1500):
    """A market with bursts and silences."""
    chance = random.Random(seed)
    price, now, ticks, times = 10_000, START_MS + 12_345, [], []
    for _ in range(size):
        price += round(chance.gauss(0, 12))
        now += chance.choice([0, 10, 2_000, 30_000, 200_000])
        ticks.append(price)
        times.append(now)
    return Trades(np.array(times, dtype=np.int64), np.array(ticks, dtype=np.int64))


def naive(market, result, balance):
    """Every point of the curve as (time, equity, low, high), from fills and fundings alone."""
    fills, paid = list(result.fills), list(result.funding)
    cash, net, price = D(balance), D(0), None
    points, seen = [], [cash]
    minute = None
    for index, (now, ticks) in enumerate(
        zip(market.times.tolist(), market.prices.tolist(), strict=True)
    ):
        minute = minute or now // MINUTE * MINUTE + MINUTE
        dues = [round(payment.time.timestamp() * 1000) for payment in paid]
        while minute <= now or (dues and dues[0] <= now):
            if minute <= now and not (dues and dues[0] < minute):
                points.append((minute, seen[-1], min(seen), max(seen)))
                minute += MINUTE
            else:
                cash += paid.pop(0).amount
                seen.append(cash + net * price)
                points.append((dues.pop(0), seen[-1], min(seen), max(seen)))
            seen = seen[-1:]
        price = D(ticks) / 10
        filled = False
        while fills and fills[0].trade_index == index:
            fill = fills.pop(0)
            sign = 1 if fill.side == "Buy" else -1
            cash -= sign * fill.qty * fill.price + fill.fee
            net += sign * fill.qty
            assert fill.equity == cash + net * price
            filled = True
        seen.append(cash + net * price)
        if filled:
            points.append((now, seen[-1], min(seen), max(seen)))
            seen = seen[-1:]
    return [*points, (now, seen[-1], min(seen), max(seen))]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_curve_is_the_one_worked_out_trade_by_trade(seed):
    market = walk(seed)
    instants = [START_MS + hour * 3_600_000 for hour in (2, 8, 16)]
    result = run_backtest(
        market,
        contract(funding_interval_minutes=60),
        config(amount="500"),
        starting_balance=D(3_000),
        funding=[Settlement(instant, D("0.003")) for instant in instants],
    )
    assert len(result.fills) > 20
    assert len(result.funding) > 1
    assert [tuple(point) for point in result.curve] == naive(market, result, 3_000)


def test_a_funding_in_a_silence_of_the_market_stands_between_its_minutes():
    # Trades at 0:00:00, 0:02:30 and 0:05:00; 0.102 long from the second on, at 990.0.
    due = Settlement(START_MS + 210_000, D("0.01"), D(1000))
    curve = run([10_000, 9_899, 9_899], every_ms=150_000, funding=[due]).curve
    minutes = [(point.time_ms - START_MS) / MINUTE for point in curve]
    assert minutes == [1, 2, 2.5, 3, 3.5, 4, 5, 5]
    bought = D(10_000) - D("0.020196") - D("0.0102")
    assert [point.equity for point in curve[2:]] == [*[bought] * 2, *[bought - D("1.02")] * 4]
