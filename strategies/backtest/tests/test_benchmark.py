"""The benchmark of backtests, as far as it goes without its rival."""

from __future__ import annotations

import json
import sys

import pytest

from benchmarks import backtest
from benchmarks.backtest import main
from benchmarks.market import save, walk


def test_without_the_rival_nothing_is_measured(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "nautilus_trader", None)
    with pytest.raises(SystemExit) as stopped:
        main(["--json"])
    said = capsys.readouterr()
    assert (stopped.value.code, said.out) == (2, "")
    assert "pip install -r requirements-benchmarks.txt" in said.err


def test_the_twin_finds_the_same_fills_among_the_first_trades(tmp_path, capsys):
    path = tmp_path / "walk.npy"
    save(walk(400, 0.1, seed=1), path)
    for run in (["twin", "--twin", "300"], ["twin", "--twin", "all"], ["ours"]):
        main(["--walk", str(path), "--levels", "10", "--run", *run])
    first, whole, ours = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["trades"], whole["trades"]) == (300, 400)
    assert 0 < first["fills"] < whole["fills"] == ours["fills"]
    assert first["equal"]
    assert whole["equal"]


@pytest.mark.parametrize("equal", [True, False])
def test_the_machine_readable_line_says_what_the_twin_compared(equal, monkeypatch, capsys):
    told = {"trades": 300, "cpu_s": 1.0, "fills": 2, "quick_fills": 5, "equal": equal}
    monkeypatch.setattr(backtest, "in_own_process", lambda *words: told)
    with pytest.raises(SystemExit) as stopped:
        main(["--trades", "400", "--rounds", "0", "--json"])
    assert stopped.value.code == (not equal)
    assert json.loads(capsys.readouterr().out.splitlines()[-1]) == {
        "equal_fills": equal, "fills": 5, "trades": 400, "twin_trades": 300, "twin_fills": 2,
    }  # fmt: skip
