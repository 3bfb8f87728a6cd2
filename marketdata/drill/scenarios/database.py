"""F03, F04, F05 and F15: the database is away, slow or locked, and the disk beside it small."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing, contextmanager

from django.db import OperationalError, connection

from marketdata.drill.scenarios.table import scenario
from marketdata.drill.stage import SYMBOLS, Stage

NOTHING_LOST = "rows wait, on disk if need be; nothing is lost"
LOCKED_TABLES = ("public_trades", "ticker_snapshots", "private_executions", "orders")
# The smallest that capture takes.
SMALL_SPOOL_BYTES = 2**20
FLOOD_TRADES, FLOODS = 4000, 8


@contextmanager
def locked() -> Iterator[None]:
    """Be in the middle of writing, so that nobody else can."""
    with closing(connection.copy()) as holder, holder.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("BEGIN IMMEDIATE")
        else:
            cursor.execute(f"BEGIN; LOCK TABLE {', '.join(LOCKED_TABLES)} IN EXCLUSIVE MODE")
        yield
        cursor.execute("ROLLBACK")


def is_free() -> bool:
    """Whether nobody is in the middle of writing."""
    with closing(connection.copy()) as other, other.cursor() as cursor:
        try:
            if connection.vendor == "sqlite":
                cursor.execute("PRAGMA busy_timeout = 200")
                cursor.execute("BEGIN IMMEDIATE")
            else:
                cursor.execute("BEGIN; LOCK TABLE capture_lease IN EXCLUSIVE MODE NOWAIT")
        except OperationalError:
            return False
        finally:
            if connection.vendor != "sqlite" or other.connection.in_transaction:
                cursor.execute("ROLLBACK")
    return True


@contextmanager
def away(stage: Stage) -> Iterator[None]:
    """The database cannot be written: a server is gone, a file is locked."""
    if stage.wires.database is None:
        with locked():
            yield
    else:
        stage.wires.database.down()
        yield
        stage.wires.database.up()


@scenario(
    "F03",
    how="PostgreSQL refuses and resets connections; an SQLite file is locked",
    expects=NOTHING_LOST,
)
def database_down(stage: Stage, draw: random.Random) -> str:
    """Take the database away."""
    seconds = draw.choice((draw.uniform(0.1, 1.0), draw.uniform(1.0, 8.0)))
    with away(stage):
        stage.hold(seconds)
    return f"away for {seconds:.2f} s"


@scenario(
    "F04",
    how="each answer of PostgreSQL comes late; an SQLite file is locked again and again",
    expects=NOTHING_LOST,
)
def database_slow(stage: Stage, draw: random.Random) -> str:
    """Make the database slow."""
    seconds, ms = draw.uniform(1.0, 4.0), draw.randrange(50, 800)
    if stage.wires.database is not None:
        stage.wires.database.set("latency", way="down", ms=ms, jitter_ms=ms / 2)
        stage.hold(seconds)
    else:
        for _ in range(int(seconds * 1000 / (ms + 50))):
            with locked():
                stage.hold(ms / 1000)
            stage.hold(0.05)
    return f"{ms} ms late for {seconds:.2f} s"


@scenario(
    "F05",
    how="a spool of 1 MiB, no database, and floods of trades",
    expects="tickers and trades are dropped and declared, private rows never",
)
def spool_full(stage: Stage, draw: random.Random) -> str:
    """Fill the spool."""
    stage.terminate()
    stage.start(GRIDBOT_SPOOL_MAX_BYTES=str(SMALL_SPOOL_BYTES), GRIDBOT_SPOOL_ROWS="500")
    stage.await_live()
    symbol = draw.choice(SYMBOLS)
    with away(stage):
        stage.hold(1.5)
        for _ in range(FLOODS):
            stage.fault("burst", symbol=symbol, trades=FLOOD_TRADES)
            stage.hold(0.3)
        stage.hold(1.0)
    stage.await_live()
    stage.terminate()
    stage.start()
    return f"{FLOODS * FLOOD_TRADES} trades with a spool of {SMALL_SPOOL_BYTES} bytes"


@scenario(
    "F15",
    how="another writer holds the write lock, or the tables, for a while",
    expects=NOTHING_LOST,
)
def database_locked(stage: Stage, draw: random.Random) -> str:
    """Lock the database."""
    seconds = draw.choice((draw.uniform(0.1, 1.0), draw.uniform(1.0, 5.0)))
    with locked():
        stage.hold(seconds)
    return f"locked for {seconds:.2f} s"
