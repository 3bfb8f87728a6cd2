"""Trades in Parquet: the format of a day's file, and such files into arrays."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from marketdata.trades.arrays import InexactTrade, Integers, Tick, Trades, joined

WORD = pa.dictionary(pa.int32(), pa.string())
FIGURE = pa.decimal128(30, 12)
SCHEMA = pa.schema(
    [
        pa.field("symbol", WORD, nullable=False),
        pa.field("exchange_ts", pa.timestamp("ms", "UTC"), nullable=False),
        pa.field("trade_id", pa.string(), nullable=False),
        pa.field("side", WORD, nullable=False),
        pa.field("price", FIGURE, nullable=False),
        pa.field("size", FIGURE, nullable=False),
        pa.field("is_block_trade", pa.bool_(), nullable=False),
        pa.field("is_rpi", pa.bool_(), nullable=False),
        pa.field("sequence", pa.int64()),
    ]
)
FORMAT = 1
# Where a file's own description stands among the metadata of its schema.
KEY = b"gridbot.trades"
# Trades in memory at a time, beside the arrays.
BATCH = 50_000
READ = ["exchange_ts", "trade_id", "price", "is_block_trade"]


class RefusedFile(ValueError):
    """A file that is not what `export_trades` writes, or not what was asked for."""


@dataclass(frozen=True)
class Description:
    """What a file says of itself, in its metadata.

    It holds what was stored of `symbol` from `since` (inclusive) to `until` (exclusive).
    `missing` are the spans of it that nothing vouches for, each with from, to, state and reason;
    `seconds_by_source` says how much of it is vouched for by live, rest, archive.
    """

    symbol: str
    since: datetime
    until: datetime
    complete: bool
    missing: list[dict[str, str]]
    seconds_by_source: dict[str, float]
    environment: str | None
    tick_size: Decimal | None
    version: str

    def dumped(self) -> bytes:
        """As JSON; times are ISO 8601 in UTC, the tick size is a decimal string."""
        tick = None if self.tick_size is None else f"{self.tick_size.normalize():f}"
        times = {"since": self.since.isoformat(), "until": self.until.isoformat()}
        return json.dumps({"format": FORMAT, **vars(self), **times, "tick_size": tick}).encode()

    @classmethod
    def loaded(cls, text: bytes) -> Description:
        """The inverse. Raises ValueError, KeyError or TypeError for anything else."""
        values: dict[str, Any] = json.loads(text)
        if values.pop("format") != FORMAT:
            raise ValueError("unknown format")
        times = {name: _aware(values[name]) for name in ("since", "until")}
        if times["since"] >= times["until"]:
            raise ValueError("a span without an instant")
        for hole in values["missing"]:
            _aware(hole["from"]), _aware(hole["to"]), hole["state"], hole["reason"]
        tick = values["tick_size"]
        return cls(**values | times | {"tick_size": None if tick is None else Decimal(tick)})


def _aware(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text} is in no time zone")
    return at


def describe(path: Path) -> Description:
    """What the file says of itself. Raises RefusedFile."""
    try:
        schema = pq.read_schema(path)
        if not schema.equals(SCHEMA):
            raise RefusedFile(f"{path} has other columns than export_trades writes.")
        return Description.loaded((schema.metadata or {})[KEY])
    except (OSError, pa.ArrowInvalid) as error:
        raise RefusedFile(f"{path} cannot be read: {error}") from None
    except (LookupError, TypeError, ValueError) as error:
        if isinstance(error, RefusedFile):
            raise
        raise RefusedFile(f"{path} was not written by export_trades.") from None


def load_files(
    paths: Sequence[Path],
    symbol: str,
    since: datetime,
    until: datetime,
    *,
    tick_size: Decimal | None = None,
) -> Trades:
    """The trades of `symbol` in files, from `since` (inclusive) to `until` (exclusive).

    The files may be in any order and their spans may not overlap. `tick_size` is that of the
    newest file where it is not given. Raises RefusedFile, and InexactTrade for a price that is
    not on the tick.
    """
    files = in_order(paths, symbol)
    size = tick_size or _tick_size_of(files)
    return joined(symbol, size, _pieces(files, since, until, Tick.of(size)))


def iter_files(
    paths: Sequence[Path],
    symbol: str,
    since: datetime,
    until: datetime,
    *,
    tick_size: Decimal | None = None,
) -> Iterator[Trades]:
    """The same in pieces that are not empty: memory does not grow with the files."""
    files = in_order(paths, symbol)
    return _pieces(files, since, until, Tick.of(tick_size or _tick_size_of(files)))


Files = list[tuple[Description, Path]]


def in_order(paths: Sequence[Path], symbol: str) -> Files:
    """What files of a symbol say of themselves, by time.

    Raises RefusedFile for another symbol and for spans that overlap.
    """
    files = sorted(
        ((describe(path), path) for path in paths), key=lambda each: (each[0].since, each[0].until)
    )
    for description, path in files:
        if description.symbol != symbol:
            raise RefusedFile(f"{path} holds {description.symbol}, not {symbol}.")
    for (earlier, first), (later, second) in pairwise(files):
        if later.since < earlier.until:
            raise RefusedFile(f"{first} and {second} overlap: their trades would count twice.")
    return files


def _tick_size_of(files: Files) -> Decimal:
    if not files:
        raise RefusedFile("There are no files to read.")
    description, path = files[-1]
    if description.tick_size is None:
        raise RefusedFile(f"{path} does not know the tick size: say it.")
    return description.tick_size


def _pieces(files: Files, since: datetime, until: datetime, tick: Tick) -> Iterator[Trades]:
    start, end = (_milliseconds(at) for at in (since, until))
    for description, path in files:
        if description.until <= since or description.since >= until:
            continue
        for batch, times in _batches(description, path):
            first, last = np.searchsorted(times, [start, end])
            if first < last:
                rows = batch.slice(first, last - first)
                yield Trades(
                    description.symbol,
                    tick.size,
                    times[first:last].copy(),
                    _ticks(rows, tick, description.symbol),
                    rows["is_block_trade"].to_numpy(zero_copy_only=False),
                )


def _batches(description: Description, path: Path) -> Iterator[tuple[Any, Integers]]:
    """The rows of a file in pieces, with their times. RefusedFile where it is not as it says."""
    before, end = _milliseconds(description.since), _milliseconds(description.until)
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            for batch in file.iter_batches(BATCH, columns=READ):
                times = batch["exchange_ts"].cast(pa.int64()).to_numpy(zero_copy_only=False)
                if (np.diff(times, prepend=before) < 0).any() or times[-1] >= end:
                    raise RefusedFile(
                        f"{path} holds trades that are out of order, or outside of its span."
                    )
                before = times[-1]
                yield batch, times
    except (OSError, pa.ArrowException) as error:
        raise RefusedFile(f"{path} cannot be read: {error}") from None


def _milliseconds(at: datetime) -> int:
    """The first whole millisecond that is not before `at`."""
    since_epoch = at.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (since_epoch.days * 86_400 + since_epoch.seconds) * 10**6
    return -(-(microseconds + since_epoch.microseconds) // 1000)


def _ticks(rows: Any, tick: Tick, symbol: str) -> Integers:
    try:
        # Without loss, or not at all: the decimals that are cut off must be zeros.
        units = pc.cast(rows["price"], pa.decimal128(30, tick.decimals))
    except pa.ArrowInvalid:
        raise _off_tick(rows, tick, symbol) from None
    # A decimal128 is its units in two words, the low one first.
    words = np.frombuffer(units.buffers()[1], "<i8").reshape(-1, 2)
    low, high = words[units.offset : units.offset + len(units)].T
    ticks, exact = tick.count(low)
    if not (exact & (high == 0)).all():
        raise _off_tick(rows, tick, symbol)
    return ticks


def _off_tick(rows: Any, tick: Tick, symbol: str) -> InexactTrade:
    for row in rows.to_pylist():
        if not tick.holds(row["price"]):
            return InexactTrade(
                f"{symbol} {row['trade_id']} of {row['exchange_ts'].isoformat()}: its price "
                f"{row['price'].normalize():f} is not on the tick {tick.size:f}."
            )
    raise AssertionError("every price is on the tick")
