"""What looks like a secret, or is one, is taken out of what people and logs are shown."""

from __future__ import annotations

import base64
import json
import re
from itertools import pairwise
from typing import Any
from urllib.parse import quote, quote_plus

from accounts.secret import held_secrets

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
# Django's names of a session's cookie, and of what guards its forms.
SECRET_JOINED |= {"sessionid", "csrftoken", "csrfmiddlewaretoken"}
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
# The user and password of an address: postgresql://user:password@host.
CREDENTIALS = re.compile(r"""(?<=://)[^\s/"']*@""")


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
    return without_secrets(value) if isinstance(value, str) else value


def names_a_secret(key: str) -> bool:
    """Whether what stands under this key must not be shown."""
    words = [word.lower() for word in WORDS.findall(key)]
    return bool(
        SECRET_WORDS.intersection(words)
        or SECRET_JOINED.intersection(words)
        or SECRET_PAIRS.intersection(pairwise(words))
    )


def without_secrets(text: str) -> str:
    """A text with what looks like a secret gone, and every secret that this process holds."""
    for held in held_secrets():
        for shape in _shapes(held):
            text = text.replace(shape, REDACTED)
    kept, at = [], 0
    for found in NAMED.finditer(text):
        # What begins inside of a value that is gone is gone with it.
        if found.start() >= at and names_a_secret(found["name"]):
            value = VALUE.match(text, found.end())
            kept += [text[at : found.end()], REDACTED]
            at = value.end() if value else found.end()
    return CREDENTIALS.sub(f"{REDACTED}@", "".join([*kept, text[at:]]))


def _shapes(text: str) -> list[str]:
    """How a secret may be written, the longest first: as it is, in a URL, quoted, in base64."""
    encoded = base64.b64encode(text.encode("utf-8", "surrogatepass")).decode().rstrip("=")
    in_urls = (quote(text, errors="replace"), quote(text, "", errors="replace"))
    # An apostrophe is escaped in a repr that has both kinds of quotes, and not in another.
    quoted = (
        json.dumps(text),
        json.dumps(text, ensure_ascii=False),
        repr(text),
        repr(f"{text}'\""),
    )
    in_quotes = (quoted[0][1:-1], quoted[1][1:-1], quoted[2][1:-1], quoted[3][1:-4])
    shapes = {text, *in_urls, quote_plus(text, errors="replace"), *in_quotes, encoded}
    return sorted(shapes, key=len, reverse=True)
