"""The result of a comparison: what is wrong, in rows and in words."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

EXAMPLES = 5


@dataclass
class Verdict:
    """What is wrong, in rows, and in words; `declared` rows fell into a gap that is known."""

    stored: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    duplicated: int = 0
    mutated: int = 0
    quarantined: int = 0
    declared: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def is_green(self) -> bool:
        """Whether nothing at all is wrong."""
        return not (
            self.lost or self.duplicated or self.mutated or self.quarantined or self.problems
        )

    def as_json(self) -> dict[str, Any]:
        """The figures, without the words."""
        figures = asdict(self)
        del figures["problems"], figures["declared"]
        return figures

    def note(self, kind: str, example: Any) -> None:
        """Count one row under `kind` and keep the first few as words."""
        count = getattr(self, kind) + 1
        setattr(self, kind, count)
        if count <= EXAMPLES:
            self.problems.append(f"{kind}: {example}")
