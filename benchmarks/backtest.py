"""Our backtest against that of nautilus_trader: the same grid on the same made-up trades.

    python -m benchmarks.backtest [--trades 5000000] [--fills few|many] [--rounds 3] [--json]
    python -m benchmarks.backtest --growth

Both have the trades in memory before the clock starts; the rates are of running alone, loading
is shown beside them. Either runs in one thread, and a rate is per second of CPU: others may be at
work on the machine. Each run is a process of its own, ours and the rival's in turn, so that the
peak of memory is its own, too. What the rival does, and what it is spared, stands in
`benchmarks/nautilus.py`; it comes with requirements-benchmarks.txt. Both fill a limit that a trade
goes through. Ours changes quantities by its risk rules, which the rival has not: the fills are
alike in number, not the same.

That ours are right is another question: its slow twin looks at every trade, and the fills of the
quick run, the whole of each with cause and equity, must be the twin's. `--twin all` has it look
at all trades, which takes it some 200 us each; by default at the first 200,000.

`few` and `many` are how much the price moves: a few hundred fills, or 20,000, in 5 million trades.
`--growth` is ours alone, with more trades and with more levels.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.loading import peak_mb
from benchmarks.market import AMOUNT, BALANCE, STEP, Walk, load, save, walk
from gridcore import InstrumentInfo
from strategies.backtest import BacktestResult, Contract, Trades, run_backtest
from strategies.config import StrategyConfig

# Standard deviation of a trade's step, in percent.
MOVES = {"few": 0.001, "many": 0.009}
SEED = 1
SECONDS = ("load_s", "run_s", "cpu_s")
GROWTH = [(1, 50), (2, 50), (5, 50), (10, 50), (20, 50), (5, 20), (5, 200)]
CONTRACT = Contract(InstrumentInfo("BTCUSDT", *map(Decimal, ("0.001", "0.1", "0.001", "1000"))))


def main(words: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trades", type=int, default=5_000_000)
    parser.add_argument("--levels", type=int, default=50)
    parser.add_argument("--fills", choices=MOVES, default="few")
    parser.add_argument("--rounds", type=int, default=3, help="0: the twin alone, without a rival")
    parser.add_argument("--twin", type=how_many, default=200_000, metavar="TRADES|all")
    parser.add_argument("--growth", action="store_true", help="ours alone, as it grows")
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    parser.add_argument("--run", choices=RUNS, help=argparse.SUPPRESS)
    parser.add_argument("--walk", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(words)
    if options.run:
        print(json.dumps(RUNS[options.run](options)))
    elif options.growth:
        growth(options.fills)
    else:
        if options.rounds and importlib.util.find_spec("nautilus_trader") is None:
            parser.error(
                "nautilus_trader, the rival, is not installed: pip install -r "
                "requirements-benchmarks.txt (--rounds 0 and --growth do without)"
            )
        result = check(options)
        if options.json:
            print(json.dumps(result))
        sys.exit(not result["equal_fills"])


def how_many(text: str) -> int:
    """Read a number of trades."""
    return sys.maxsize if text == "all" else int(text)


# --- In a process of its own --------------------------------------------------------------


def ours(options: argparse.Namespace) -> dict[str, Any]:
    """Load, run and tell."""
    return timed(
        options,
        prepare=trades_of,
        run=lambda trades: len(trade(trades, options.levels).fills),
    )


def rivals(options: argparse.Namespace) -> dict[str, Any]:
    """The same by nautilus_trader."""
    from benchmarks.nautilus import loaded, traded

    return timed(options, prepare=lambda market: loaded(market, options.levels), run=traded)


def twins(options: argparse.Namespace) -> dict[str, Any]:
    """Have the slow twin look at the first trades, and compare its fills with the quick run's."""
    trades = trades_of(load(options.walk))
    seen = min(options.twin, len(trades))
    quick = trade(trades, options.levels).fills
    began = time.process_time()
    slow = trade(trades.up_to(seen), options.levels, every_trade=True).fills
    return {
        "trades": seen,
        "cpu_s": time.process_time() - began,
        "fills": len(slow),
        "quick_fills": len(quick),
        "equal": [fill for fill in quick if fill.trade_index < seen] == slow,
    }


RUNS = {"ours": ours, "rival": rivals, "twin": twins}


def timed(
    options: argparse.Namespace, prepare: Callable[[Walk], Any], run: Callable[[Any], int]
) -> dict[str, Any]:
    """Tell how long loading and running took, how much memory at most, and how many fills."""
    before = peak_mb()
    began = time.perf_counter()
    prepared = prepare(load(options.walk))
    loaded, cpu = time.perf_counter(), time.process_time()
    fills = run(prepared)
    return {
        "load_s": loaded - began,
        "run_s": time.perf_counter() - loaded,
        "cpu_s": time.process_time() - cpu,
        "before_mib": before,
        "peak_mib": peak_mb(),
        "fills": fills,
    }


def trades_of(market: Walk) -> Trades:
    """The trades as our backtest has them in memory."""
    return Trades(market.times, market.prices)


