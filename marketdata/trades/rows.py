"""Stored trades as Arrow tables, in the columns of a file.

PostgreSQL sends a binary COPY for arrays; here it is text, which Arrow reads column by column,
decimals included, and many times faster than rows become Python objects.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.csv as pc
from django.db import connection

from marketdata.models import PublicTrade
from marketdata.trades.arrays import InexactTrade
from marketdata.trades.files import SCHEMA

FETCH = 10_000
# A clock's time without its zone, which is UTC, to the microsecond: so are stored times.
CLOCK = pa.timestamp("us")
TEXT = """
COPY (
  SELECT symbol, exchange_ts AT TIME ZONE 'UTC', trade_id, side, price, size, is_block_trade,
         is_rpi, sequence
  FROM public_trades
  WHERE symbol = %s AND exchange_ts >= %s AND exchange_ts < %s
  ORDER BY exchange_ts, id
) TO STDOUT (FORMAT CSV)"""


@dataclass(frozen=True)
class Part:
    """What one file is to hold: a symbol's trades of one UTC day, or of a part of it.

    From `since` (inclusive) to `until` (exclusive).
    """

    symbol: str
    since: datetime
    until: datetime

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"{self.symbol}-{self.since:%Y-%m-%d}.parquet"


def row_groups(part: Part, size: int) -> Iterator[pa.Table]:
    """The trades of `part` in order of (exchange time, row), `size` rows at a time.

    Raises InexactTrade for a time that is no whole millisecond.
    """
    read = _from_postgresql if connection.vendor == "postgresql" else _from_orm
    for table in read(part, size):
        yield _in_milliseconds(table)


def _from_postgresql(part: Part, size: int) -> Iterator[pa.Table]:
    kinds = {field.name: field.type for field in SCHEMA} | {"exchange_ts": CLOCK}
    with (
        connection.cursor() as cursor,
        connection.wrap_database_errors,
        cursor.copy(TEXT, [part.symbol, part.since, part.until]) as copy,
    ):
        # A message is a row
        # (https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-COPY).
        lines = iter(copy.read, b"")
        while text := b"".join(islice(lines, size)):
            yield pc.read_csv(
                pa.py_buffer(text),
                pc.ReadOptions(column_names=SCHEMA.names, use_threads=False),
                pc.ParseOptions(newlines_in_values=True),
                pc.ConvertOptions(column_types=kinds, true_values=["t"], false_values=["f"]),
            )


def _from_orm(part: Part, size: int) -> Iterator[pa.Table]:
    trades = PublicTrade.objects.in_range(part.symbol, part.since, part.until)
    rows = trades.values_list(*SCHEMA.names).iterator(FETCH)
    while group := list(islice(rows, size)):
        columns: dict[str, Any] = dict(zip(SCHEMA.names, zip(*group, strict=True), strict=True))
        yield pa.table(
            {
                field.name: pa.array(
                    columns[field.name],
                    pa.timestamp("us", "UTC") if pa.types.is_timestamp(field.type) else field.type,
                )
                for field in SCHEMA
            }
        )


def _in_milliseconds(table: pa.Table) -> pa.Table:
    """In the file's own types; a cast to milliseconds refuses to cut a time."""
    try:
        return table.cast(SCHEMA)
    except pa.ArrowInvalid:
        times = table["exchange_ts"].to_pylist()
        odd = next(at for at in times if at.microsecond % 1000)
        raise InexactTrade(
            f"A time of {table['symbol'][0]}, {odd.isoformat()}, is no whole millisecond."
        ) from None
