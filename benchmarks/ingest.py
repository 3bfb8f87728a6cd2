"""Public trades into the database: ours against Django's `bulk_create`, and against COPY.

`python -m benchmarks.ingest` measures on SQLite, in a temporary file, and on PostgreSQL, from the
wheel; `--database here` on whatever DATABASE_URL names. All ways take the same rows in turn, round
by round, into an empty table each time, and then once more, when every row is a duplicate:

- Django: `bulk_create(ignore_conflicts=True)` of a plain queryset;
- ours: the same call on the facts' own queryset, with the same model instances, which are made
  before the clock starts;
- capture: records through a real `TradeWriter`, from `write` to the commit, the rows booked;
- COPY, on PostgreSQL: the same tuples by psycopg's binary COPY straight into a copy of the table
  with all of its indexes and constraints, which refuses duplicates as a whole and so is none of
  the ways that one could take: it is the limit of one connection from Python.

A ratio is that of one round, ours to the other's; the median is given, the least and the most. The
last line of `--json` holds those at the largest batch. `benchmarks.growth` is about full tables.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from uuid import UUID

if TYPE_CHECKING:
    from marketdata.bybit.records import TradeRecord

TYPES = (
    "varchar", "timestamptz", "timestamptz", "varchar", "varchar", "numeric", "numeric", "bool",
    "bool", "int8",
)  # fmt: skip
COLUMNS = (
    "symbol, exchange_ts, local_ts, trade_id, side, price, size, is_block_trade, is_rpi, sequence"
)
Way = Callable[[Sequence[Any]], object]


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


def make_records(count: int, start: datetime | None = None) -> list[TradeRecord]:
    """`count` trades of three symbols, as the normaliser would make them, from `start` on.

    The default is this second: capture looks twice at rows of days that are over.
    """
    from marketdata.bybit.records import TradeRecord

    start = start or datetime.now(UTC).replace(microsecond=0)
    symbols = ("BTCUSDT", "ETHUSDT", "SOLUSDT")
    return [
        TradeRecord(
            symbols[number % 3],
            start + timedelta(milliseconds=number // 3),
            start + timedelta(milliseconds=number // 3 + 40),
            str(UUID(int=(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128)),
            "Buy" if number % 2 else "Sell",
            Decimal("60000.10") + Decimal(number % 1000) / 10,
            Decimal(number % 997 + 1) / 1000,
            False,
            number % 11 == 0,
            814547787693 + number,
        )
        for number in range(count)
    ]


def with_django(batch: Sequence[Any]) -> None:
    """Django's own path."""
    from django.db import models

    from marketdata.models import PublicTrade

    models.QuerySet[Any](PublicTrade).bulk_create(batch, ignore_conflicts=True)


def with_ours(batch: Sequence[Any]) -> None:
    """The facts' queryset."""
    from marketdata.models import PublicTrade

    PublicTrade.objects.bulk_create(batch, ignore_conflicts=True)


def with_capture() -> Way:
    """A writer's way, of records."""
    from marketdata.capture.public_writers import TradeWriter
    from marketdata.capture.quarantine import Quarantine
    from marketdata.capture.tally import Tally

    tally = Tally()
    writer = TradeWriter(tally, Quarantine(tally))

    def write(batch: Sequence[TradeRecord]) -> None:
        writer.write(batch)
        writer.flush()

    return write


def with_copy() -> Way:
    """Binary COPY into `trades_by_copy`."""
    from django.db import connection

    def copy_in(batch: Sequence[tuple[Any, ...]]) -> None:
        with (
            connection.cursor() as cursor,
            cursor.copy(f"COPY trades_by_copy ({COLUMNS}) FROM STDIN (FORMAT BINARY)") as copy,
        ):
            copy.set_types(TYPES)
            for row in batch:
                copy.write_row(row)

    return copy_in


def empty(table: str) -> None:
    """Take everything out of `table`."""
    from django.db import connection

    verb = "TRUNCATE" if connection.vendor == "postgresql" else "DELETE FROM"
    with connection.cursor() as cursor:
        cursor.execute(f"{verb} {table}")


def rate(way: Way, rows: Sequence[Any], size: int) -> float:
    """Rows a second."""
    batches = [rows[start : start + size] for start in range(0, len(rows), size)]
    began = time.perf_counter()
    for batch in batches:
        way(batch)
    return len(rows) / (time.perf_counter() - began)


