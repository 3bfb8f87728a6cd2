"""A campaign of damaged frames: nothing crashes, nothing is lost, nothing false is accepted.

    python -m marketdata.tests.mutations --frames 100000 --seed 7

Public frames are generated with their truth beside them, most are then damaged, and each goes
the way of the wire: text, `orjson.loads`, normaliser. One in four stays whole, some are changed
in ways that must not matter (order of keys, unknown fields, blanks).

What is checked of every frame:
- rows sent = accepted + rejected + conflated. Sent are the rows of the damaged frame's own
  `data` list; a frame that is unreadable as a whole is one row, and so is any ticker frame.
- the result is that of an *oracle*, which shares no code with the normaliser: it reads the
  damaged text with the standard library's json and the numbers digit by digit, and says which
  rows are sound and what they mean. So a row wrongly accepted, altered, reordered or refused
  is found, and for tickers the merged state as well.
- a whole or harmlessly changed frame yields what the generator put in.
- a refusal has a reason, and both it and the raw text can be stored.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.normalizer import BybitNormalizer
from marketdata.bybit.records import Reject, TickerRecord, TradeRecord
from marketdata.bybit.values import reason_class

START_MS = 1_790_134_712_000
YEAR_2018_MS = int(datetime(2018, 1, 1, tzinfo=UTC).timestamp()) * 1000

CLEAN_SYMBOLS = ("BTCUSDT", "1000PEPEUSDT")
DAMAGED_SYMBOLS = ("ETHUSDT", "SOLUSDT", "BTC-27NOV26")

TICKER_NUMBERS = (
    "lastPrice", "markPrice", "indexPrice", "bid1Price", "bid1Size", "ask1Price", "ask1Size",
    "fundingRate", "openInterest",
)  # fmt: skip
TICKER_FIELDS = (*TICKER_NUMBERS, "nextFundingTime")

# Values that some parser somewhere takes for a number, a time, a bool or a name.
POISON: tuple[Any, ...] = (
    "", " ", "0", "-0", "0.0", "-1", "+1.5", ".5", "5.", "1.5\n", " 1.5", "1 5", "1,5", "1_000",
    "NaN", "nan", "sNaN", "-NaN", "Infinity", "-Infinity", "inf", "1e5", "1E-7", "1e1000000",
    "1e-400", "0x10", "\uff11\uff12\uff13", "١٢٣", "²", "1\u00a0", "\u202e1.5", "9" * 40, "9" * 4000,
    "0." + "0" * 11 + "1", "0." + "0" * 12 + "1", "0." + "0" * 17 + "1", "1.0000000000000",
    "1." + "0" * 18, "1." + "0" * 19, "999999999999999999", "1000000000000000000",
    "123456789012345", "1234567890123456", "0.1234567890123", "123456789012345678.123456789012",
    "00000000000000000007.5", "\x00", "1\x00", "60000\x00.1", "\ud800", "1\udfff", "\ufeff1",
    "Buy", "Sell", "sell", "BUY", "Buy ", "btcusdt", "BTCUSDT", "BTC USDT", "A", "A" * 33,
    "B" * 65, "ids with blanks", "<script>", "id;DROP TABLE", "true", "false", "null",
    "1790134712000", "17901347120000", "-1790134712000", "1790134712000.0", "2026-11-21T00:00:00Z",
    True, False, None, 0, 1, -1, 1.5, -0.0, 1e308, 1790134712000.0, 1500000000000,
    1790134712, 1790134712000000, 99999999999999, -1790134712000, YEAR_2018_MS, YEAR_2018_MS - 1,
    2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**40, float("nan"),
    float("inf"), [], {}, [1], ["1.5"], [[]], {"a": 1}, {"p": "1.5"}, "snapshot", "delta",
    "publicTrade.ETHUSDT", "tickers.ETHUSDT", "publicTrade.", "tickers", "orderbook.1.BTCUSDT",
)  # fmt: skip


class Frame(NamedTuple):
    """A frame as generated, and what it says: trades, or the ticker after it."""

    kind: str
    message: dict[str, Any]
    truth: list[TradeRecord] | list[TickerRecord]
    received_at: datetime


def exact_time(milliseconds: int) -> datetime:
    """The time, by another way than the normaliser's."""
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


