"""The database away under a flow of trades: what is lost, what it costs, how fast it is caught up.

`python -m benchmarks.outage --seconds 60` runs a real trade writer with its spool on SQLite in
a temporary file (another process locks it meanwhile); prefixed with
`python -m gridbot_site.testing` on PostgreSQL (whose server refuses connections meanwhile).
Before that it measures the spool itself: appending, syncing, and replaying against storing
directly.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.ingest import make_records, setup
from marketdata.capture.disk import Disk

ROUNDS = 3
BATCH = 100
PAGE = os.sysconf("SC_PAGE_SIZE")


class TimedDisk(Disk):
    """Notes how long each sync of a file takes."""

    def __init__(self) -> None:
        self.taken: list[float] = []

    def sync(self, file: int) -> None:
        """Sync, and note."""
        began = time.perf_counter()
        super().sync(file)
        self.taken.append(time.perf_counter() - began)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long the database is away")
    parser.add_argument("--rate", type=int, default=2000, help="rows a second")
    parser.add_argument("--rows", type=int, default=50_000, help="of the replay")
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    arguments = parser.parse_args()
    setup()
    from django.db import connection

    if connection.vendor == "postgresql":
        make_own_database()
    result: dict[str, Any] = append(arguments.rows) | replay(arguments.rows)
    print(
        f"{connection.vendor}: append {result['append_rows_a_second']:,.0f} rows/s in groups of "
        f"2,000, sync p50 {result['sync_p50_ms']:.2f} ms, p99 {result['sync_p99_ms']:.2f} ms; "
        f"replay {result['replay_rows_a_second']:,.0f} rows/s, directly "
        f"{result['direct_rows_a_second']:,.0f} rows/s"
    )
    result |= outage(arguments.seconds, arguments.rate)
    print(
        f"away for {arguments.seconds:.0f} s under {arguments.rate:,} rows/s: "
        f"{result['rows']:,} rows, lost {result['lost']}, most in memory "
        f"{result['most_buffered']:,} rows, memory +{result['memory_growth_mb']:.1f} MB, "
        f"{result['spooled']:,} rows were on disk, caught up {result['catch_up_seconds']:.1f} s "
        "after the return"
    )
    if arguments.json:
        print(json.dumps({connection.vendor: result}))


def make_own_database() -> None:
    """A database beside the server's own: `outage` shuts the door of it."""
    from django.core.management import call_command
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE gridbot_outage")
    connection.close()
    connection.settings_dict["NAME"] = "gridbot_outage"
    call_command("migrate", verbosity=0)


@contextmanager
def desk(disk: Disk | None = None) -> Iterator[tuple[Any, Any, Any]]:
    """Books, their spool in a fresh folder, and a trade writer."""
    from marketdata.capture.books import Books
    from marketdata.capture.config import CaptureConfig
    from marketdata.capture.public_writers import TradeWriter
    from marketdata.capture.spooling import Spooling
    from marketdata.models import PublicTrade

    PublicTrade.objects.all().delete()
    with tempfile.TemporaryDirectory(prefix="gridbot-outage-", dir=".") as folder:
        books = Books()
        spooling = Spooling(books, CaptureConfig(spool_folder=Path(folder)))
        spooling.spool.disk = disk or spooling.spool.disk
        spooling.open()
        writer = TradeWriter(
            books.tally, books.quarantine, batch_size=BATCH, overflow=books.overflow
        )
        yield books, spooling, writer
        spooling.close()


def append(rows: int) -> dict[str, float]:
    """Rows a second onto disk, and how long the syncs take."""
    from marketdata.capture.tally import StreamKey

    records = make_records(rows)
    disk = TimedDisk()
    with desk(disk) as (_, spooling, _):
        log = spooling.spool.log("trades")
        began = time.perf_counter()
        for start in range(0, rows, 2000):
            log.append(StreamKey("trades"), records[start : start + 2000])
        seconds = time.perf_counter() - began
        for start in range(0, rows, BATCH):
            log.append(StreamKey("trades"), records[start : start + BATCH])
    cuts = statistics.quantiles(disk.taken, n=100)
    return {
        "append_rows_a_second": rows / seconds,
        "sync_p50_ms": cuts[49] * 1000,
        "sync_p99_ms": cuts[98] * 1000,
    }


def replay(rows: int) -> dict[str, float]:
    """Rows a second from disk into the database, and of the same rows directly; medians."""
    from marketdata.capture.tally import StreamKey

    records = make_records(rows)
    replayed, direct = [], []
    for _ in range(ROUNDS):
        with desk() as (_, spooling, writer):
            for start in range(0, rows, 2000):
                spooling.spool.log("trades").append(
                    StreamKey("trades"), records[start : start + 2000]
                )
            began = time.perf_counter()
            spooling.replay([writer], threading.Event(), lambda left: None)
            replayed.append(rows / (time.perf_counter() - began))
        with desk() as (_, _, writer):
            began = time.perf_counter()
            for start in range(0, rows, 2000):
                writer.write(records[start : start + 2000])
                writer.flush()
            direct.append(rows / (time.perf_counter() - began))
    return {
        "replay_rows_a_second": statistics.median(replayed),
        "direct_rows_a_second": statistics.median(direct),
    }


def outage(seconds: float, rate: int) -> dict[str, Any]:
    """The database away for `seconds`."""
    from marketdata.models import PublicTrade
    from marketdata.tests.capture.outages import database_away

    feed = make_records(int(rate * (seconds + 180)))
    with desk() as (books, spooling, writer):
        writer.start_auto_flush()
        flow = Flow(writer, feed, rate)
        flow.start()
        wait(5)
        memory = resident_mb()
        flow.watch()
        spooled = 0
        with database_away():
            wait(seconds)
            spooled = spooling.spool.rows
        began = time.perf_counter()
        while spooling.spool.rows:
            wait(0.05)
        caught_up = time.perf_counter() - began
        growth = flow.most_mb - memory
        flow.stop()
        writer.stop()
        problems = books.tally.violations()
        if problems:
            raise SystemExit(f"rows are unaccounted for: {problems}")
        lost = flow.sent - PublicTrade.objects.count()
    return {
        "rows": flow.sent, "lost": lost, "most_buffered": flow.most_buffered,
        "memory_growth_mb": growth, "spooled": spooled, "catch_up_seconds": caught_up,
    }  # fmt: skip


class Flow:
    """Writes rows at an even rate, and notes the memory."""

    def __init__(self, writer: Any, records: list[Any], rate: int) -> None:
        self._writer, self._records, self._rate = writer, records, rate
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.sent = 0
        self.most_mb = 0.0
        self.most_buffered = 0

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def watch(self) -> None:
        """Forget the peaks."""
        self.most_mb, self.most_buffered = 0.0, 0

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        began = time.perf_counter()
        while not self._stop.wait(0.01):
            due = int((time.perf_counter() - began) * self._rate)
            self._writer.write(self._records[self.sent : due])
            self.sent = min(due, len(self._records))
            self.most_buffered = max(self.most_buffered, len(self._writer.buffer))
            self.most_mb = max(self.most_mb, resident_mb())


def resident_mb() -> float:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE / 2**20


def wait(seconds: float) -> None:
    """Let the others work."""
    threading.Event().wait(seconds)


if __name__ == "__main__":
    main()
