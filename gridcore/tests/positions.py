"""A long and a short for tests of the risk rules, described by what differs from the usual."""

from __future__ import annotations

from decimal import Decimal

from gridcore.position import Position, PositionState, RiskConfig

D = Decimal
CONFIG = RiskConfig(0.8, 1.2, 8.0, 0.15)
REST = {"Buy": 1.0, "Sell": 1.0}


def state(direction, *, entry="100", margin="1", liq="0", **fields):
    entry_price = None if entry is None else D(entry)
    return PositionState(
        direction, entry_price=entry_price, margin=D(margin), liquidation_price=D(liq), **fields
    )


def evaluate(long, short, last="100", *, config=CONFIG, low_balance=False):
    """What both directions do, given the fields of both states."""
    pair = Position.create_linked_pair(config)
    states = state("long", **long), state("short", **short)
    return pair.evaluate_pair(*states, D(last), low_balance)


def changes(multipliers):
    """The multipliers that are not at rest, as `long Buy 2.0`."""
    named = zip(("long", "short"), multipliers, strict=True)
    return [f"{name} {side} {x}" for name, m in named for side, x in m.items() if x != 1.0]