def insert_and_repeat(way: Way, rows: Sequence[Any], size: int) -> tuple[float, float]:
    """Rows a second into an empty table, and again when all are duplicates."""
    from marketdata.models import PublicTrade

    empty("public_trades")
    rates = rate(way, rows, size), rate(way, rows, size)
    stored = PublicTrade.objects.count()
    if stored != len(rows):
        raise SystemExit(f"{stored} rows stored of {len(rows)}: the benchmark is void")
    return rates


def measure(records: Sequence[TradeRecord], size: int, rounds: int) -> list[dict[str, float]]:
    """The rates of each round."""
    from django.db import connection

    from marketdata.models import PublicTrade

    objects = [PublicTrade(None, *record) for record in records]  # type: ignore[misc]
    ways: dict[str, tuple[Way, Sequence[Any]]] = {
        "ours": (with_ours, objects),
        "django": (with_django, objects),
        "capture": (with_capture(), records),
    }
    copies = connection.vendor == "postgresql"
    if copies:
        with connection.cursor() as cursor:
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS trades_by_copy (LIKE public_trades INCLUDING ALL)"
            )
    measured = []
    for number in range(rounds + 1):
        rates: dict[str, float] = {}
        for name, (way, rows) in ways.items():
            rates[name], rates[f"{name}_again"] = insert_and_repeat(way, rows, size)
        if copies:
            empty("trades_by_copy")
            rates["copy"] = rate(with_copy(), records, size)
        # The first warms caches and opens connections.
        measured += [rates] if number else []
    return measured


def ratios(measured: Sequence[dict[str, float]], ours: str, other: str) -> tuple[float, str]:
    """Ours to the other's: the median, and the median with the least and the most as text."""
    each = [rates[ours] / rates[other] for rates in measured]
    median = statistics.median(each)
    return median, f"{median:.2f} ({min(each):.2f} to {max(each):.2f})"


def run_here(rows: int, sizes: Sequence[int], rounds: int) -> dict[str, Any]:
    """Measure, print a table, and return the ratios at the largest batch."""
    from django.db import connection

    records = make_records(rows)
    compared = {
        "ratio_to_django": ("ours", "django"),
        "duplicates_ratio_to_django": ("ours_again", "django_again"),
        "capture_ratio_to_django": ("capture", "django"),
    }
    if connection.vendor == "postgresql":
        compared["ratio_to_copy"] = ("capture", "copy")
    print(
        f"{connection.vendor}: {rows:,} trades, {rounds} rounds in turn; rows a second, then ratios"
    )
    summary: dict[str, Any] = {}
    for size in sorted(sizes):
        measured = measure(records, size, rounds)
        medians = [
            f"{name} {statistics.median(rates[name] for rates in measured):,.0f}"
            for name in measured[0]
            if not name.endswith("_again")
        ]
        print(f"  batch {size}: {', '.join(medians)}")
        for name, (ours, other) in compared.items():
            median, text = ratios(measured, ours, other)
            print(f"    {name:27} {text}", flush=True)
            summary[name] = round(median, 2)
    # Kibibytes on Linux.
    print(f"  peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    return {connection.vendor: summary}


def run_elsewhere(database: str, arguments: Sequence[str]) -> dict[str, Any]:
    """What a process of its own finds on `database`."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.ingest",
        "--database",
        "here",
        "--json",
        *arguments,
    ]
    environment = dict(os.environ)
    if database == "postgresql":
        command = [sys.executable, "-m", "gridbot_site.testing", *command]
    else:
        environment["DATABASE_URL"] = "sqlite:///ingest.sqlite3"
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        last = ""
        assert process.stdout is not None
        for line in process.stdout:
            print(last, end="", flush=True)
            last = line
    if process.returncode:
        raise SystemExit(process.returncode)
    found: dict[str, Any] = json.loads(last)
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--batch", type=int, nargs="+", default=[100, 1000, 5000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument(
        "--database", choices=["both", "sqlite", "postgresql", "here"], default="both"
    )
    parser.add_argument("--json", action="store_true", help="end with one machine-readable line")
    options = parser.parse_args()
    if options.database == "here":
        setup()
        result = run_here(options.rows, options.batch, options.rounds)
    else:
        arguments = ["--rows", str(options.rows), "--rounds", str(options.rounds)]
        arguments += ["--batch", *map(str, options.batch)]
        names = ["sqlite", "postgresql"] if options.database == "both" else [options.database]
        result = {}
        for name in names:
            result |= run_elsewhere(name, arguments)
    if options.json:
        print(json.dumps(result))


if __name__ == "__main__":
    main()
