"""The ticker of each symbol, merged from snapshots and deltas.

Rules of the merge:
1. A snapshot replaces the state; what it leaves out is unknown. A delta changes what it names.
   A transport that merges by itself sends snapshots only, and the same rule holds.
2. A frame whose `cs` is lower than the state's and whose `ts` is not later is older: it changes
   nothing, yields nothing. With a later `ts` it is taken, and its `cs` counts from then on: the
   exchange counts anew, or a `cs` was wrong, which must not silence the symbol from then on.
3. A frame whose type, object or symbol cannot be read changes nothing and is refused.
4. Any other frame is merged as far as it can be read. A field that cannot is forgotten, unknown
   until it comes again, because its old value is known to be out of date; the frame is refused.
5. Only a state with a last price yields a record.
Nothing of a message is kept but strings and numbers: pybit passes the same dict again and again.
Source: https://bybit-exchange.github.io/docs/v5/websocket/public/ticker.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Final

from marketdata.bybit.constants import FUNDING_AHEAD_MS, TICKER_TOPIC
from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.records import TickerRecord
from marketdata.bybit.values import (
    MISSING,
    Sign,
    checked_ms,
    decimal_from,
    integer_from,
    integer_from_digits,
    latest_plausible_ms,
    malformed,
    milliseconds_at,
    optional_decimal_from,
    time_from_ms,
    topic_symbol,
)

LAST_PRICE: Final = "lastPrice"
NEXT_FUNDING_TIME: Final = "nextFundingTime"

# The optional numbers.
NUMBERS: Final = {
    "markPrice": Sign.NOT_NEGATIVE,
    "indexPrice": Sign.NOT_NEGATIVE,
    "bid1Price": Sign.NOT_NEGATIVE,
    "bid1Size": Sign.NOT_NEGATIVE,
    "ask1Price": Sign.NOT_NEGATIVE,
    "ask1Size": Sign.NOT_NEGATIVE,
    "fundingRate": Sign.ANY,
    "openInterest": Sign.NOT_NEGATIVE,
}
FIELDS: Final = (LAST_PRICE, *NUMBERS, NEXT_FUNDING_TIME)


class _State:
    """What is known of one symbol: the texts as they came, and what they mean."""

    __slots__ = ("at", "cs", "numbers", "texts", "times")

    def __init__(self) -> None:
        self.cs: int | None = None
        self.at: datetime | None = None
        self.texts: dict[str, str] = {}
        self.numbers: dict[str, Decimal | None] = {}
        self.times: dict[str, datetime | None] = {}

    def is_after(self, cs: int | None, at: datetime | None) -> bool:
        """Whether a frame of this sequence and time is older."""
        if cs is None or self.cs is None or cs >= self.cs:
            return False
        return at is None or self.at is None or at <= self.at

    def advance(self, cs: int | None, at: datetime | None) -> None:
        """Note a frame that is taken."""
        self.cs = self.cs if cs is None else cs
        if at is not None and (self.at is None or at > self.at):
            self.at = at

    def forget(self, field: str) -> None:
        self.texts.pop(field, None)
        self.numbers.pop(field, None)
        self.times.pop(field, None)


class TickerBook:
    """The merged tickers of the symbols of one connection; not for use by several threads."""

    def __init__(self, digits: int) -> None:
        self._digits = digits
        self._states: dict[str, _State] = {}

    def reset(self, symbols: Iterable[str] | None = None) -> None:
        """Forget these symbols, or all: what follows a new subscription is a new snapshot."""
        for symbol in list(self._states) if symbols is None else list(symbols):
            self._states.pop(symbol, None)

    def update(self, message: object, received_at: datetime) -> TickerRecord | None:
        """The ticker after this frame, None when the frame is older than the state.

        Raises MalformedMessage; the head of this file says what is merged then.
        """
        frame, symbol = topic_symbol(message, TICKER_TOPIC)
        is_snapshot = _is_snapshot(frame)
        data = _data(frame, symbol)
        state = self._states.get(symbol)
        if state is None and not is_snapshot:
            raise malformed("type", "is delta before any snapshot")
        faults: list[MalformedMessage] = []
        faults_of_time: list[MalformedMessage] = []

        sequence = _sequence(frame, faults)
        exchange_ts = _exchange_ts(frame, received_at, faults_of_time)
        if state is not None and state.is_after(sequence, exchange_ts):
            return None
        if is_snapshot:
            # The old state lends its parsed values: most fields of a merged frame are unchanged.
            state = self._states[symbol] = _restarted(state, data)
        assert state is not None  # noqa: S101 - a delta without a state was refused above
        state.advance(sequence, exchange_ts)
        self._merge(state, data, received_at, faults)
        faults += faults_of_time
        if faults or exchange_ts is None:
            raise faults[0]
        return _record(symbol, state, exchange_ts, received_at)

    def _merge(
        self,
        state: _State,
        data: Mapping[str, Any],
        received_at: datetime,
        faults: list[MalformedMessage],
    ) -> None:
        texts = state.texts
        for field in FIELDS:
            if field not in data:
                continue
            value = data[field]
            if type(value) is str and texts.get(field) == value:
                continue
            try:
                if field == NEXT_FUNDING_TIME:
                    state.times[field] = _funding_time(value, received_at)
                elif field == LAST_PRICE:
                    state.numbers[field] = decimal_from(value, field, self._digits, Sign.POSITIVE)
                else:
                    state.numbers[field] = optional_decimal_from(
                        value, field, self._digits, NUMBERS[field]
                    )
                texts[field] = value
            except MalformedMessage as fault:
                state.forget(field)
                faults.append(fault)


def _is_snapshot(frame: Mapping[str, Any]) -> bool:
    kind = frame.get("type", MISSING)
    if kind == "snapshot":
        return True
    if kind == "delta":
        return False
    raise malformed("type", "is missing" if kind is MISSING else "is unknown", kind)


def _data(frame: Mapping[str, Any], symbol: str) -> Mapping[str, Any]:
    data = frame.get("data", MISSING)
    if type(data) is list and len(data) == 1:
        # The documentation shows a list, the wire carries an object.
        data = data[0]
    if type(data) is not dict:
        raise malformed("data", "is missing" if data is MISSING else "is not an object", data)
    if data.get("symbol", MISSING) != symbol:
        raise malformed("symbol", "is not the topic's symbol", data.get("symbol"))
    return data


def _sequence(frame: Mapping[str, Any], faults: list[MalformedMessage]) -> int | None:
    """The frame's cross sequence; one that is absent orders nothing."""
    if "cs" not in frame:
        return None
    try:
        return integer_from(frame["cs"], "cs")
    except MalformedMessage as fault:
        faults.append(fault)
        return None


