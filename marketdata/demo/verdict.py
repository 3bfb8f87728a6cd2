"""The verdict: what the sandbox says it sent, against what the database holds.

The sandbox's ledger is the truth. What was on the wire when a connection was broken by force is
not lost, but declared, and only when all of this is true: nothing that was sent later on that
connection is stored, a gap row covers its time, and that gap begins with the last row that was
stored. So a row that arrived and was dropped is not mistaken for one that never came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.db import models
from django.utils import timezone

from accounts.models import BybitAccount
from marketdata.capture.accounts import full_name
from marketdata.capture.config import CaptureConfig
from marketdata.capture.feeds import PRIVATE_LATENESS
from marketdata.capture.report import CaptureReport
from marketdata.demo.ledger import Break, Feed, Ledger, Sent
from marketdata.demo.result import Verdict
from marketdata.demo.tables import EPOCH, TABLES, Key, Table, Values
from marketdata.models import CaptureGap, Order

FINAL_STATUSES = ("Filled", "Cancelled", "Rejected", "Deactivated")
TICKERS = "tickers"


class Watermark:
    """What a database held before a capture: everything after it is the capture's."""

    def __init__(self) -> None:
        self.at = timezone.now()
        tables = [table.model for table in TABLES.values()]
        self._last = {model: _last_pk(model) for model in (*tables, CaptureGap)}

    def rows(self, model: Any) -> models.QuerySet[Any]:
        """The rows that came after."""
        rows: models.QuerySet[Any] = model._default_manager.filter(pk__gt=self._last[model])
        return rows


def _last_pk(model: Any) -> int:
    return model._default_manager.aggregate(last=models.Max("pk"))["last"] or 0


