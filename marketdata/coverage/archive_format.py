"""The exchange's daily trade archive: which files are one, and what their lines say.

A file is one UTC day of one linear symbol as comma-separated lines, plain or gzip, read by the
names in its first line. Times are seconds with a fraction, rounded; files of some days have
whole seconds. Lines are not always in order of time.
Source: https://public.bybit.com/trading/, as files are there; the exchange documents no format.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from operator import itemgetter
from pathlib import Path
from typing import Final, NamedTuple

from marketdata.bybit.constants import BUY, SELL
from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.records import TradeRecord
from marketdata.bybit.values import (
    Sign,
    checked_ms,
    decimal_from,
    latest_plausible_ms,
    malformed,
    symbol_from,
    time_from_ms,
    trade_id_from,
)
from marketdata.coverage.archive_lines import LineReader, RefusedFile

NEEDED: Final = ("timestamp", "symbol", "side", "size", "price", "trdMatchID")
RPI: Final = "RPI"
SPOT: Final = {"id", "timestamp", "price", "volume", "side"}
DAY: Final = timedelta(days=1)
# What a rounded time may be away from the true one, in files with whole seconds.
ROUNDING: Final = timedelta(seconds=1)
# More unreadable lines than these are no accident: the file is of another kind.
BAD_ROWS_ALLOWED: Final = 10
BAD_SHARE_ALLOWED: Final = 100

_is_seconds = re.compile(r"([0-9]{9,10})(?:\.([0-9]{1,12}))?").fullmatch
_is_linear = re.compile(r"[0-9A-Z]{1,28}USDT").fullmatch

Moved = Callable[[int], None]


class BadRow(NamedTuple):
    """A line that is no trade; `at` is its time where that much can be read."""

    line: int
    reason: str
    text: str
    at: datetime | None


class Batch(NamedTuple):
    """Consecutive lines of a file: the trades with their line numbers, and the bad rows."""

    records: list[TradeRecord]
    lines: list[int]
    bad: list[BadRow]


@dataclass(frozen=True, kw_only=True)
class Archive:
    """A file that was read to its end and found to be whole."""

    path: Path
    size: int
    sha256: str
    is_gzip: bool
    # Of how many pieces, each with its own end mark, a gzip file is made.
    members: int
    symbol: str
    # Midnight, UTC.
    day: datetime
    rows: int
    bad: int
    first: datetime
    last: datetime
    whole_seconds: bool
    # Between two rows that follow each other in time, to the second.
    longest_silence: timedelta

    @property
    def name(self) -> str:
        """The file's name, as any database and terminal takes it."""
        return self.path.name.encode("utf-8", "backslashreplace").decode()


class ArchiveReader:
    """Reads one file once, in batches; what is known at its end stands in `lines`.

    `digits` is how many significant digits the database keeps. `moved` hears of the position in
    the file, in bytes.
    """

    def __init__(
        self, path: Path, received_at: datetime, digits: int, moved: Moved = lambda position: None
    ) -> None:
        self.lines = LineReader(path)
        # Whether the last line, which has no end, may lack a part of what is needed of it.
        self.is_cut = False
        self._received_at, self._digits, self._moved = received_at, digits, moved

    def __iter__(self) -> Iterator[Batch]:
        """Raises RefusedFile where the file cannot be read on."""
        portions = iter(self.lines)
        layout = _Layout(next(portions)[0], self._digits)
        number, texts = 2, [""]
        for texts in portions:
            yield layout.batch(texts, number, self._received_at)
            number += len(texts)
            self._moved(self.lines.position)
        self.is_cut = self.lines.is_unended and layout.may_be_cut(texts[-1], self._received_at)


