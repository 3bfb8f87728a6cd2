"""F01 and F02: connections that end, do not begin, or say nothing."""

from __future__ import annotations

import random

from marketdata.drill.scenarios.table import scenario
from marketdata.drill.stage import SYMBOLS, Stage

DECLARED = "a gap from the last row to the first, filled by REST as far as that reaches"


@scenario(
    "F01", how="RST, FIN or close frame, of all or of one channel", expects=DECLARED, quick=True
)
def drop(stage: Stage, draw: random.Random) -> str:
    """End connections."""
    how, channel = draw.choice(("reset", "fin", "close")), draw.choice(("", "public", "private"))
    stage.fault(how, **({"channel": channel} if channel else {}))
    return f"{how} of {channel or 'all'} connections"


@scenario(
    "F01", how="RST after a number of bytes, in the middle of a frame", expects=DECLARED, quick=True
)
def cut_frame(stage: Stage, draw: random.Random) -> str:
    """Cut a connection somewhere in a frame."""
    after = draw.randrange(30_000)
    before = stage.wires.streams.status()["counts"].get("resets", 0)
    stage.wires.streams.set("reset", way="down", after=after)
    while stage.wires.streams.status()["counts"].get("resets", 0) == before:
        if stage.stop.wait(0.02):
            break
    return f"reset after {after} bytes"


@scenario("F01", how="connections end, and the next ones while they shake hands", expects=DECLARED)
def cut_handshake(stage: Stage, draw: random.Random) -> str:
    """Cut connections that are being made."""
    stage.fault("reset")
    cuts = []
    for _ in range(draw.randint(1, 3)):
        cuts.append(draw.randrange(600))
        stage.wires.streams.set("reset", way="down", after=cuts[-1])
        stage.hold(draw.uniform(0.1, 0.4))
    return f"reset, then cut after {', '.join(map(str, cuts))} bytes"


@scenario(
    "F01",
    how="connections end, and new ones are refused for 0.05 to 1 s",
    expects=DECLARED,
    quick=True,
)
def refuse(stage: Stage, draw: random.Random) -> str:
    """Refuse what comes."""
    seconds = draw.choice((0.05, draw.uniform(0.1, 1.0)))
    stage.wires.streams.down()
    stage.hold(seconds)
    return f"refused for {seconds:.2f} s"


@scenario("F01", how="connections end, and handshakes are answered with 502", expects=DECLARED)
def handshake_502(stage: Stage, draw: random.Random) -> str:
    """Answer handshakes with 502."""
    seconds = draw.uniform(0.3, 1.5)
    stage.fault("handshake_502")
    stage.sandbox.break_connections("reset")
    stage.hold(seconds)
    return f"502 for {seconds:.2f} s"


@scenario("F01", how="accounts go on while their connections are away", expects=DECLARED)
def private_drop(stage: Stage, draw: random.Random) -> str:
    """Keep private connections away."""
    seconds = draw.uniform(0.2, 2.0)
    stage.fault("private_drop", seconds=seconds)
    stage.hold(seconds)
    return f"private connections away for {seconds:.2f} s"


@scenario(
    "F01",
    how="300 trades while nobody listens: REST shows them",
    expects="filled by REST",
    quick=True,
)
def drop_within_reach(stage: Stage, draw: random.Random) -> str:
    """Drop the public stream for fewer trades than REST shows."""
    stage.fault("public_drop", symbol=draw.choice(SYMBOLS), trades=300)
    return "300 trades while the stream was away"


@scenario(
    "F01",
    how="1,500 trades while nobody listens: REST shows the last 1,000",
    expects="the rest is declared",
)
def drop_beyond_reach(stage: Stage, draw: random.Random) -> str:
    """Drop the public stream for more trades than REST shows."""
    stage.fault("public_drop", symbol=draw.choice(SYMBOLS), trades=1500)
    return "1500 trades while the stream was away"


@scenario(
    "F02",
    how="open connections say nothing for a while, then everything",
    expects="late rows, no gap",
    quick=True,
)
def freeze(stage: Stage, draw: random.Random) -> str:
    """Freeze what is open."""
    seconds = draw.uniform(0.2, 1.2)
    stage.fault("freeze", seconds=seconds)
    stage.hold(seconds)
    return f"frozen for {seconds:.2f} s"


@scenario(
    "F02", how="nothing is read any more for a while: a full pipe", expects="late rows, no gap"
)
def half_open(stage: Stage, draw: random.Random) -> str:
    """Stop reading one direction."""
    seconds = draw.uniform(0.5, 4.0)
    stage.wires.streams.set("half_open", way=draw.choice(("up", "down")))
    stage.hold(seconds)
    return f"half open for {seconds:.2f} s"


@scenario(
    "F02", how="what comes is swallowed for a while, then the connections end", expects=DECLARED
)
def black_hole(stage: Stage, draw: random.Random) -> str:
    """Swallow what the exchange says; a stream with a hole in it does not go on."""
    seconds = draw.uniform(0.3, 3.0)
    stage.wires.streams.set("black_hole", way="down")
    stage.hold(seconds)
    stage.wires.streams.down()
    return f"swallowed for {seconds:.2f} s"


@scenario(
    "F02",
    how="one topic says nothing while others go on",
    expects="found by the audit, stored and declared",
)
def silence(stage: Stage, draw: random.Random) -> str:
    """Silence the trades of a symbol, or the executions of an account."""
    seconds = draw.uniform(0.5, 3.0)
    whose = draw.choice((
        {"topic": f"publicTrade.{draw.choice(SYMBOLS)}"},
        {"topic": "execution", "account": stage.account(draw)},
    ))  # fmt: skip
    stage.fault("silence", **whose)
    stage.hold(seconds)
    stage.await_fired()
    return f"{' of '.join(whose.values())} silent for {seconds:.2f} s"


@scenario("F02", how="latency with jitter, and pieces of a few bytes", expects="late rows, no gap")
def slow_network(stage: Stage, draw: random.Random) -> str:
    """Make the network slow."""
    seconds, ms, size = draw.uniform(0.5, 2.0), draw.randrange(20, 400), draw.randrange(100, 2000)
    stage.wires.streams.set("latency", ms=ms, jitter_ms=ms / 2)
    stage.wires.streams.set("slicer", way="down", bytes=size)
    stage.hold(seconds)
    return f"{ms} ms and pieces of {size} bytes for {seconds:.2f} s"
