"""The market of a window: its trades, fundings and contract, from the database or from files.

Windows begin at `since` (inclusive) and end before `until`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TypeAlias

import numpy as np

from gridcore import InstrumentInfo
from gridcore.instrument import EXACT
from gridcore.qty import MIN_NOTIONAL
from marketdata.models import Instrument, TickerSnapshot
from marketdata.trades.arrays import InexactTrade, joined
from marketdata.trades.arrays import Trades as Columns
from marketdata.trades.database import iter_trades
from marketdata.trades.files import RefusedFile, iter_files
from strategies.backtest.terms import EPOCH, Contract, Settlement, settlements_of
from strategies.backtest.trades import BLOCK, Trades

MS = timedelta(milliseconds=1)
CHUNK = 50_000
# The most of one order is not stored; what a strategy asks for is far below any.
NO_LIMIT = Decimal("1e17")
# Tickers are read so far around the window: the last one before a settlement has its rate.
AROUND = timedelta(hours=1)

Told: TypeAlias = Callable[[int], None]


class CannotLoad(Exception):
    """The market of the window cannot be had; the message says why, in a sentence."""


def in_ms(at: datetime) -> int:
    """Return the time in ms since 1970, rounded down."""
    return (at - EPOCH) // MS


# --- The contract -------------------------------------------------------------------------


def contract_of(symbol: str) -> Contract:
    """Return the rules of a symbol as the exchange told them last. Raises CannotLoad."""
    rules = Instrument.objects.filter(symbol=symbol).first()
    if rules is None:
        raise CannotLoad(
            f"The rules of {symbol} are not known: capture stores them when it starts, if the "
            "exchange has such a contract."
        )
    return Contract(
        InstrumentInfo(symbol, rules.qty_step, rules.tick_size, rules.min_qty, NO_LIMIT),
        min_notional=rules.min_notional or MIN_NOTIONAL,
        funding_interval_minutes=rules.funding_interval_minutes or 480,
    )


# --- Fundings -----------------------------------------------------------------------------


def recorded_fundings(symbol: str, since: datetime, until: datetime) -> list[Settlement]:
    """Return the settlements of the window, each with the last rate that a ticker gave before."""
    tickers = TickerSnapshot.objects.in_range(symbol, since - AROUND, until + AROUND)
    columns = ("exchange_ts", "funding_rate", "next_funding_time", "mark_price")
    read = (
        (in_ms(at), rate, None if due is None else in_ms(due), mark)
        for at, rate, due, mark in tickers.values_list(*columns).iterator(CHUNK)
    )
    first, last = in_ms(since), in_ms(until)
    return [each for each in settlements_of(read) if first <= each.time_ms < last]


# --- Trades -------------------------------------------------------------------------------


def load_trades(
    symbol: str,
    since: datetime,
    until: datetime,
    tick_size: Decimal,
    files: Sequence[Path] = (),
    *,
    told: Told = lambda count: None,
) -> Trades:
    """Return the trades of the files, or with none the captured ones.

    `told` hears how many were read so far. Raises CannotLoad for a file that `export_trades` did
    not write, files that overlap, and a price that is no whole number of ticks or none at all.
    """
    try:
        if files:
            pieces = iter_files(files, symbol, since, until, tick_size=tick_size)
        else:
            pieces = iter_trades(symbol, since, until, tick_size=tick_size)
        read = joined(symbol, tick_size, _counted(pieces, told))
        return Trades(read.exchange_ts, read.price, read.is_block_trade.astype(np.uint8) * BLOCK)
    except (RefusedFile, InexactTrade) as error:
        raise CannotLoad(str(error)) from None
    except ValueError as error:
        raise CannotLoad(f"The trades of {symbol} make no market: {error}.") from None


def _counted(pieces: Iterable[Columns], told: Told) -> Iterator[Columns]:
    count = 0
    for piece in pieces:
        count += len(piece)
        told(count)
        yield piece


def fingerprint(
    symbol: str, tick_size: Decimal, trades: Trades, funding: Iterable[Settlement]
) -> str:
    """Return a SHA-256 that two runs share only if they used the same trades and fundings."""
    digest = hashlib.sha256(f"{symbol} {tick_size.normalize(EXACT):f}\n".encode())
    flags = np.zeros(len(trades)) if trades.flags is None else trades.flags
    for column, kind in ((trades.times, "<i8"), (trades.prices, "<i8"), (flags, "u1")):
        digest.update(np.ascontiguousarray(column, dtype=kind).data)
    for each in funding:
        mark = None if each.mark_price is None else f"{each.mark_price.normalize(EXACT):f}"
        digest.update(f"{each.time_ms} {each.rate.normalize(EXACT):f} {mark}\n".encode())
    return digest.hexdigest()
