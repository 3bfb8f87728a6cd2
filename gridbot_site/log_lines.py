"""How a line of the log is written: one for each event, for people or for programs.

`time LEVEL event key=value ... msg="..."`, or an object of JSON with the same keys. A value is
quoted where it is more than a word, and whatever is not printable is escaped: it might end the
line, or tell a terminal something. An error's traceback is one value. Every text goes through the
redaction of `accounts.redaction`.
"""

from __future__ import annotations

import json
import logging
import math
import re
from datetime import UTC, datetime
from typing import Any, Final

from accounts.redaction import REDACTED, names_a_secret, without_secrets
from marketdata.log_events import EVENTS, context_fields

# The name of what has none: a line of a library, or one that is for developers.
UNNAMED: Final = "log"
# journald breaks lines of more than 48 KiB (LineMax= in journald.conf(5)), and a character may take
# six: so long may a value be, and a traceback.
LONGEST, LONGEST_TRACE = 1000, 6000
WORD: Final = re.compile(r"[\w.,:/@%+-]+", re.ASCII)


class LineFormatter(logging.Formatter):
    """key=value."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        values = values_of(record)
        head = f"{values.pop('ts')} {values.pop('level')} {values.pop('event')}"
        pairs = (f"{key}={_written(value)}" for key, value in values.items())
        return _printable(" ".join([head, *pairs]))


class JsonFormatter(logging.Formatter):
    """JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        return _printable(json.dumps(values_of(record), ensure_ascii=False))


def values_of(record: logging.LogRecord) -> dict[str, Any]:
    """What a line says, in its order; without secrets."""
    at = datetime.fromtimestamp(record.created, UTC)
    # A library may give its records attributes of these names, too.
    event = getattr(record, "event", None)
    is_named = isinstance(event, str) and event in EVENTS
    said = context_fields() | (getattr(record, "fields", {}) if is_named else {})
    fields = {key: _plain(key, value) for key, value in said.items() if value not in (None, "")}
    values = {
        "ts": at.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname,
        "event": event if is_named else UNNAMED,
        **fields,
        "msg": _shown(_message(record)),
    }
    if not is_named:
        values["logger"] = record.name
    if record.exc_info and record.exc_info[0] is not None:
        values["exc"] = _shown(logging.Formatter().formatException(record.exc_info), LONGEST_TRACE)
    return values


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception as error:  # noqa: BLE001 - a line with a wrong format is better than none
        return f"{record.msg!r} could not be written: {type(error).__name__}"


def _plain(key: str, value: Any) -> Any:
    if names_a_secret(key):
        return REDACTED
    if isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        # JSON has no word for those that are no numbers.
        return round(value, 3) if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    try:
        several = isinstance(value, list | tuple | set | frozenset)
        return _shown(",".join(map(str, value)) if several else str(value))
    except Exception as error:  # noqa: BLE001 - as above
        return f"({type(error).__name__})"


def _shown(text: str, longest: int = LONGEST) -> str:
    """A text without secrets, and of a long one its beginning and its end."""
    # In this order: of a secret that is cut in two nobody would know.
    text = without_secrets(text)
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} ({len(text) - 2 * half} characters left out) {text[-half:]}"


def _written(value: Any) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return text if WORD.fullmatch(text) else json.dumps(text, ensure_ascii=False)


def _printable(line: str) -> str:
    """A line with whatever is not printable as JSON escapes it; that stands in quotes anyway."""
    if line.isprintable():
        return line
    return "".join(each if each.isprintable() else json.dumps(each)[1:-1] for each in line)
