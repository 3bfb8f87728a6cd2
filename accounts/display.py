"""How the admin shows what programs wrote: figures, times and JSON as a person reads them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from functools import cache
from itertools import pairwise
from typing import Any

from django.contrib import admin
from django.db import models
from django.db.models.options import Options
from django.utils.html import format_html

READABLE = (models.DecimalField, models.DateTimeField, models.JSONField, models.BooleanField)
SIDES = {"Buy": "side-buy", "Sell": "side-sell"}
REDACTED = "(redacted)"
# Each is looked for among the words of a key: "apiKey" is api and key, "design" is no sign.
SECRET_WORDS = {
    *("secret", "secrets", "sign", "signature", "token", "password", "passwd", "pwd"),
    *("passphrase", "authorization", "bearer", "cookie", "cookies", "jwt"),
}
SECRET_PAIRS = {
    (of, what) for of in ("api", "access", "private", "secret") for what in ("key", "keys")
}
SECRET_JOINED = {"apikey", "apisecret", "accesskey", "privatekey", "secretkey", "accesstoken"}
# Of a request on a socket: {"op": "auth", "args": [key, expiry, signature]} (V5 docs, "Connect").
AUTH = "auth"
WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
# A key in a text that is not JSON, or no longer (a query string, a cut message), and what follows
# it: quoted, quoted inside of a quotation, in brackets, or up to the next mark.
# It begins where the word does and takes nothing back: tried from within each word again, a long
# one would cost the square of its length.
NAMED = re.compile(r"""(?<![\w-])(?P<name>[\w-]++)\\*+["']?\s*+[:=]\s*+""")
VALUE = re.compile(
    r"""\\+"[^"]*"?|"(?:\\.|[^"\\])*"?|'[^']*'?|\[[^\]]*\]?|\{[^}]*\}?|[^"',}&\r\n]*"""
)


@cache
def shown(options: Options[Any], name: str) -> str | Callable[[Any], Any]:
    """How the admin displays a column: Django's way, or a readable one under the same name."""
    field: Any = options.get_field(name)
    show = _way_of_showing(field)
    if show is None:
        return name

    @admin.display(description=str(field.verbose_name))
    def display(row: Any) -> Any:
        return show(getattr(row, name))

    # The admin finds the help text of a read-only field by this name.
    display.__name__ = name
    return display


def _way_of_showing(field: Any) -> Callable[[Any], Any] | None:
    if field.name == "side":
        return coloured_side
    if field.name.endswith("pnl"):
        return coloured_amount
    if isinstance(field, models.TextField):
        return redacted_text
    return readable if isinstance(field, READABLE) else None


def readable(value: Any) -> Any:
    """A value as a person reads it: no trailing zeros, milliseconds, indented JSON, no secrets."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        # Django's red cross looks like a fault, and most flags of a fact are off.
        return "yes" if value else "no"
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        text = f"{value:%Y-%m-%d %H:%M:%S}.{value.microsecond // 1000:03d}"
        return format_html('<span class="nowrap">{}</span>', text)
    if isinstance(value, dict | list):
        return format_html("<pre>{}</pre>", _indented(value))
    return value


def coloured_side(value: str) -> str:
    """Buy or Sell in its colour; anything else as it is."""
    name = SIDES.get(value)
    return format_html('<span class="{}">{}</span>', name, value) if name else value or "-"


def coloured_amount(value: Decimal | None) -> str:
    """A profit in green and with its plus, a loss in red: the sign is there without the colour."""
    if not value:
        return str(readable(value))
    text = readable(value)
    if value > 0:
        return format_html('<span class="gain">+{}</span>', text)
    return format_html('<span class="loss">{}</span>', text)


def redacted(value: Any) -> Any:
    """A JSON value with what names a secret replaced, at any depth.

    That is what stands under such a key, behind such a name in a pair (as headers are listed), in
    a text within the JSON, and in a request that signs in.
    """
    if isinstance(value, dict):
        signs_in = value.get("op") == AUTH
        return {
            key: REDACTED
            if names_a_secret(str(key)) or (signs_in and key == "args")
            else redacted(item)
            for key, item in value.items()
        }
    if isinstance(value, list):
        if len(value) == 2 and isinstance(value[0], str) and names_a_secret(value[0]):
            return [value[0], REDACTED]
        return [redacted(item) for item in value]
    return _without_secrets(value) if isinstance(value, str) else value


def redacted_text(text: str) -> str:
    """A text as received: JSON indented, and anything else with what looks like a secret gone."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict | list):
        return format_html("<pre>{}</pre>", _indented(value))
    return format_html("<pre>{}</pre>", _without_secrets(text))


def names_a_secret(key: str) -> bool:
    """Whether what stands under this key must not be shown."""
    words = [word.lower() for word in WORDS.findall(key)]
    return bool(
        SECRET_WORDS.intersection(words)
        or SECRET_JOINED.intersection(words)
        or SECRET_PAIRS.intersection(pairwise(words))
    )


def _without_secrets(text: str) -> str:
    kept, at = [], 0
    for found in NAMED.finditer(text):
        # What begins inside of a value that is gone is gone with it.
        if found.start() >= at and names_a_secret(found["name"]):
            value = VALUE.match(text, found.end())
            kept += [text[at : found.end()], REDACTED]
            at = value.end() if value else found.end()
    return "".join([*kept, text[at:]])


def _indented(value: Any) -> str:
    return json.dumps(redacted(value), indent=1, ensure_ascii=False)
