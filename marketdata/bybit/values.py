"""Strict parsing of wire values: what the exchange documents, exactly, or `MalformedMessage`.

Numbers travel as ASCII strings. They are matched against a pattern before Decimal sees them,
because Decimal also takes exponents (nine bytes can cost seconds), NaN, digits of any script,
underscores and blanks. Nothing is converted from another type: a JSON number where a string is
documented, or a bool where an int is, means that we do not understand the message.

Reasons read `<field> <what is wrong>: <value, shortened>`; the part before the colon holds no
text from the wire, so that refusals can be counted by it (`reason_class`).
Source: https://bybit-exchange.github.io/docs/v5/websocket/public/trade and …/ticker.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, Final

from marketdata.bybit.constants import (
    CLOCK_ALLOWANCE_MS,
    EARLIEST_MS,
    EPOCH,
    INT64_MAX,
    INT64_MIN,
    MAX_DECIMALS,
    MAX_DIGITS,
    MAX_WHOLE_DIGITS,
)
from marketdata.bybit.errors import MalformedMessage

SHOWN: Final = 40
RAW_LIMIT: Final = 65_536
MILLISECOND: Final = timedelta(milliseconds=1)

# A number written in so few characters fits whatever the database: at most 14 digits in all,
# and at most 12 behind the point.
_SURELY_FITS: Final = 14

_is_decimal = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,18})?").fullmatch
_is_digits = re.compile(r"[0-9]{1,19}").fullmatch
_is_symbol = re.compile(r"[A-Z0-9-]{2,32}").fullmatch
_is_trade_id = re.compile(r"[0-9A-Za-z-]{1,64}").fullmatch
_is_word = re.compile(r"[0-9A-Za-z_-]{1,32}").fullmatch
_is_label = re.compile(r"[0-9A-Za-z_.-]*").fullmatch
_is_id = re.compile(r"[!-~]{1,64}").fullmatch
_is_topic = re.compile(r"[0-9A-Za-z._-]{1,64}").fullmatch


class Sign(Enum):
    """Which numbers a field may hold."""

    ANY = "any"
    NOT_NEGATIVE = "not negative"
    POSITIVE = "positive"


class _Missing:
    """The value of a key that is not there."""

    def __repr__(self) -> str:
        return "missing"


MISSING: Final = _Missing()


def shown(value: object) -> str:
    """A value from the wire, short and printable: plain ASCII, no more than it takes to see."""
    if isinstance(value, str):
        text = ascii(value[: SHOWN + 1])
        return text if len(text) <= SHOWN + 2 else text[:SHOWN] + "..."
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an integer of {value.bit_length()} bits"
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    return f"a {type(value).__name__}"


def malformed(field: str, problem: str, value: object = MISSING) -> MalformedMessage:
    """The error that names a field and what is wrong with it."""
    if isinstance(value, _Missing):
        return MalformedMessage(f"{field} {problem}")
    return MalformedMessage(f"{field} {problem}: {shown(value)}")


def reason_class(reason: str) -> str:
    """The part of a reason that does not depend on the value: what refusals are counted by."""
    return reason.partition(":")[0]


def decimal_from(
    value: object, field: str, digits: int = MAX_DIGITS, sign: Sign = Sign.ANY
) -> Decimal:
    """The number that a string says, if the database can hold it exactly.

    `digits` is how many significant digits it keeps: 15 on SQLite, 30 on PostgreSQL.
    """
    if type(value) is not str:
        raise _not_text(field, value)
    if not _is_decimal(value):
        raise malformed(field, "is not a decimal number", value)
    number = Decimal(value)
    if len(value) > _SURELY_FITS and not fits(number, digits):
        raise malformed(field, "has more digits than can be stored", value)
    if sign is Sign.POSITIVE:
        if number <= 0:
            raise malformed(field, "is not positive", value)
    elif sign is Sign.NOT_NEGATIVE and number < 0:
        raise malformed(field, "is negative", value)
    # Minus zero is zero, and is to look like it wherever it is written out.
    return number or number.copy_abs()


def optional_decimal_from(
    value: object, field: str, digits: int = MAX_DIGITS, sign: Sign = Sign.ANY
) -> Decimal | None:
    """Like `decimal_from`; the empty string, Bybit's word for "no value", is None."""
    return None if value == "" else decimal_from(value, field, digits, sign)


def fits(value: Decimal, digits: int = MAX_DIGITS) -> bool:
    """Whether a column of 12 decimals keeps the value exactly, with `digits` significant ones.

    At most 18 digits may stand before the point. Zeros at the end are no digits of the value:
    1.0000000000000 is 1.
    """
    if not value.is_finite():
        return False
    _, figures, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # noqa: S101 - finite, as checked above
    text = "".join(map(str, figures)).lstrip("0")
    kept = text.rstrip("0")
    if not kept:
        return True
    decimals = -(exponent + len(text) - len(kept))
    whole_digits = len(text) + exponent
    return decimals <= MAX_DECIMALS and whole_digits <= MAX_WHOLE_DIGITS and len(kept) <= digits


