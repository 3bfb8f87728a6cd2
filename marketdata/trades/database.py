"""Trades from the database into arrays: no objects for rows on PostgreSQL, plain tuples on SQLite.

PostgreSQL packs each column of an hour into one value and sends it by binary COPY. A COPY of
the rows themselves costs the client a message for each (benchmarks/loading.py has the ratio).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
from django.db import connections

from marketdata.models import Instrument, PublicTrade
from marketdata.trades.arrays import (
    MOST_UNITS,
    Booleans,
    InexactTrade,
    Integers,
    Tick,
    Trades,
    joined,
    milliseconds,
)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# PostgreSQL's binary times count from 2000
# (https://www.postgresql.org/docs/current/datatype-datetime.html).
POSTGRESQL_EPOCH = (datetime(2000, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
PIECE = timedelta(hours=1)
SQLITE_ROWS = 50_000
INEXACT = -1

# A time, whole ticks, and a flag of each trade, as the bytes of big-endian columns.
PACKED = """
COPY (
  SELECT string_agg(timestamptz_send(exchange_ts), '' ORDER BY exchange_ts, id),
         string_agg(
           int8send(CASE WHEN price %% %(tick)s = 0 AND price >= 0 AND price < %(limit)s
                         THEN div(price, %(tick)s)::bigint ELSE %(inexact)s END),
           '' ORDER BY exchange_ts, id),
         string_agg(boolsend(is_block_trade), '' ORDER BY exchange_ts, id)
  FROM public_trades
  WHERE symbol = %(symbol)s AND exchange_ts >= %(start)s AND exchange_ts < %(end)s
) TO STDOUT (FORMAT BINARY)"""

# The operators take the declared types away, for which Django's converters would be called.
ROWS = """
SELECT exchange_ts || '', price + 0, is_block_trade + 0
FROM public_trades
WHERE symbol = %s AND exchange_ts >= %s AND exchange_ts < %s
ORDER BY exchange_ts, id"""


def load_trades(
    symbol: str,
    since: datetime,
    until: datetime,
    *,
    tick_size: Decimal | None = None,
    using: str = "default",
) -> Trades:
    """The trades of `symbol` from `since` (inclusive) to `until` (exclusive).

    `tick_size` is the instrument's where it is not given. Raises InexactTrade for a price that
    is not on it and LookupError for a symbol whose tick is not known.
    """
    size = tick_size or tick_size_of(symbol, using=using)
    pieces = iter_trades(symbol, since, until, tick_size=size, using=using)
    return joined(symbol, size, pieces)


def iter_trades(
    symbol: str,
    since: datetime,
    until: datetime,
    *,
    tick_size: Decimal | None = None,
    using: str = "default",
) -> Iterator[Trades]:
    """The same in pieces that are not empty, in order: memory does not grow with the span."""
    tick = Tick.of(tick_size or tick_size_of(symbol, using=using))
    read = _from_postgresql if connections[using].vendor == "postgresql" else _from_sqlite
    for microseconds, (ticks, on_tick), is_block_trade in read(symbol, since, until, tick, using):
        times, in_time = milliseconds(microseconds)
        if not (exact := on_tick & in_time).all():
            raise _inexact(symbol, int(times[exact.argmin()]), tick, using)
        yield Trades(symbol, tick.size, times, ticks, is_block_trade)


def tick_size_of(symbol: str, *, using: str = "default") -> Decimal:
    """The instrument's price step. Raises LookupError where capture never stored it."""
    instrument = Instrument.objects.using(using).filter(symbol=symbol).first()
    if instrument is None:
        raise LookupError(
            f"The tick size of {symbol} is not known: capture stores it at its start."
        )
    return Decimal(instrument.tick_size)


Columns = tuple[Integers, tuple[Integers, Booleans], Booleans]


def _from_postgresql(
    symbol: str, since: datetime, until: datetime, tick: Tick, using: str
) -> Iterator[Columns]:
    values: dict[str, Any] = {"symbol": symbol, "tick": tick.size, "inexact": INEXACT}
    values["limit"] = Decimal(MOST_UNITS).scaleb(-tick.decimals)
    start = since
    while start < until:
        end = min(start + PIECE, until)
        with (
            connections[using].cursor() as cursor,
            connections[using].wrap_database_errors,
            cursor.copy(PACKED, values | {"start": start, "end": end}) as copy,
        ):
            copy.set_types(["bytea"] * 3)
            [(times, prices, blocks)] = copy.rows()
        if times is not None:
            ticks = np.frombuffer(prices, ">i8").astype(np.int64)
            yield (
                np.frombuffer(times, ">i8") + np.int64(POSTGRESQL_EPOCH),
                (ticks, ticks != INEXACT),
                np.frombuffer(blocks, np.bool_),
            )
        start = end


def _from_sqlite(
    symbol: str, since: datetime, until: datetime, tick: Tick, using: str
) -> Iterator[Columns]:
    connection = connections[using]
    bounds = [connection.ops.adapt_datetimefield_value(at) for at in (since, until)]
    with connection.cursor() as cursor:
        cursor.execute(ROWS, [symbol, *bounds])
        while rows := cursor.fetchmany(SQLITE_ROWS):
            times, prices, blocks = zip(*rows, strict=True)
            yield (
                np.array(times, "datetime64[us]").astype(np.int64),
                tick.count_doubles(np.array(prices, np.float64)),
                np.array(blocks, np.bool_),
            )


def _inexact(symbol: str, at: int, tick: Tick, using: str) -> InexactTrade:
    """The error that names the first trade of a millisecond which the arrays cannot hold."""
    start = EPOCH + timedelta(milliseconds=at)
    rows = PublicTrade.objects.using(using).in_range(
        symbol, start, start + timedelta(milliseconds=1)
    )
    for row in rows:
        name = f"{symbol} {row.trade_id} of {row.exchange_ts.isoformat()} (row {row.pk})"
        if not tick.holds(row.price):
            return InexactTrade(
                f"{name}: its price {row.price:f} is not on the tick {tick.size:f}."
            )
        if row.exchange_ts.microsecond % 1000:
            return InexactTrade(f"{name}: its time is no whole millisecond.")
    return InexactTrade(f"A trade of {symbol} at {start.isoformat()} was changed as it was read.")