class Generator:
    """Frames as the exchange sends them, for symbols whose tickers are kept whole or damaged."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.now_ms = START_MS
        self._cs = 814_547_787_693
        self._tickers: dict[str, dict[str, str]] = {}

    def frame(self, *, clean: bool) -> Frame:
        self.now_ms += self.rng.randrange(1, 200)
        if self.rng.random() < 0.5:
            return self._trades(self.rng.choice(CLEAN_SYMBOLS + DAMAGED_SYMBOLS))
        return self._ticker(self.rng.choice(CLEAN_SYMBOLS if clean else DAMAGED_SYMBOLS))

    def forget(self, symbol: str) -> None:
        self._tickers.pop(symbol, None)

    def _number(self, decimals: int, *, signed: bool = False) -> tuple[str, Decimal]:
        """A number as text, and as Decimal made from its digits, not from the text."""
        units = self.rng.randrange(1, 10 ** self.rng.randrange(1, 13))
        negative = signed and self.rng.random() < 0.5
        digits = str(units).rjust(decimals + 1, "0")
        text = digits if not decimals else f"{digits[:-decimals]}.{digits[-decimals:]}"
        figures = tuple(int(digit) for digit in digits)
        return "-" * negative + text, Decimal((int(negative), figures, -decimals))

    def _trades(self, symbol: str) -> Frame:
        rng = self.rng
        received_at = exact_time(self.now_ms)
        rows, truth = [], []
        milliseconds = self.now_ms - rng.randrange(0, 500)
        for _ in range(min(rng.randint(1, 50), rng.randint(1, 50))):
            milliseconds += rng.choice((0, 0, 1))
            self._cs += rng.choice((0, 1, 7))
            price, price_truth = self._number(rng.randrange(0, 8))
            size, size_truth = self._number(rng.randrange(0, 5))
            side = rng.choice(("Buy", "Sell"))
            block, rpi = rng.random() < 0.02, rng.random() < 0.1
            trade_id = f"{rng.getrandbits(32):08x}-811a-5884-98c9-{rng.getrandbits(48):012x}"
            row = {
                "T": milliseconds, "s": symbol, "S": side, "v": size, "p": price,
                "L": "PlusTick", "i": trade_id, "BT": block, "RPI": rpi, "seq": self._cs,
            }  # fmt: skip
            sequence: int | None = self._cs
            if rng.random() < 0.02:
                del row["RPI"], row["seq"]
                rpi, sequence = False, None
            rows.append(row)
            truth.append(
                TradeRecord(
                    symbol, exact_time(milliseconds), received_at, trade_id, side,
                    price_truth, size_truth, block, rpi, sequence,
                )
            )  # fmt: skip
        message = {
            "topic": f"publicTrade.{symbol}", "type": "snapshot", "ts": self.now_ms, "data": rows,
        }  # fmt: skip
        return Frame("trades", message, truth, received_at)

    def _ticker(self, symbol: str) -> Frame:
        rng = self.rng
        received_at = exact_time(self.now_ms)
        self._cs += rng.choice((0, 1, 7))
        state = self._tickers.get(symbol)
        is_snapshot = state is None or rng.random() < 0.15
        data = {name: self._ticker_text(name) for name in self._changed(is_snapshot)}
        merged = self._tickers[symbol] = {} if is_snapshot or state is None else state
        merged.update(data)
        others = {"symbol": symbol, "tickDirection": "PlusTick", "volume24h": "83000.0000"}
        sent_ms = self.now_ms - rng.randrange(0, 50)
        message = {
            "topic": f"tickers.{symbol}", "type": "snapshot" if is_snapshot else "delta",
            "data": others | data, "cs": self._cs, "ts": sent_ms,
        }  # fmt: skip
        truth = self._ticker_truth(symbol, merged, exact_time(sent_ms), received_at)
        return Frame("ticker", message, [truth], received_at)

    def _changed(self, is_snapshot: bool) -> list[str]:
        count = self.rng.randrange(0, 5)
        return list(TICKER_FIELDS) if is_snapshot else self.rng.sample(TICKER_FIELDS, count)

    def _ticker_text(self, name: str) -> str:
        if name != "lastPrice" and self.rng.random() < 0.05:
            return ""
        if name == "nextFundingTime":
            return str(self.now_ms + self.rng.randrange(0, 28_800_000))
        decimals = self.rng.randrange(0, 9)
        return self._number(decimals, signed=name == "fundingRate")[0]

    @staticmethod
    def _ticker_truth(
        symbol: str, state: dict[str, str], at: datetime, received_at: datetime
    ) -> TickerRecord:
        values: list[Any] = [read_number(state[name]) for name in TICKER_NUMBERS]
        funding_time = state["nextFundingTime"]
        values.insert(-1, exact_time(int(funding_time)) if funding_time else None)
        return TickerRecord(symbol, at, received_at, *values)


# Mutators. Each takes a message and may change it in place; a text means that it was written out.

Message = dict[str, Any]


def _holders(message: Message) -> list[dict[str, Any]]:
    """The objects of a message whose keys may be damaged: envelope, and rows or ticker."""
    data = message.get("data")
    rows = data if isinstance(data, list) else [data]
    return [message, *(row for row in rows if isinstance(row, dict))]


def _pick(rng: random.Random, message: Message) -> tuple[dict[str, Any], str] | None:
    holders = _holders(message)
    # Rows more often than the envelope: that is where the fields are.
    holder = rng.choice(holders[1:] or holders) if rng.random() < 0.8 else holders[0]
    return (holder, rng.choice(list(holder))) if holder else None


def poison_value(rng: random.Random, message: Message) -> None:
    if target := _pick(rng, message):
        target[0][target[1]] = rng.choice(POISON)


def drop_key(rng: random.Random, message: Message) -> None:
    if target := _pick(rng, message):
        del target[0][target[1]]


def rename_key(rng: random.Random, message: Message) -> None:
    if target := _pick(rng, message):
        holder, key = target
        holder[rng.choice((key.upper() + "_", key + " ", "x" + key, "\u202e"))] = holder.pop(key)


def swap_values(rng: random.Random, message: Message) -> None:
    if target := _pick(rng, message):
        holder, key = target
        other = rng.choice(list(holder))
        holder[key], holder[other] = holder[other], holder[key]


def change_type(rng: random.Random, message: Message) -> None:
    """The same value as another type: a number for a string, a string for a number."""
    if target := _pick(rng, message):
        holder, key = target
        value = holder[key]
        try:
            number: Any = float(value) if isinstance(value, str) else str(value)
        except ValueError:
            number = [value]
        holder[key] = number


def implausible_time(rng: random.Random, message: Message) -> None:
    holder = rng.choice(_holders(message))
    name = "T" if "T" in holder else "ts" if "ts" in holder else "nextFundingTime"
    moment = rng.choice(
        (0, YEAR_2018_MS - 1, YEAR_2018_MS, START_MS - 10**9, START_MS * 2, START_MS // 1000)
    )
    holder[name] = str(moment) if name == "nextFundingTime" else moment


def break_row(rng: random.Random, message: Message) -> None:
    """A row becomes a scalar, a list, or appears twice; a ticker's object becomes something else."""
    data = message.get("data")
    if isinstance(data, list) and data:
        at = rng.randrange(len(data))
        data[at] = rng.choice((None, 1, "row", [], [data[at]], data[at], {}))
        if rng.random() < 0.5:
            data.insert(at, data[at])
    else:
        message["data"] = rng.choice((None, 1, "data", [], [data, data], {}))


