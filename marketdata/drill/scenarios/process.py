"""F06, F07, F14, F18 and F19: what can happen to the process itself."""

from __future__ import annotations

import random
import signal
from datetime import UTC, datetime

from marketdata.drill.scenarios.database import away, is_free
from marketdata.drill.scenarios.table import scenario
from marketdata.drill.stage import POLL_SECONDS, START_SECONDS, STOP_SECONDS, Misbehaved, Stage
from marketdata.exits import ExitCode

SAME_PATH = "the next start takes over; what was committed or on disk is there"


@scenario("F06", how="kill -9 at a random moment, and a new start", expects=SAME_PATH)
def kill(stage: Stage, draw: random.Random) -> str:
    """Kill it."""
    stage.hold(draw.uniform(0, 0.5))
    stage.kill()
    seconds = draw.uniform(0, 0.5)
    stage.hold(seconds)
    stage.start()
    return f"killed, and started after {seconds:.2f} s"


@scenario(
    "F06", how="kill -9 while the database is away, and a new start with it", expects=SAME_PATH
)
def kill_without_database(stage: Stage, draw: random.Random) -> str:
    """Kill it when rows wait for the database."""
    seconds = draw.uniform(0.5, 4.0)
    with away(stage):
        stage.hold(seconds)
        stage.kill()
    stage.start()
    return f"killed after {seconds:.2f} s without a database"


@scenario("F07", how="SIGTERM, exit code 0, and a new start", expects="everything stored, exit 0")
def terminate(stage: Stage, draw: random.Random) -> str:
    """Stop it in order."""
    stage.terminate()
    seconds = draw.uniform(0, 0.5)
    stage.hold(seconds)
    stage.start()
    return f"stopped, and started after {seconds:.2f} s"


@scenario(
    "F07",
    how="SIGTERM while the database is away: it ends in time",
    expects="rows on disk or declared",
)
def terminate_without_database(stage: Stage, draw: random.Random) -> str:
    """Stop it when rows wait for the database."""
    with away(stage):
        stage.hold(draw.uniform(0.2, 2.0))
        stage.capture.terminate()
        code = _ended(stage, STOP_SECONDS)
    stage.start()
    if code not in (ExitCode.OK, ExitCode.UNAVAILABLE):
        raise Misbehaved(f"stopped without a database it ended with exit code {code}")
    return f"stopped without a database, exit code {code}"


@scenario(
    "F07",
    how="SIGTERM twice: the second ends it at once",
    expects="exit 130 or 0, nothing lost silently",
)
def terminate_twice(stage: Stage, draw: random.Random) -> str:
    """Stop it twice."""
    stage.capture.terminate()
    stage.hold(draw.uniform(0.01, 0.3))
    if stage.capture.is_alive:
        stage.capture.terminate()
    code = _ended(stage, STOP_SECONDS)
    stage.start()
    # In its last moments, when all is stored, it leaves signals to the system.
    if code not in (ExitCode.OK, ExitCode.INTERRUPTED, -signal.SIGTERM):
        raise Misbehaved(f"told twice to stop it ended with exit code {code}")
    return f"told twice to stop, exit code {code}"


@scenario(
    "F14",
    how="a second capture is started beside the first",
    expects="it is refused with exit 75, the first goes on",
)
def second_capture(stage: Stage, draw: random.Random) -> str:
    """Start another one."""
    second = stage.launch()
    code = second.wait(START_SECONDS / 3)
    if code is None:
        second.kill()
        raise Misbehaved("a second capture worked beside the first")
    if code != ExitCode.UNAVAILABLE:
        raise Misbehaved(f"a second capture ended with exit code {code}: {second.last_words()}")
    return "a second one was refused"


@scenario(
    "F14",
    how="SIGSTOP beyond the lease while a spare waits, then SIGCONT",
    expects="the spare takes over, the old one ends",
)
def paused_leader(stage: Stage, draw: random.Random) -> str:
    """Pause it until another one has taken over."""
    spare = stage.launch("--wait")
    if (code := spare.wait(START_SECONDS / 10)) is not None:
        raise Misbehaved(f"a spare did not wait, exit code {code}: {spare.last_words()}")
    old = stage.capture
    old.pause()
    while not is_free():
        # In the middle of a transaction it would hold the database, and nobody could take over.
        old.resume()
        stage.hold(POLL_SECONDS)
        old.pause()
    stage.capture, began = spare, datetime.now(UTC)
    try:
        if stage.wait_until_live(began, START_SECONDS) is None:
            raise Misbehaved("a spare did not take over from a paused leader")
    except Misbehaved:
        stage.capture = old
        spare.kill()
        raise
    finally:
        old.resume()
    code = old.wait(STOP_SECONDS)
    if code is None:
        old.kill()
        raise Misbehaved("a paused leader went on after another had taken over")
    return f"the old one ended with exit code {code}"


@scenario(
    "F18",
    how="SIGSTOP for some seconds, then SIGCONT",
    expects="late rows, or a connection that is made anew",
    quick=True,
)
def pause(stage: Stage, draw: random.Random) -> str:
    """Pause it."""
    seconds = draw.uniform(0.2, 2.0)
    stage.capture.pause()
    stage.hold(seconds)
    stage.capture.resume()
    return f"paused for {seconds:.2f} s"


@scenario("F19", how="kill -9 three times, also while it starts", expects=SAME_PATH)
def kill_storm(stage: Stage, draw: random.Random) -> str:
    """Kill it again and again."""
    pauses = [draw.uniform(0.1, 4.0) for _ in range(2)]
    for seconds in pauses:
        stage.kill()
        stage.start()
        stage.hold(seconds)
    stage.kill()
    stage.start()
    return f"killed three times, {' and '.join(f'{seconds:.2f} s' for seconds in pauses)} apart"


def _ended(stage: Stage, seconds: float) -> int:
    code = stage.capture.wait(seconds)
    if code is None:
        stage.capture.kill()
        stage.start()
        raise Misbehaved(f"it did not end within {seconds:g} s")
    return code
