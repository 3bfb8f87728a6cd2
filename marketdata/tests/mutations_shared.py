"""What campaigns of damaged frames share: poison, mutators, and the readers of an oracle."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, NamedTuple

import orjson

from marketdata.bybit.records import Reject

START_MS = 1_790_134_712_000
YEAR_2018_MS = int(datetime(2018, 1, 1, tzinfo=UTC).timestamp()) * 1000

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


def exact_time(milliseconds: int) -> datetime:
    """The time, by another way than the normaliser's."""
    seconds, rest = divmod(milliseconds, 1000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest * 1000)


def drawn_number(rng: random.Random, decimals: int, *, signed: bool = False) -> tuple[str, Decimal]:
    """A number as text, and as Decimal made from its digits, not from the text."""
    units = rng.randrange(1, 10 ** rng.randrange(1, 13))
    negative = signed and rng.random() < 0.5
    digits = str(units).rjust(decimals + 1, "0")
    text = digits if not decimals else f"{digits[:-decimals]}.{digits[-decimals:]}"
    figures = tuple(int(digit) for digit in digits)
    return "-" * negative + text, Decimal((int(negative), figures, -decimals))


class Frame(NamedTuple):
    """A frame as generated, and what it says: its records, for a ticker the one after it."""

    kind: str
    message: dict[str, Any]
    truth: Sequence[Any]
    received_at: datetime


# Mutators. Each takes a message and may change it in place; a text means that it was written out.

Message = dict[str, Any]


def holders_of(message: Message) -> list[dict[str, Any]]:
    """The objects of a message whose keys may be damaged: envelope, rows or ticker, coins."""
    data = message.get("data")
    rows: list[Any] = data if isinstance(data, list) else [data]
    rows = [row for row in rows if isinstance(row, dict)]
    coins = [coin for row in rows if isinstance(row.get("coin"), list) for coin in row["coin"]]
    return [message, *rows, *(coin for coin in coins if isinstance(coin, dict))]


def _pick(rng: random.Random, message: Message) -> tuple[dict[str, Any], str] | None:
    holders = holders_of(message)
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
    holder = rng.choice(holders_of(message))
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


ObjectMutator = Callable[[random.Random, Message], None]
TextMutator = Callable[[random.Random, str], str]

OBJECT_MUTATORS: tuple[ObjectMutator, ...] = (
    poison_value, poison_value, poison_value, poison_value, drop_key, rename_key, swap_values,
    change_type, implausible_time, break_row, break_list, nest, old_sequence, leave, leave,
)  # fmt: skip
TEXT_MUTATORS: tuple[TextMutator, ...] = (
    truncate, overwrite, overwrite, delete_piece, duplicate_key, whole_garbage,
)  # fmt: skip


def damaged(
    rng: random.Random,
    message: Message,
    object_mutators: Sequence[ObjectMutator] = OBJECT_MUTATORS,
    text_mutators: Sequence[TextMutator] = TEXT_MUTATORS,
) -> str:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        rng.choice(object_mutators)(rng, message)
    text = written(message)
    if rng.random() < 0.25:
        text = rng.choice(text_mutators)(rng, text)
    return text


def shuffled(rng: random.Random, holder: dict[str, Any]) -> dict[str, Any]:
    return dict(rng.sample(list(holder.items()), len(holder)))


def harmless(rng: random.Random, message: Message) -> str:
    """Other order of keys, fields that nobody knows, blanks: the same message."""
    data = message["data"]
    for holder in holders_of(message):
        if rng.random() < 0.3:
            holder["newField"] = rng.choice(POISON[:20])
    if isinstance(data, list):
        message["data"] = [shuffled(rng, row) for row in data]
    else:
        message["data"] = shuffled(rng, data)
        if rng.random() < 0.1:
            message["data"] = [message["data"]]
    return json.dumps(shuffled(rng, message), indent=rng.choice((None, None, 1)))


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


@dataclass
class Tally:
    """What came of a campaign; `faults` are descriptions of what must not happen."""

    frames: int = 0
    sent: int = 0
    accepted: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    conflated: int = 0
    ignored: int = 0
    crashes: int = 0
    whole: int = 0
    whole_intact: int = 0
    harmless: int = 0
    harmless_intact: int = 0
    faults: list[str] = field(default_factory=list)

    def report(self) -> str:
        refused = self.rejected.total()
        balance = self.accepted + refused + self.conflated + self.ignored
        lines = [
            f"frames           {self.frames:>10,}",
            f"rows sent        {self.sent:>10,}",
            f"rows accepted    {self.accepted:>10,}",
            f"rows rejected    {refused:>10,}",
            f"rows conflated   {self.conflated:>10,}   (tickers older than the state)",
            f"rows ignored     {self.ignored:>10,}   (of other categories)",
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
            and self.sent == self.accepted + refused + self.conflated + self.ignored
            and self.whole == self.whole_intact
            and self.harmless == self.harmless_intact
        )


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
