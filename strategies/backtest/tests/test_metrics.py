"""Metrics of curves that are made by hand."""

from __future__ import annotations

import statistics
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pytest

from strategies.backtest import Fees
from strategies.backtest.metrics import falls_of, sharpe_ratio, sortino_ratio
from strategies.backtest.tests.markets import D, run

CURVE = [100, 120, 90, 130, 117, 125, 140, 133]
TIMES = [0, 10, 20, 50, 60, 70, 100, 130]


def falls(*cuts, start=100.0):
    """Falls of the curve, handed over in pieces."""
    bounds = [0, *cuts, len(CURVE)]
    times, curve = np.array(TIMES), np.array(CURVE, dtype=np.float64)
    return falls_of(((times[a:b], curve[a:b]) for a, b in pairwise(bounds)), start)


def test_the_drawdown_is_a_share_of_the_peak_at_that_time():
    # 30 of 120, not of the later 140; 13 of 130 and 7 of 140 are less.
    assert falls()[:3] == (0.25, 1, 2)


def test_time_under_water_is_from_the_first_trade_below_the_peak_to_the_next_peak():
    # 20 to 50, 60 to 100, and 130, the end, which lasted no time.
    assert falls()[3:] == (70, 40)


@pytest.mark.parametrize("cuts", [(1,), (2,), (3, 4), (5, 7), range(1, 8)])
def test_pieces_make_no_difference(cuts):
    assert falls(*cuts) == falls()


def test_the_start_is_a_peak():
    assert falls(start=200.0)[:3] == (0.55, -1, 2)
    assert falls(start=200.0)[3:] == (130, 130)


def test_a_curve_that_never_falls_has_no_drawdown():
    assert falls_of([(np.array([1, 2]), np.array([100.0, 101.0]))], 100.0) == (0.0, -1, -1, 0, 0)
    assert falls_of([], 100.0) == (0.0, -1, -1, 0, 0)


def test_ratios_are_annualised_from_hours():
    returns = [0.01, -0.02, 0.03, -0.01]
    hours = 8766**0.5
    mean = statistics.mean(returns)
    assert sharpe_ratio(np.array(returns)) == pytest.approx(
        mean / statistics.stdev(returns) * hours
    )
    downside = ((0.02**2 + 0.01**2) / 4) ** 0.5
    assert sortino_ratio(np.array(returns)) == pytest.approx(mean / downside * hours)


@pytest.mark.parametrize("returns", [[], [0.01], [0.01, 0.01]])
def test_ratios_without_deviation_are_undefined(returns):
    assert sortino_ratio(np.array(returns)) is None
    assert sharpe_ratio(np.array(returns)) is None


def test_money_adds_up():
    figures = run([10_000, 9_899, 10_001, 9_950, 10_120, 9_700]).metrics
    parts = figures.realised + figures.unrealised - figures.fees + figures.funding
    assert figures.final_equity == figures.starting_balance + parts
    assert figures.trades > figures.closing_trades > 0


def test_a_win_is_a_closing_fill_that_paid_for_its_own_fee():
    figures = run([10_000, 9_950, 9_899, 10_001]).metrics
    assert (figures.trades, figures.closing_trades, figures.win_rate) == (3, 1, 1.0)
    assert figures.turnover == D("100.98") + D(100) + D(100)
    # It earned 1 and cost 2.
    dear = run([10_000, 9_950, 9_899, 10_001], fees=Fees(maker=D("0.02"))).metrics
    assert (dear.closing_trades, dear.win_rate) == (1, 0.0)
    assert figures.turnover_share == D("0.0300980")


def test_the_drawdown_of_a_run_is_exact_and_has_its_times():
    # 0.102 bought at 990.0: the deepest trade is at 985.0, between two minutes and no fill.
    fallen = run([10_000, 9_899, 9_850, 9_899]).metrics.max_drawdown
    assert (fallen.peak, fallen.trough) == (D(10_000), D(10_000) - D("0.020196") - D("0.51"))
    assert fallen.share == (fallen.peak - fallen.trough) / fallen.peak
    assert fallen.peak_time == datetime(2026, 1, 1, tzinfo=UTC)
    assert fallen.trough_time - fallen.peak_time == timedelta(seconds=2)


def test_peak_margin_is_at_the_highest_price_while_there_was_a_position():
    figures = run([10_000, 9_899, 9_990, 9_850]).metrics
    assert figures.peak_margin == D("0.102") * 999 * D("0.1")


def test_the_distance_to_liquidation_is_the_least_that_was_left():
    # Equity 20 - 100.98 - 0.020196 + 0.102p = 0.005 * 0.102p at p = 798.1...: tick 7981.
    figures = run([10_000, 9_899, 9_850, 9_899], starting_balance=D(20), leverage=100).metrics
    assert figures.distance_to_liquidation == pytest.approx(1 - 7981 / 9850)
    assert run([10_000, 10_000]).metrics.distance_to_liquidation is None


def test_a_liquidated_run_had_no_distance_left():
    # Far from it at 960.6, and in one trade beyond it.
    fallen = run([10_000, 9_899, 9_790, 8_000], starting_balance=D(20), leverage=100)
    assert fallen.liquidation is not None
    assert fallen.metrics.distance_to_liquidation == 0
