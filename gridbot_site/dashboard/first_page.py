"""What the admin's first page shows: the market, the accounts, and what needs a look."""

from __future__ import annotations

import shlex
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.http import HttpRequest
from django.utils import timezone

from accounts.models import BybitAccount
from gridbot_site.dashboard.coverage import (
    FeedLine,
    feed_lines,
    filtered_url,
    gap_lines,
    is_public,
)
from gridbot_site.dashboard.doors import list_url, name_of, row_url, seen
from gridbot_site.dashboard.money import EquityView
from marketdata.capture.accounts import full_name
from marketdata.coverage.report import TABLES
from marketdata.dashboard.holdings import Position, equity_curves, open_positions, positions_of
from marketdata.dashboard.window import Window
from marketdata.models import (
    CaptureGap,
    CaptureLease,
    PositionSnapshot,
    QuarantinedMessage,
    WalletSnapshot,
)

# Further ones are counted, and found in the lists.
MOST_SYMBOLS = 40
MOST_ACCOUNTS = 30
# Of the little curves of equity.
MOMENTS = 25
MOST_QUARANTINED = 5
MOST_COUNTED = 100


class Capture(NamedTuple):
    """Whether a process captures, and which."""

    runs: bool
    lease: CaptureLease | None


@dataclass(frozen=True)
class AccountCard:
    """An account as the first page shows it."""

    account: BybitAccount
    name: str
    lines: list[FeedLine]
    positions: list[Position]
    equity: EquityView | None

    @property
    def has_failed(self) -> bool:
        """Whether capture has set it aside."""
        return bool(self.account.status == BybitAccount.Status.ERROR)


class Quarantined(NamedTuple):
    """A message that could not be stored, as the first page shows it."""

    url: str
    of: str
    message: QuarantinedMessage


class Finding(NamedTuple):
    """Something to look at."""

    words: str
    url: str = ""


def context(request: HttpRequest) -> dict[str, Any]:
    """All of the page, of the rows that the user may see."""
    now = timezone.now()
    window = Window.asked(request.GET, now)
    capture = _capture(request, now)
    lines = feed_lines(request, window, list(TABLES))
    market = [line for line in lines if is_public(line)]
    cards, more_accounts = _cards(request, window, [line for line in lines if not is_public(line)])
    symbols = _by_symbol(market)
    quarantined = _quarantined(request, window)
    findings = list(_findings(capture, lines, cards, quarantined))
    return {
        "window": window,
        "capture": capture,
        "findings": findings,
        "feeds": sum(not line.rests for line in lines),
        "is_empty": not lines,
        # As a shell takes it, whatever its user called it.
        "first_account": shlex.quote(full_name(cards[0].account)) if cards else "",
        "symbols": symbols[:MOST_SYMBOLS],
        "more_symbols": max(len(symbols) - MOST_SYMBOLS, 0),
        "cards": cards,
        "more_accounts": more_accounts,
        "gaps": gap_lines(request, window) if lines else [],
        "gaps_url": _open_gaps(),
        "quarantined": quarantined[:MOST_QUARANTINED],
        "quarantine_url": list_url(QuarantinedMessage),
        "accounts_url": list_url(BybitAccount),
    }


def _by_symbol(market: list[FeedLine]) -> list[tuple[str, list[FeedLine]]]:
    """The feeds of each symbol; where there is no room for all, those in trouble come first."""
    found: defaultdict[str, list[FeedLine]] = defaultdict(list)
    for line in market:
        found[line.feed.symbol].append(line)
    symbols = sorted(found.items())
    if len(symbols) > MOST_SYMBOLS:
        symbols.sort(key=lambda each: not any(line.trouble or line.open_gaps for line in each[1]))
    return symbols


def _cards(
    request: HttpRequest, window: Window, lines: list[FeedLine]
) -> tuple[list[AccountCard], bool]:
    """The accounts that the user may see, those that were set aside first; and whether that is not all."""
    in_order = seen(request, BybitAccount).order_by("-status", "user__username", "account_name")
    found = list(in_order.select_related("user")[: MOST_ACCOUNTS + 1])
    accounts = found[:MOST_ACCOUNTS]
    keys = [account.pk for account in accounts]
    curves = equity_curves(seen(request, WalletSnapshot), keys, window.moments(MOMENTS))
    held: defaultdict[UUID, list[PositionSnapshot]] = defaultdict(list)
    for snapshot in open_positions(seen(request, PositionSnapshot), keys, window.end):
        held[snapshot.account_id].append(snapshot)
    by_account: defaultdict[Any, list[FeedLine]] = defaultdict(list)
    for line in lines:
        by_account[line.feed.account_id].append(line)
    cards = [
        AccountCard(
            account=account,
            name=name_of(request, account),
            lines=by_account[account.pk],
            positions=positions_of(held[account.pk], {}),
            equity=EquityView.of(curves.get(account.pk, []), window),
        )
        for account in accounts
    ]
    return cards, len(found) > len(cards)


def _capture(request: HttpRequest, now: datetime) -> Capture:
    lease = seen(request, CaptureLease).first()
    return Capture(lease is not None and lease.expires_at > now, lease)


def _quarantined(request: HttpRequest, window: Window) -> list[Quarantined]:
    """What could not be stored in the window, the newest first."""
    rows = seen(request, QuarantinedMessage).filter(
        last_seen__gte=window.start, last_seen__lte=window.end
    )
    newest = rows.select_related("account__user").defer("raw_text")
    return [
        Quarantined(
            row_url(QuarantinedMessage, row.pk),
            name_of(request, row.account) if row.account else "-",
            row,
        )
        for row in newest.order_by("-last_seen", "-pk")[:MOST_COUNTED]
    ]


def _findings(
    capture: Capture,
    lines: list[FeedLine],
    cards: list[AccountCard],
    quarantined: list[Quarantined],
) -> Iterator[Finding]:
    """What is not as it should be, the most pressing first."""
    if lines and capture.lease is not None and not capture.runs:
        yield Finding(f"Capture has not run since {capture.lease.expires_at:%Y-%m-%d %H:%M:%S}.")
    for card in cards:
        if card.has_failed:
            url = row_url(BybitAccount, card.account.pk)
            reason = card.account.status_reason
            yield Finding(f"Account {card.name} is set aside: {reason}", url)
    if troubled := sum(bool(line.trouble) for line in lines):
        verb = "is" if troubled == 1 else "are"
        expected = sum(not line.rests for line in lines)
        yield Finding(f"{troubled} of {expected} feeds {verb} not coming in.")
    # An archive may still fill those of a symbol that is not captured any more.
    wanted = [line for line in lines if is_public(line) or not line.rests]
    if unsettled := sum(line.open_gaps for line in wanted):
        # Whatever the window: a gap stays open until somebody fills it.
        yield Finding(f"{_many(unsettled, 'gap')} not filled yet.", _open_gaps())
    if near := [each for card in cards for each in card.positions if each.is_near]:
        yield Finding(f"{_many(len(near), 'position')} near liquidation.")
    if quarantined:
        least = f"{MOST_COUNTED} messages or more are" if len(quarantined) == MOST_COUNTED else ""
        words = least or _many(len(quarantined), "message")
        yield Finding(f"{words} in quarantine.", list_url(QuarantinedMessage))


def _open_gaps() -> str:
    return filtered_url(CaptureGap, state__exact=CaptureGap.State.OPEN)


def _many(count: int, what: str) -> str:
    return f"1 {what} is" if count == 1 else f"{count} {what}s are"
