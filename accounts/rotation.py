"""Bring every sealed secret under the first key, while others read and write.

Rows are taken in batches, in the order of their ids, each batch in one transaction with its
entries in the audit log. PostgreSQL locks the rows of a batch; SQLite has one writer at a time;
on both a row is replaced only while it holds what was read. A batch is there or not: whoever is
killed has lost a batch's work, and nothing else, and what is under the first key is left alone.
The walk is repeated until it finds nothing to do, so rows that others put in between are met.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import transaction

from accounts import access_log, vault
from accounts.models import ApiCredential

BATCH = 200


@dataclass
class Rotation:
    """What became of the credentials; `failed` says why by id, never what was sealed.

    `under` counts them by the id of the key that they are under now; "" is no sealed secret.
    `left` are those that are not sealed as they would be today.
    """

    total: int = 0
    rotated: int = 0
    left: int = 0
    failed: dict[UUID, str] = field(default_factory=dict)
    under: Counter[str] = field(default_factory=Counter)

    def may_be_retired(self, key_id: str) -> bool:
        """Whether no credential needs the configured key, and it does not seal."""
        return not self.under[key_id] and key_id != vault.key_ids()[0]


def rotate(
    *,
    batch: int = BATCH,
    dry_run: bool = False,
    on_progress: Callable[[Rotation], None] = lambda rotation: None,
) -> Rotation:
    """Seal anew what is not under the first key; with `dry_run` only count it.

    `on_progress` hears of each batch once it is committed. Raises vault.VaultError when no usable
    key is configured, and the database's own errors.
    """
    vault.key_ids()
    rotated = 0
    while True:
        walk = Rotation(rotated=rotated)
        _walk(walk, batch, on_progress, dry_run=dry_run)
        # What is left and has not failed was changed by others in the very moment of its turn.
        if dry_run or (walk.rotated == rotated and walk.left == len(walk.failed)):
            return walk
        rotated = walk.rotated


def _walk(
    walk: Rotation, batch: int, on_progress: Callable[[Rotation], None], *, dry_run: bool
) -> None:
    after: UUID | None = None
    while True:
        with transaction.atomic():
            rows = _rows_after(after, batch)
            resealed = [] if dry_run else _resealed(rows, walk)
            access_log.note_resealing(resealed)
        for row in rows:
            _count(walk, row)
        walk.rotated += len(resealed)
        if not rows:
            return
        on_progress(walk)
        after = rows[-1].pk


def _rows_after(after: UUID | None, count: int) -> Sequence[Any]:
    rows = ApiCredential.objects.unscoped().select_related("account").order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    # SQLite knows no row locks; the batch's transaction holds its only write lock.
    return list(rows.select_for_update(of=("self",))[:count])


def _resealed(rows: Sequence[Any], walk: Rotation) -> list[tuple[ApiCredential, str, str]]:
    """Seal what is not current anew; each credential with its old and its new key's id."""
    changes = []
    for row in rows:
        old = bytes(row.sealed_secret)
        try:
            if vault.is_current(old):
                continue
            new = vault.reseal(old, row.binding())
        except vault.VaultError as error:
            walk.failed[row.pk] = str(error)
            continue
        # The batch is recorded as a whole, and not row by row as other updates are.
        same = ApiCredential._base_manager.filter(pk=row.pk, sealed_secret=old)
        if same.update(sealed_secret=new):
            row.sealed_secret = new
            changes.append((row, vault.key_id_of(old), vault.key_id_of(new)))
    return changes


def _count(walk: Rotation, row: ApiCredential) -> None:
    walk.total += 1
    try:
        walk.under[vault.key_id_of(bytes(row.sealed_secret))] += 1
        walk.left += not vault.is_current(bytes(row.sealed_secret))
    except vault.VaultError:
        walk.under[""] += 1
        walk.left += 1
