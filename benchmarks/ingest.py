"""Public trades into the database: ours against Django's own `bulk_create`.

`python -m benchmarks.ingest` runs on SQLite in a temporary file; prefixed with
`python -m gridbot_site.testing` it runs on PostgreSQL. Both write the same rows in turn, into
an empty table each time; then the same rows again, when every one is a duplicate.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from marketdata.bybit.records import TradeRecord

ROUNDS = 5


def setup() -> None:
    """A fresh database with its tables, and Django ready."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "gridbot_site.settings_test")
    import django
    from django.conf import settings
    from django.core.management import call_command

    database = settings.DATABASES["default"]
    if "sqlite" in database["ENGINE"]:
        database["NAME"] = os.path.join(tempfile.mkdtemp(prefix="gridbot-bench-"), "ingest.sqlite3")
    django.setup()
    call_command("migrate", verbosity=0)


def make_records(count: int) -> list[TradeRecord]:
    """`count` trades of three symbols, as the normaliser would make them."""
    from marketdata.bybit.records import TradeRecord

    start = datetime(2026, 1, 1, tzinfo=UTC)
    symbols = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    return [
        TradeRecord(
            symbols[number % 3],
            start + timedelta(milliseconds=number // 3),
            start + timedelta(milliseconds=number // 3 + 40),
            str(UUID(int=number * 7919)),
            "Buy" if number % 2 else "Sell",
            Decimal("60000.10") + Decimal(number % 1000) / 10,
            Decimal(number % 997 + 1) / 1000,
            False,
            number % 11 == 0,
            814547787693 + number,
        )
        for number in range(count)
    ]


def seconds(action: Callable[[], object]) -> float:
    """How long `action` takes."""
    began = time.perf_counter()
    action()
    return time.perf_counter() - began


def stock(batch: list[TradeRecord]) -> None:
    """Django's own path."""
    from django.db import models

    from marketdata.models import PublicTrade

    models.QuerySet[Any](PublicTrade).bulk_create(
        [PublicTrade(**row._asdict()) for row in batch], ignore_conflicts=True
    )


def ours(batch: list[TradeRecord]) -> None:
    """The path that capture takes."""
    from marketdata.models import PublicTrade

    PublicTrade.objects.bulk_insert([PublicTrade(None, *row) for row in batch])  # type: ignore[misc]


def run_round(
    insert: Callable[[list[TradeRecord]], None], records: list[TradeRecord], size: int
) -> tuple[float, float]:
    """Rows a second into an empty table, and again when all are duplicates."""
    from marketdata.models import PublicTrade

    PublicTrade.objects.all().delete()
    batches = [records[start : start + size] for start in range(0, len(records), size)]

    def insert_all() -> None:
        for batch in batches:
            insert(batch)

    rates = len(records) / seconds(insert_all), len(records) / seconds(insert_all)
    stored = PublicTrade.objects.count()
    if stored != len(records):
        raise SystemExit(f"{stored} rows stored of {len(records)}: the benchmark is void")
    return rates


def writer_seconds(records: list[TradeRecord]) -> float:
    """How long a TradeWriter takes to store `records`, from `write` to the commit."""
    from marketdata.capture.public_writers import TradeWriter
    from marketdata.capture.quarantine import Quarantine
    from marketdata.capture.tally import Tally
    from marketdata.models import PublicTrade

    PublicTrade.objects.all().delete()
    tally = Tally()
    writer = TradeWriter(tally, Quarantine(tally))

    def write() -> None:
        writer.write(records)
        writer.flush()

    return seconds(write)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    arguments = parser.parse_args()
    setup()
    from django.db import connection

    records = make_records(arguments.rows)
    result: dict[str, Any] = {"rows": arguments.rows, "batches": {}}
    print(f"{connection.vendor}, {arguments.rows} trades, {ROUNDS} rounds in turn")
    print(
        "batch     ours rows/s  Django rows/s  ratio (min to max)    duplicates: ratio (min to max)"
    )
    for size in arguments.batch:
        run_round(ours, records[:size], size)
        pairs = [
            (run_round(ours, records, size), run_round(stock, records, size)) for _ in range(ROUNDS)
        ]
        inserts = [mine[0] / django[0] for mine, django in pairs]
        duplicates = [mine[1] / django[1] for mine, django in pairs]
        print(
            f"{size:5d} {statistics.median(mine[0] for mine, _ in pairs):15,.0f} "
            f"{statistics.median(django[0] for _, django in pairs):14,.0f}  "
            f"{statistics.median(inserts):5.2f} ({min(inserts):.2f} to {max(inserts):.2f})  "
            f"{statistics.median(duplicates):16.2f} ({min(duplicates):.2f} to {max(duplicates):.2f})"
        )
        result["batches"][size] = {
            "ratio_to_django": round(statistics.median(inserts), 2),
            "duplicates_ratio_to_django": round(statistics.median(duplicates), 2),
        }
    taken = [writer_seconds(records[:1000]) for _ in range(ROUNDS)]
    print(
        f"1,000 trades through a TradeWriter: {statistics.median(taken):.3f} s "
        f"({min(taken):.3f} to {max(taken):.3f})"
    )
    result["seconds_for_1000_trades"] = round(statistics.median(taken), 4)
    if arguments.json:
        print(json.dumps({connection.vendor: result}))


if __name__ == "__main__":
    main()
