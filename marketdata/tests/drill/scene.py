"""A scene for the judge of a drill: what an exchange makes, and what a database holds of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import count
from typing import Any

from django.utils import timezone

from accounts.tests.factories import BybitAccountFactory, UserFactory
from marketdata.demo.ledger import Feed
from marketdata.demo.tables import TABLES, Values
from marketdata.demo.verdict import Watermark
from marketdata.drill.judge import Judge
from marketdata.drill.result import DrillVerdict, Fault, Window
from marketdata.drill.spooled import Spooled
from marketdata.drill.truth import Truth
from marketdata.models import CaptureGap, PublicTrade
from marketdata.tests.test_normalizer import payload
from strategies.tests.factories import RunFactory

OWNER = "alice/main"
PUBLIC = ("publicTrade.BTCUSDT", "tickers.BTCUSDT")
PRIVATE = ("execution", "order", "position", "wallet")


class Scene:
    """An exchange that makes rows, a database that stores them, and a fault at ten seconds."""

    def __init__(self) -> None:
        self.before = Watermark()
        self.start = timezone.now().replace(microsecond=0) - timedelta(minutes=5)
        self.account = BybitAccountFactory.create(
            account_name="main", user=UserFactory.create(username="alice")
        )
        self.run = RunFactory.create(account=self.account)
        self.events: list[dict[str, Any]] = [
            {"event": "subscribed", "connection": 1, "topic": topic} for topic in PUBLIC
        ]
        self.events += [
            {"event": "subscribed", "connection": 2, "topic": topic, "account": OWNER}
            for topic in PRIVATE
        ]
        self.end = self.at(20)
        self.faults = [Fault("F01", "drop", self.at(10), ended=self.at(11), recovered=self.at(12))]
        self.committed: list[Any] = []
        self.spooled: list[Spooled] = []
        self._digests = count()

    def at(self, seconds: float) -> datetime:
        return self.start + timedelta(seconds=seconds)

    def ms(self, seconds: float) -> int:
        return int(self.at(seconds).timestamp() * 1000)

    # --- what the exchange makes ---------------------------------------------------------------

    def trade(self, seconds: float, number: int) -> None:
        row = {
            "T": self.ms(seconds), "s": "BTCUSDT", "S": "Buy", "v": "0.003", "p": "60000.1",
            "i": f"00000000-0000-4000-8000-{number:012d}", "BT": False, "RPI": False,
            "seq": 1000 + number,
        }  # fmt: skip
        self.events.append({"event": "made", "topic": PUBLIC[0], "rows": [row]})

    def ticker(self, seconds: float) -> None:
        state = {
            "symbol": "BTCUSDT", "lastPrice": "60000.1", "bid1Price": "60000.1", "bid1Size": "1",
            "ask1Price": "60000.2", "ask1Size": "2", "nextFundingTime": "1795305600000",
        }  # fmt: skip
        self.events.append(
            {
                "event": "sent",
                "connection": 1,
                "topic": PUBLIC[1],
                "ts": self.ms(seconds),
                "state": state,
            }
        )

    def private(self, topic: str, seconds: float, **changes: Any) -> None:
        row = payload(f"ws_private_{topic}")["data"][0]
        times = {"execTime": str(self.ms(seconds)), "updatedTime": str(self.ms(seconds))}
        row = row | {name: value for name, value in times.items() if name in row} | changes
        made = {"topic": topic, "account": OWNER, "rows": [row], "creationTime": self.ms(seconds)}
        self.events.append({"event": "made", **made})
        self.events.append({"event": "sent", "connection": 2, **made})

    def raw(self, seconds: float, text: str) -> None:
        self.events.append(
            {
                "event": "raw",
                "connection": 1,
                "topic": PUBLIC[0],
                "ms": self.ms(seconds),
                "text": text,
            }
        )

    def ordinary(self) -> None:
        """A little of everything, before, during and after the fault."""
        for number in range(16):
            self.trade(number, number)
            self.ticker(number)
        for seconds in (2, 14):
            self.private("execution", seconds, execId=f"e{seconds}")
            self.private("order", seconds, orderId=f"o{seconds}")
            self.private("position", seconds)
            self.private("wallet", seconds)

    # --- what the database holds ---------------------------------------------------------------

    def store_all(self) -> Truth:
        truth = Truth.read(self.events)
        for feed, rows in truth.rows.items():
            for states in rows.values():
                self.store(feed, states[-1])
        return truth

    def store(self, feed: Feed, values: Values) -> None:
        table = TABLES[feed.topic]
        whose = {"account": self.account, "raw_json": {}} if table.is_private else {}
        columns = {field.name for field in table.model._meta.fields}
        known = {name: value for name, value in values.items() if value is not None}
        if "run" in columns:
            whose["run"] = self.run
        if "digest" in columns:
            whose["digest"] = f"{next(self._digests):032x}"
        table.model._default_manager.create(**known | whose, local_ts=timezone.now())

    def gap(self, start: float, end: float | None, **changes: Any) -> CaptureGap:
        options: dict[str, Any] = {"stream": "trades", "symbol": "BTCUSDT", "reason": "test"}
        options |= {"started_at": self.at(start), "ended_at": end and self.at(end)}
        gap: CaptureGap = CaptureGap.objects.create(**options | changes)
        return gap

    def lose(self, *numbers: int) -> None:
        for number in numbers:
            PublicTrade.objects.get(sequence=1000 + number).delete()

    def judge(self) -> DrillVerdict:
        return Judge(
            Truth.read(self.events), self.faults, self.before,
            run=Window(self.at(0), self.end), ready=self.at(1), interval_ms=1000,
            committed=self.committed, spooled=self.spooled,
        ).judge()  # fmt: skip
