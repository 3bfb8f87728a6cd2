"""What the grid engine costs: microseconds per ticker, per execution and per build of 51 levels.

    python -m benchmarks.engine [--json] [--rounds 15]

A ticker is handed over with all orders resting (the steady state), with every second one and with
none, the same orders as before; with an order more or less than before; and after a fill, which
changes the levels. The quiet band is asked for, and a ticker is skipped by it. Both ladders, 100
orders, are looked at on every ticker. All are timed in turn, round by round; shown are the median round and
the fastest.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from itertools import cycle
from typing import Any

from gridcore import (
    EventType,
    ExecutionEvent,
    Grid,
    GridConfig,
    GridEngine,
    TickerEvent,
)

SYMBOL = "BTCUSDT"
TICK = Decimal("0.1")
CENTRE = Decimal(100_000)
NOW = datetime(2026, 1, 2, tzinfo=UTC)
# Prices around the centre at which nothing fills.
PRICES = [CENTRE + TICK * offset for offset in (0, 3, -5, 8, 1, -9, 4, -2)]
LOOPS = 400

Orders = dict[str, list[dict[str, Any]]]


def ticker(price: Decimal) -> TickerEvent:
    """Return a ticker with this last price."""
    return TickerEvent(EventType.TICKER, SYMBOL, NOW, NOW, last_price=price)


def execution(price: Decimal) -> ExecutionEvent:
    """Return a fill at this price."""
    return ExecutionEvent(EventType.EXECUTION, SYMBOL, NOW, NOW, price=price)


def started() -> GridEngine:
    """Return an engine with 51 levels that has seen a price."""
    engine = GridEngine(SYMBOL, TICK, GridConfig(), "benchmark")
    engine.on_event(ticker(CENTRE))
    return engine


def orders(engine: GridEngine, every: int) -> Orders:
    """Return each `every`-th order of both ladders, as an exchange lists them."""
    ladder = [
        {"orderId": f"o{level['level']}", "price": str(level["price"]), "side": str(level["side"])}
        for level in engine.grid.grid
        if level["side"] != "Wait"
    ]
    return {name: [dict(order) for order in ladder[::every]] for name in ("long", "short")}


def handed_over(resting: Callable[[GridEngine], Orders | None]) -> Callable[[], object]:
    """Return a call that hands over one ticker."""
    engine = started()
    limits = resting(engine)
    events: Iterator[TickerEvent] = cycle([ticker(price) for price in PRICES])
    return lambda: engine.on_event(next(events), limits)


def band_asked(resting: Callable[[GridEngine], Orders | None]) -> Callable[[], object]:
    """Return a call that asks for the quiet band."""
    engine = started()
    limits = resting(engine)
    return lambda: engine.quiet_band(limits)


def skipped() -> Callable[[], object]:
    """Return a call that decides, as a driver does, that a ticker need not be handed over."""
    engine = started()
    low, high = engine.quiet_band(orders(engine, 1)) or (CENTRE, CENTRE)
    prices: Iterator[Decimal] = cycle(PRICES)
    return lambda: low <= next(prices) <= high


def changed() -> Callable[[], object]:
    """Return a call that hands over a ticker, with an order less or more than before."""
    engine = started()
    limits = orders(engine, 1)
    last = limits["long"].pop()
    events: Iterator[TickerEvent] = cycle([ticker(price) for price in PRICES])

    def call() -> object:
        if limits["long"][-1] is last:
            limits["long"].pop()
        else:
            limits["long"].append(last)
        return engine.on_event(next(events), limits)

    return call


def filled() -> Callable[[], object]:
    """Return a call that hands over a fill, of levels below and above in turn, and a ticker."""
    engine = started()
    limits = orders(engine, 1)
    below, above = engine.grid.grid[24]["price"], engine.grid.grid[26]["price"]
    events = cycle([execution(below), execution(above)])
    after = ticker(CENTRE)

    def call() -> object:
        engine.on_event(next(events))
        return engine.on_event(after, limits)

    return call


def executed() -> Callable[[], object]:
    """Return a call that hands over a fill, of levels below and above in turn."""
    engine = started()
    below, above = engine.grid.grid[24]["price"], engine.grid.grid[26]["price"]
    events: Iterator[ExecutionEvent] = cycle([execution(below), execution(above)])
    return lambda: engine.on_event(next(events))


def built() -> Callable[[], object]:
    """Return a call that builds a grid."""
    grid = Grid(TICK)
    prices: Iterator[Decimal] = cycle(PRICES)
    return lambda: grid.build_grid(next(prices))


def cases() -> dict[str, Callable[[], object]]:
    """Return what is timed, by name."""
    return {
        "ticker, all resting": handed_over(lambda engine: orders(engine, 1)),
        "ticker, half resting": handed_over(lambda engine: orders(engine, 2)),
        "ticker, none resting": handed_over(lambda engine: None),
        "ticker, skipped by the band": skipped(),
        "quiet band, all resting": band_asked(lambda engine: orders(engine, 1)),
        "quiet band, half resting": band_asked(lambda engine: orders(engine, 2)),
        "ticker, one order changed": changed(),
        "execution": executed(),
        "execution and the ticker after it": filled(),
        "build": built(),
    }


def seconds_of(call: Callable[[], object]) -> float:
    """Return the seconds of one call, from a loop of them."""
    start = time.perf_counter()
    for _ in range(LOOPS):
        call()
    return (time.perf_counter() - start) / LOOPS


def measure(rounds: int) -> dict[str, dict[str, float]]:
    """Return the median and the fastest round of each case, in microseconds."""
    timed = cases()
    for call in timed.values():
        seconds_of(call)
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(rounds):
        for name, call in timed.items():
            seconds[name].append(seconds_of(call))
    return {
        name: {
            "median_us": round(1e6 * statistics.median(each), 2),
            "fastest_us": round(1e6 * min(each), 2),
        }
        for name, each in seconds.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    options = parser.parse_args()
    logging.getLogger("gridcore").setLevel(logging.WARNING)
    results = measure(options.rounds)
    if options.json:
        print(json.dumps(results))
        return
    print(f"{'microseconds':35}{'median':>10}{'fastest':>10}")
    for name, each in results.items():
        print(f"{name:35}{each['median_us']:>10.2f}{each['fastest_us']:>10.2f}")


if __name__ == "__main__":
    main()
