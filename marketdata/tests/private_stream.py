"""The real frame of a private stream, with rows changed as a test wants them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.tests.test_normalizer import payload
from marketdata.tests.test_private_samples import RECEIVED


@dataclass(frozen=True)
class PrivateStream:
    """The stream `kind`: execution, order or position."""

    kind: str

    def frame(self, *changes: dict[str, Any]) -> dict[str, Any]:
        """The frame with a row for each of these changes; None takes a field away."""
        message: dict[str, Any] = payload(f"ws_private_{self.kind}")
        [row] = message["data"]
        message["data"] = [
            {name: value for name, value in (row | change).items() if value is not None}
            for change in changes or ({},)
        ]
        return message

    def one(self, normalizer: BybitNormalizer, **changes: Any) -> Any:
        """The record of the frame's row with these changes."""
        parse = getattr(normalizer, f"{self.kind}_records")
        [record], [] = parse(self.frame(changes), RECEIVED)
        return record
