"""Stored trades into arrays: ours against COPY of the rows and against the ORM's iterator.

`python -m gridbot_site.testing python -m benchmarks.loading --rows 14000000` on PostgreSQL, and
without the wrapper on SQLite. The rows are a walk of BTCUSDT on the tick, made on the server,
over the time in which the exchange prints so many: a month has about 14 million. The rates are
of a share of the span, each way in turn; then the whole of it is loaded once in a process of its
own, for its time and peak memory, from the database and from files that were exported.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from benchmarks.ingest import setup

ROUNDS = 5
START = datetime(2026, 1, 1, tzinfo=UTC)
# 31 days by 14 million trades.
STEP = timedelta(microseconds=191_000)
TICK = Decimal("0.1")
SYMBOL = "BTCUSDT"
COLUMNS = (
    "symbol, exchange_ts, local_ts, trade_id, side, price, size, is_block_trade, is_rpi, sequence"
)
# The keys after the rows, and no log of them: it is the reading that is measured.
POSTGRESQL = """
SET maintenance_work_mem = '1GB';
DROP INDEX trades_by_time; DROP INDEX trades_by_id;
ALTER TABLE public_trades DROP CONSTRAINT trade_once, SET UNLOGGED;
INSERT INTO public_trades ({columns})
SELECT 'BTCUSDT', at, at, lpad(n::text, 36, '0'), CASE WHEN n % 2 = 0 THEN 'Buy' ELSE 'Sell' END,
       60000 + (n * 7919 % 20011) * 0.1, 0.001 * (1 + n % 997), n % 9973 = 0, n % 11 = 0, n
FROM (SELECT n, '2026-01-01Z'::timestamptz + n * interval '191 ms' AS at
      FROM generate_series(1::bigint, {rows}) AS n) AS numbers;
ALTER TABLE public_trades ADD CONSTRAINT trade_once UNIQUE (symbol, exchange_ts, trade_id)"""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--share", type=int, default=200_000, help="rows that are timed in turn")
    parser.add_argument("--no-files", action="store_true", help="leave export and files out")
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    parser.add_argument("--whole", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.whole:
        whole(*arguments.whole)
        return
    setup()
    from django.db import connection

    began = time.perf_counter()
    fill(arguments.rows)
    print(
        f"{connection.vendor}, {arguments.rows:,} trades, made in {time.perf_counter() - began:.0f} s; "
        f"{ROUNDS} rounds in turn of {min(arguments.share, arguments.rows):,}"
    )
    result: dict[str, Any] = {"rows": arguments.rows} | rates(min(arguments.share, arguments.rows))
    end = START + (arguments.rows + 1) * STEP
    result["database"] = in_own_process("database", end)
    if not arguments.no_files:
        with tempfile.TemporaryDirectory(prefix="gridbot-loading-") as folder:
            result["export"] = exported(Path(folder), end)
            result["files"] = in_own_process(folder, end)
    if arguments.json:
        print(json.dumps({connection.vendor: result}))


def fill(rows: int) -> None:
    """The table, and what the planner knows of it."""
    from django.db import connection

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(POSTGRESQL.format(columns=COLUMNS, rows=rows))
    else:
        for first in range(1, rows + 1, 100_000):
            fill_sqlite(first, min(first + 99_999, rows))
    with connection.cursor() as cursor:
        cursor.execute(
            "VACUUM ANALYZE public_trades" if connection.vendor == "postgresql" else "ANALYZE"
        )


def fill_sqlite(first: int, last: int) -> None:
    """The same rows, one by one."""
    from uuid import UUID

    from marketdata.models import PublicTrade

    PublicTrade.objects.bulk_insert(
        [
            PublicTrade(
                None, SYMBOL, at, at, str(UUID(int=n)), "Sell" if n % 2 else "Buy",
                60000 + (n * 7919 % 20011) * TICK, Decimal(1 + n % 997) / 1000, n % 9973 == 0,
                n % 11 == 0, n,
            )
            for n in range(first, last + 1)
            for at in [(START + n * STEP)]
        ]
    )  # fmt: skip


def by_ours(since: datetime, until: datetime) -> int:
    """As backtests do."""
    from marketdata.trades.database import load_trades

    return len(load_trades(SYMBOL, since, until, tick_size=TICK))


def by_copy(since: datetime, until: datetime) -> int:
    """A binary COPY of the rows, whose columns have a fixed width, seen as a structured array."""
    import numpy as np
    from django.db import connection

    sql = """
    COPY (SELECT exchange_ts, CASE WHEN price %% 0.1 = 0 THEN div(price, 0.1)::bigint ELSE -1 END,
                 is_block_trade
          FROM public_trades WHERE symbol = %s AND exchange_ts >= %s AND exchange_ts < %s
          ORDER BY exchange_ts, id) TO STDOUT (FORMAT BINARY)"""
    row = [("fields", ">i2"), ("a", ">i4"), ("ts", ">i8"), ("b", ">i4"), ("price", ">i8"),
           ("c", ">i4"), ("block", "?")]  # fmt: skip
    chunks = []
    with connection.cursor() as cursor, cursor.copy(sql, [SYMBOL, since, until]) as copy:
        while chunk := copy.read():
            chunks.append(bytes(chunk))
    # 19 bytes of header before the rows, 2 of trailer after them.
    rows = np.frombuffer(b"".join(chunks)[19:-2], row)
    columns = rows["ts"].astype(np.int64), rows["price"].astype(np.int64), rows["block"].copy()
    return len(columns[0])


def by_orm(since: datetime, until: datetime) -> int:
    """The ORM's iterator, three values a row, into arrays of the same types."""
    import numpy as np

    from marketdata.models import PublicTrade

    trades = PublicTrade.objects.in_range(SYMBOL, since, until)
    rows = trades.values_list("exchange_ts", "price", "is_block_trade").iterator(50_000)
    values = [(int(at.timestamp() * 1000), int(price / TICK), block) for at, price, block in rows]
    times, prices, blocks = zip(*values, strict=True)
    columns = np.array(times, np.int64), np.array(prices, np.int64), np.array(blocks, np.bool_)
    return len(columns[0])


