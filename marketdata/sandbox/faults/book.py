"""Which faults are on, when they fire, and that they did.

One seeded generator draws for all of them. What fired is counted for each fault, kept in a bounded
list and written to the ledger:

    {"event":"fault","name":"reset","number":3,"ms":...,"hit":{"connections":[1,2]}}
"""

from __future__ import annotations

import math
import random
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from marketdata.sandbox.faults.orders import FaultOrder
from marketdata.sandbox.ledger import Ledger

MAX_LOGGED = 100_000


@dataclass(eq=False, slots=True)
class Armed:
    """A fault that is on; `until` is None for one that stays. `works` is an act in effect."""

    number: int
    order: FaultOrder
    since: float
    until: float | None
    fired: int = 0
    missed: int = 0
    works: bool = False

    @property
    def values(self) -> Mapping[str, Any]:
        """The parameters."""
        return self.order.values

    @property
    def is_spent(self) -> bool:
        """Whether it has fired as often as it was to."""
        most: float = self.values.get("count", math.inf)
        return self.fired >= most

    def status(self) -> dict[str, Any]:
        """What it is and what it did."""
        return {
            "number": self.number,
            "name": self.order.name,
            **self.values,
            "fired": self.fired,
            "missed": self.missed,
        }


class FaultBook:
    """The faults of one sandbox."""

    def __init__(
        self,
        *,
        seed: int,
        ledger: Ledger,
        clock: Callable[[], int],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.draw = random.Random(f"{seed}/faults")  # noqa: S311
        self.fired: Counter[str] = Counter()
        self.log: deque[dict[str, Any]] = deque(maxlen=MAX_LOGGED)
        self._ledger, self._clock, self._monotonic = ledger, clock, monotonic
        self._armed: dict[str, list[Armed]] = {}
        self._number = 0

    def arm(self, order: FaultOrder) -> Armed:
        """Switch a fault on."""
        self._number += 1
        since = self._monotonic() + order.values.get("after", 0)
        lasts = None if order.is_act else order.values.get("seconds")
        armed = Armed(self._number, order, since, None if lasts is None else since + lasts)
        self._armed.setdefault(order.name, []).append(armed)
        return armed

    def disarm(self, armed: Armed) -> None:
        """Switch a fault off."""
        if armed in (known := self._armed.get(armed.order.name, [])):
            known.remove(armed)
            if not known:
                del self._armed[armed.order.name]

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on."""
        return not self._armed

    def active(self) -> list[Armed]:
        """The faults that are on, oldest first."""
        now = self._monotonic()
        known = [armed for each in self._armed.values() for armed in each]
        for armed in known:
            if armed.until is not None and armed.until <= now:
                self.disarm(armed)
        return sorted((one for one in known if one in self), key=lambda one: one.number)

    def __contains__(self, armed: Armed) -> bool:
        return armed in self._armed.get(armed.order.name, ())

    def fires(self, name: str, **target: str) -> Armed | None:
        """Whether a fault happens to this target, on this occasion; it is noted that it did."""
        if not self._armed.get(name):
            return None
        for armed in self.active():
            if armed.order.name == name and self._is_due(armed) and armed.order.concerns(target):
                if self.draw.random() >= armed.values.get("probability", 1):
                    continue
                self.happened(armed, target)
                return armed
        return None

    def works(self, name: str, **target: str) -> Armed | None:
        """The act of this name that is in effect for this target."""
        known = (one for one in self._armed.get(name, ()) if one.works)
        return next((one for one in known if one.order.concerns(target)), None)

    def happened(self, armed: Armed, hit: dict[str, Any]) -> None:
        """Note that a fault fired; one that has fired often enough is off."""
        armed.fired += 1
        self.fired[armed.order.name] += 1
        self.goes_on(armed, hit)
        if armed.is_spent and not armed.order.is_act:
            self.disarm(armed)

    def goes_on(self, armed: Armed, hit: dict[str, Any]) -> None:
        """Note what a fault hits, also one that fired before and is still in effect."""
        number, name = armed.number, armed.order.name
        line = {"name": name, "number": number, "ms": self._clock(), "hit": hit}
        self.log.append(line)
        self._ledger.write("fault", **line)

    def status(self) -> dict[str, Any]:
        """What is on, and how often each fault has fired since the beginning."""
        return {"active": [one.status() for one in self.active()], "fired": dict(self.fired)}

    def _is_due(self, armed: Armed) -> bool:
        return armed.since <= self._monotonic()
