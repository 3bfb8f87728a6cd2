"""Whether a driver that skips quiet tickers trades as one that hands over all of them.

    python -m gridcore.tests.skipping --ticks 100000 --seed 1 --sd 0.02

A random walk with gaps is traded twice on a little exchange, where some fills are partial and some
cancels get lost. Intents whose id is in `refused` at that moment are silent; all others must be
the same at the same tickers, and so must the final orders, positions and snapshots. Exit code 1
when they are not.

`--widen 1` lets the band be wrong by a tick at each end, to show that this is noticed. A walk
seldom meets one tick in a million: give it `--tick 20 --sd 0.1` as well.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from gridcore.config import GridConfig
from gridcore.engine import GridEngine, Intent
from gridcore.instrument import ZERO
from gridcore.intents import CancelIntent
from gridcore.tests.exchange import SYMBOL, Exchange

START_PRICE = 100_000
CONFIG = GridConfig(grid_count=50, grid_step=0.2)
GAP_CHANCE = 1 / 2000
PARTLY_CHANCE = 1 / 20
LOST_CHANCE = 1 / 10


class Step(NamedTuple):
    """A ticker, how the fills that it causes arrive, and whether its cancels get lost."""

    price: Decimal
    fills_first: bool
    partly: bool
    lost: bool


@dataclass(frozen=True)
class Campaign:
    """A walk; `sd` in percent a ticker, `widen` in ticks."""

    ticks: int
    seed: int
    sd: float
    tick: Decimal = Decimal("0.1")
    widen: int = 0


def walk(campaign: Campaign) -> Iterator[Step]:
    """Draw whole-tick prices, with gaps of 2 to 6 grid steps."""
    draw = random.Random(campaign.seed)
    price = START_PRICE / float(campaign.tick)
    for _ in range(campaign.ticks):
        change = draw.gauss(0, campaign.sd)
        if draw.random() < GAP_CHANCE:
            change += draw.choice((-1, 1)) * draw.uniform(2, 6) * CONFIG.grid_step
        price *= 1 + change / 100
        yield Step(
            price=round(price) * campaign.tick,
            fills_first=draw.random() < 0.5,
            partly=draw.random() < PARTLY_CHANCE,
            lost=draw.random() < LOST_CHANCE,
        )


@dataclass
class Outcome:
    """What a run did; `said` holds what was not silent, with the number of its ticker."""

    said: list[tuple[int, Intent]]
    fills: int
    handed_over: int
    final: Any


class Driver:
    """Trades one engine on one exchange; `widen` (in quote coin) makes the quiet band wrong."""

    def __init__(self, tick: Decimal, *, skips: bool, widen: Decimal = ZERO) -> None:
        self.engine = GridEngine(SYMBOL, tick, CONFIG, "s1")
        self.exchange = Exchange()
        self._skips = skips
        self._widen = widen
        self._refused: set[str] = set()
        self._band: tuple[Decimal, Decimal] | None = None
        self._skipped: tuple[int, Step] | None = None
        self._said: list[tuple[int, Intent]] = []
        self._handed_over = 0
        self._fills = 0

    def run(self, steps: Sequence[Step]) -> Outcome:
        """Trade all tickers."""
        for number, step in enumerate(steps):
            if step.fills_first:
                self._trade(step)
            self._take(number, step)
            if not step.fills_first:
                self._trade(step)
        self._catch_up()
        final = (self.engine.snapshot(), self.engine.grid_version, self.exchange.state())
        return Outcome(self._said, self._fills, self._handed_over, final)

    def _take(self, number: int, step: Step) -> None:
        if self._band and self._band[0] <= step.price <= self._band[1]:
            self._skipped = (number, step)
        else:
            self._hand_over(number, step)

    def _hand_over(self, number: int, step: Step) -> None:
        self._skipped = None
        self._handed_over += 1
        intents = self.engine.on_event(self.exchange.ticker(step.price), self.exchange.orders)
        wanted = [x for x in intents if getattr(x, "client_order_id", None) not in self._refused]
        self._said += [(number, intent) for intent in wanted]
        cancels = [x for x in wanted if isinstance(x, CancelIntent)]
        done = [x for x in wanted if x not in cancels] if step.lost else wanted
        refused = self.exchange.carry_out(done)
        # What a cancelled order would have closed is there for others now.
        self._refused = refused if cancels else self._refused | refused
        self._ask()

    def _trade(self, step: Step) -> None:
        if not self.exchange.would_trade(step.price):
            return
        # A fill is judged against the last price, and that ticker against the orders before it.
        self._catch_up()
        for fill in self.exchange.cross(step.price, partly=step.partly):
            self.engine.on_event(fill)
            self._fills += 1
        self._refused = set()
        self._ask()

    def _catch_up(self) -> None:
        if not self._skipped:
            return
        number, step = self._skipped
        if number % 2:
            self._hand_over(number, step)
        else:
            self._skipped = None
            self.engine.pass_over(step.price)

    def _ask(self) -> None:
        if not self._skips:
            return
        band = self.engine.quiet_band(self.exchange.orders, self._refused)
        self._band = band and (band[0] - self._widen, band[1] + self._widen)


@dataclass
class Comparison:
    """Both runs over one walk."""

    every: Outcome
    skipping: Outcome

    @property
    def same(self) -> bool:
        """Whether skipping made no difference."""
        return (self.every.said, self.every.fills, self.every.final) == (
            *(self.skipping.said, self.skipping.fills, self.skipping.final),
        )

    @property
    def share(self) -> float:
        """The percentage of tickers that were never handed over."""
        return 100 * (1 - self.skipping.handed_over / self.every.handed_over)


def compare(campaign: Campaign) -> Comparison:
    """Trade one walk twice."""
    steps = list(walk(campaign))
    widen = campaign.widen * campaign.tick
    return Comparison(
        every=Driver(campaign.tick, skips=False).run(steps),
        skipping=Driver(campaign.tick, skips=True, widen=widen).run(steps),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line, and say by the exit code whether the runs agree."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ticks", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sd", type=float, default=0.02, help="percent a ticker")
    parser.add_argument("--tick", type=Decimal, default=Decimal("0.1"), help="of the price")
    parser.add_argument("--widen", type=int, default=0, help="ticks by which to spoil the band")
    campaign = Campaign(**vars(parser.parse_args(arguments)))
    result = compare(campaign)
    print(  # noqa: T201
        " ".join(f"{name}={value}" for name, value in vars(campaign).items()),
        f"fills={result.every.fills} intents={len(result.every.said)}",
        f"skipped={result.share:.2f}% {'same' if result.same else 'DIFFERENT'}",
    )
    return 0 if result.same else 1


if __name__ == "__main__":
    raise SystemExit(main())
