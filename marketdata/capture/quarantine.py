"""Quarantine: what arrived and cannot be stored is counted, logged and kept with its reason."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from django.db import models, transaction

from accounts.models import BybitAccount
from marketdata.bybit.records import Reject
from marketdata.capture.tally import StreamKey, Tally
from marketdata.log_events import QUARANTINED, ids_in
from marketdata.log_rate import Seldom
from marketdata.models import QuarantinedMessage

logger = logging.getLogger(__name__)

MAX_RAW_CHARACTERS = 65_536
CAPACITY_MESSAGES = 20_000
CHUNK_MESSAGES = 500
# So many in a minute are named, and of a flood now and then one.
LOG_EACH, LOG_EVERY = 10, 1000


@dataclass
class Kept:
    """One message in quarantine and how often it came since the last flush."""

    account_id: UUID | None
    topic: str
    reason: str
    raw_text: str
    digest: str
    first_seen: datetime
    last_seen: datetime
    count: int = 1


class Quarantine:
    """Takes rejects from any thread; `flush` stores them."""

    def __init__(self, tally: Tally, capacity: int = CAPACITY_MESSAGES) -> None:
        self._tally = tally
        self._capacity = capacity
        self._waiting: dict[str, Kept] = {}
        self._seen = 0
        self._told = Seldom(LOG_EACH)
        self._rejected: Counter[tuple[StreamKey, str]] = Counter()

    def rejected(self) -> dict[tuple[StreamKey, str], int]:
        """How many rows were set aside since capture began, by stream and topic."""
        with self._tally.lock:
            return dict(self._rejected)

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def overfull(self) -> bool:
        """Whether more messages wait than capture may hold."""
        return len(self._waiting) > self._capacity

    def add(self, key: StreamKey, reject: Reject, *, received: bool = True, rows: int = 1) -> None:
        """Count and keep `reject`, which stands for so many rows.

        `received` says that no writer has counted them before.
        """
        topic, reason = storable(reject.topic)[:100], storable(reject.reason)[:200]
        now = datetime.now(UTC)
        digest = hashlib.sha256(
            "\0".join((str(key.account_id), topic, reason, reject.raw)).encode(errors="replace")
        ).hexdigest()
        with self._tally.lock:
            self._tally.add(key, received=rows * received, quarantined=rows)
            self._rejected[key, topic] += rows
            kept = self._waiting.get(digest)
            if kept is None:
                self._waiting[digest] = Kept(
                    key.account_id,
                    topic,
                    reason,
                    shortened(storable(reject.raw)),
                    digest,
                    now,
                    now,
                    rows,
                )
            else:
                kept.count += rows
                kept.last_seen = now
            self._seen += 1
            seen = self._seen
        if self._told.is_due() or seen % LOG_EVERY == 0:
            text = "quarantined number %d: %s: %s"
            of = {"topic": topic, "reason": reason, "count": seen}
            ids = {"account": key.account_id, **ids_in(reject.raw)}
            QUARANTINED.log(logger, text, seen, topic, reason, **ids, **of)

    def unwritten(self) -> list[Kept]:
        """What `flush` would store."""
        with self._tally.lock:
            return list(self._waiting.values())

    def take_over(self, messages: Sequence[Kept]) -> None:
        """Have `flush` store what an earlier capture could not."""
        self._take_back({message.digest: message for message in messages})

    def flush(self) -> None:
        """Store what waits. On a database error everything waits on, and the error is raised."""
        with self._tally.lock:
            batch, self._waiting = self._waiting, {}
        if not batch:
            return
        try:
            with transaction.atomic():
                self._store(list(batch.values()))
        except BaseException:
            self._take_back(batch)
            raise

    def _store(self, batch: Sequence[Kept]) -> None:
        self._disown(batch)
        known: set[str] = set()
        # SQLite takes a bounded number of variables in one statement.
        for start in range(0, len(batch), CHUNK_MESSAGES):
            digests = [kept.digest for kept in batch[start : start + CHUNK_MESSAGES]]
            known.update(
                QuarantinedMessage.objects.filter(digest__in=digests).values_list(
                    "digest", flat=True
                )
            )
        QuarantinedMessage.objects.bulk_create(
            QuarantinedMessage(**vars(kept)) for kept in batch if kept.digest not in known
        )
        for kept in batch:
            if kept.digest in known:
                QuarantinedMessage.objects.filter(digest=kept.digest).update(
                    count=models.F("count") + kept.count, last_seen=kept.last_seen
                )

    def _disown(self, batch: Sequence[Kept]) -> None:
        """Of an account that was deleted meanwhile, keep the reason and nothing of its own."""
        named = {kept.account_id for kept in batch if kept.account_id is not None}
        there = set(
            BybitAccount.objects.unscoped().filter(pk__in=named).values_list("pk", flat=True)
        )
        for kept in batch:
            if kept.account_id is not None and kept.account_id not in there:
                kept.account_id, kept.raw_text = None, ""

    def _take_back(self, batch: dict[str, Kept]) -> None:
        with self._tally.lock:
            for digest, newer in self._waiting.items():
                if digest in batch:
                    batch[digest].count += newer.count
                    batch[digest].last_seen = newer.last_seen
                else:
                    batch[digest] = newer
            self._waiting = batch


def storable(text: str) -> str:
    """`text` without what PostgreSQL cannot hold: NUL and lone surrogates become escapes."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def shortened(text: str) -> str:
    """`text`, or its two ends with a note of what was left out between them."""
    if len(text) <= MAX_RAW_CHARACTERS:
        return text
    half = MAX_RAW_CHARACTERS // 2
    return f"{text[:half]} … {len(text) - 2 * half} characters left out … {text[-half:]}"
