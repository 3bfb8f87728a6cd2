"""Bars that follow runs, in this process and in others."""

from __future__ import annotations

import io
import multiprocessing

import pytest
from rich.console import Console

from gridcore.matching import strict_cross
from strategies.backtest.runs.progress import Bars, bars, noted
from strategies.backtest.runs.workers import workers
from strategies.backtest.tests.markets import run


def picture(shown):
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    console.print(*shown.get_renderables())
    return console.file.getvalue()


def test_bars_are_drawn_where_the_runs_are():
    shown = Bars(Console(file=io.StringIO()))
    positions = shown.begin(["narrow", "[wide]"], 200)
    positions[:] = [50, 200]
    words = picture(shown)
    assert [task.percentage for task in shown.tasks[1:]] == [25, 100]
    assert "narrow" in words
    assert "[wide]" in words


def test_no_bars_outside_of_a_terminal():
    out = io.StringIO()
    with bars(out, quiet=False) as shown:
        shown.tell("trading")
        shown.begin(["narrow"], 200)
    assert out.getvalue() == ""


def test_a_run_tells_its_position_from_its_beginning_to_its_end():
    asked, seen = [], []

    def model(order, trade, previous):
        seen.append(asked[0]())
        return strict_cross(order, trade, previous)

    run([10_000, 9_950, 9_899, 10_001, 10_001], begun=asked.append, fill_model=model)
    assert asked[0]() == 5
    # While a trade is judged, those before it are done with.
    assert seen[0] == 2
    assert seen == sorted(seen)


def test_positions_are_noted_until_the_end():
    positions = [0]
    with noted(positions, 0) as begun:
        begun(lambda: 7)
    assert positions == [7]


def test_positions_of_other_processes_arrive_here():
    positions = multiprocessing.RawArray("q", 2)

    def note():
        with noted(positions, 1) as begun:
            begun(lambda: 9)

    with workers(1, note) as pool:
        pool.submit(int).result()
    assert list(positions) == [0, 9]


def test_an_exception_of_a_run_is_not_kept_by_its_position():
    with pytest.raises(ValueError, match="no grid"), noted([0], 0) as begun:
        _refuse(begun)


def _refuse(begun):
    begun(int)
    raise ValueError("no grid")
