"""A short hash of what the exchange said, however it wrote it down and whoever asked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from decimal import Decimal
from typing import Any, Final, TypeVar

from marketdata.bybit.records import PositionRecord, WalletRecord

State = TypeVar("State", PositionRecord, WalletRecord)
DIGEST_BYTES: Final = 16


def with_digest(record: State) -> State:
    """A record of a state with the digest of its figures: of all that stands behind `digest`."""
    figures: tuple[Any, ...] = record[record._fields.index("digest") + 1 :]
    return record._replace(digest=digest_of(figures))


def digest_of(figures: Iterable[Decimal | str | None]) -> str:
    """32 hex digits: equal for states whose figures are equal, in their order.

    Only what is stored in columns counts: the stream and REST name the same figures differently,
    and each has some of its own, so that one state would be two by its text. Numbers count by
    value: 1.50 and 1.5 are one state.
    """
    text = json.dumps([_normal(figure) for figure in figures], separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=DIGEST_BYTES).hexdigest()


def _normal(figure: Decimal | str | None) -> str | list[str] | None:
    """A word as it is, a number as one of its kind without zeros that say nothing."""
    if not isinstance(figure, Decimal):
        return figure
    if not figure:
        return ["0"]
    text = f"{figure:f}"
    return [text.rstrip("0").rstrip(".") if "." in text else text]