def trade(trades: Trades, levels: int, *, every_trade: bool = False) -> BacktestResult:
    """Run our backtest, its curve and metrics included."""
    grid = {"grid_count": levels, "grid_step": 100 * STEP, "amount": str(AMOUNT)}
    return run_backtest(
        trades,
        CONTRACT,
        StrategyConfig.from_json(grid),
        starting_balance=Decimal(BALANCE),
        every_trade=every_trade,
    )


# --- Of all processes ---------------------------------------------------------------------


def in_own_process(run: str, path: Path, *more: str) -> dict[str, Any]:
    """Run one of RUNS in a fresh process, and return what it tells."""
    words = [sys.executable, "-m", "benchmarks.backtest", "--run", run, "--walk", str(path), *more]
    done = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True)
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def check(options: argparse.Namespace) -> dict[str, Any]:
    """Run ours and the rival in turn, then the twin; print, and return what was found."""
    print(
        f"{options.trades:,} trades, {options.levels} levels of {100 * STEP:g} %, "
        f"{options.fills} fills; Python {platform.python_version()}, {os.cpu_count()} cores",
        flush=True,
    )
    levels = ("--levels", str(options.levels))
    with tempfile.TemporaryDirectory(prefix="gridbot-backtest-") as folder:
        path = Path(folder) / "walk.npy"
        save(walk(options.trades, MOVES[options.fills], SEED), path)
        found = compare(path, levels, options) if options.rounds else {}
        twin = in_own_process("twin", path, *levels, "--twin", str(options.twin))
    print(
        f"slow twin: the first {twin['trades']:,} trades one by one in {twin['cpu_s']:.1f} s, "
        f"{twin['fills']:,} fills, {'equal' if twin['equal'] else 'NOT EQUAL'} to the last digit"
    )
    return {
        "equal_fills": twin["equal"],
        **found,
        "fills": twin["quick_fills"],
        "trades": options.trades,
        "twin_trades": twin["trades"],
        "twin_fills": twin["fills"],
    }


def compare(path: Path, levels: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Run ours and the rival in turn; print, and return the ratio of their rates."""
    version = importlib.metadata.version("nautilus_trader")
    taken: dict[str, list[dict[str, Any]]] = {"ours": [], "rival": []}
    ratios = []
    for number in range(1, options.rounds + 1):
        mine, rival = (in_own_process(run, path, *levels) for run in taken)
        taken["ours"].append(mine)
        taken["rival"].append(rival)
        ratios.append(rival["cpu_s"] / mine["cpu_s"])
        print(
            f"round {number}: ours {mine['cpu_s']:.2f} s of CPU, nautilus_trader {version} "
            f"{rival['cpu_s']:.2f} s: {ratios[-1]:.1f} times",
            flush=True,
        )
    show(taken, options.trades)
    ratio = statistics.median(ratios)
    print(
        f"ours is {ratio:.1f} times as fast ({min(ratios):.1f} to {max(ratios):.1f}, "
        f"{len(ratios)} rounds in turn)"
    )
    return {
        "ratio_to_nautilus": round(ratio, 2),
        "nautilus": version,
        "nautilus_fills": taken["rival"][0]["fills"],
    }


def show(taken: dict[str, list[dict[str, Any]]], trades: int) -> None:
    """Print a line for each side: medians, and the spread of the rate."""
    print(f"{'':6}{'trades/s (least to most)':>41}{'fills':>8}{'run s':>9}{'CPU s':>9}"
          f"{'load s':>9}{'peak MiB':>10}{'before':>8}")  # fmt: skip
    for name, told in taken.items():
        rates = sorted(trades / each["cpu_s"] for each in told)
        load_s, run_s, cpu_s = (statistics.median(each[key] for each in told) for key in SECONDS)
        print(
            f"{name:6}{statistics.median(rates):14,.0f} "
            f"{f'({rates[0]:,.0f} to {rates[-1]:,.0f})':>26}{told[0]['fills']:8,}"
            f"{run_s:9.2f}{cpu_s:9.2f}{load_s:9.2f}"
            f"{max(each['peak_mib'] for each in told):10,.0f}{told[0]['before_mib']:8,.0f}"
        )


def growth(fills: str) -> None:
    """Print how the time and the memory of ours grow."""
    print(
        f"{'trades':>12}{'levels':>8}{'fills':>8}{'run s':>9}{'CPU s':>9}{'load s':>9}{'peak MiB':>10}"
    )
    with tempfile.TemporaryDirectory(prefix="gridbot-backtest-") as folder:
        path = Path(folder) / "walk.npy"
        for millions, levels in GROWTH:
            trades = 1_000_000 * millions
            save(walk(trades, MOVES[fills], SEED), path)
            told = in_own_process("ours", path, "--levels", str(levels))
            print(
                f"{trades:12,}{levels:8}{told['fills']:8,}{told['run_s']:9.2f}{told['cpu_s']:9.2f}"
                f"{told['load_s']:9.2f}{told['peak_mib']:10,.0f}"
            )


if __name__ == "__main__":
    main()
