"""Checks, and what is said of them to whom."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check; `reason` is why it failed, in words that anybody may read.

    `details` are figures for those who may see them: of kinds of streams, never of a tenant.
    """

    name: str
    reason: str = ""
    details: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.reason


def as_json(checks: Iterable[Check], *, with_details: bool) -> dict[str, Any]:
    """What a probe is told; without details for those who are nobody in particular."""
    told: dict[str, dict[str, Any]] = {}
    failed = False
    for check in checks:
        failed |= not check.passed
        told[check.name] = {"ok": check.passed}
        if check.reason:
            told[check.name]["reason"] = check.reason
        if with_details and check.details:
            told[check.name]["details"] = list(check.details)
    return {"status": "failing" if failed else "ok", "checks": told}