def check(path: Path, now: datetime, digits: int, moved: Moved = lambda position: None) -> Archive:
    """Read the whole file and say what it is. Raises RefusedFile."""
    reader = ArchiveReader(path, now, digits, moved)
    rows = bad = 0
    symbol, is_whole = "", True
    first, last = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    # Lines are not in order of time; there are no more seconds than a day has.
    seconds: set[datetime] = set()
    for batch in reader:
        rows += len(batch.records) + len(batch.bad)
        bad += len(batch.bad)
        if not batch.records:
            continue
        symbol = symbol or batch.records[0].symbol
        if others := {record.symbol for record in batch.records} - {symbol}:
            raise RefusedFile(f"it holds several symbols: {symbol} and {min(others)}")
        times = [record.exchange_ts for record in batch.records]
        first, last = min(first, *times), max(last, *times)
        day = _day(first, last)
        is_whole = is_whole and not any(at.microsecond for at in times)
        seconds.update(at.replace(microsecond=0) for at in times)
    if reader.is_cut:
        raise RefusedFile("its last line is cut")
    if not rows:
        raise RefusedFile("it holds no trades")
    if bad == rows or bad > max(BAD_ROWS_ALLOWED, rows // BAD_SHARE_ALLOWED):
        raise RefusedFile(f"{bad:,} of its {rows:,} rows are no trades of this format")
    if not _is_linear(symbol):
        raise RefusedFile(f"{symbol} is no linear contract settled in USDT")
    return Archive(
        path=path, size=path.stat().st_size, sha256=reader.lines.sha256, is_gzip=reader.lines.is_gzip,
        members=reader.lines.members, symbol=symbol, day=day, rows=rows, bad=bad, first=first, last=last,
        whole_seconds=is_whole, longest_silence=_longest_silence(seconds),
    )  # fmt: skip


def _longest_silence(seconds: Collection[datetime]) -> timedelta:
    pairs = pairwise(sorted(seconds))
    return max((later - earlier for earlier, later in pairs), default=timedelta(0))


def _day(first: datetime, last: datetime) -> datetime:
    middle = first + (last - first) / 2
    day = middle.replace(hour=0, minute=0, second=0, microsecond=0)
    if first < day - ROUNDING or last > day + DAY + ROUNDING:
        raise RefusedFile(f"it holds more than one day: {first:%Y-%m-%d} to {last:%Y-%m-%d}")
    return day


class _Layout:
    """Where the columns stand, and how a line becomes a record."""

    def __init__(self, header: str, digits: int) -> None:
        names = [name.strip() for name in header.split(",")]
        if missing := [name for name in NEEDED if names.count(name) != 1]:
            if set(names) >= SPOT:
                raise RefusedFile("it is an archive of the spot market, whose ids are no trade ids")
            raise RefusedFile(f"its first line does not name {', '.join(missing)} once each")
        self._width, self._digits = len(names), digits
        self._at = [names.index(name) for name in NEEDED]
        self._needed = itemgetter(*self._at)
        self._rpi_at = names.index(RPI) if RPI in names else None

    def batch(self, texts: Sequence[str], number: int, received_at: datetime) -> Batch:
        """The records of consecutive lines, of which the first has this number."""
        latest_ms = latest_plausible_ms(received_at)
        records: list[TradeRecord] = []
        lines: list[int] = []
        bad: list[BadRow] = []
        for line, text in enumerate(texts, number):
            try:
                records.append(self._record(text.split(","), received_at, latest_ms))
                lines.append(line)
            except MalformedMessage as error:
                bad.append(BadRow(line, error.reason, text, self._time_of(text, latest_ms)))
        return Batch(records, lines, bad)

    def may_be_cut(self, text: str, received_at: datetime) -> bool:
        """Whether the line, which has no end, is unreadable or ends within a needed field."""
        fields = text.split(",")
        ends_in_need = self._width - 1 in self._at
        return ends_in_need or not fields[-1] or bool(self.batch([text], 1, received_at).bad)

    def _record(self, fields: list[str], received_at: datetime, latest_ms: int) -> TradeRecord:
        if len(fields) != self._width:
            raise malformed("row", f"has not {self._width} fields", len(fields))
        time, symbol, side, size, price, trade_id = self._needed(fields)
        if side != BUY and side != SELL:
            raise malformed("side", "is neither Buy nor Sell", side)
        return TradeRecord(
            symbol_from(symbol),
            time_from_ms(checked_ms(_milliseconds(time), "timestamp", latest_ms)),
            received_at,
            trade_id_from(trade_id, "trdMatchID"),
            side,
            decimal_from(price, "price", self._digits, Sign.POSITIVE),
            decimal_from(size, "size", self._digits, Sign.POSITIVE),
            False,
            self._rpi_at is not None and _rpi(fields[self._rpi_at]),
            None,
        )

    def _time_of(self, text: str, latest_ms: int) -> datetime | None:
        fields = text.split(",")
        try:
            milliseconds = _milliseconds(fields[self._at[0]])
            return time_from_ms(checked_ms(milliseconds, "timestamp", latest_ms))
        except (IndexError, MalformedMessage):
            return None


def _milliseconds(text: str) -> int:
    """The stream's times are whole milliseconds: what an archive has beyond them is cut off."""
    match = _is_seconds(text)
    if match is None:
        raise malformed("timestamp", "is not in seconds", text)
    return int(match[1]) * 1000 + int(((match[2] or "") + "000")[:3])


def _rpi(text: str) -> bool:
    if text not in ("0", "1", ""):
        raise malformed(RPI, "is neither 0 nor 1", text)
    return text == "1"
