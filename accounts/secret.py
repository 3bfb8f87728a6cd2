"""A text that nobody sees by accident: not in a log, a traceback, a repr, a pickle or JSON."""

from __future__ import annotations

import hmac
import weakref
from typing import NoReturn

SHOWN = "<secret>"
# Shorter ones are found in words that are none.
SHORTEST = 8
_held: weakref.WeakValueDictionary[int, Secret] = weakref.WeakValueDictionary()


class Secret:
    """Holds a secret; `reveal` alone gives it out, for the one call that needs the text.

    Two are equal when their texts are, compared in constant time; one and a plain text never are.
    """

    __slots__ = ("__weakref__", "_text")

    def __init__(self, text: str | Secret) -> None:
        self._text: str = text._text if isinstance(text, Secret) else text
        _held[id(self)] = self

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


def held_secrets() -> set[str]:
    """The texts of all secrets that this process holds now: for whoever takes them out of others."""
    # At once: another thread may make one meanwhile.
    held = (reference() for reference in _held.valuerefs())
    return {each._text for each in held if each is not None and len(each._text) >= SHORTEST}


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")