def _restarted(state: _State | None, data: Mapping[str, Any]) -> _State:
    """A state that knows only what `data` names."""
    if state is None:
        return _State()
    for field in FIELDS:
        if field not in data:
            state.forget(field)
    return state


def _exchange_ts(
    frame: Mapping[str, Any], received_at: datetime, faults: list[MalformedMessage]
) -> datetime | None:
    try:
        milliseconds = integer_from(frame.get("ts", MISSING), "ts")
        return time_from_ms(checked_ms(milliseconds, "ts", latest_plausible_ms(received_at)))
    except MalformedMessage as fault:
        faults.append(fault)
        return None


def _funding_time(value: object, received_at: datetime) -> datetime | None:
    if value == "":
        return None
    latest_ms = milliseconds_at(received_at) + FUNDING_AHEAD_MS
    milliseconds = integer_from_digits(value, NEXT_FUNDING_TIME)
    return time_from_ms(checked_ms(milliseconds, NEXT_FUNDING_TIME, latest_ms))


def _record(
    symbol: str, state: _State, exchange_ts: datetime, received_at: datetime
) -> TickerRecord:
    number = state.numbers.get
    last_price = number(LAST_PRICE)
    if last_price is None:
        raise malformed(LAST_PRICE, "is unknown")
    return TickerRecord(
        symbol,
        exchange_ts,
        received_at,
        last_price,
        number("markPrice"),
        number("indexPrice"),
        number("bid1Price"),
        number("bid1Size"),
        number("ask1Price"),
        number("ask1Size"),
        number("fundingRate"),
        state.times.get(NEXT_FUNDING_TIME),
        number("openInterest"),
    )
