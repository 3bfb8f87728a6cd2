"""Look for secrets in whatever a program leaves behind."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from urllib.parse import quote

from django.db import connection


def disguises(secret: bytes) -> set[bytes]:
    """The ways in which a text or a key is commonly written: plain, hex, base64, in a URL."""
    found = {secret, secret.hex().encode(), secret.hex().upper().encode()}
    found.add(quote(secret).encode())
    for lead in range(3):
        # Base64 reads three bytes at a time, from wherever the text around it begins; the ends
        # hold bits of the neighbours.
        text = base64.b64encode(b"\0" * lead + secret)[4 * (lead > 0) :]
        whole = text.rstrip(b"=")[:-1]
        found |= {whole, whole.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def hits(places: dict[str, bytes], secrets: Iterable[bytes]) -> list[str]:
    """The places in which a secret is found, in any of its disguises."""
    needles = [needle for secret in secrets for needle in disguises(secret)]
    return [
        f"{name} holds secret {number}"
        for name, content in places.items()
        for number, needle in enumerate(needles)
        if needle in content
    ]


def whole_database() -> Iterator[tuple[str, bytes]]:
    """Every byte of the SQLite file and its log, or every table as PostgreSQL copies it out."""
    if connection.vendor == "sqlite":
        for suffix in ("", "-wal"):
            with open(f"{connection.settings_dict['NAME']}{suffix}", "rb") as file:
                yield f"database{suffix}", file.read()
        return
    for table in connection.introspection.table_names():
        name = connection.ops.quote_name(table)
        with connection.cursor() as cursor, cursor.copy(f"COPY {name} TO STDOUT") as copy:
            yield f"table {table}", b"".join(copy)
