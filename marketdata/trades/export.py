"""Stored trades to Parquet: one file for each UTC day, whole or not there at all."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

import gridcore
from marketdata.capture.feeds import TICK, Feed
from marketdata.coverage.report import FeedReport, Hole, report_on
from marketdata.models import EnvironmentStamp, Instrument, PublicTrade, Stream
from marketdata.trades.files import KEY, SCHEMA, Description
from marketdata.trades.rows import Part, row_groups

DAY = timedelta(days=1)
# What is in memory at a time, and what readers skip.
ROW_GROUP = 100_000
# Values that come again and again, worth a dictionary; an id never does.
REPEATED = ["symbol", "side", "price", "size"]


class FileExists(ValueError):
    """A file is there already, and nobody said that it may be replaced."""


@dataclass(frozen=True)
class Exported:
    """A part that was exported; without a path where nothing is known of that time."""

    part: Part
    holes: list[Hole]
    rows: int = 0
    path: Path | None = None
    size: int = 0  # bytes


def parts_of(
    symbol: str, since: datetime | None, until: datetime | None, now: datetime
) -> list[Part]:
    """The parts of a span, day by day; an open end of it is where the knowledge ends.

    Empty where nothing is known of the symbol.
    """
    report = _report(symbol, since, until, now)
    if report is None:
        return []
    parts, end = [], until or report.asked.end + TICK
    start = report.asked.start
    while start < end:
        midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
        parts.append(Part(symbol, start, min(midnight + DAY, end)))
        start = midnight + DAY
    return parts


def refuse_existing(parts: list[Part], folder: Path) -> None:
    """Raise FileExists, before anything is written."""
    existing = [part.name for part in parts if (folder / part.name).exists()]
    if existing:
        others = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        raise FileExists(f"{folder / existing[0]}{others} exists already")


def export(part: Part, folder: Path, *, now: datetime, wrote: Callable[[int], None]) -> Exported:
    """Write the file of `part`; `wrote` hears of rows as they are written.

    Raises InexactTrade for a time that is no whole millisecond, OSError from the disk.
    """
    # Before the rows: what is vouched for by now is stored by now.
    report = _report(part.symbol, part.since, part.until, now)
    trades = PublicTrade.objects.in_range(part.symbol, part.since, part.until)
    if report is None or not (report.covered or trades.exists()):
        return Exported(part, report.holes if report else [])
    schema = SCHEMA.with_metadata({KEY: _description(part, report).dumped()})
    path, rows = folder / part.name, 0
    with _replacing(path) as temporary, pq.ParquetWriter(
        temporary,
        schema,
        compression="zstd",
        use_dictionary=REPEATED,
        write_page_checksum=True,
        sorting_columns=[pq.SortingColumn(schema.get_field_index("exchange_ts"))],
    ) as writer:  # fmt: skip
        for group in row_groups(part, ROW_GROUP):
            writer.write_table(group, row_group_size=ROW_GROUP)
            rows += len(group)
            wrote(len(group))
    return Exported(part, report.holes, rows, path, path.stat().st_size)


def _report(
    symbol: str, since: datetime | None, until: datetime | None, now: datetime
) -> FeedReport | None:
    """What is known of the trades until before `until`; the ledger's spans are closed."""
    return report_on(Feed(Stream.TRADES, symbol), symbol, since, until and until - TICK, now)


def _description(part: Part, report: FeedReport) -> Description:
    instrument = Instrument.objects.filter(symbol=part.symbol).first()
    stamp = EnvironmentStamp.objects.filter(pk=1).first()
    return Description(
        symbol=part.symbol,
        since=part.since,
        until=part.until,
        complete=not report.holes,
        missing=[hole_as_json(hole) for hole in report.holes],
        seconds_by_source={name: round(s, 3) for name, s in sorted(report.by_source.items())},
        environment=stamp.environment if stamp else None,
        tick_size=instrument.tick_size if instrument else None,
        version=gridcore.__version__,
    )


def hole_as_json(hole: Hole) -> dict[str, str]:
    """A span that is not complete, both ends included; times are ISO 8601 in UTC."""
    return {
        "from": hole.span.start.isoformat(),
        "to": hole.span.end.isoformat(),
        "state": hole.state,
        "reason": hole.reason,
    }


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, which it gets when all went well."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
