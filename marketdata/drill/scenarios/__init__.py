"""The scenarios of a drill, by name, in the order of the fault matrix."""

from __future__ import annotations

from collections.abc import Iterable

from marketdata.drill.scenarios import database, network, process, rest, streams
from marketdata.drill.scenarios.table import SCENARIOS, Scenario

__all__ = ["SCENARIOS", "Scenario", "chosen", "database", "network", "process", "rest", "streams"]


def in_order() -> list[Scenario]:
    """All scenarios, by their number."""
    return sorted(SCENARIOS.values(), key=lambda one: one.number)


def chosen(words: Iterable[str]) -> list[Scenario]:
    """The scenarios that are named, each by its number or its name; "quick" are the quick ones.

    Raises ValueError for a word that names none.
    """
    found: list[Scenario] = []
    for word in words:
        these = [one for one in in_order() if _is_meant(one, word.strip())]
        if not these:
            raise ValueError(f"There is no scenario {word.strip()!r}; --list shows them all.")
        found += [one for one in these if one not in found]
    return found


def _is_meant(one: Scenario, word: str) -> bool:
    return word in (one.number, one.name) or (word == "quick" and one.quick)