def integer_from(value: object, field: str) -> int:
    """A JSON integer of 64 bits; a bool is none."""
    if type(value) is not int:
        raise _wrong_type(field, "an integer", value)
    if not INT64_MIN <= value <= INT64_MAX:
        raise malformed(field, "is beyond 64 bits", value)
    return value


def integer_from_digits(value: object, field: str) -> int:
    """An integer of 64 bits that REST sends as a string of digits."""
    if type(value) is not str:
        raise _not_text(field, value)
    if not _is_digits(value):
        raise malformed(field, "is not a string of digits", value)
    return integer_from(int(value), field)


def flag_from(value: object, field: str) -> bool:
    """A JSON bool; neither 0 nor "false" is one."""
    if value is True:
        return True
    if value is False:
        return False
    raise _wrong_type(field, "a bool", value)


def symbol_from(value: object, field: str = "symbol") -> str:
    """A contract's name, for example BTCUSDT."""
    if type(value) is not str:
        raise _not_text(field, value)
    if not _is_symbol(value):
        raise malformed(field, "is not a symbol", value)
    return value


def trade_id_from(value: object, field: str) -> str:
    """A trade's id: a UUID for linear contracts, opaque to us."""
    if type(value) is not str:
        raise _not_text(field, value)
    if not _is_trade_id(value):
        raise malformed(field, "is not a trade id", value)
    return value


def word_from(value: object, field: str) -> str:
    """A plain word, such as a coin or a status."""
    if type(value) is not str:
        raise _not_text(field, value)
    if not _is_word(value):
        raise malformed(field, "is not a plain word", value)
    return value


def label_from(value: object, field: str, longest: int) -> str:
    """One of the exchange's words, known or not, as its column holds it; it may be empty."""
    if type(value) is not str:
        raise _not_text(field, value)
    if len(value) > longest or not _is_label(value):
        raise malformed(field, "is not a short word", value)
    return value


def id_from(value: object, field: str) -> str:
    """An id of the exchange's or of its customer's: printable ASCII without blanks, opaque."""
    if type(value) is not str:
        raise _not_text(field, value)
    if not _is_id(value):
        raise malformed(field, "is not an id", value)
    return value


def milliseconds_at(moment: datetime) -> int:
    """Whole milliseconds since 1970 of an aware time."""
    return (moment - EPOCH) // MILLISECOND


def time_from_ms(milliseconds: int) -> datetime:
    """The aware UTC time, exactly: float division would lose the last digit."""
    return EPOCH + timedelta(milliseconds=milliseconds)


def checked_ms(milliseconds: int, field: str, latest_ms: int) -> int:
    """A time between the exchange's opening and `latest_ms`, both in milliseconds."""
    if milliseconds < EARLIEST_MS:
        raise malformed(field, "is before 2018", milliseconds)
    if milliseconds > latest_ms:
        raise malformed(field, "is in the future", milliseconds)
    return milliseconds


def latest_plausible_ms(received_at: datetime) -> int:
    """The latest time that a message received at `received_at` may honestly carry."""
    return milliseconds_at(received_at) + CLOCK_ALLOWANCE_MS


def topic_symbol(message: object, prefix: str) -> tuple[Mapping[str, Any], str]:
    """The message as an object, and the symbol in its topic, which must begin with `prefix`."""
    if not isinstance(message, dict):
        raise _wrong_type("message", "an object", message)
    topic = message.get("topic", MISSING)
    if type(topic) is not str:
        raise _not_text("topic", topic)
    if not topic.startswith(prefix) or not _is_symbol(topic[len(prefix) :]):
        raise malformed("topic", f"is not {prefix}SYMBOL", topic)
    return message, topic[len(prefix) :]


def safe_topic(message: object) -> str:
    """The message's topic if it is one that may be stored and shown, else the empty string."""
    topic = message.get("topic") if isinstance(message, dict) else None
    return topic if isinstance(topic, str) and _is_topic(topic) else ""


def raw_text(value: object) -> str:
    """What came, as compact JSON in plain ASCII, cut at 64 Ki characters.

    Escaping keeps NUL and lone surrogates, which no database takes, visible as text.
    """
    try:
        text = json.dumps(value, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        return f"(not representable: {shown(value)})"
    return text if len(text) <= RAW_LIMIT else text[:RAW_LIMIT] + "..."


def _not_text(field: str, value: object) -> MalformedMessage:
    return _wrong_type(field, "a string", value)


def _wrong_type(field: str, wanted: str, value: object) -> MalformedMessage:
    if isinstance(value, _Missing):
        return malformed(field, "is missing")
    return malformed(field, f"is not {wanted}", value)
