"""What accounts hold: equity over time, positions, and how far these are from liquidation."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db import connection, models

from accounts.models import BybitAccount
from marketdata.dashboard.samples import keys_at, wallets_of_owner
from marketdata.models import PositionSnapshot

Rows = models.QuerySet[Any]
# Of each account and symbol, and of each leg (0 one-way, 1 long, 2 short).
NEWEST_LEGS = """
WITH RECURSIVE held (account_id, symbol) AS (
    SELECT a.id, (SELECT MIN(p.symbol) FROM position_snapshots p WHERE p.account_id = a.id)
    FROM bybit_accounts a WHERE a.id IN ({})
    UNION ALL
    SELECT held.account_id,
        (SELECT MIN(p.symbol) FROM position_snapshots p
         WHERE p.account_id = held.account_id AND p.symbol > held.symbol)
    FROM held WHERE held.symbol IS NOT NULL
)
SELECT (SELECT p.id FROM position_snapshots p
        WHERE p.account_id = held.account_id AND p.symbol = held.symbol
            AND p.position_idx = legs.idx AND p.exchange_ts <= %s
        ORDER BY p.exchange_ts DESC, p.id DESC LIMIT 1)
FROM held CROSS JOIN (SELECT 0 AS idx UNION ALL SELECT 1 UNION ALL SELECT 2) AS legs
WHERE held.symbol IS NOT NULL
"""
LONG = "Buy"
# Nearer than this part of the price to its liquidation, a position is pointed out.
NEAR = Decimal("0.05")


class Equity(NamedTuple):
    """An account's equity at a time: in USD where the exchange gave a total, else in the coin."""

    at: datetime
    amount: Decimal
    unit: str


class Position(NamedTuple):
    """A leg that is open, and its distance from liquidation as a part of the price."""

    snapshot: PositionSnapshot
    price: Decimal | None
    distance: Decimal | None

    @property
    def is_near(self) -> bool:
        """Whether the price need not move far."""
        return self.distance is not None and self.distance < NEAR

    @property
    def distance_percent(self) -> str:
        """How far the price may move, in percent of it."""
        return "" if self.distance is None else f"{100 * self.distance:.1f}"

    @property
    def leg(self) -> str:
        """Long or short."""
        return "long" if self.snapshot.side == LONG else "short"


def equity_curves(
    accounts: Rows, wallets: Rows, moments: Sequence[datetime]
) -> list[tuple[BybitAccount, list[Equity | None]]]:
    """Each account with its equity at each moment, None before the first balance: two queries."""
    found = keys_at(accounts, wallets_of_owner(wallets), moments)
    wanted = {key for _, keys in found for key in keys if key is not None}
    columns = ("pk", "exchange_ts", "coin", "total_equity", "equity", "wallet_balance")
    rows = wallets.filter(pk__in=wanted).values_list(*columns) if wanted else ()
    states = {pk: _equity(*figures) for pk, *figures in rows}
    return [(account, [states.get(key) for key in keys]) for account, keys in found]


def _equity(
    at: datetime, coin: str, total: Decimal | None, equity: Decimal | None, balance: Decimal
) -> Equity:
    if total is not None:
        return Equity(at, total, "USD")
    return Equity(at, balance if equity is None else equity, coin)


def open_positions(positions: Rows, accounts: Collection[UUID], end: datetime) -> list[Position]:
    """The legs of these accounts that are not flat, at the prices they were pushed with: two queries."""
    keys = newest_legs(accounts, end)
    rows = positions.filter(pk__in=keys, size__gt=0).defer("raw_json") if keys else ()
    return positions_of(rows, {})


def positions_of(
    snapshots: Iterable[PositionSnapshot], marks: Mapping[str, Decimal]
) -> list[Position]:
    """Positions at these `marks`, where there is one; those near liquidation first."""
    found = [_position(row, marks.get(row.symbol, row.mark_price)) for row in snapshots]
    return sorted(
        found, key=lambda each: (not each.is_near, each.snapshot.symbol, each.snapshot.position_idx)
    )


def _position(row: PositionSnapshot, price: Decimal | None) -> Position:
    distance = None
    # The exchange leaves the price out, or sends 0, where nothing could liquidate the position.
    if price and row.liq_price:
        falls = price - row.liq_price if row.side == LONG else row.liq_price - price
        distance = falls / price
    return Position(row, price, distance)


def newest_legs(accounts: Collection[UUID], end: datetime) -> list[int]:
    """The key of the newest state, up to `end`, of each leg that these accounts ever had.

    The symbols of an account are stepped through in the table's unique index: no row between
    one symbol and the next is read, where a GROUP BY would read them all.
    """
    if not accounts:
        return []
    pk, at = BybitAccount._meta.pk, PositionSnapshot._meta.get_field("exchange_ts")
    keys = [pk.get_db_prep_value(account, connection) for account in accounts]
    moment = at.get_db_prep_value(end, connection)
    with connection.cursor() as cursor:
        cursor.execute(NEWEST_LEGS.format(", ".join(["%s"] * len(keys))), [*keys, moment])
        return [key for (key,) in cursor.fetchall() if key is not None]
