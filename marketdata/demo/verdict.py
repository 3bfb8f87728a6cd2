"""The verdict: what the sandbox says it sent, against what the database holds.

The sandbox's ledger is the truth. A row counts as sent when its connection's subscription had
been acknowledged and the connection was not yet broken or closed. Rows of a connection that was
broken by force may have been on the wire at that moment: they are not lost when a gap row
covers their time, because then capture has said so itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet

from marketdata.capture.service import CaptureConfig, CaptureReport
from marketdata.models import CaptureGap, PublicTrade, Stream, TickerSnapshot

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TRADE_TOPIC, TICKER_TOPIC = "publicTrade", "tickers"
# The wire's names of what a ticker row holds.
TICKER_FIELDS = {
    "last_price": "lastPrice",
    "mark_price": "markPrice",
    "index_price": "indexPrice",
    "bid1_price": "bid1Price",
    "bid1_size": "bid1Size",
    "ask1_price": "ask1Price",
    "ask1_size": "ask1Size",
    "funding_rate": "fundingRate",
    "open_interest": "openInterest",
}
EXAMPLES = 5


@dataclass(frozen=True)
class SentTrade:
    """A trade as the ledger has it."""

    symbol: str
    exchange_ts: datetime
    trade_id: str
    side: str
    price: Decimal
    size: Decimal
    is_block_trade: bool
    is_rpi: bool
    sequence: int

    @classmethod
    def from_wire(cls, row: dict[str, Any]) -> SentTrade:
        """Read a row of a publicTrade frame."""
        return cls(
            row["s"], at(row["T"]), row["i"], row["S"], Decimal(row["p"]), Decimal(row["v"]),
            row["BT"], row["RPI"], int(row["seq"]),
        )  # fmt: skip


@dataclass
class Ledger:
    """The sandbox's ledger, read: what had to arrive, and what may have been on the wire."""

    trades: dict[tuple[str, str], SentTrade] = field(default_factory=dict)
    times_sent: Counter[tuple[str, str]] = field(default_factory=Counter)
    tickers: dict[tuple[str, datetime], dict[str, Any]] = field(default_factory=dict)
    ticker_frames: int = 0
    # What was sent on a connection that was broken by force.
    broken_trades: set[tuple[str, str]] = field(default_factory=set)
    broken_tickers: set[tuple[str, datetime]] = field(default_factory=set)

    @classmethod
    def read(cls, events: Iterable[dict[str, Any]]) -> Ledger:
        """Read the ledger's events in their order."""
        ledger = cls()
        subscribed: dict[int, set[str]] = {}
        sent_on: dict[int, tuple[set[Any], set[Any]]] = {}
        for event in events:
            number = event.get("connection", 0)
            topics = subscribed.setdefault(number, set())
            trades, tickers = sent_on.setdefault(number, (set(), set()))
            match event["event"]:
                case "subscribed":
                    topics.add(event["topic"])
                case "unsubscribed":
                    topics.discard(event["topic"])
                case "closed":
                    topics.clear()
                    if event["how"] != "client":
                        ledger.broken_trades |= trades
                        ledger.broken_tickers |= tickers
                    del sent_on[number]
                case "sent" if event["topic"] in topics:
                    ledger._add(event, trades, tickers)
        return ledger

    def _add(self, event: dict[str, Any], trades: set[Any], tickers: set[Any]) -> None:
        kind, _, symbol = event["topic"].partition(".")
        if kind == TRADE_TOPIC:
            for row in event["rows"]:
                key = (symbol, row["i"])
                self.trades[key] = SentTrade.from_wire(row)
                self.times_sent[key] += 1
                trades.add(key)
        elif kind == TICKER_TOPIC:
            when = (symbol, at(event["ts"]))
            self.tickers[when] = event["state"]
            self.ticker_frames += 1
            tickers.add(when)

    @property
    def resent(self) -> int:
        """How often a trade was sent again."""
        return self.times_sent.total() - len(self.times_sent)


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


