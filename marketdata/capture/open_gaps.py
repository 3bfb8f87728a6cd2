"""A gap as capture knows it, and its row in the database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from django.utils import timezone

from accounts.models import BybitAccount
from marketdata.capture.accounts import full_name
from marketdata.capture.feeds import Feed
from marketdata.capture.pulse import come_on
from marketdata.models import CaptureGap


class GapState(NamedTuple):
    """What of a gap changes while it goes on."""

    started_at: datetime
    ended_at: datetime | None
    outages: int


@dataclass
class OpenGap:
    """A gap that has begun; `pk` is None until it is stored.

    `is_guess` says that its beginning is by our own clock: no row is known from before. `account`
    is what people call its account, once it is stored.
    """

    feed: Feed
    started_at: datetime
    reason: str
    outages: int = 1
    ended_at: datetime | None = None
    pk: int | None = None
    changed: bool = True
    is_guess: bool = False
    account: str = ""

    @property
    def state(self) -> GapState:
        """What is written of it."""
        return GapState(self.started_at, self.ended_at, self.outages)

    def is_stored(self) -> bool:
        """Whether it was written after all, its writer having died before it knew."""
        same = CaptureGap.objects.filter(**self.feed._asdict(), started_at=self.started_at)
        return same.filter(reason=self.reason).exists()

    def write(self, state: GapState) -> int | None:
        """Write it in a state that it had; its primary key, None when its account is gone."""
        come_on()
        evidence = {"outages": state.outages}
        if self.pk is not None:
            row = CaptureGap.objects.filter(pk=self.pk)
            going_on = row.filter(ended_at=None, state=CaptureGap.State.OPEN)
            written = going_on.update(
                started_at=state.started_at,
                ended_at=state.ended_at,
                evidence=evidence,
                updated_at=timezone.now(),
            )
            # A row that is gone went with its account: nobody asks for it any more. One that
            # another capture has ended meanwhile is its word, and ours is another row.
            if written or not row.exists():
                self.account = self.account or _name_of(self.feed.account_id)
                return self.pk
        self.account = _name_of(self.feed.account_id)
        if self.feed.account_id is not None and not self.account:
            return None
        return CaptureGap.objects.create(
            **self.feed._asdict(),
            started_at=state.started_at,
            ended_at=state.ended_at,
            reason=self.reason,
            evidence=evidence,
        ).pk


def left_open(feeds: Iterable[Feed]) -> list[OpenGap]:
    """The gaps of `feeds` that a capture which died has left without an end.

    Of several of one feed the oldest covers them all, and the others are deleted.
    """
    wanted, oldest, covered = set(feeds), dict[Feed, CaptureGap](), list[int]()
    unfinished = CaptureGap.objects.filter(ended_at=None, state=CaptureGap.State.OPEN)
    unfinished = unfinished.select_related("account__user").order_by("started_at", "pk")
    for row in unfinished:
        feed = Feed(row.stream, row.symbol, row.account_id)
        if feed in wanted and oldest.setdefault(feed, row) is not row:
            covered.append(row.pk)
    CaptureGap.objects.filter(pk__in=covered).delete()
    return [
        OpenGap(
            feed,
            row.started_at,
            row.reason,
            int(row.evidence.get("outages", 1)),
            pk=row.pk,
            changed=False,
            account=full_name(row.account) if row.account else "",
        )
        for feed, row in oldest.items()
    ]


def _name_of(account_id: UUID | None) -> str:
    """The name of an account; nothing for none, and for one that is gone."""
    if account_id is None:
        return ""
    account = BybitAccount.objects.unscoped().filter(pk=account_id).select_related("user").first()
    return full_name(account) if account else ""
