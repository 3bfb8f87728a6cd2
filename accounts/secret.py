"""A text that nobody sees by accident: not in a log, a traceback, a repr, a pickle or JSON."""

from __future__ import annotations

import hmac
from typing import NoReturn

SHOWN = "<secret>"


class Secret:
    """Holds a secret; `reveal` alone gives it out, for the one call that needs the text.

    Two are equal when their texts are, compared in constant time; one and a plain text never are.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str | Secret) -> None:
        self._text: str = text._text if isinstance(text, Secret) else text

    def reveal(self) -> str:
        """The text."""
        return self._text

    def __repr__(self) -> str:
        return SHOWN

    def __format__(self, spec: str) -> str:
        return SHOWN

    def __bool__(self) -> bool:
        return bool(self._text)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(_bytes(self._text), _bytes(other._text))

    def __hash__(self) -> int:
        return hash(self._text)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("A secret is neither copied nor pickled.")

    def __getstate__(self) -> NoReturn:
        raise TypeError("A secret is neither copied nor pickled.")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