def rates(share: int) -> dict[str, Any]:
    """Rows a second of each way, and ratios within the same round."""
    from django.db import connection

    ways: dict[str, Callable[[datetime, datetime], int]] = {"ours": by_ours, "orm": by_orm}
    if connection.vendor == "postgresql":
        ways["copy"] = by_copy
    taken: dict[str, list[float]] = {name: [] for name in ways}
    until = START + (share + 1) * STEP
    by_ours(START, until)
    for _ in range(ROUNDS):
        for name, load in ways.items():
            began = time.perf_counter()
            if load(START, until) != share:
                raise SystemExit(f"{name} did not load {share} rows: the benchmark is void")
            taken[name].append(share / (time.perf_counter() - began))
    result: dict[str, Any] = {"share": share}
    for name, values in taken.items():
        ratios = [ours / each for ours, each in zip(taken["ours"], values, strict=True)]
        result[name] = {
            "rows_a_second": round(statistics.median(values)),
            "ratio_of_ours": round(statistics.median(ratios), 2),
        }
        print(
            f"{name:5s} {statistics.median(values):12,.0f} rows/s; ours is "
            f"{statistics.median(ratios):.2f} times ({min(ratios):.2f} to {max(ratios):.2f})"
        )
    return result


def exported(folder: Path, end: datetime) -> dict[str, Any]:
    """The whole span into files."""
    from marketdata.trades.export import export, parts_of

    began, rows, size = time.perf_counter(), 0, 0
    before = peak_mb()
    parts = parts_of(SYMBOL, START, end, end)
    for part in parts:
        done = export(part, folder, now=end, wrote=lambda rows: None)
        rows, size = rows + done.rows, size + done.size
    seconds = time.perf_counter() - began
    print(
        f"export: {rows:,} trades in {len(parts)} files, {size / 1e6:,.1f} MB, {seconds:.1f} s, "
        f"{rows / seconds:,.0f} rows/s, peak {before:.0f} MiB before and {peak_mb():.0f} MiB after"
    )
    return {"seconds": round(seconds, 1), "bytes": size, "peak_mib": round(peak_mb())}


def in_own_process(source: str, end: datetime) -> dict[str, Any]:
    """The whole span, by a fresh process."""
    from django.db import connection

    settings = connection.settings_dict
    url = os.environ.get("DATABASE_URL") or f"sqlite:///{settings['NAME']}"
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.loading", "--whole", source, end.isoformat()],
        env=os.environ | {"DATABASE_URL": url}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    told: dict[str, Any] = json.loads(ran.stdout)
    print(
        f"{'database' if source == 'database' else 'files'}: {told['rows']:,} trades in "
        f"{told['seconds']:.1f} s, {told['rows'] / told['seconds']:,.0f} rows/s, peak "
        f"{told['peak_mib']} MiB ({told['before_mib']} MiB before loading)"
    )
    return told


def whole(source: str, until: str) -> None:
    """Load all of it, and print how that went."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gridbot_site.settings_test")
    import django

    django.setup()
    from marketdata.trades.database import load_trades
    from marketdata.trades.files import load_files

    end = datetime.fromisoformat(until)
    before, began = peak_mb(), time.perf_counter()
    if source == "database":
        trades = load_trades(SYMBOL, START, end, tick_size=TICK)
    else:
        paths = list(Path(source).iterdir())
        trades = load_files(paths, SYMBOL, START, end, tick_size=TICK)
    seconds = time.perf_counter() - began
    peaks = {"peak_mib": round(peak_mb()), "before_mib": round(before)}
    print(json.dumps({"rows": len(trades), "seconds": seconds} | peaks))


def peak_mb() -> float:
    """The most memory that this process has had, in MiB; getrusage would tell its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
