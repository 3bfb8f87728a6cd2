"""A trade archive into the database: rows a second and memory, first import and again.

`python -m benchmarks.archives --rows 1000000` runs on SQLite in a temporary file; prefixed with
`python -m gridbot_site.testing` it runs on PostgreSQL. The file is made by the run: one day of
BTCUSDT in order of time, gzip, as the exchange publishes it.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from benchmarks.ingest import setup

HEADER = (
    "timestamp,symbol,side,size,price,tickDirection,trdMatchID,grossValue,homeNotional,"
    "foreignNotional"
)
DAY = datetime(2026, 1, 31, tzinfo=UTC)
MS_OF_A_DAY = 86_400_000

T = TypeVar("T")


def write_archive(path: Path, rows: int, seed: int) -> None:
    """A day of `rows` trades."""
    chance, start = random.Random(seed), int(DAY.timestamp()) * 1000
    with gzip.open(path, "wt", encoding="ascii", compresslevel=1) as file:
        file.write(HEADER + "\n")
        for number in range(rows):
            milliseconds = start + number * MS_OF_A_DAY // rows
            size, price = chance.randrange(1, 5000) / 1000, 60_000 + chance.randrange(10_000) / 10
            trade_id = UUID(int=chance.getrandbits(128))
            file.write(
                f"{milliseconds / 1000:.4f},BTCUSDT,{chance.choice(('Buy', 'Sell'))},{size},"
                f"{price},ZeroMinusTick,{trade_id},{size * price * 1e8:.6g},{size},"
                f"{size * price:.4f}\n"
            )


def resident_megabytes() -> float:
    """Memory of this process now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--once", action="store_true", help="without the second import")
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    arguments = parser.parse_args()
    setup()
    from django.db import connection

    from marketdata.capture.startup import exact_digits
    from marketdata.coverage.archive import ArchiveImporter
    from marketdata.coverage.archive_format import check
    from marketdata.models import PublicTrade

    PublicTrade.objects.all().delete()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "BTCUSDT2026-01-31.csv.gz"
        write_archive(path, arguments.rows, arguments.seed)
        result: dict[str, Any] = {"rows": arguments.rows, "file_mb": path.stat().st_size / 1e6}
        print(
            f"{connection.vendor}, {arguments.rows:,} rows, {result['file_mb']:.1f} MB gzip, "
            f"seed {arguments.seed}, {resident_megabytes():.0f} MB resident before",
            flush=True,
        )

        def timed(name: str, work: Callable[[], T]) -> T:
            wall, own = time.perf_counter(), time.process_time()
            done = work()
            wall, own = time.perf_counter() - wall, time.process_time() - own
            result[name] = {"rows_s": arguments.rows / wall, "cpu_us": own / arguments.rows * 1e6}
            print(
                f"{name:14} {arguments.rows / wall:10,.0f} rows/s {own / arguments.rows * 1e6:6.1f} "
                f"us of CPU a row {resident_megabytes():6.0f} MB",
                flush=True,
            )
            return done

        archive = timed("check", lambda: check(path, datetime.now(UTC), exact_digits()))
        for name in ("first import", "second import")[: 1 if arguments.once else 2]:
            report = timed(name, lambda: ArchiveImporter().run(archive))
            print(f"{'':14} new {report.new:,}, known {report.known:,}")
        stored = PublicTrade.objects.count()
        if stored != arguments.rows or report.new + report.known != arguments.rows:
            raise SystemExit(f"{stored} rows stored of {arguments.rows}: the benchmark is void")
    result["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(f"peak {result['peak_mb']:.0f} MB")
    if arguments.json:
        print(json.dumps({connection.vendor: result}))


if __name__ == "__main__":
    main()
