"""Storing: what became of each row of a batch that goes into one table.

A batch that the database refuses for good is cut in two until the bad row stands alone, and that
row goes to quarantine. When fewer rows were stored than sent, the batch is read back: a row whose
key was there with the same figures is a duplicate, with others a conflict, which is quarantined.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import InvalidOperation
from typing import Any, ClassVar, Generic, TypeVar

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import DataError, IntegrityError, models
from django.db import Error as AnyDatabaseError

from marketdata.bybit.records import Reject
from marketdata.capture.pulse import Pulse, come_on
from marketdata.capture.tally import StreamKey
from marketdata.exits import first_line, is_away
from marketdata.log_events import DATABASE_REFUSES
from marketdata.models import Stream

logger = logging.getLogger(__name__)

Record = TypeVar("Record", bound=tuple[Any, ...])

# The batch holds a row that will never pass.
PERMANENT = (
    DataError, IntegrityError, ObjectDoesNotExist, ValidationError, InvalidOperation, UnicodeError,
    ValueError, TypeError, OverflowError,
)  # fmt: skip
EMPTY = (None, "")
CONFLICT = "conflict: its key is stored with other content"


@dataclass
class Outcome:
    """What became of a batch, in rows."""

    stored: int = 0
    updated: int = 0
    duplicate: int = 0
    conflated: int = 0
    spooled: int = 0
    rejects: list[Reject] = field(default_factory=list)

    @property
    def columns(self) -> dict[str, int]:
        """The rows that are settled; rejects are settled by quarantine."""
        return {name: rows for name, rows in vars(self).items() if name != "rejects"}

    def __add__(self, other: Outcome) -> Outcome:
        return Outcome(**{name: rows + getattr(other, name) for name, rows in vars(self).items()})


class Store(Generic[Record]):
    """Puts rows into one table; subclasses name the stream and the model.

    The model's columns follow the record's fields.
    """

    stream: ClassVar[Stream]
    model: ClassVar[type[models.Model]]
    topic: ClassVar[str]
    # The record's fields that are the row's identity, and those the exchange vouches for.
    key_fields: ClassVar[tuple[str, ...]]
    # As many of the key as leave few rows that share them: SQLite looks up every combination of
    # their values, which for a batch of whole keys is the cube of its rows.
    lookup_fields: ClassVar[tuple[str, ...]]
    figure_fields: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        self.pulse = Pulse("flusher", self.stream)

    @property
    def table(self) -> Any:
        """The model's manager, which is a fact's."""
        return self.model._default_manager

    def _store_or_split(self, key: StreamKey, batch: list[Record]) -> Outcome:
        come_on()
        try:
            return self._insert(key, batch)
        except PERMANENT as error:
            if len(batch) == 1:
                reason = f"the database refused it: {first_line(error)[:150]}"
                return Outcome(rejects=[self._reject(batch[0], reason)])
        middle = len(batch) // 2
        first = self._store_or_split(key, batch[:middle])
        return first + self._store_or_split(key, batch[middle:])

    def _insert(self, key: StreamKey, batch: list[Record]) -> Outcome:
        stored = self.table.bulk_insert_values(self._rows(key, batch))
        if stored == len(batch):
            return Outcome(stored=stored)
        return self._settle(key, batch, stored)

    def _rows(self, key: StreamKey, batch: list[Record]) -> Sequence[tuple[Any, ...]]:
        """The values of the table's columns; model instances would cost more than the rest."""
        return batch

    def _settle(self, key: StreamKey, batch: list[Record], stored: int) -> Outcome:
        """Tell duplicates from conflicts by what the table now holds."""
        table = self._read_back(key, batch)
        conflicts = [row for row in batch if not self._agrees(row, table.get(self._identity(row)))]
        duplicate = len(batch) - stored - len(conflicts)
        rejects = [self._reject(row, CONFLICT) for row in conflicts]
        return Outcome(stored=stored, duplicate=duplicate, rejects=rejects)

    def _read_back(
        self, key: StreamKey, batch: list[Record]
    ) -> dict[tuple[Any, ...], dict[str, Any]]:
        wanted = {
            f"{name}__in": {getattr(row, name) for row in batch} for name in self.lookup_fields
        }
        if key.account_id is not None:
            wanted["account"] = key.account_id  # type: ignore[assignment]
        rows = self.table.filter(**wanted).values("pk", *self.key_fields, *self.figure_fields)
        # The filter names each part of the keys apart, so it finds rows of other keys as well.
        keys = {self._identity(row) for row in batch}
        found = {tuple(row[name] for name in self.key_fields): row for row in rows}
        return {key: row for key, row in found.items() if key in keys}

    def _identity(self, row: Record) -> tuple[Any, ...]:
        return tuple(getattr(row, name) for name in self.key_fields)

    def _agrees(self, row: Record, stored: dict[str, Any] | None) -> bool:
        if stored is None:
            return False
        pairs = ((getattr(row, name), stored[name]) for name in self.figure_fields)
        # A figure that one of two sources does not carry is not a difference.
        return all(ours == theirs or ours in EMPTY or theirs in EMPTY for ours, theirs in pairs)

    def _reject(self, row: Record, reason: str) -> Reject:
        return Reject(self.topic, reason, repr(row))


def tell_of_refusal(who: str, error: AnyDatabaseError) -> None:
    """Say it loudly when a database that is there refuses what `who` brings.

    It is waited out like an absence, but it may be a fault of this program, and then it must show.
    """
    if not is_away(error):
        text = "ALARM: the database refuses what %s brings"
        DATABASE_REFUSES.log_error(logger, error, text, who, part=who)
