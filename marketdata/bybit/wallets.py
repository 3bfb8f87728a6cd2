"""Wallets, from the stream and from REST: one record per coin, with the account's totals.

What is available to trade with is a figure of the account, in USD; a coin's
`availableToWithdraw` is out of use. A coin that cannot be read costs no other coin its record.
Sources: https://bybit-exchange.github.io/docs/v5/websocket/private/wallet and
https://bybit-exchange.github.io/docs/v5/account/wallet-balance.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, NamedTuple

from marketdata.bybit.digest import with_digest
from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.private import Row, Source, check_storable
from marketdata.bybit.records import Parsed, Reject, WalletRecord
from marketdata.bybit.values import MISSING, malformed, raw_text, word_from


class _Totals(NamedTuple):
    """The account's figures, in the order of a record's columns."""

    available_balance: Decimal | None
    total_equity: Decimal | None
    total_wallet_balance: Decimal | None
    total_margin_balance: Decimal | None
    total_initial_margin: Decimal | None
    total_maintenance_margin: Decimal | None


def parse_wallet_rows(
    accounts: Sequence[Any], source: Source, time_field: str
) -> Parsed[WalletRecord]:
    """The coins of these account objects, in their order, and those that cannot be read.

    Raises MalformedMessage when the envelope's time, `time_field`, cannot be read.
    """
    sent_at = source.sent_at(time_field)
    parsed: Parsed[WalletRecord] = Parsed([], [])
    for account in accounts:
        try:
            coins = _coins(account)
        except MalformedMessage as error:
            parsed.rejects.append(Reject(source.topic, error.reason, raw_text(account)))
            continue
        for coin in coins:
            row = {**account, "coin": [coin]}
            try:
                parsed.records.append(_wallet_from(row, coin, source, sent_at))
            except MalformedMessage as error:
                parsed.rejects.append(Reject(source.topic, error.reason, raw_text(row)))
    return parsed


def _wallet_from(
    row: dict[str, Any], coin: object, source: Source, sent_at: datetime
) -> WalletRecord:
    if type(coin) is not dict:
        raise malformed("coin", "is not an object", coin)
    check_storable(row)
    read = Row(coin, source)
    record = WalletRecord(
        sent_at,
        source.received_at,
        row,
        word_from(coin.get("coin", MISSING), "coin"),
        "",
        read.number("walletBalance"),
        read.optional("equity"),
        read.optional("unrealisedPnl"),
        read.optional("cumRealisedPnl"),
        *_totals(Row(row, source)),
    )
    return with_digest(record)


def _totals(read: Row) -> _Totals:
    return _Totals(
        available_balance=read.optional("totalAvailableBalance"),
        total_equity=read.optional("totalEquity"),
        total_wallet_balance=read.optional("totalWalletBalance"),
        total_margin_balance=read.optional("totalMarginBalance"),
        total_initial_margin=read.optional("totalInitialMargin"),
        total_maintenance_margin=read.optional("totalMaintenanceMargin"),
    )


def _coins(account: object) -> list[Any]:
    if type(account) is not dict:
        raise malformed("row", "is not an object", account)
    coins = account.get("coin", MISSING)
    if type(coins) is not list:
        raise malformed("coin", "is missing" if coins is MISSING else "is not a list", coins)
    return coins
