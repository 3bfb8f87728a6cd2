"""Archive files for tests, written as the exchange writes them."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from uuid import UUID

from marketdata.coverage.archive_format import Archive, check
from marketdata.models import PublicTrade

COLUMNS = (
    "timestamp", "symbol", "side", "size", "price", "tickDirection", "trdMatchID", "grossValue",
    "homeNotional", "foreignNotional",
)  # fmt: skip
DAY = datetime(2026, 1, 2, tzinfo=UTC)

Row = dict[str, str]


def at(hours: float = 0, **more: float) -> datetime:
    """A time of the day that the files are of."""
    return DAY + timedelta(hours=hours, **more)


def row(when: datetime, number: int, **changes: str) -> Row:
    """A line of the file: trade `number` at `when`."""
    milliseconds = round((when - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
    values = {
        "timestamp": f"{milliseconds // 1000}.{milliseconds % 1000:03d}0",
        "symbol": "BTCUSDT",
        "side": "Buy" if number % 2 else "Sell",
        "size": "0.25",
        "price": f"{60000 + number}.5",
        "tickDirection": "ZeroMinusTick",
        "trdMatchID": str(UUID(int=number)),
        "grossValue": "1.5e+12",
        "homeNotional": "0.25",
        "foreignNotional": "15000.12",
    }
    return values | changes


def day_of(count: int, start: datetime = DAY, seconds: float = 60.1) -> list[Row]:
    """Trades 1 to `count`, in order of time."""
    return [row(start + timedelta(seconds=seconds * n), n) for n in range(1, count + 1)]


def whole_day(count: int, start: datetime = DAY) -> list[Row]:
    """Trades 1 to `count`, and one of the evening: a file that speaks for its day."""
    return [*day_of(count - 1, start), row(start + timedelta(hours=23), count)]


def text_of(rows: Iterable[Row], columns: Sequence[str] = COLUMNS) -> str:
    """The file's text, header included."""
    lines = [",".join(columns), *(",".join(row[name] for name in columns) for row in rows)]
    return "".join(f"{line}\n" for line in lines)


def write(path: Path, text: str, *, plain: bool = False) -> Path:
    """Write the text, as gzip unless `plain`."""
    data = text.encode()
    path.write_bytes(data if plain else gzip.compress(data))
    return path


def checked(path: Path) -> Archive:
    """The archive, read to its end."""
    return check(path, datetime.now(UTC), 15)


def stored(line: Row, **changes: object) -> PublicTrade:
    """The trade of a line as the stream would have stored it; `changes` are columns."""
    seconds = Decimal(line["timestamp"])
    values = {
        "symbol": line["symbol"],
        "exchange_ts": datetime(1970, 1, 1, tzinfo=UTC)
        + timedelta(milliseconds=int(seconds * 1000)),
        "local_ts": DAY,
        "trade_id": line["trdMatchID"],
        "side": line["side"],
        "price": Decimal(line["price"]),
        "size": Decimal(line["size"]),
        "is_block_trade": False,
        "is_rpi": False,
        "sequence": 7,
    }
    trade = PublicTrade(**(values | changes))
    trade.save()
    return trade
