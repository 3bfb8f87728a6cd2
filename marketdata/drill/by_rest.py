"""What REST tells of rows: less than the stream in some columns, and states of a moment."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from datetime import datetime, timedelta
from typing import Any

from marketdata.demo.ledger import Feed
from marketdata.demo.tables import Key, Values

# What REST does not say of a row that only REST has brought.
UNSAID = {"execution": ("exec_pnl",), "order": ("closed_pnl",)}
# What a fresh snapshot by REST has in common with what was pushed; the rest moves with the market.
STATE_COLUMNS = {
    "position": (("symbol", "position_idx"), ("side", "size", "entry_price", "leverage")),
    "wallet": (("coin",), ("wallet_balance", "cum_realised_pnl")),
}
# A snapshot bears the time of the answer, a push that of its making.
BESIDE = timedelta(seconds=1)


def tells(feed: Feed, values: Values, state: Values) -> bool:
    """Whether all that REST says of a row is so; a price that is not there may be nought."""
    unsaid = UNSAID.get(feed.topic, ())
    return all(
        values[name] == made
        or (name in unsaid and values[name] is None)
        or (name == "avg_price" and not values[name] and not made)
        for name, made in state.items()
    )


class Snapshots:
    """The positions or balances of a feed as they were pushed."""

    def __init__(self, feed: Feed, made: dict[Key, list[Values]]) -> None:
        self._identity, self._state = STATE_COLUMNS[feed.topic]
        self._known: dict[Any, list[tuple[datetime, Any]]] = defaultdict(list)
        pushed = [values for states in made.values() for values in states]
        for values in sorted(pushed, key=_at):
            entry = _at(values), _of(self._state, values)
            self._known[_of(self._identity, values)].append(entry)

    def allow(self, values: Values) -> bool:
        """Whether this was the state at about that time: since the last push, or one beside it."""
        known, at = self._known[_of(self._identity, values)], _at(values)
        first = bisect_left(known, at - BESIDE, key=_first)
        last = bisect_right(known, at + BESIDE, key=_first)
        around = known[max(0, first - 1) : last]
        return _of(self._state, values) in [state for _, state in around]


def _at(values: Values) -> datetime:
    at: datetime = values["exchange_ts"]
    return at


def _first(entry: tuple[datetime, Any]) -> datetime:
    return entry[0]


def _of(columns: tuple[str, ...], values: Values) -> tuple[Any, ...]:
    return tuple(values[name] for name in columns)
