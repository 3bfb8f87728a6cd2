"""What the four private streams share: the envelope, the rows' isolation, the raw row.

A row of REST differs from one of the stream in a few names and in where it stands: its category
and its time are on the envelope alone. So one function per kind reads both, given a `Source`.
Only rows of category linear are ours; others are counted and left. A word that we do not know
is stored as sent and counted.
Source: https://bybit-exchange.github.io/docs/v5/websocket/private/execution, …/order,
…/position and …/wallet.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from marketdata.bybit.constants import CATEGORY, MAX_DEPTH, MAX_DIGITS
from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.records import Parsed, Record, Reject
from marketdata.bybit.values import (
    MISSING,
    Sign,
    checked_ms,
    decimal_from,
    integer_from,
    integer_from_digits,
    label_from,
    latest_plausible_ms,
    malformed,
    optional_decimal_from,
    raw_text,
    time_from_ms,
    word_from,
)

# Words come from the wire: a counter of them must not grow with whatever is sent.
MAX_COUNTED: Final = 200
OTHERS: Final = "others"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where rows come from, and what they themselves do not say.

    `category` is the envelope's, for rows without one of their own; `sent_ms` the envelope's
    time; `ignored` and `unknown` count rows of other categories, and unknown words.
    """

    topic: str
    received_at: datetime
    digits: int = MAX_DIGITS
    category: object = MISSING
    sent_ms: object = MISSING
    hedge_mode: bool = True
    ignored: Counter[str] = field(default_factory=Counter)
    unknown: Counter[str] = field(default_factory=Counter)

    def sent_at(self, name: str) -> datetime:
        """The envelope's time, which it calls `name`. Raises MalformedMessage."""
        milliseconds = integer_from(self.sent_ms, name)
        return time_from_ms(checked_ms(milliseconds, name, latest_plausible_ms(self.received_at)))

    def known(self, stream_field: str, word: str, words: frozenset[str]) -> None:
        """Count a word that is none of `words`."""
        if word not in words:
            count(self.unknown, f"{stream_field} {word}")


class Row:
    """The fields of one row, each read as its kind or refused."""

    __slots__ = ("digits", "get", "received_at")

    def __init__(self, row: Mapping[str, Any], source: Source) -> None:
        self.get = row.get
        self.digits = source.digits
        self.received_at = source.received_at

    def number(self, name: str, sign: Sign = Sign.ANY) -> Decimal:
        """A figure that every row has: the empty string is none."""
        return decimal_from(self.get(name, MISSING), name, self.digits, sign)

    def optional(self, name: str, sign: Sign = Sign.ANY) -> Decimal | None:
        """A figure that may be empty, null or absent; "0" is a figure."""
        value = self.get(name)
        if value is None:
            return None
        return optional_decimal_from(value, name, self.digits, sign)

    def word(self, name: str, longest: int = 32) -> str:
        """A word that every row has."""
        word = label_from(self.get(name, MISSING), name, longest)
        if not word:
            raise malformed(name, "is empty")
        return word

    def optional_word(self, name: str, longest: int) -> str:
        """A word that may be empty, null or absent."""
        value = self.get(name)
        return "" if value is None else label_from(value, name, longest)

    def time(self, name: str) -> datetime:
        """A time in milliseconds, written as a string of digits."""
        milliseconds = integer_from_digits(self.get(name, MISSING), name)
        return time_from_ms(checked_ms(milliseconds, name, latest_plausible_ms(self.received_at)))

    def optional_time(self, name: str) -> datetime | None:
        """A time that may be empty, null, absent or zero."""
        return None if self.get(name) in (None, "", "0") else self.time(name)


def frame_rows(message: object, stream: str) -> tuple[Mapping[str, Any], list[Any], str]:
    """The frame, its rows and its topic, which is `stream` or `stream.category`.

    Raises MalformedMessage when the frame as a whole cannot be read.
    """
    if not isinstance(message, dict):
        raise malformed("message", "is not an object", message)
    topic = message.get("topic", MISSING)
    if topic not in (stream, f"{stream}.{CATEGORY}"):
        problem = "is missing" if topic is MISSING else f"is not {stream}"
        raise malformed("topic", problem, topic)
    rows = message.get("data", MISSING)
    if type(rows) is not list:
        raise malformed("data", "is missing" if rows is MISSING else "is not a list", rows)
    return message, rows, topic


def parse_rows(
    rows: Sequence[Any], source: Source, read: Callable[[dict[str, Any], Source], Record]
) -> Parsed[Record]:
    """The linear rows as records, in their order, and those that cannot be read."""
    records: list[Record] = []
    rejects: list[Reject] = []
    for row in rows:
        try:
            if type(row) is not dict:
                raise malformed("row", "is not an object", row)
            category = word_from(row.get("category", source.category), "category")
            if category != CATEGORY:
                count(source.ignored, f"{source.topic} {category}")
                continue
            check_storable(row)
            record = read(row, source)
        except MalformedMessage as error:
            rejects.append(Reject(source.topic, error.reason, raw_text(row)))
        else:
            records.append(record)
    return Parsed(records, rejects)


def count(counter: Counter[str], key: str) -> None:
    """Count `key`, or "others" when too many different ones have been."""
    if key not in counter and len(counter) >= MAX_COUNTED:
        key = OTHERS
    counter[key] += 1


def check_storable(value: Any, level: int = 1) -> None:
    """Refuse what JSON may hold and a database's JSON may not.

    PostgreSQL takes neither NUL, nor half of a surrogate pair, nor NaN.
    """
    kind = type(value)
    if kind is str:
        _check_text(value)
    elif kind is dict or kind is list:
        if level > MAX_DEPTH:
            raise malformed("row", f"is nested deeper than {MAX_DEPTH} levels")
        if kind is dict:
            for key in value:
                _check_text(key)
            value = value.values()
        for inner in value:
            check_storable(inner, level + 1)
    elif kind is float and not math.isfinite(value):
        raise malformed("row", "holds a number that is none", value)


def _check_text(text: str) -> None:
    if "\0" in text:
        raise malformed("row", "holds NUL", text)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise malformed("row", "holds half of a surrogate pair", text) from None
