"""One-minute klines from REST.

Source: https://bybit-exchange.github.io/docs/v5/market/kline: a list of seven strings, newest
first: start (ms), open, high, low, close, volume (base coin), turnover (USDT). The last one may
not be over yet. Whether block and RPI trades are counted in is not documented.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any, Final, NamedTuple

from marketdata.bybit.constants import MAX_DIGITS
from marketdata.bybit.values import (
    Sign,
    checked_ms,
    decimal_from,
    integer_from_digits,
    latest_plausible_ms,
    malformed,
    time_from_ms,
)

FIELDS: Final = ("start", "open", "high", "low", "close", "volume", "turnover")
MINUTE_MS: Final = 60_000


class Kline(NamedTuple):
    """One minute: prices in USDT, volume in the base coin, turnover in USDT."""

    start: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: Decimal
    turnover: Decimal


def kline_from(row: Any, received_at: datetime) -> Kline:
    """The minute that a row says. Raises MalformedMessage."""
    if not isinstance(row, list) or len(row) != len(FIELDS):
        raise malformed("row", "is not a list of seven", row)
    milliseconds = checked_ms(
        integer_from_digits(row[0], "start"), "start", latest_plausible_ms(received_at)
    )
    if milliseconds % MINUTE_MS:
        raise malformed("start", "is not the start of a minute", row[0])
    prices = [decimal_from(row[n], FIELDS[n], MAX_DIGITS, Sign.POSITIVE) for n in range(1, 5)]
    amounts = [decimal_from(row[n], FIELDS[n], MAX_DIGITS, Sign.NOT_NEGATIVE) for n in (5, 6)]
    return Kline(time_from_ms(milliseconds), *prices, *amounts)
