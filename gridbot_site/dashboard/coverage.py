"""Lines of the dashboard that are about feeds: a strip each, with its figures and its trouble."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import urlencode
from uuid import UUID

from django.db.models import Q
from django.http import HttpRequest

from accounts.models import BybitAccount, User
from gridbot_site.dashboard.doors import list_url, name_of, row_url, seen
from marketdata.capture.feeds import Feed
from marketdata.coverage.report import PUBLIC_STREAMS, TABLES
from marketdata.dashboard.feeds import Known, known_feeds
from marketdata.dashboard.rates import Rate, rates
from marketdata.dashboard.strips import COLUMNS, Run, State, duration, in_words, runs, share
from marketdata.dashboard.window import Window
from marketdata.health.stored import captured_feeds
from marketdata.models import CaptureGap, CoverageInterval, Stream

# What is vouched for follows some ten seconds behind; a feed of which nothing is known for longer
# than this is not being captured.
SILENT_SECONDS = 60
MOST_GAPS = 12


@dataclass(frozen=True)
class FeedLine:
    """One feed as the page shows it."""

    feed: Feed
    runs: list[Run]
    words: str
    complete: str
    rows: str
    lag: str
    open_gaps: int
    trouble: str
    # Nothing is to be expected of it: see `feed_lines`.
    rests: bool
    # Of the strip, in which the runs are counted.
    columns: int = COLUMNS


class GapLine(NamedTuple):
    """One gap as the page shows it."""

    url: str
    subject: str
    gap: CaptureGap
    lasted: str


def feed_lines(
    request: HttpRequest, window: Window, streams: Collection[str], accounts: Collection[UUID] = ()
) -> list[FeedLine]:
    """The feeds of these streams that the user may see, in order; with `accounts`, theirs alone.

    Those of an account that is switched off, or whose user is, rest, and so do those of a symbol
    that is captured no longer.
    """
    near = Q(stream__in=streams) & (Q(account__in=accounts) if accounts else Q())
    intervals, gaps = (seen(request, each).filter(near) for each in (CoverageInterval, CaptureGap))
    known = known_feeds(intervals, gaps, window)
    tables = {stream: seen(request, TABLES[Stream(stream)]) for stream in streams}
    if accounts:
        tables = {stream: rows.filter(account__in=accounts) for stream, rows in tables.items()}
    measured = rates(tables, window.end) if known else {}
    order = list(TABLES)
    known.sort(key=lambda each: (each.feed.symbol, order.index(Stream(each.feed.stream))))
    resting = _resting(request, {each.feed.account_id for each in known})
    dropped = _dropped(each.feed for each in known)
    return [
        _line(
            each,
            measured.get(each.feed),
            window,
            rests=each.feed.account_id in resting or each.feed in dropped,
        )
        for each in known
    ]


def _dropped(feeds: Iterable[Feed]) -> set[Feed]:
    """Those of symbols that capture was not asked for any more, or that are not listed."""
    public = {feed for feed in feeds if not feed.account_id}
    captured = captured_feeds() if public else set()
    return public - captured if captured else set()


def _resting(request: HttpRequest, accounts: Collection[UUID | None]) -> set[UUID]:
    """Those of the accounts that capture is not to serve."""
    keys = [account for account in accounts if account is not None]
    if not keys:
        return set()
    status = BybitAccount.Status.DISABLED
    is_off = Q(status=status) | ~Q(user__status=User.Status.ACTIVE) | Q(user__is_active=False)
    return set(seen(request, BybitAccount).filter(is_off, pk__in=keys).values_list("pk", flat=True))


def _line(known: Known, rate: Rate | None, window: Window, *, rests: bool) -> FeedLine:
    complete = share(known.pieces)
    return FeedLine(
        feed=known.feed,
        runs=runs(known.pieces),
        words=in_words(known.pieces),
        complete="-" if complete is None else percent(complete),
        rows=f"{rate.rows:,}" if rate else "0",
        lag=f"{rate.lag.total_seconds() * 1000:,.0f} ms" if rate else "-",
        open_gaps=known.open_gaps,
        trouble="" if rests else _trouble(known, window),
        rests=rests,
    )


def _trouble(known: Known, window: Window) -> str:
    """What an operator should look at, in a few words; empty when there is nothing."""
    last = known.pieces[-1]
    if last.state in (State.OPEN, State.LOST):
        began = known.since or last.start
        lasted = duration((window.end - began).total_seconds())
        return f"open gap since {began:%Y-%m-%d %H:%M:%S}, {lasted}"
    if known.is_silent(window, SILENT_SECONDS):
        since = known.last
        return f"nothing since {since:%Y-%m-%d %H:%M:%S}" if since else "nothing yet"
    return ""


def percent(part: float) -> str:
    """A share; 100 % is said of the whole alone."""
    if part >= 1:
        return "100 %"
    return f"{min(100 * part, 99.99):.2f} %"


def is_public(line: FeedLine) -> bool:
    """Whether it is a market's, and no account's."""
    return line.feed.stream in PUBLIC_STREAMS


def gap_lines(request: HttpRequest, window: Window, accounts: Iterable[UUID] = ()) -> list[GapLine]:
    """The newest gaps that reach into the window, whatever became of them."""
    rows = seen(request, CaptureGap).filter(
        Q(ended_at=None) | Q(ended_at__gte=window.start), started_at__lt=window.end
    )
    if only := list(accounts):
        rows = rows.filter(account__in=only)
    newest = rows.select_related("account__user").order_by("-started_at", "-pk")[:MOST_GAPS]
    return [_gap_line(request, gap, window) for gap in newest]


def _gap_line(request: HttpRequest, gap: CaptureGap, window: Window) -> GapLine:
    seconds = ((gap.ended_at or window.end) - gap.started_at).total_seconds()
    subject = gap.symbol if gap.account is None else name_of(request, gap.account)
    return GapLine(row_url(CaptureGap, gap.pk), subject, gap, duration(max(seconds, 0.0)))


def filtered_url(model: Any, **filters: Any) -> str:
    """The list of a kind, filtered."""
    return f"{list_url(model)}?{urlencode(filters)}"