def break_list(rng: random.Random, message: Message) -> None:
    data = message.get("data")
    message["data"] = rng.choice((None, 5, "rows", {}, [], {"0": data}, [data], [[data]]))


def nest(rng: random.Random, message: Message) -> None:
    if target := _pick(rng, message):
        junk: Any = "junk"
        for _ in range(rng.choice((5, 100))):
            junk = [junk] if rng.random() < 0.5 else {"k": junk}
        target[0][target[1]] = junk


def old_sequence(rng: random.Random, message: Message) -> None:
    if isinstance(message.get("cs"), int):
        message["cs"] += rng.choice((-(10**6), -50, -1, 1))


def leave(rng: random.Random, message: Message) -> None:
    """Nothing: damaged symbols need sound frames among the others."""


def written(message: Any) -> str:
    return json.dumps(message, separators=(",", ":"))


def truncate(rng: random.Random, text: str) -> str:
    return text[: rng.randrange(len(text))]


def overwrite(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + rng.choice('{}[]",:0x \x00\n\\\ud800é\uff19') + text[at + 1 :]


def delete_piece(rng: random.Random, text: str) -> str:
    at = rng.randrange(len(text))
    return text[:at] + text[at + rng.randrange(1, 12) :]


def duplicate_key(rng: random.Random, text: str) -> str:
    """A key twice in one object: the last one counts, for every parser that we know."""
    name = rng.choice(("p", "v", "T", "i", "S", "lastPrice", "topic", "data", "ts", "cs", "type"))
    value = json.dumps(rng.choice(POISON))
    return text.replace(f'"{name}":', f'"{name}":{value},"{name}":', 1)


def whole_garbage(rng: random.Random, text: str) -> str:
    return rng.choice(
        ("", " ", "null", "[]", "{}", "0", '"text"', "<html>502</html>", "NaN", "[" * 2000, text * 2,
         '{"op":"pong"}', '{"success":true,"ret_msg":"","op":"subscribe"}', "\x00", f"[{text}]")
    )  # fmt: skip


OBJECT_MUTATORS: tuple[Callable[[random.Random, Message], None], ...] = (
    poison_value, poison_value, poison_value, poison_value, drop_key, rename_key, swap_values,
    change_type, implausible_time, break_row, break_list, nest, old_sequence, leave, leave,
)  # fmt: skip
TEXT_MUTATORS: tuple[Callable[[random.Random, str], str], ...] = (
    truncate, overwrite, overwrite, delete_piece, duplicate_key, whole_garbage,
)  # fmt: skip


def damaged(rng: random.Random, message: Message) -> str:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        rng.choice(OBJECT_MUTATORS)(rng, message)
    text = written(message)
    if rng.random() < 0.25:
        text = rng.choice(TEXT_MUTATORS)(rng, text)
    return text


def _shuffled(rng: random.Random, holder: dict[str, Any]) -> dict[str, Any]:
    return dict(rng.sample(list(holder.items()), len(holder)))


def harmless(rng: random.Random, message: Message) -> str:
    """Other order of keys, fields that nobody knows, blanks: the same message."""
    data = message["data"]
    for holder in _holders(message):
        if rng.random() < 0.3:
            holder["newField"] = rng.choice(POISON[:20])
    if isinstance(data, list):
        message["data"] = [_shuffled(rng, row) for row in data]
    else:
        message["data"] = _shuffled(rng, data)
        if rng.random() < 0.1:
            message["data"] = [message["data"]]
    return json.dumps(_shuffled(rng, message), indent=rng.choice((None, None, 1)))


# The oracle: what a text means, by the exchange's documentation and nothing else.


# The standard library's parser lets NaN, lone surrogates and integers of any size through.
PARSERS: dict[str, Callable[[bytes], Any]] = {"orjson": orjson.loads, "json": json.loads}


class Unreadable(Exception):
    """The frame as a whole means nothing."""


class Old(Exception):
    """The frame is older than what is known."""


def read_number(value: Any, digits: int = 30) -> Decimal | None:
    """The number that a text says, None when it says none that can be stored."""
    if not isinstance(value, str):
        return None
    negative = value[:1] == "-"
    whole, dot, part = value[negative:].partition(".")
    figures = whole + part
    if not whole or (dot and not part) or len(whole) > 20 or len(part) > 18:
        return None
    if figures.strip("0123456789"):
        return None
    kept_decimals = len(part.rstrip("0"))
    significant = len(
        (whole + part.rstrip("0") if kept_decimals else whole.rstrip("0")).lstrip("0")
    )
    if kept_decimals > 12 or len(whole.lstrip("0")) > 18 or significant > digits:
        return None
    return Decimal((int(negative), tuple(map(int, figures)), -len(part)))


def read_int(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if abs(2 * value + 1) < 2**64 else None


def read_time(value: Any, received_at: datetime, ahead_ms: int) -> datetime | None:
    milliseconds = read_int(value)
    if milliseconds is None or milliseconds < YEAR_2018_MS:
        return None
    received_ms = round(received_at.timestamp() * 1000)
    return exact_time(milliseconds) if milliseconds <= received_ms + ahead_ms else None


ALPHANUMERIC = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-")
UPPER = frozenset("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ-")


def read_topic(message: Any, prefix: str) -> str:
    """The topic's symbol."""
    topic = message.get("topic") if isinstance(message, dict) else None
    if not isinstance(topic, str) or topic[: len(prefix)] != prefix:
        raise Unreadable
    symbol = topic[len(prefix) :]
    if not 2 <= len(symbol) <= 32 or set(symbol) - UPPER:
        raise Unreadable
    return symbol


class Oracle:
    """An independent reading of frames, with tickers merged the plain way."""

    def __init__(self, digits: int) -> None:
        self.digits = digits
        self.known: dict[str, dict[str, Any]] = {}
        self.sequence: dict[str, int] = {}

    def trades(self, message: Any, received_at: datetime) -> list[TradeRecord | None]:
        """A record for each sound row, None for each that is not."""
        symbol = read_topic(message, "publicTrade.")
        rows = message.get("data")
        if not isinstance(rows, list):
            raise Unreadable
        return [self._trade(row, symbol, received_at) for row in rows]

    def _trade(self, row: Any, symbol: str, received_at: datetime) -> TradeRecord | None:
        if not isinstance(row, dict) or row.get("s") != symbol:
            return None
        at = read_time(row.get("T"), received_at, 60_000)
        price = read_number(row.get("p"), self.digits)
        size = read_number(row.get("v"), self.digits)
        trade_id, side, block, rpi = (
            row.get("i"),
            row.get("S"),
            row.get("BT"),
            row.get("RPI", False),
        )
        sequence = row.get("seq", "")
        sound = (
            at is not None
            and price is not None
            and price > 0
            and size is not None
            and size > 0
            and isinstance(trade_id, str)
            and 1 <= len(trade_id) <= 64
            and not set(trade_id) - ALPHANUMERIC
            and side in ("Buy", "Sell")
            and isinstance(block, bool)
            and isinstance(rpi, bool)
            and (sequence == "" or read_int(sequence) is not None)
        )
        if not sound:
            return None
        return TradeRecord(
            symbol, at, received_at, trade_id, side, price, size, block, rpi,  # type: ignore[arg-type]
            read_int(sequence),
        )  # fmt: skip

    def ticker(self, message: Any, received_at: datetime) -> TickerRecord:
        symbol = read_topic(message, "tickers.")
        kind, data = message.get("type"), message.get("data")
        if isinstance(data, list) and len(data) == 1:
            data = data[0]
        if not isinstance(data, dict) or data.get("symbol") != symbol:
            raise Unreadable
        if kind not in ("snapshot", "delta") or (kind == "delta" and symbol not in self.known):
            raise Unreadable
        sequence = read_int(message.get("cs"))
        if sequence is not None:
            if symbol in self.known and sequence < self.sequence.get(symbol, sequence):
                raise Old
            self.sequence[symbol] = sequence
        state = self.known[symbol] = {} if kind == "snapshot" else dict(self.known[symbol])
        sound = sequence is not None or "cs" not in message
        for name in TICKER_FIELDS:
            if name in data:
                state.pop(name, None)
                if data[name] == "" and name != "lastPrice":
                    continue
                value = self._ticker_value(name, data[name], received_at)
                if value is None:
                    sound = False
                else:
                    state[name] = value
        at = read_time(message.get("ts"), received_at, 60_000)
        if not sound or at is None or "lastPrice" not in state:
            raise Unreadable
        values: list[Any] = [state.get(name) for name in TICKER_NUMBERS]
        values.insert(-1, state.get("nextFundingTime"))
        return TickerRecord(symbol, at, received_at, *values)

    def _ticker_value(self, name: str, value: Any, received_at: datetime) -> Any:
        if name == "nextFundingTime":
            digits = (
                isinstance(value, str) and 0 < len(value) < 20 and not value.strip("0123456789")
            )
            return read_time(int(value), received_at, 31 * 86_400_000) if digits else None
        number = read_number(value, self.digits)
        if number is None or (name == "lastPrice" and number <= 0):
            return None
        return None if number < 0 and name != "fundingRate" else number


@dataclass
class Tally:
    """What came of a campaign; `faults` are descriptions of what must not happen."""

    frames: int = 0
    sent: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    conflated: int = 0
    crashes: int = 0
    whole: int = 0
    whole_intact: int = 0
    harmless: int = 0
    harmless_intact: int = 0
    faults: list[str] = field(default_factory=list)

    def report(self) -> str:
        refused = self.rejected.total()
        balance = self.accepted + refused + self.conflated
        lines = [
            f"frames           {self.frames:>10,}",
            f"rows sent        {self.sent:>10,}",
            f"rows accepted    {self.accepted:>10,}",
            f"rows rejected    {refused:>10,}",
            f"rows conflated   {self.conflated:>10,}   (tickers older than the state)",
            f"unaccounted for  {self.sent - balance:>10,}",
            f"crashes          {self.crashes:>10,}",
            f"whole frames     {self.whole:>10,}   accepted with the values sent: {self.whole_intact:,}",
            f"harmless changes {self.harmless:>10,}   accepted with the values sent: {self.harmless_intact:,}",
            f"faults           {len(self.faults):>10,}",
            "rejected by reason:",
            *(f"{count:>10,}  {reason}" for reason, count in self.rejected.most_common()),
            *self.faults[:20],
        ]
        return "\n".join(lines)

    @property
    def sound(self) -> bool:
        refused = self.rejected.total()
        return (
            not self.faults
            and not self.crashes
            and self.sent == self.accepted + refused + self.conflated
            and self.whole == self.whole_intact
            and self.harmless == self.harmless_intact
        )


class Campaign:
    """Frames, damage, normaliser and oracle, with everything counted."""

    def __init__(
        self,
        seed: int,
        *,
        digits: int = 30,
        loads: Callable[[bytes], Any] = orjson.loads,
        normalizer: BybitNormalizer | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.generator = Generator(self.rng)
        self.normalizer = normalizer or BybitNormalizer(digits=digits)
        self.oracle = Oracle(digits)
        self.loads = loads
        self.tally = Tally()

    def run(self, frames: int) -> Tally:
        for number in range(frames):
            self._one(number)
            if number % 50 == 49:
                # As after a reconnection: damage to the order of a symbol must not last.
                symbol = self.rng.choice(DAMAGED_SYMBOLS)
                self.normalizer.reset_tickers([symbol])
                self.oracle.known.pop(symbol, None)
                self.oracle.sequence.pop(symbol, None)
                if self.rng.random() < 0.7:
                    self.generator.forget(symbol)
        return self.tally

    def _one(self, number: int) -> None:
        draw = self.rng.random()
        frame = self.generator.frame(clean=draw < 0.35)
        if draw < 0.25:
            treatment, text = "whole", written(frame.message)
        elif draw < 0.35:
            treatment, text = "harmless", harmless(self.rng, frame.message)
        else:
            treatment, text = "damaged", damaged(self.rng, frame.message)
        faults = self._judge(frame, treatment, text)
        if treatment != "damaged":
            name = treatment if not faults else ""
            self.tally.whole += treatment == "whole"
            self.tally.harmless += treatment == "harmless"
            self.tally.whole_intact += name == "whole"
            self.tally.harmless_intact += name == "harmless"
        self.tally.frames += 1
        self.tally.faults += [
            f"frame {number} ({frame.kind}, {treatment}): {fault}: {text[:300]!r}"
            for fault in faults
        ]

    def _judge(self, frame: Frame, treatment: str, text: str) -> list[str]:
        tally = self.tally
        try:
            message = self.loads(text.encode("utf-8", "surrogatepass"))
        except (ValueError, RecursionError):
            tally.sent += 1
            tally.rejected["not JSON"] += 1
            return ["refused as JSON"] if treatment != "damaged" else []
        meaning = json.loads(text)
        try:
            if frame.kind == "trades":
                return self._judge_trades(frame, treatment, message, meaning)
            return self._judge_ticker(frame, treatment, message, meaning)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what we look for
            tally.crashes += 1
            return [f"crash {error!r}"]

    def _judge_trades(self, frame: Frame, treatment: str, message: Any, meaning: Any) -> list[str]:
        tally = self.tally
        try:
            expected = self.oracle.trades(meaning, frame.received_at)
        except Unreadable:
            tally.sent += 1
            return self._judge_refused(self.normalizer.trade_records, frame, treatment, message)
        tally.sent += len(expected)
        try:
            records, rejects = self.normalizer.trade_records(message, frame.received_at)
        except MalformedMessage as error:
            tally.rejected[reason_class(error.reason)] += 1
            return [f"frame refused: {error}"]
        tally.accepted += len(records)
        for reject in rejects:
            tally.rejected[reason_class(reject.reason)] += 1
        faults = [fault for reject in rejects for fault in unfit(reject)]
        if not same_records(records, [record for record in expected if record is not None]):
            faults.append("trades differ from the text's")
        if treatment != "damaged" and not same_records(records, frame.truth):
            faults.append("trades differ from those sent")
        # What orjson read, not `meaning`: beyond 64 bits it makes floats of integers.
        refused = [row for row, at in zip(message["data"], expected, strict=True) if at is None]
        if not same_rows(refused, rejects):
            faults.append("raw text is not the row")
        return faults

    def _judge_ticker(self, frame: Frame, treatment: str, message: Any, meaning: Any) -> list[str]:
        tally = self.tally
        tally.sent += 1
        try:
            expected = self.oracle.ticker(meaning, frame.received_at)
        except Unreadable:
            return self._judge_refused(self.normalizer.ticker_record, frame, treatment, message)
        except Old:
            record = self.normalizer.ticker_record(message, frame.received_at)
            tally.conflated += record is None
            tally.accepted += record is not None
            return [] if record is None and treatment == "damaged" else ["old frame"]
        try:
            record = self.normalizer.ticker_record(message, frame.received_at)
        except MalformedMessage as error:
            tally.rejected[reason_class(error.reason)] += 1
            return [f"ticker refused: {error}"]
        if record is None:
            tally.conflated += 1
            return ["ticker taken for an old one"]
        tally.accepted += 1
        if not same_records([record], [expected]):
            return ["ticker differs from the text's"]
        if treatment != "damaged" and not same_records([record], frame.truth):
            return ["ticker differs from the one sent"]
        return []

    def _judge_refused(
        self, method: Callable[..., Any], frame: Frame, treatment: str, message: Any
    ) -> list[str]:
        """A frame that the oracle cannot read must be refused, with a reason."""
        try:
            result = method(message, frame.received_at)
        except MalformedMessage as error:
            self.tally.rejected[reason_class(error.reason)] += 1
            faults = unfit(Reject(error.topic or "none", error.reason, "whole"))
            return faults if treatment == "damaged" else [*faults, f"refused: {error}"]
        self.tally.accepted += 1
        return [f"accepted: {result!r}"[:300]]


def same_records(got: Sequence[Any], wanted: Sequence[Any]) -> bool:
    """Equal in value and in type: True is no 1 here."""
    return list(got) == list(wanted) and all(
        type(a) is type(b)
        for left, right in zip(got, wanted, strict=True)
        for a, b in zip(left, right, strict=True)
    )


def same_rows(rows: list[Any], rejects: list[Reject]) -> bool:
    return len(rows) == len(rejects) and all(
        json.dumps(row, separators=(",", ":"))[:60_000] == reject.raw[:60_000]
        for row, reject in zip(rows, rejects, strict=True)
    )


def unfit(reject: Reject) -> list[str]:
    """What keeps a refusal from being stored and understood."""
    faults = [
        f"{name} cannot be stored"
        for name, text in zip(("topic", "reason", "raw"), reject, strict=True)
        if not text or not text.isascii() or "\x00" in text
    ]
    if len(reject.reason) > 160:
        faults.append("reason is too long")
    return faults


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a campaign and print what came of it; 1 when anything is off."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--digits", type=int, default=30, choices=(15, 30))
    parser.add_argument("--parser", default="orjson", choices=sorted(PARSERS))
    options = parser.parse_args(arguments)
    campaign = Campaign(options.seed, digits=options.digits, loads=PARSERS[options.parser])
    tally = campaign.run(options.frames)
    sys.stdout.write(tally.report() + "\n")
    return 0 if tally.sound else 1


if __name__ == "__main__":
    sys.exit(main())