class Judge:
    """Compares one capture with the ledger; rows that arrived before `since` are not its own."""

    def __init__(
        self, ledger: Ledger, report: CaptureReport, config: CaptureConfig, *, since: datetime
    ) -> None:
        self.ledger, self.report, self.since = ledger, report, since
        self.symbols, self.interval_ms = config.symbols, config.ticker_interval_ms
        self.verdict = Verdict()
        self._gaps = list(CaptureGap.objects.filter(created_at__gte=since))

    def judge(self) -> Verdict:
        """The verdict on trades, tickers and the counts."""
        self._judge_trades()
        self._judge_tickers()
        self._judge_counts()
        return self.verdict

    def _judge_trades(self) -> None:
        seen: set[tuple[str, str]] = set()
        for trade in self._rows(PublicTrade):
            key = (trade.symbol, trade.trade_id)
            sent = self.ledger.trades.get(key)
            if key in seen:
                self.verdict.note("duplicated", f"trade {key} is stored twice")
            elif sent is None:
                self.verdict.note("mutated", f"trade {key} was never sent")
            elif changed := [
                name for name in vars(sent) if getattr(trade, name) != getattr(sent, name)
            ]:
                self.verdict.note("mutated", f"trade {key}: {', '.join(changed)}")
            seen.add(key)
        for key in self.ledger.trades.keys() - seen:
            sent = self.ledger.trades[key]
            if key in self.ledger.broken_trades and self._declared(
                Stream.TRADES, sent.symbol, sent.exchange_ts
            ):
                self.verdict.declared += 1
            else:
                self.verdict.note("lost", f"trade {key} of {sent.exchange_ts}")

    def _judge_tickers(self) -> None:
        stored: set[tuple[str, datetime]] = set()
        for ticker in self._rows(TickerSnapshot):
            key = (ticker.symbol, ticker.exchange_ts)
            state = self.ledger.tickers.get(key)
            stored.add(key)
            if state is None:
                self.verdict.note("mutated", f"ticker {key} was never sent")
            elif changed := list(_ticker_differences(ticker, state)):
                self.verdict.note("mutated", f"ticker {key}: {', '.join(changed)}")
        for key in self._last_of_each_interval() - stored:
            if key in self.ledger.broken_tickers and self._declared(Stream.TICKERS, *key):
                self.verdict.declared += 1
            else:
                self.verdict.note("lost", f"ticker {key}, the last of its interval")

    def _last_of_each_interval(self) -> set[tuple[str, datetime]]:
        if not self.interval_ms:
            return set(self.ledger.tickers)
        last: dict[tuple[str, int], datetime] = {}
        for symbol, when in self.ledger.tickers:
            interval = (when - EPOCH) // timedelta(milliseconds=self.interval_ms)
            last[symbol, interval] = max(when, last.get((symbol, interval), when))
        return {(symbol, when) for (symbol, _), when in last.items()}

    def _judge_counts(self) -> None:
        verdict, counts = self.verdict, {s.stream: s.counts for s in self.report.streams}
        verdict.problems += [*self.report.violations, *self.report.problems]
        verdict.quarantined = sum(columns["quarantined"] for columns in counts.values())
        if verdict.quarantined:
            verdict.problems.append(f"quarantined: {verdict.quarantined} rows")
        excess = counts.get(Stream.TRADES, {}).get("duplicate", 0) - self.ledger.resent
        if excess > 0:
            verdict.duplicated += excess
            verdict.problems.append(
                f"duplicated: {excess} trades counted twice that were sent once"
            )
        unheard = self.ledger.ticker_frames - counts.get(Stream.TICKERS, {}).get("received", 0)
        declarable = sum(self._declared(Stream.TICKERS, *key) for key in self.ledger.broken_tickers)
        if unheard > declarable:
            verdict.lost += unheard - declarable
            verdict.problems.append(f"lost: {unheard - declarable} ticker states never arrived")
        for model in (PublicTrade, TickerSnapshot):
            table, rows = model._meta.db_table, self._rows(model)
            verdict.stored[table] = rows.count()
            bare = [symbol for symbol in self.symbols if not rows.filter(symbol=symbol).exists()]
            verdict.problems += [f"{table}: nothing stored of {symbol}" for symbol in bare]

    def _rows(self, model: Any) -> QuerySet[Any]:
        rows: QuerySet[Any] = model.objects.filter(local_ts__gte=self.since)
        return rows

    def _declared(self, stream: str, symbol: str, when: datetime) -> bool:
        return any(
            gap.stream == stream
            and gap.symbol == symbol
            and gap.started_at <= when
            and (gap.ended_at is None or when <= gap.ended_at)
            for gap in self._gaps
        )


def at(milliseconds: int | str) -> datetime:
    """The time that the exchange writes as milliseconds since 1970."""
    return EPOCH + timedelta(milliseconds=int(milliseconds))


def _ticker_differences(ticker: TickerSnapshot, state: dict[str, Any]) -> Iterator[str]:
    for ours, theirs in TICKER_FIELDS.items():
        sent = state.get(theirs)
        if getattr(ticker, ours) != (Decimal(sent) if sent else None):
            yield ours
    funding_at = state.get("nextFundingTime")
    if ticker.next_funding_time != (at(funding_at) if funding_at else None):
        yield "next_funding_time"
