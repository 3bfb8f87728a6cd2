"""Recorded frames, played again at their recorded spacing.

A recording is a file of JSON lines, in the order of reception:

    {"ms": 1790134712130, "channel": "public", "frame": {"topic": "publicTrade.BTCUSDT", ...}}
    {"ms": 1790134712140, "channel": "public", "frame": "text that was no JSON"}
    [1790134712150, "public", {...}]

`ms` is the time of reception. A frame goes to whoever subscribed to its topic, a text without
one to every connection of its channel. The channel "private" means all accounts, "private:NAME"
that one. Recorded objects without a topic (acknowledgements, pongs) answered somebody else's
requests and are not played. A last line that breaks off, as whoever writes leaves it behind when
it is killed, is left out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from marketdata.sandbox.instruments import SYMBOL
from marketdata.sandbox.wire import TICKER_TOPIC, TRADE_TOPIC

PUBLIC, PRIVATE = "public", "private"

logger = logging.getLogger(__name__)


class RecordingError(ValueError):
    """A line of a recording cannot be read; the message names the file and the line."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recorded:
    """One recorded frame; `message` is None for a text that is no object."""

    ms: int
    channel: str
    text: bytes
    message: dict[str, Any] | None

    @property
    def topic(self) -> str:
        """The frame's topic, or an empty string."""
        topic = self.message.get("topic") if self.message else None
        return topic if isinstance(topic, str) else ""

    @property
    def is_private(self) -> bool:
        """Whether it belongs to a private stream."""
        return self.channel != PUBLIC

    @property
    def account(self) -> str:
        """The account of a private frame; empty means all of them."""
        return self.channel.partition(":")[2]

    @property
    def is_playable(self) -> bool:
        """Whether somebody could be waiting for it."""
        return bool(self.topic) or self.message is None


@dataclass(slots=True)
class Contents:
    """What a first pass over recordings finds: topics, symbols, accounts, first full tickers."""

    topics: set[str] = field(default_factory=set)
    private_topics: set[str] = field(default_factory=set)
    accounts: set[str] = field(default_factory=set)
    symbols: dict[str, None] = field(default_factory=dict)
    tickers: dict[str, dict[str, Any]] = field(default_factory=dict)
    first_ms: int = 0

    def note(self, recorded: Recorded) -> None:
        """Count one frame in."""
        self.accounts |= {recorded.account} - {""}
        if not recorded.topic:
            return
        self.first_ms = self.first_ms or recorded.ms
        if recorded.is_private:
            self._note_private(recorded)
            return
        self.topics.add(recorded.topic)
        kind, _, symbol = recorded.topic.partition(".")
        if kind in (TRADE_TOPIC, TICKER_TOPIC):
            self.symbols[symbol] = None
        message = recorded.message or {}
        data = message.get("data")
        if kind == TICKER_TOPIC and message.get("type") == "snapshot" and isinstance(data, dict):
            self.tickers.setdefault(symbol, message)

    def _note_private(self, recorded: Recorded) -> None:
        self.private_topics.add(recorded.topic)
        data = (recorded.message or {}).get("data")
        for row in data if isinstance(data, list) else ():
            symbol = row.get("symbol") if isinstance(row, dict) else None
            if isinstance(symbol, str) and SYMBOL.fullmatch(symbol):
                self.symbols[symbol] = None


def scan(paths: Sequence[Path]) -> Contents:
    """Read recordings through once. Raises RecordingError for a line that cannot be played."""
    contents = Contents()
    for path in paths:
        for recorded in read(path):
            contents.note(recorded)
    return contents


def read(path: Path) -> Iterator[Recorded]:
    """The frames of a recording, one at a time."""
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                where = f"{path}, line {number}"
                if _is_torn(line):
                    logger.warning("%s: breaks off in the middle and is left out.", where)
                elif line.strip():
                    yield _parse(line, where=where)
    except OSError as exc:
        raise RecordingError(f"{path} cannot be read: {exc.strerror}.") from None


def _is_torn(line: bytes) -> bool:
    """Whether it is a last line that was not written to its end."""
    if line.endswith(b"\n") or not line.strip():
        return False
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return True
    return False


def _parse(line: bytes, *, where: str) -> Recorded:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as exc:
        raise RecordingError(f"{where}: no JSON ({exc}).") from None
    if isinstance(value, dict):
        value = [value.get(name) for name in ("ms", "channel", "frame")]
    if not isinstance(value, list) or len(value) != 3:
        raise RecordingError(f"{where}: neither an object nor a list of ms, channel and frame.")
    ms, channel, frame = value
    if not isinstance(ms, int) or isinstance(ms, bool):
        raise RecordingError(f"{where}: ms is no whole number.")
    if not _is_channel(channel):
        raise RecordingError(f"{where}: channel is neither public nor private.")
    if not isinstance(frame, dict | str):
        raise RecordingError(f"{where}: frame is neither an object nor a text.")
    if isinstance(frame, dict):
        return Recorded(ms=ms, channel=channel, text=orjson.dumps(frame), message=frame)
    return Recorded(ms=ms, channel=channel, text=frame.encode(), message=_object(frame))


def _is_channel(value: Any) -> bool:
    """Whether it is public, private, or private with the name of an account."""
    kind, colon, name = value.partition(":") if isinstance(value, str) else ("", "", "")
    return value == PUBLIC or (kind == PRIVATE and bool(colon) == bool(name))


def _object(text: str) -> dict[str, Any] | None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None
