"""Skipping quiet tickers makes no difference, and the comparison would notice if it did."""

from __future__ import annotations

from decimal import Decimal

import pytest

from gridcore.tests.skipping import Campaign, compare, main, walk

FINE = Decimal("0.1")
COARSE = Decimal(20)  # so coarse that a fast walk meets the ends of the band


@pytest.mark.parametrize("seed", [1, 2])
def test_skipping_makes_no_difference(seed):
    result = compare(Campaign(5000, seed, 0.02))
    assert result.same
    # Both the fills and the silence must have been there, or nothing was compared.
    assert result.every.fills > 50
    assert result.share > 95


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(("sd", "tick"), [(0.1, COARSE), (0.3, FINE)])
def test_gaps_and_rebuilds_make_no_difference(sd, tick, seed):
    result = compare(Campaign(2000, seed, sd, tick))
    assert result.same
    assert result.skipping.handed_over < result.every.handed_over


def test_every_ticker_is_handed_over_by_whom_that_is_expected():
    assert compare(Campaign(300, 1, 0.02)).every.handed_over == 300


@pytest.mark.parametrize("seed", [1, 2])
def test_a_band_that_is_too_wide_by_a_tick_is_noticed(seed):
    assert not compare(Campaign(2000, seed, 0.1, COARSE, widen=1)).same


def test_a_seed_draws_the_same_walk():
    campaign = Campaign(50, 7, 0.02)
    assert list(walk(campaign)) == list(walk(campaign))
    assert list(walk(campaign)) != list(walk(Campaign(50, 8, 0.02)))


@pytest.mark.parametrize(("widen", "code", "verdict"), [(0, 0, "same"), (1, 1, "DIFFERENT")])
def test_the_exit_code_tells(widen, code, verdict, capsys):
    arguments = f"--ticks 2000 --seed 1 --sd 0.1 --tick 20 --widen {widen}"
    assert main(arguments.split()) == code
    line = capsys.readouterr().out
    assert f"seed=1 sd=0.1 tick=20 widen={widen}" in line
    assert line.endswith(f"{verdict}\n")
