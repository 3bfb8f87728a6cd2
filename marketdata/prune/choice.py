"""Which rows a policy is about, of which symbols and accounts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import timedelta

from accounts.models import BybitAccount
from marketdata.capture.accounts import full_name
from marketdata.coverage.report import TABLES, known_feeds
from marketdata.prune.lots import Backtests, Facts, Lot, Quarantine
from marketdata.prune.policy import Policy

MARKET = "the market"


def chosen_lots(
    policy: Policy,
    symbols: Collection[str] | None,
    accounts: Sequence[BybitAccount],
    *,
    their_quarantine: bool = False,
) -> Iterator[tuple[Lot, timedelta]]:
    """Each lot with the age from which on it goes: of `symbols`, all with None, and `accounts`.

    `their_quarantine` says that the quarantine of a policy is that of the accounts, too.
    """
    streams = [stream for stream in TABLES if stream in policy]
    for feed, subject in known_feeds(streams, symbols, accounts):
        yield Facts(feed, subject), policy[feed.stream]
    if "quarantine" in policy:
        yield Quarantine(None, MARKET), policy["quarantine"]
    for account in accounts:
        name = full_name(account)
        if their_quarantine and "quarantine" in policy:
            yield Quarantine(account.pk, name), policy["quarantine"]
        if "backtests" in policy:
            yield Backtests(account.pk, name), policy["backtests"]
