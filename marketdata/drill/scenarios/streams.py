"""F08, F09, F16 and F17: what the exchange says twice, late, wrong, or too much at once."""

from __future__ import annotations

import random

from marketdata.drill.scenarios.table import scenario
from marketdata.drill.stage import SYMBOLS, Stage


@scenario(
    "F08",
    how="the last frames of each connection once more",
    expects="counted as duplicates",
    quick=True,
)
def replay(stage: Stage, draw: random.Random) -> str:
    """Say things twice."""
    frames = draw.randint(1, 100)
    stage.fault("replay", frames=frames)
    return f"the last {frames} frames"


@scenario("F08", how="Filled twice", expects="one order state", quick=True)
def filled_twice(stage: Stage, draw: random.Random) -> str:
    """Say Filled twice."""
    stage.fault("duplicate_filled")
    return _for_a_while(stage, draw)


@scenario(
    "F09",
    how="a frame lets the next of another topic go before",
    expects="the same rows",
    quick=True,
)
def out_of_order(stage: Stage, draw: random.Random) -> str:
    """Mix topics up."""
    stage.fault("out_of_order", probability=0.5)
    return _for_a_while(stage, draw)


@scenario(
    "F16",
    how="texts that are no message",
    expects="quarantined exactly, all else stored",
    quick=True,
)
def garbage(stage: Stage, draw: random.Random) -> str:
    """Say nonsense."""
    stage.fault("garbage", count=draw.randint(1, 20))
    return _for_a_while(stage, draw)


@scenario(
    "F16",
    how="rows whose figure is no number",
    expects="quarantined exactly, all else stored",
    quick=True,
)
def bad_number(stage: Stage, draw: random.Random) -> str:
    """Say what is no number."""
    # A ticker whose figure cannot be read is unknown until the exchange says that figure again.
    topic = draw.choice(("publicTrade", "execution", "order", "position", "wallet"))
    stage.fault("bad_number", topic=topic, count=draw.randint(1, 20))
    return f"{topic} {_for_a_while(stage, draw, least=0.5)}"


@scenario(
    "F16",
    how="executions of a type that nobody has heard of, rows with new fields",
    expects="stored as sent",
    quick=True,
)
def unknown_words(stage: Stage, draw: random.Random) -> str:
    """Say what is new."""
    for name in ("unknown_exec_type", "unknown_field", "missing_rpi"):
        stage.fault(name)
    return _for_a_while(stage, draw, least=0.5)


@scenario("F17", how="one account as busy as fifty", expects="nothing lost, others on time")
def flood(stage: Stage, draw: random.Random) -> str:
    """Flood an account."""
    account, seconds = stage.account(draw), draw.uniform(0.5, 2.0)
    stage.sandbox.set_account(account, action="flood", factor=50)
    stage.hold(seconds)
    stage.sandbox.set_account(account, action="calm")
    return f"{account} floods for {seconds:.2f} s"


@scenario(
    "F17",
    how="one match of thousands of trades, in several messages with one seq",
    expects="nothing lost",
    quick=True,
)
def burst(stage: Stage, draw: random.Random) -> str:
    """One great match."""
    trades = draw.randrange(1000, 5000)
    stage.fault("burst", symbol=draw.choice(SYMBOLS), trades=trades)
    return f"{trades} trades at once"


def _for_a_while(stage: Stage, draw: random.Random, *, least: float = 0.1) -> str:
    seconds = draw.uniform(least, least + 0.6)
    stage.hold(seconds)
    stage.await_fired()
    return f"for {seconds:.2f} s"