class Judge:
    """Compares one capture with the ledger."""

    def __init__(
        self, ledger: Ledger, report: CaptureReport, config: CaptureConfig, before: Watermark
    ) -> None:
        self.ledger, self.report, self.before = ledger, report, before
        self.interval_ms = config.ticker_interval_ms
        self.verdict = Verdict()
        accounts = BybitAccount.objects.unscoped().select_related("user")
        self._names = {account.pk: full_name(account) for account in accounts}
        self._gaps: dict[Feed, list[CaptureGap]] = defaultdict(list)
        for gap in before.rows(CaptureGap):
            self._gaps[self._feed_of(gap, _topic_of(gap.stream))].append(gap)
        wanted = config.accounts if config.private else ()
        self._expected = [
            Feed(topic, subject)
            for topic, table in TABLES.items()
            for subject in (wanted if table.is_private else config.symbols)
        ]

    def judge(self) -> Verdict:
        """The verdict on every table, and on the counts."""
        verdict = self.verdict
        verdict.problems += [*self.report.violations, *self.report.problems]
        verdict.quarantined = sum(s.counts["quarantined"] for s in self.report.streams)
        if verdict.quarantined:
            verdict.problems.append(f"quarantined: {verdict.quarantined} rows")
        for topic, table in TABLES.items():
            feeds = [feed for feed in self.ledger.sent if feed.topic == topic]
            if feeds or any(feed.topic == topic for feed in self._expected):
                self._judge_table(topic, table, feeds)
        for feed in self.ledger.breaks:
            self._judge_breaks(feed)
        return verdict

    # --- rows --------------------------------------------------------------------------------

    def _judge_table(self, topic: str, table: Table, feeds: list[Feed]) -> None:
        stored: dict[Feed, dict[Key, Values]] = defaultdict(dict)
        count = 0
        for row in self.before.rows(table.model).iterator():
            count += 1
            feed, values = self._feed_of(row, topic), table.stored_values(row)
            key = table.key_of(values)
            if key in stored[feed]:
                self.verdict.note("duplicated", f"{feed} {key} is stored twice")
            elif not self.before.at <= row.local_ts <= timezone.now():
                self.verdict.note("mutated", f"{feed} {key} arrived at {row.local_ts}")
            stored[feed][key] = values
        self.verdict.stored[table.model._meta.db_table] = count
        for feed in self._expected:
            if feed.topic == topic and not stored[feed]:
                self.verdict.problems.append(f"nothing stored of {topic} {feed.subject}")
        for feed in {*stored, *feeds}:
            self._judge_contents(table, feed, stored[feed])
        received = self._sums(table, "received")
        for subject, (fewest, most) in self._receipts(table, feeds, stored).items():
            if not fewest <= received[subject] <= most:
                self.verdict.problems.append(
                    f"{topic} {subject}: {received[subject]} rows received, {fewest} to {most} came"
                )
        self._judge_counts(table, feeds, count)

    def _judge_contents(self, table: Table, feed: Feed, stored: dict[Key, Values]) -> None:
        sent: dict[Key, list[Sent]] = defaultdict(list)
        for row in self.ledger.sent[feed]:
            sent[row.key].append(row)
        for key, values in stored.items():
            if key not in sent:
                self.verdict.note("mutated", f"{feed} {key} was never sent")
            elif values not in self._acceptable(table, feed, sent[key]):
                self.verdict.note("mutated", f"{feed} {key} was sent otherwise")
        declared = set() if feed.topic == TICKERS else self._declared(feed, stored)
        for row in self._required(feed):
            if row.key in stored:
                continue
            if id(row) in declared:
                self.verdict.declared += 1
            else:
                self.verdict.note("lost", f"{feed} {row.key}")

    def _required(self, feed: Feed) -> Iterator[Sent]:
        """The rows that must be stored: all, of tickers the last that came of each interval."""
        if feed.topic != TICKERS:
            yield from (row for row in self.ledger.sent[feed] if row.is_first)
            return
        last: dict[int, Sent] = {}
        for row in self.ledger.sent[feed]:
            if not self._never_came(feed, row):
                since = row.values["exchange_ts"] - EPOCH
                step = timedelta(milliseconds=self.interval_ms or 1)
                last[since // step] = row
        yield from last.values()

    def _acceptable(self, table: Table, feed: Feed, states: list[Sent]) -> list[Values]:
        """What may be stored under one key: of an order the state that wins."""
        broken = {each.connection for each in self.ledger.breaks[feed]}
        if table.model is not Order or any(row.connection in broken for row in states):
            return [row.values for row in states]
        best = states[0].values
        for row in states[1:]:
            best = row.values if rank(row.values) >= rank(best) else best
        return [best]

    # --- what was on the wire ----------------------------------------------------------------

    def _declared(self, feed: Feed, stored: dict[Key, Values]) -> set[int]:
        """The rows, by their `id`, that were on the wire when a connection broke, and lie in its
        gap."""
        declared: set[int] = set()
        for broken in self.ledger.breaks[feed]:
            sent = self._sent_on(feed, broken)
            gap = self._gap_of(feed, broken)
            if gap is None or not _begins_right(feed, gap, sent, stored):
                continue
            for row in _unproven(sent, stored):
                when = row.values["exchange_ts"]
                if gap.started_at <= when and not (gap.ended_at and when >= gap.ended_at):
                    declared.add(id(row))
        return declared

    def _sent_on(self, feed: Feed, broken: Break) -> list[Sent]:
        """What was sent on a connection that broke."""
        return [row for row in self.ledger.sent[feed] if row.connection == broken.connection]

    def _never_came(self, feed: Feed, row: Sent) -> bool:
        """Whether a ticker state was still on the wire: it is later than its gap's start."""
        for broken in self.ledger.breaks[feed]:
            if broken.connection == row.connection:
                gap = self._gap_of(feed, broken)
                return gap is not None and row.values["exchange_ts"] > gap.started_at
        return False

    def _gap_of(self, feed: Feed, broken: Break) -> CaptureGap | None:
        """The gap row of a break."""
        for gap in self._gaps[feed]:
            if gap.started_at <= broken.at and (gap.ended_at is None or broken.at <= gap.ended_at):
                return gap
        return None

    def _judge_breaks(self, feed: Feed) -> None:
        for broken in self.ledger.breaks[feed]:
            if self._gap_of(feed, broken) is None:
                self.verdict.problems.append(f"no gap row for {feed}, broken at {broken.at}")
            if self.ledger.last_subscribed[feed] == broken.connection:
                self.verdict.problems.append(f"{feed} was not subscribed again after its break")

    # --- counts ------------------------------------------------------------------------------

    def _receipts(
        self, table: Table, feeds: list[Feed], stored: dict[Feed, dict[Key, Values]]
    ) -> dict[str, tuple[int, int]]:
        """The fewest and the most rows that can have come, by account ("" where public)."""
        bounds: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        for feed in feeds:
            sent = self.ledger.sent[feed]
            if feed.topic == TICKERS:
                came = sum(not self._never_came(feed, row) for row in sent)
                fewest = most = came
            else:
                breaks = self.ledger.breaks[feed]
                unproven = [_unproven(self._sent_on(feed, each), stored[feed]) for each in breaks]
                absent = sum(row.key not in stored[feed] for rows in unproven for row in rows)
                fewest, most = len(sent) - sum(map(len, unproven)), len(sent) - absent
            subject = feed.subject if table.is_private else ""
            low, high = bounds[subject]
            bounds[subject] = low + fewest, high + most
        return bounds

    def _judge_counts(self, table: Table, feeds: list[Feed], count: int) -> None:
        stored = sum(self._sums(table, "stored").values())
        if stored != count:
            self.verdict.problems.append(f"{table.stream}: {stored} counted as stored, {count} are")
        for column in ("duplicate",) if table.stream == TICKERS else ("duplicate", "conflated"):
            again: dict[str, int] = defaultdict(int)
            for feed in feeds:
                resent = sum(not row.is_first for row in self.ledger.sent[feed])
                again[feed.subject if table.is_private else ""] += resent
            for subject, counted in self._sums(table, column).items():
                excess = counted - again[subject]
                if excess > 0:
                    self.verdict.duplicated += excess
                    self.verdict.problems.append(
                        f"duplicated: {excess} {table.stream} {subject} counted that were sent once"
                    )

    def _sums(self, table: Table, column: str) -> dict[str, int]:
        sums: dict[str, int] = defaultdict(int)
        for status in self.report.streams:
            if status.stream == table.stream:
                sums[status.account] += status.counts[column]
        return sums

    def _feed_of(self, row: Any, topic: str) -> Feed:
        account_id = getattr(row, "account_id", None)
        return Feed(topic, self._names[account_id] if account_id else row.symbol)


def _topic_of(stream: str) -> str:
    return next(topic for topic, table in TABLES.items() if table.stream == stream)


def rank(values: Values) -> tuple[Any, bool]:
    """What decides between two states of an order under one key: more filled, then final."""
    return values["cum_exec_qty"], values["status"] in FINAL_STATUSES


def _unproven(sent: list[Sent], stored: dict[Key, Values]) -> list[Sent]:
    """What a connection was sent after the last row that is known to have come."""
    proven = [n for n, row in enumerate(sent) if row.is_first and row.key in stored]
    return sent[proven[-1] + 1 :] if proven else sent


def _begins_right(feed: Feed, gap: CaptureGap, sent: list[Sent], stored: dict[Key, Values]) -> bool:
    """Whether the gap of a connection begins with a row of it that came."""
    came = {row.values["exchange_ts"] for row in sent if row.key in stored}
    begins = gap.started_at
    if feed.topic in TABLES and TABLES[feed.topic].is_private:
        begins += PRIVATE_LATENESS
    # Later than every row it begins when the connection was quiet and known to be whole.
    is_quiet = all(row.values["exchange_ts"] != begins for row in sent)
    return not came or begins in came or (is_quiet and begins > max(came))
