"""A prune of public trades, and what a capture beside it has to wait for.

`python -m gridbot_site.testing python -m benchmarks.pruning --rows 5000000` on PostgreSQL, and
without the wrapper on SQLite. The rows that are due lie in 60 days, and a tenth as many after
them; a second thread stores 100 more every tenth of a second, before the prune and beside it.
Printed: seconds, the longest transaction, how long those stores took, the process's most memory,
and the database's bytes before and after.
"""

from __future__ import annotations

import argparse
import statistics
import threading
import time
from datetime import UTC, datetime, timedelta

from benchmarks.ingest import make_records, setup
from benchmarks.loading import peak_mb

KEPT = timedelta(days=90)
SPREAD = timedelta(days=60)
COLUMNS = (
    "symbol, exchange_ts, local_ts, trade_id, side, price, size, is_block_trade, is_rpi, sequence"
)
ROW = "'BTCUSDT', {at}, {at}, {id}, 'Buy', 60000.5, 0.001, {no}, {no}, n"
POSTGRESQL = """
INSERT INTO public_trades ({columns})
SELECT {row} FROM (SELECT n, %s::timestamptz + n * %s * interval '1 ms' AS at
                   FROM generate_series(1::bigint, %s) AS n) AS numbers"""
# Times as Django writes them.
SQLITE = """
INSERT INTO public_trades ({columns})
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < %s)
SELECT {row}
FROM (SELECT n, strftime('%%Y-%%m-%%d %%H:%%M:%%f000', %s + n * %s / 1000.0, 'unixepoch') AS at
      FROM numbers)"""


def fill(rows: int, now: datetime) -> None:
    """So many rows that are due, and a tenth as many that are not, all vouched for."""
    from django.db import connection

    from marketdata.coverage.ledger import Source, vouch

    step = SPREAD / rows
    start, count = now - KEPT - SPREAD, rows + rows // 10
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            row = ROW.format(at="at", id="gen_random_uuid()::text", no="false")
            statement = POSTGRESQL.format(columns=COLUMNS, row=row)
            cursor.execute(statement, [start, step / timedelta(milliseconds=1), count])
            cursor.execute("VACUUM (ANALYZE) public_trades")
        else:
            row = ROW.format(at="at", id="lower(hex(randomblob(18)))", no="0")
            statement = SQLITE.format(columns=COLUMNS, row=row)
            milliseconds = step / timedelta(milliseconds=1)
            cursor.execute(statement, [count, start.timestamp(), milliseconds])
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    vouch("trades", "BTCUSDT", None, start, now, Source.LIVE)


class Stores:
    """Stores rows as a capture does, and remembers how long each batch took."""

    def __init__(self, now: datetime) -> None:
        self._now, self._stop, self._count = now, threading.Event(), 0
        self.took: list[float] = []
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        from django.db import connection

        from marketdata.models import PublicTrade

        while not self._stop.wait(0.1):
            self._count += 1
            at = self._now + timedelta(seconds=self._count)
            records = [
                record._replace(symbol="ETHUSDT", exchange_ts=at) for record in make_records(100)
            ]
            rows = [PublicTrade(**record._asdict()) for record in records]
            began = time.perf_counter()
            PublicTrade.objects.bulk_insert(rows)
            self.took.append(time.perf_counter() - began)
        connection.close()

    def taken(self) -> str:
        """What it came to since it was asked last."""
        took, self.took = sorted(self.took), []
        at = int(len(took) * 0.99)
        return (
            f"{len(took)} stores, median {statistics.median(took) * 1000:.0f} ms, "
            f"99% within {took[at] * 1000:.0f} ms, longest {took[-1] * 1000:.0f} ms"
        )

    def stop(self) -> None:
        """End."""
        self._stop.set()
        self._thread.join()


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    arguments = parser.parse_args()
    setup()
    from django.db import connection

    from marketdata.models import PublicTrade
    from marketdata.prune.choice import chosen_lots
    from marketdata.prune.pruner import pruning_of
    from marketdata.prune.space import database_bytes, give_back

    now = datetime.now(UTC).replace(microsecond=0)
    fill(arguments.rows, now)
    stores, stop = Stores(now), threading.Event()
    stop.wait(10)
    print(f"{connection.vendor}: alone: {stores.taken()}")
    size, memory, began = database_bytes(), peak_mb(), time.perf_counter()
    lots = list(chosen_lots({"trades": KEPT}, ["BTCUSDT"], []))
    pruning = pruning_of([(lot, now - age) for lot, age in lots])
    pruning.run(stop, lambda rows: None)
    seconds = time.perf_counter() - began
    print(
        f"pruned {pruning.deleted:,} of {pruning.due:,} rows in {seconds:.1f} s, "
        f"{pruning.deleted / seconds:,.0f} rows/s, {pruning.outcomes[0].transactions:,} "
        f"transactions, the longest {pruning.pace.longest_seconds:.3f} s; most memory "
        f"{memory:.0f} MiB before and {peak_mb():.0f} MiB after"
    )
    print(f"beside it: {stores.taken()}")
    returned = give_back([PublicTrade], stop, before=size)
    print(
        f"space: {size / 1e6:,.1f} MB before, {returned.after / 1e6:,.1f} MB after "
        f"{returned.seconds:.1f} s, longest step {returned.longest_seconds:.3f} s {returned.note}"
    )
    print(f"beside it: {stores.taken()}")
    stores.stop()


if __name__ == "__main__":
    main()
