"""Figures as they were at some moments: each is one step in an index, whatever the table's size.

A curve over a month of snapshots, drawn by reading them, would cost the month; drawn from the
newest row before each of so many moments it costs as many steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import models
from django.db.models import OuterRef, Subquery
from django.db.models.functions import Coalesce

Rows = models.QuerySet[Any]
# What linear contracts are settled in: an account's equity changes with the first that it has.
SETTLED_IN = ("USDT", "USDC")


def wallets_of_owner(wallets: Rows) -> list[Rows]:
    """The balances of the account that is the outer row, by the coins that contracts settle in."""
    return [wallets.filter(account=OuterRef("pk"), coin=coin) for coin in SETTLED_IN]


def keys_at(
    owners: Rows, choices: Sequence[Rows], moments: Sequence[datetime]
) -> list[tuple[Any, list[int | None]]]:
    """Each owner with the key of the newest row at each moment, None before the first: one query.

    Of `choices`, querysets about the owner as the outer row, the first that has a row counts.
    """

    def newest(at: datetime) -> Any:
        found = [
            Subquery(
                rows.filter(exchange_ts__lte=at).order_by("-exchange_ts", "-pk").values("pk")[:1]
            )
            for rows in choices
        ]
        return Coalesce(*found) if len(found) > 1 else found[0]

    names = [f"at_{n}" for n in range(len(moments))]
    asked = owners.annotate(**dict(zip(names, map(newest, moments), strict=True)))
    return [(owner, [getattr(owner, name) for name in names]) for owner in asked]
