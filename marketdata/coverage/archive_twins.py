"""Trades that REST shows at their own time, and that an archive brought at a rounded one.

The time is part of a trade's natural key, so the key alone would store such a trade twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from marketdata.bybit.records import TradeRecord
from marketdata.coverage.archive_matches import NEAR
from marketdata.models import PublicTrade


class Sorted(NamedTuple):
    """Rows whose trade no archive has stored at another time, and those where it differs there."""

    others: list[TradeRecord]
    conflicts: list[TradeRecord]


def without_twins(rows: Sequence[TradeRecord]) -> Sorted:
    """`rows`, all of one symbol, without those stored by their id within a second of them.

    A row that is stored at its own time is no twin. Archives alone know no sequence, which tells
    theirs; their flags, which may be wanting, are not compared.
    """
    if not rows:
        return Sorted([], [])
    times = [row.exchange_ts for row in rows]
    stored = PublicTrade.objects.filter(
        symbol=rows[0].symbol,
        exchange_ts__range=(min(times) - NEAR, max(times) + NEAR),
        trade_id__in={row.trade_id for row in rows},
        sequence=None,
    )
    of_id = {trade.trade_id: trade for trade in stored}
    found = Sorted([], [])
    for row in rows:
        twin = of_id.get(row.trade_id)
        if twin is None or not timedelta(0) < abs(twin.exchange_ts - row.exchange_ts) <= NEAR:
            found.others.append(row)
        elif (row.side, row.price, row.size) != (twin.side, twin.price, twin.size):
            found.conflicts.append(row)
    return found
