"""What accounts hold: equity over time, positions, and how far these are from liquidation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID

from django.db import models

from marketdata.dashboard.samples import newest_legs, wallets_at
from marketdata.models import PositionSnapshot

Rows = models.QuerySet[Any]
LONG = "Buy"
# Nearer than this part of the price to its liquidation, a position is pointed out.
NEAR = Decimal("0.05")


class Equity(NamedTuple):
    """An account's equity at a time: in USD where the exchange gave a total, else in the coin."""

    at: datetime
    amount: Decimal
    unit: str


class Mark(NamedTuple):
    """A market's mark price, and when it was so."""

    at: datetime
    price: Decimal


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
    def unrealised_pnl(self) -> Decimal | None:
        """What closing it at `price` would realise, before fees: the exchange's own figure where the
        price is the one that was pushed, else reckoned as linear contracts are."""
        row = self.snapshot
        pushed: Decimal | None = row.unrealised_pnl
        if row.entry_price is None or self.price is None or self.price == row.mark_price:
            return pushed
        moved: Decimal = self.price - row.entry_price
        size: Decimal = row.size
        return size * (moved if row.side == LONG else -moved)

    @property
    def leg(self) -> str:
        """Long or short."""
        return "long" if self.snapshot.side == LONG else "short"


def equity_curves(
    wallets: Rows, accounts: Collection[UUID], moments: Sequence[datetime]
) -> dict[UUID, list[Equity]]:
    """The equity of each account that has any, as it was told by the newest of the moments: one query.

    In order of time; the first may be older than the first moment, which it then still holds at.
    """
    curves: defaultdict[UUID, list[Equity]] = defaultdict(list)
    if accounts:
        columns = ("account", "exchange_ts", "coin", "total_equity", "equity", "wallet_balance")
        told = wallets.filter(pk__in=wallets_at(accounts, moments)).order_by("exchange_ts", "pk")
        for account, at, coin, total, equity, balance in told.values_list(*columns):
            if total is not None:
                curves[account].append(Equity(at, total, "USD"))
            else:
                curves[account].append(Equity(at, balance if equity is None else equity, coin))
    return dict(curves)


def open_positions(
    positions: Rows, accounts: Collection[UUID], end: datetime
) -> list[PositionSnapshot]:
    """The newest states of the legs of these accounts that are not flat: one query."""
    if not accounts:
        return []
    newest = positions.filter(pk__in=newest_legs(accounts, end), size__gt=0)
    return list(newest.defer("raw_json"))


def positions_of(
    snapshots: Iterable[PositionSnapshot], marks: Mapping[str, Mark]
) -> list[Position]:
    """Positions at these `marks`, where there is a newer one; those near liquidation first."""
    found = [_position(row, _price(row, marks.get(row.symbol))) for row in snapshots]
    return sorted(
        found, key=lambda each: (not each.is_near, each.snapshot.symbol, each.snapshot.position_idx)
    )


def _price(row: PositionSnapshot, mark: Mark | None) -> Decimal | None:
    """The newer of the market's price and the pushed one: who captures no market has old tickers."""
    pushed: Decimal | None = row.mark_price
    if mark is None or (pushed is not None and mark.at < row.exchange_ts):
        return pushed
    return mark.price


def _position(row: PositionSnapshot, price: Decimal | None) -> Position:
    distance = None
    # The exchange leaves the price out, or sends 0, where nothing could liquidate the position.
    if price and row.liq_price:
        falls = price - row.liq_price if row.side == LONG else row.liq_price - price
        distance = falls / price
    return Position(row, price, distance)
