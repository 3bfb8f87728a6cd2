"""What the text of a setting has to be: in words, and as its reader.

The words of a kind stand in its error message, in `.env.example` and in docs/configuration.md.
django-environ's own readers would take any unknown word for "false", and testnet is a flag.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

TRUE = frozenset({"true", "yes", "on", "1", "y", "t"})
FALSE = frozenset({"false", "no", "off", "0", "n", "f"})
TOKEN_LENGTH = 32
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


@dataclass(frozen=True)
class Kind(Generic[T]):
    """What a text has to be, in `words`; `read` is given the setting's name and the text.

    It raises ValueError with a whole sentence that names the setting.
    """

    words: str
    read: Callable[[str, str], T]


def must_be(
    words: str, parse: Callable[[str], T], *, fold: Callable[[str], str] = str.strip
) -> Kind[T]:
    """What `parse` takes; anything else is refused by the words. `fold` makes alike what is."""

    def read(name: str, text: str) -> T:
        folded = fold(text)
        try:
            return parse(folded)
        except ValueError:
            raise ValueError(f"{name} must be {words}, not {folded!r}.") from None

    return Kind(words, read)


def explained(words: str, parse: Callable[[str], T]) -> Kind[T]:
    """What `parse` takes; anything else is refused by what its ValueError says."""

    def read(name: str, text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    return Kind(words, read)


def optional(kind: Kind[T]) -> Kind[T | None]:
    """The same, or nothing where the text is empty."""
    return Kind(kind.words, lambda name, text: kind.read(name, text) if text else None)


def text(words: str) -> Kind[str]:
    """Any text: what it names is looked at where it is used."""
    return Kind(words, lambda _, given: given)


def flag(*, empty: bool = False) -> Kind[bool]:
    """A yes or a no; what is set to nothing is `empty`."""

    def parse(word: str) -> bool:
        if word and word not in TRUE | FALSE:
            raise ValueError
        return word in TRUE if word else empty

    return must_be("true or false", parse, fold=_lower)


def whole_number(*, least: int) -> Kind[int]:
    """A whole number that is not below `least`."""

    def parse(digits: str) -> int:
        if (number := int(digits)) < least:
            raise ValueError
        return number

    return must_be(f"a whole number, {least} or more", parse)


def number(*, least: int, most: int) -> Kind[float]:
    """A number between two, which may be either."""

    def parse(digits: str) -> float:
        if not least <= (found := float(digits)) <= most:
            raise ValueError
        return found

    return must_be(f"a number from {least} to {most}", parse)


def seconds(*, positive: bool = True) -> Kind[float]:
    """A finite number of seconds, above zero unless `positive` is false."""

    def parse(digits: str) -> float:
        found = float(digits)
        if not math.isfinite(found) or found < 0 or (positive and found == 0):
            raise ValueError
        return found

    return must_be(f"a number of seconds, {'above 0' if positive else '0 or more'}", parse)


def one_of(
    choices: Sequence[str], words: str = "", *, fold: Callable[[str], str] | None = None
) -> Kind[str]:
    """One of some words, in lower case unless `fold` writes it otherwise."""

    def parse(word: str) -> str:
        if word not in choices:
            raise ValueError
        return word

    return must_be(words or f"one of {', '.join(choices)}", parse, fold=fold or _lower)


def log_level() -> Kind[str]:
    """The name of a logging level."""
    return one_of(LOG_LEVELS, fold=lambda word: word.strip().upper())


def words(of: str) -> Kind[list[str]]:
    """A comma separated list `of` something, without the blanks around its items."""
    return Kind(f"{of}, comma separated", lambda _, given: items(given))


def items(given: str) -> list[str]:
    """The items of a comma separated list."""
    return [item.strip() for item in given.split(",") if item.strip()]


def token() -> Kind[str]:
    """A secret that opens something to whoever shows it; it may be left out."""

    def parse(given: str) -> str:
        if given and len(given) < TOKEN_LENGTH:
            raise ValueError(f"it must have {TOKEN_LENGTH} characters or more, at random.")
        return given

    return explained(f"{TOKEN_LENGTH} random characters or more", parse)


def _lower(word: str) -> str:
    return word.strip().lower()
