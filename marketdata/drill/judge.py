"""The judge: everything the exchange made, against everything the database holds and declares.

A row that was made is stored with its figures, or it lies in a gap that is not filled: declared.
Nothing else is forgiven, and this not for executions, nor for the last state of an order, nor
inside a span that a coverage interval vouches for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from accounts.models import BybitAccount
from marketdata.capture.accounts import full_name
from marketdata.capture.feeds import PRIVATE_LATENESS
from marketdata.demo.ledger import Feed
from marketdata.demo.tables import EPOCH, TABLES, Key, Table, Values
from marketdata.demo.verdict import TICKERS, Watermark, rank
from marketdata.drill.by_rest import STATE_COLUMNS, Snapshots, tells
from marketdata.drill.quarantine import judge_quarantine
from marketdata.drill.result import DrillVerdict, Fault, Window, windows_of
from marketdata.drill.spans import Spans
from marketdata.drill.spooled import Spooled
from marketdata.drill.truth import Truth
from marketdata.models import CaptureGap, CoverageInterval

EXECUTIONS, ORDERS = "execution", "order"
# The exchange's clock and that of the process which injects faults are read at different moments.
SLACK = timedelta(seconds=1)
# A gap lasts as long as the faults in it, and until capture is whole again: by how many seconds
# it may be longer, generously. A gap that covers all of a run would declare all that it lost.
MOST_EXCESS_SECONDS = 60.0


class Judge:
    """Compares what a drill left in the database with the truth.

    `run` is from the start of the first capture to the end of the last, `ready` when the first
    was at work, `interval_ms` that of ticker states. `committed` are tables with a primary key
    and how many rows there were up to it when capture was killed, `spooled` what was on disk then.
    """

    def __init__(
        self,
        truth: Truth,
        faults: Sequence[Fault],
        before: Watermark,
        *,
        run: Window,
        ready: datetime,
        interval_ms: int,
        committed: Sequence[tuple[Any, int, int]] = (),
        spooled: Iterable[Spooled] = (),
    ) -> None:
        self.truth, self.faults, self.before = truth, faults, before
        self.run, self.interval_ms, self.committed = run, interval_ms, committed
        self.verdict = DrillVerdict()
        accounts = BybitAccount.objects.unscoped().select_related("user")
        self._names = {account.pk: full_name(account) for account in accounts}
        self._reasons = [
            *windows_of(faults, run.end, SLACK),
            Window(run.start - SLACK, ready + SLACK),
            Window(run.end - SLACK, run.end + SLACK),
        ]
        self._spooled: dict[Feed, set[Key]] = defaultdict(set)
        for row in spooled:
            subject = self._names[row.account_id] if row.account_id else row.symbol
            self._spooled[Feed(row.topic, subject)].add(row.key)
        self._gaps: dict[Feed, list[CaptureGap]] = defaultdict(list)
        for gap in before.rows(CaptureGap):
            self._gaps[self._feed(gap)].append(gap)
        self._declared = {
            feed: Spans(
                (gap.started_at, gap.ended_at) for gap in gaps
                if gap.state != CaptureGap.State.FILLED
            )
            for feed, gaps in self._gaps.items()
        }  # fmt: skip
        self._outages = {
            feed: Spans((gap.started_at, gap.ended_at) for gap in gaps)
            for feed, gaps in self._gaps.items()
        }
        intervals: dict[Feed, list[CoverageInterval]] = defaultdict(list)
        for interval in CoverageInterval.objects.filter(ended_at__gte=run.start):
            intervals[self._feed(interval)].append(interval)
        self._vouched = {
            feed: Spans((each.started_at, each.ended_at) for each in rows)
            for feed, rows in intervals.items()
        }

    def judge(self) -> DrillVerdict:
        """The verdict on every row, every gap and every quarantined text."""
        verdict = self.verdict
        for topic, table in TABLES.items():
            stored = self._stored(topic, table)
            feeds = {*stored, *(feed for feed in self.truth.rows if feed.topic == topic)}
            for feed in sorted(feeds):
                self._judge_stored(feed, stored.get(feed, {}))
                self._judge_absent(feed, stored.get(feed, {}))
                self._judge_spooled(feed, stored.get(feed, {}))
        for feed, gaps in self._gaps.items():
            self._judge_gaps(feed, gaps)
        outages = [(gap.started_at, gap.ended_at) for gaps in self._gaps.values() for gap in gaps]
        verdict.problems += judge_quarantine(self.truth, Spans(outages), self.before.at)
        self._judge_committed()
        verdict.vouched = self._share_vouched()
        if not verdict.facts:
            verdict.problems.append("the exchange made no rows: there is nothing to judge")
        return verdict

    # --- what is stored ----------------------------------------------------------------------

    def _stored(self, topic: str, table: Table) -> dict[Feed, dict[Key, Values]]:
        """What the table holds since the drill began; what it holds twice is counted here."""
        stored: dict[Feed, dict[Key, Values]] = defaultdict(dict)
        owner = "account_id" if table.is_private else "symbol"
        rows = self.before.rows(table.model).values_list(owner, *table.columns)
        for whose, *cells in rows.iterator():
            feed = Feed(topic, self._names[whose] if table.is_private else whose)
            values = dict(zip(table.columns, cells, strict=True))
            key = table.key_of(values)
            if key in stored[feed]:
                at = values["exchange_ts"]
                self.verdict.blame(
                    self.faults, "duplicated", at, f"{_name(feed)} {_words(key)} is stored twice"
                )
            stored[feed][key] = values
        name = table.model._meta.db_table
        self.verdict.stored[name] = sum(map(len, stored.values()))
        return stored

    def _judge_stored(self, feed: Feed, stored: dict[Key, Values]) -> None:
        made = self.truth.rows[feed]
        snapshots = Snapshots(feed, made) if feed.topic in STATE_COLUMNS else None
        for key, values in stored.items():
            at = values["exchange_ts"]
            if key in made:
                states = self._acceptable(feed, made[key])
                if values not in states and not self._is_repaired(feed, key, values, states):
                    what = _differences(values, states[-1])
                    self._blame(
                        "mutated", at, f"{_name(feed)} {_words(key)} was made otherwise: {what}"
                    )
            elif snapshots is None or not snapshots.allow(values):
                self._blame("mutated", at, f"{_name(feed)} {_words(key)} was never made")

    def _is_repaired(self, feed: Feed, key: Key, values: Values, states: list[Values]) -> bool:
        """Whether it is as REST tells it, and REST may have brought it before the stream did."""
        return (
            values["exchange_ts"] in self._outages.get(feed, ())
            or key in self.truth.early[feed]
            or key not in self.truth.sent[feed]
        ) and any(tells(feed, values, state) for state in states)

    def _acceptable(self, feed: Feed, states: list[Values]) -> list[Values]:
        """What may be stored under one key: of an order the state that wins, if it came."""
        if feed.topic != ORDERS or len(states) == 1:
            return states
        if states[0]["exchange_ts"] in self._declared.get(feed, ()):
            return states
        best = max(map(rank, states))
        return [state for state in states if rank(state) == best]

    # --- what is not -------------------------------------------------------------------------

    def _judge_absent(self, feed: Feed, stored: dict[Key, Values]) -> None:
        required = self.truth.required(feed)
        self.verdict.facts += len(required)
        if feed.topic == TICKERS:
            required = self._last_of_intervals(required)
        for key, states in required.items():
            if key not in stored:
                self._judge_missing(feed, key, states[-1]["exchange_ts"])
        if feed.topic == ORDERS:
            self._judge_last_states(feed, required, stored)

    def _judge_missing(self, feed: Feed, key: Key, at: datetime) -> None:
        what = f"{_name(feed)} {_words(key)} at {at:%T.%f}"
        if vouched := self._vouched.get(feed, Spans(())).around(at):
            start, end = vouched
            self._blame("lost", at, f"{what}, vouched for from {start:%T.%f} to {end:%T.%f}")
        elif at not in self._declared.get(feed, ()):
            self._blame("lost", at, what)
        elif feed.topic == EXECUTIONS:
            self._blame("lost", at, f"{what}, an execution in a gap")
        else:
            self._blame("declared", at)

    def _last_of_intervals(self, required: dict[Key, list[Values]]) -> dict[Key, list[Values]]:
        """Of ticker states the last of each interval: it stands for those before it."""
        step = timedelta(milliseconds=self.interval_ms or 1)
        times = ((states[0]["exchange_ts"], key) for key, states in required.items())
        last = {(at - EPOCH) // step: key for at, key in sorted(times)}
        return {key: required[key] for key in last.values()}

    def _judge_last_states(
        self, feed: Feed, required: dict[Key, list[Values]], stored: dict[Key, Values]
    ) -> None:
        """The last of all states of an order must be stored, whatever was declared, if required."""
        absent = required.keys() - stored.keys()
        last: dict[Any, tuple[Any, Key]] = {}
        for key, states in self.truth.rows[feed].items():
            values = states[-1]
            order, when = values["order_id"], (values["exchange_ts"], max(map(rank, states)))
            if order not in last or when >= last[order][0]:
                last[order] = when, key
        for order, ((at, _), key) in last.items():
            if key in absent and at in self._declared.get(feed, ()):
                self._blame(
                    "lost", at, f"{_name(feed)} {order}: its last state, at {at:%T.%f}, in a gap"
                )

    def _judge_spooled(self, feed: Feed, stored: dict[Key, Values]) -> None:
        """What was on disk when capture was killed is stored, or made room and is declared."""
        for key in self._spooled[feed] - stored.keys():
            states = self.truth.rows[feed].get(key)
            at = states[0]["exchange_ts"] if states else self.run.start
            if TABLES[feed.topic].is_private or at not in self._declared.get(feed, ()):
                self._blame(
                    "lost", at, f"{_name(feed)} {_words(key)} at {at:%T.%f}, from the spool"
                )

    def _judge_committed(self) -> None:
        """What was committed when capture was killed is still there."""
        for model, last, count in self.committed:
            there = self.before.rows(model).filter(pk__lte=last).count()
            if there < count:
                table = model._meta.db_table
                self.verdict.lost += count - there
                self.verdict.problems.append(f"{table}: {count - there} committed rows are gone")

    # --- gaps and coverage -------------------------------------------------------------------

    def _judge_gaps(self, feed: Feed, gaps: Sequence[CaptureGap]) -> None:
        # Rows of an account come out of order: its gap ends so much after the first of them, and
        # the next fault's begins there, though that may be later than the fault.
        late = PRIVATE_LATENESS if TABLES[feed.topic].is_private else timedelta()
        for gap in gaps:
            if gap.ended_at is None:
                # The last capture was told to stop: it leaves nothing that goes on, or all that
                # is missing from there would pass as declared.
                self.verdict.problems.append(
                    f"endless gap: {_name(feed)} from {gap.started_at:%T.%f} ({gap.reason})"
                )
            began, ended = first_bounds(gap)
            if not any(one.meets(began - late, ended) for one in self._reasons):
                span = f"{began:%T.%f} to {ended or self.run.end:%T.%f}"
                self.verdict.problems.append(f"false gap: {_name(feed)} from {span} ({gap.reason})")
            if gap.state == CaptureGap.State.FILLED:
                continue
            end = min(gap.ended_at or self.run.end, self.run.end)
            start = max(gap.started_at, self.run.start)
            seconds = max(0.0, (end - start).total_seconds())
            inside = (f for f in self.faults if Window(f.began, f.ended or self.run.end).meets(
                gap.started_at, gap.ended_at))  # fmt: skip
            excess = seconds - sum(fault.lasted for fault in inside)
            self.verdict.declared_seconds.append(seconds)
            self.verdict.excess.append(excess)
            if excess > MOST_EXCESS_SECONDS:
                self.verdict.problems.append(
                    f"long gap: {_name(feed)} from {start:%T.%f} for {seconds:.1f} s, "
                    f"{excess:.1f} s more than its faults ({gap.reason})"
                )

    def _share_vouched(self) -> float:
        whole = (self.run.end - self.run.start).total_seconds()
        feeds = [feed for feed in self.truth.rows if self.truth.required(feed)]
        seconds = [
            self._vouched[feed].seconds_within(self.run.start, self.run.end)
            for feed in feeds if feed in self._vouched
        ]  # fmt: skip
        return sum(seconds) / (whole * len(feeds)) if feeds and whole else 0.0

    def _blame(self, kind: str, at: datetime, example: str = "") -> None:
        self.verdict.blame(self.faults, kind, at, example)

    def _feed(self, span: Any) -> Feed:
        topic = next(name for name, table in TABLES.items() if table.stream == span.stream)
        return Feed(topic, self._names[span.account_id] if span.account_id else span.symbol)


def first_bounds(gap: CaptureGap) -> tuple[datetime, datetime | None]:
    """Where a gap began and ended before repairs took something out of it: what it was for."""
    first = gap.evidence.get("first")
    if first is None:
        return gap.started_at, gap.ended_at
    start, end = map(datetime.fromisoformat, (first["started_at"], first["ended_at"]))
    return start, end


def _name(feed: Feed) -> str:
    return f"{feed.topic} of {feed.subject}"


def _words(key: Key) -> str:
    return " ".join(map(str, key))


def _differences(stored: Values, made: Values) -> str:
    differ = [name for name in made if stored[name] != made[name]]
    return ", ".join(f"{name} {stored[name]} for {made[name]}" for name in differ)
