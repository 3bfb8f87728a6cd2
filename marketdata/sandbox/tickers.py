"""The state of one symbol's ticker: snapshots, deltas, and what they merge into.

Source: V5 WebSocket "Ticker": the first message after a subscription is a full snapshot, a delta
holds `symbol` and the fields that changed, and what is absent is unchanged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

FIRST_CS = 814_547_000_000
CS_STEP = 568


class Ticker:
    """A merged state with its cross sequence `cs` and the time `ts` (ms) of its last message.

    Both only rise. Every message takes a new `ts`, snapshots included, so no two messages of a
    symbol share one; a snapshot repeats the `cs` of the state that it shows.
    """

    def __init__(self, state: Mapping[str, Any], *, cs: int = FIRST_CS, ts: int = 0) -> None:
        self.state: dict[str, Any] = dict(state)
        self.cs = cs
        self.ts = ts

    def snapshot(self, now_ms: int) -> dict[str, Any]:
        """The fields of a snapshot message sent now."""
        return self._message("snapshot", self.state, now_ms)

    def delta(self, values: Mapping[str, str], now_ms: int) -> dict[str, Any] | None:
        """The fields of a delta to `values`; None when nothing changed."""
        changed = {name: value for name, value in values.items() if self.state.get(name) != value}
        if not changed:
            return None
        self.state |= changed
        self.cs += CS_STEP
        return self._message("delta", {"symbol": self.state["symbol"], **changed}, now_ms)

    def merge(self, message: Mapping[str, Any]) -> None:
        """Take over a recorded message as a reader would."""
        data, cs, ts = message.get("data"), message.get("cs"), message.get("ts")
        if isinstance(data, dict):
            self.state = dict(data) if message.get("type") == "snapshot" else self.state | data
        self.cs = max(self.cs, cs) if isinstance(cs, int) else self.cs
        self.ts = max(self.ts, ts) if isinstance(ts, int) else self.ts

    def _message(self, kind: str, data: Mapping[str, Any], now_ms: int) -> dict[str, Any]:
        self.ts = max(now_ms, self.ts + 1)
        return {"kind": kind, "data": data, "cs": self.cs, "ts": self.ts}
