"""Storing trades when millions are there already, against storing them into an empty table.

`python -m gridbot_site.testing python -m benchmarks.growth --rows 20000000` fills the table of trades
with three symbols and ten days, and has a real `TradeWriter` store the newest trades of the same
symbols, in batches, into the full table and into an empty one like it, in turn: one of the two bears the name that
the writer knows. The share is that of one round; the median is given, the least and the most.
PostgreSQL only.
"""

from __future__ import annotations

import argparse
import json
import statistics
from datetime import UTC, datetime, timedelta

from benchmarks.admin import fill
from benchmarks.ingest import empty, make_records, rate, setup, with_capture

ROUND_ROWS = 20_000


def swap() -> None:
    """Exchange the names of the full table and the empty one."""
    from django.db import connection

    with connection.cursor() as cursor:
        cursor.execute(
            "ALTER TABLE public_trades RENAME TO trades_aside; "
            "ALTER TABLE trades_other RENAME TO public_trades; "
            "ALTER TABLE trades_aside RENAME TO trades_other"
        )


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--batch", type=int, nargs="+", default=[1000, 5000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    options = parser.parse_args()
    setup()
    from django.db import connection

    fill(options.rows)
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE trades_other (LIKE public_trades INCLUDING ALL)")
    at, result = datetime.now(UTC).replace(microsecond=0), {}
    for size in options.batch:
        shares, full, fresh = [], [], []
        for number in range(options.rounds + 1):
            # Later than all before, as the stream brings them.
            at += timedelta(minutes=1)
            records = make_records(ROUND_ROWS, at)
            store = with_capture()
            into_full = rate(store, records, size)
            swap()
            empty("public_trades")
            into_empty = rate(store, records, size)
            swap()
            if number:
                shares.append(into_full / into_empty)
                full.append(into_full)
                fresh.append(into_empty)
        result[size] = round(statistics.median(shares), 2)
        print(
            f"batch {size}: with {options.rows:,} rows {statistics.median(full):,.0f} rows/s, into "
            f"an empty table {statistics.median(fresh):,.0f} rows/s; share "
            f"{result[size]:.2f} ({min(shares):.2f} to {max(shares):.2f})",
            flush=True,
        )
    if options.json:
        print(json.dumps({"rows": options.rows, "share_of_empty": result}))


if __name__ == "__main__":
    main()
