"""The public frames of a campaign: trades and tickers, with their truth and their oracle."""

from __future__ import annotations

import json
import random
from datetime import datetime
from typing import Any

from marketdata.bybit.errors import MalformedMessage
from marketdata.bybit.records import TickerRecord, TradeRecord
from marketdata.bybit.values import reason_class
from marketdata.tests.mutations_campaign import MutationCampaign
from marketdata.tests.mutations_shared import (
    ALPHANUMERIC,
    START_MS,
    UPPER,
    Frame,
    Old,
    Unreadable,
    drawn_number,
    exact_time,
    read_int,
    read_number,
    read_time,
    same_records,
    same_rows,
    unfit,
)

CLEAN_SYMBOLS = ("BTCUSDT", "1000PEPEUSDT")
DAMAGED_SYMBOLS = ("ETHUSDT", "SOLUSDT", "BTC-27NOV26")

TICKER_NUMBERS = (
    "lastPrice", "markPrice", "indexPrice", "bid1Price", "bid1Size", "ask1Price", "ask1Size",
    "fundingRate", "openInterest",
)  # fmt: skip
TICKER_FIELDS = (*TICKER_NUMBERS, "nextFundingTime")


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

    def _trades(self, symbol: str) -> Frame:
        rng = self.rng
        received_at = exact_time(self.now_ms)
        rows, truth = [], []
        milliseconds = self.now_ms - rng.randrange(0, 500)
        for _ in range(min(rng.randint(1, 50), rng.randint(1, 50))):
            milliseconds += rng.choice((0, 0, 1))
            self._cs += rng.choice((0, 1, 7))
            price, price_truth = drawn_number(self.rng, rng.randrange(0, 8))
            size, size_truth = drawn_number(self.rng, rng.randrange(0, 5))
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
        return drawn_number(self.rng, decimals, signed=name == "fundingRate")[0]

    @staticmethod
    def _ticker_truth(
        symbol: str, state: dict[str, str], at: datetime, received_at: datetime
    ) -> TickerRecord:
        values: list[Any] = [read_number(state[name]) for name in TICKER_NUMBERS]
        funding_time = state["nextFundingTime"]
        values.insert(-1, exact_time(int(funding_time)) if funding_time else None)
        return TickerRecord(symbol, at, received_at, *values)


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
        self.latest: dict[str, datetime] = {}

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
        at = read_time(message.get("ts"), received_at, 60_000)
        latest = self.latest.get(symbol, at)
        if sequence is not None:
            is_lower = symbol in self.known and sequence < self.sequence.get(symbol, sequence)
            if is_lower and not (at and latest and at > latest):
                raise Old
            self.sequence[symbol] = sequence
        if at and latest:
            self.latest[symbol] = max(at, latest)
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


class Campaign(MutationCampaign):
    """Trades and tickers."""

    def __init__(self, seed: int, **options: Any) -> None:
        super().__init__(seed, **options)
        self.generator = Generator(self.rng)
        self.oracle = Oracle(self.digits)

    def next_frame(self, *, clean: bool) -> Frame:
        return self.generator.frame(clean=clean)

    def after(self, number: int) -> None:
        """As after a reconnection, now and then: damage to a symbol's order must not last."""
        if number % 50 == 49:
            symbol = self.rng.choice(DAMAGED_SYMBOLS)
            self.normalizer.reset_tickers([symbol])
            self.oracle.known.pop(symbol, None)
            self.oracle.sequence.pop(symbol, None)
            self.oracle.latest.pop(symbol, None)
            if self.rng.random() < 0.7:
                self.generator.forget(symbol)

    def judge(self, frame: Frame, treatment: str, message: Any, text: str) -> list[str]:
        meaning = json.loads(text)
        if frame.kind == "trades":
            return self._judge_trades(frame, treatment, message, meaning)
        return self._judge_ticker(frame, treatment, message, meaning)

    def _judge_trades(self, frame: Frame, treatment: str, message: Any, meaning: Any) -> list[str]:
        tally = self.tally
        try:
            expected = self.oracle.trades(meaning, frame.received_at)
        except Unreadable:
            tally.sent += 1
            return self.judge_refused(self.normalizer.trade_records, frame, treatment, message)
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
            return self.judge_refused(self.normalizer.ticker_record, frame, treatment, message)
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
