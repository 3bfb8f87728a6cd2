"""Rows that were the newest at some moments: each is a step in an index, whatever the table's size.

A curve over a month of snapshots, drawn by reading them, would cost the month; drawn from the
newest row before each of so many moments it costs as many steps. Each condition here stands in
`pk__in` of a queryset that is scoped already, and is asked for with it, in one query.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection
from django.db.models.expressions import RawSQL

from accounts.models import BybitAccount
from marketdata.models import TickerSnapshot

# What linear contracts are settled in. A total is the account's, whichever coin it came with: the
# newest counts. Without one the first coin that the account has speaks for it.
SETTLED_IN = ("USDT", "USDC")
TICKERS_AT = """
WITH moments (at) AS (VALUES {moments})
SELECT (SELECT t.id FROM ticker_snapshots t
        WHERE t.symbol = %s AND t.exchange_ts <= moments.at ORDER BY t.exchange_ts DESC LIMIT 1)
FROM moments
"""
# Steps alone: a join to the table would have the planner read all of it, and sort it.
WALLETS_AT = """
WITH moments (at) AS (VALUES {moments})
SELECT (SELECT told.id FROM ({choices}) AS told
        ORDER BY told.total_equity IS NULL,
            CASE WHEN told.total_equity IS NOT NULL THEN told.exchange_ts END DESC, told.place
        LIMIT 1)
FROM bybit_accounts a CROSS JOIN moments WHERE a.id IN ({accounts})
"""
WALLET_AT = """
SELECT {place} AS place, newest.* FROM (
    SELECT w.id, w.exchange_ts, w.total_equity FROM wallet_snapshots w
    WHERE w.account_id = a.id AND w.coin = %s AND w.exchange_ts <= moments.at
    ORDER BY w.exchange_ts DESC, w.id DESC LIMIT 1
) AS newest
"""
# Symbols of an account are stepped through in the table's unique index: no row between one and the
# next is read, where a GROUP BY would read them all. A leg is 0 one-way, 1 long, 2 short.
NEWEST_LEGS = """
WITH RECURSIVE held (account_id, symbol) AS (
    SELECT a.id, (SELECT MIN(p.symbol) FROM position_snapshots p WHERE p.account_id = a.id)
    FROM bybit_accounts a WHERE a.id IN ({accounts})
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


def tickers_at(symbol: str, moments: Sequence[datetime]) -> RawSQL:
    """The keys of the symbol's newest ticker at each of the moments."""
    rows = ", ".join(["(%s)"] * len(moments))
    return RawSQL(TICKERS_AT.format(moments=rows), [*map(_moment, moments), symbol])  # noqa: S611


def wallets_at(accounts: Collection[UUID], moments: Sequence[datetime]) -> RawSQL:
    """The keys of the newest balance of each account, of which there is one, at each moment."""
    sql = WALLETS_AT.format(
        moments=", ".join(["(%s)"] * len(moments)),
        choices=" UNION ALL ".join(
            WALLET_AT.format(place=place) for place in range(len(SETTLED_IN))
        ),
        accounts=_places(accounts),
    )
    return RawSQL(sql, [*map(_moment, moments), *SETTLED_IN, *map(_key, accounts)])  # noqa: S611


def newest_legs(accounts: Collection[UUID], end: datetime) -> RawSQL:
    """The keys of the newest state, up to `end`, of each leg that these accounts, at least one, had."""
    sql = NEWEST_LEGS.format(accounts=_places(accounts))
    return RawSQL(sql, [*map(_key, accounts), _moment(end)])  # noqa: S611


def _places(values: Collection[Any]) -> str:
    return ", ".join(["%s"] * len(values))


def _key(account: UUID) -> Any:
    return BybitAccount._meta.pk.get_db_prep_value(account, connection)


def _moment(at: datetime) -> Any:
    return TickerSnapshot._meta.get_field("exchange_ts").get_db_prep_value(at, connection)
