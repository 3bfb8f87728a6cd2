"""What a scenario is, and the table of them all."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from marketdata.drill.stage import Stage

# Injects a fault, lets it last and ends it; what was injected, in words. It may raise Misbehaved.
Act = Callable[[Stage, random.Random], str]


@dataclass(frozen=True)
class Scenario:
    """A fault, how it is injected, and what is expected of capture.

    A quick one is over within a second or two. `number` is that of the fault matrix.
    """

    number: str
    name: str
    how: str
    expects: str
    quick: bool
    act: Act


SCENARIOS: dict[str, Scenario] = {}


def scenario(number: str, *, how: str, expects: str, quick: bool = False) -> Callable[[Act], Act]:
    """Enter a function into the table under its own name."""

    def enter(act: Act) -> Act:
        name = act.__name__
        SCENARIOS[name] = Scenario(number, name, how, expects, quick, act)
        return act

    return enter
