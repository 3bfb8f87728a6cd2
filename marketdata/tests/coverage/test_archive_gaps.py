"""What an archive proves of the gaps in its span."""

from __future__ import annotations

import gzip
import itertools
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from marketdata.coverage import archive as archive_module
from marketdata.coverage import archive_lines
from marketdata.coverage.archive import ArchiveImporter
from marketdata.coverage.archive_gaps import claimed_span, missing_of, without_minutes
from marketdata.coverage.gap_rows import Span
from marketdata.coverage.spans import TICK
from marketdata.models import CaptureGap, CoverageInterval, PublicTrade
from marketdata.tests.coverage.archive_files import (
    DAY,
    at,
    checked,
    day_of,
    row,
    stored,
    text_of,
    whole_day,
    write,
)

LATER = DAY + timedelta(days=30)
moments = st.integers(0, 600).map(lambda seconds: at(1, seconds=seconds))
spans = st.tuples(moments, moments).map(lambda pair: Span(min(pair), max(pair)))


@pytest.fixture
def archive(tmp_path):
    """A function that writes rows to a file and reads it; the archive."""

    def make(rows, name="BTCUSDT2026-01-02.csv.gz", *, plain=False):
        return checked(write(tmp_path / name, text_of(rows), plain=plain))

    return make


def gap(start, end, **changes):
    values = {
        "stream": "trades", "symbol": "BTCUSDT", "started_at": start, "ended_at": end,
        "reason": "lost", "evidence": {"outages": 1},
    }  # fmt: skip
    return CaptureGap.objects.create(**(values | changes))


def state(of):
    of.refresh_from_db()
    return of.state, of.started_at, of.ended_at


def members(*pieces):
    return b"".join(gzip.compress("".join(lines).encode()) for lines in pieces)


def half_packed(text):
    return members(text.splitlines(keepends=True)[:701])


def half_of_the_members(text):
    lines = text.splitlines(keepends=True)
    both = members(lines[:701], lines[701:])
    return both[: len(members(lines[:701]))]


class TestClaims:
    """Which span a file speaks for."""

    def test_a_day_that_is_over_is_claimed_whole(self, archive):
        assert claimed_span(archive(day_of(9, seconds=9000)), LATER) == Span(at(0), at(24))

    @pytest.mark.parametrize("packed", [half_packed, half_of_the_members])
    def test_half_a_day_that_is_sound_gzip_is_not_claimed_to_midnight(self, tmp_path, packed):
        path = tmp_path / "half.csv.gz"
        path.write_bytes(packed(text_of(day_of(1436))))
        archive = checked(path)
        assert archive.rows == 700
        assert claimed_span(archive, LATER) == Span(at(0), at(seconds=700 * 60.1))

    @pytest.mark.parametrize(
        ("silence", "quiet", "is_claimed"),
        [(300.5, 600, True), (300.5, 603, False), (0.1, 60, True), (0.1, 61, False)],
    )
    def test_an_end_is_claimed_as_far_as_the_file_is_silent_within(
        self, archive, silence, quiet, is_claimed
    ):
        times = [at(seconds=quiet), *(at(seconds=quiet + n) for n in (1, 1.5, 1.5 + silence))]
        assert claimed_span(archive([row(t, n) for n, t in enumerate(times)]), LATER) == Span(
            at(0) if is_claimed else times[0], times[-1]
        )
        times = [at(24, seconds=-quiet - n) for n in (1.5 + silence, 1.5, 1, 0)]
        assert claimed_span(archive([row(t, n) for n, t in enumerate(times)]), LATER) == Span(
            times[0], at(24) if is_claimed else times[-1]
        )

    def test_several_gzip_members_claim_what_lies_between_their_rows(self, tmp_path):
        lines = text_of(day_of(1436)).splitlines(keepends=True)
        path = tmp_path / "two.csv.gz"
        path.write_bytes(members(lines[:700], lines[700:]))
        archive = checked(path)
        assert (archive.members, archive.rows) == (2, 1436)
        assert claimed_span(archive, LATER) == Span(at(seconds=60.1), at(seconds=1436 * 60.1))

    def test_a_day_that_goes_on_is_claimed_up_to_the_last_row(self, archive):
        claimed = claimed_span(archive(day_of(10)), at(23))
        assert claimed == Span(at(0), at(seconds=601))

    def test_a_plain_file_claims_what_lies_between_its_rows(self, archive):
        claimed = claimed_span(archive(day_of(10), plain=True), LATER)
        assert claimed == Span(at(seconds=60.1), at(seconds=601))

    def test_whole_seconds_may_be_a_second_off(self, archive):
        rows = [row(at(hour), hour, timestamp=str(int(at(hour).timestamp()))) for hour in (1, 2)]
        claimed = claimed_span(archive(rows, plain=True), LATER)
        assert claimed == Span(at(1, seconds=1), at(2, seconds=-1))
        assert claimed_span(archive(rows[:1], plain=True), LATER).start == at(1, seconds=1)


class TestSpans:
    """Spans without minutes, and what is left of a gap."""

    @pytest.mark.parametrize(
        ("minutes", "left"),
        [
            ([], [(0, 60)]),
            ([10], [(0, 10), (11, 60)]),
            ([0, 59], [(1, 59)]),
            ([10, 11, 10], [(0, 10), (12, 60)]),
            (range(60), []),
            ([-5, 70], [(0, 60)]),
        ],
    )
    def test_minutes_are_taken_out(self, minutes, left):
        whole = Span(at(1), at(2))
        doubtful = [at(1, minutes=minute) for minute in minutes]
        expected = [Span(at(1, minutes=start), at(1, minutes=end)) for start, end in left]
        assert without_minutes(whole, doubtful) == expected

    @given(whole=spans, known=st.lists(spans, max_size=4))
    def test_what_is_missing_is_known_nowhere_at_its_ends(self, whole, known):
        missing = missing_of(whole, known)
        half = timedelta(milliseconds=500)

        def is_known(moment):
            return any(span.start <= moment <= span.end for span in known)

        seconds = int((whole.end - whole.start).total_seconds())
        dark = [
            at for n in range(seconds)
            if not is_known(at := whole.start + timedelta(seconds=n) + half)
        ]  # fmt: skip
        if seconds and missing is not None:
            assert (missing.start, missing.end) == (dark[0] - half, dark[-1] + half)
        elif seconds:
            assert not dark
        else:
            assert (missing is None) == is_known(whole.start)


@pytest.mark.django_db
class TestGaps:
    """Gaps are filled, or shrink to what is left."""

    def test_a_gap_within_the_file_is_filled_and_says_by_what(self, archive):
        file = archive(whole_day(100))
        held = gap(at(minutes=10), at(minutes=20))
        ArchiveImporter().run(file)
        assert state(held) == ("filled", at(minutes=10), at(minutes=20))
        assert (held.source, held.rows_added, held.attempts) == ("archive", 10, 1)
        assert held.evidence == {
            "outages": 1,
            "archives": {
                file.sha256: {
                    "file": "BTCUSDT2026-01-02.csv.gz",
                    "rows_added": 10,
                    "complete": [[at(minutes=10).isoformat(), at(minutes=20).isoformat()]],
                }
            },
        }

    def test_gaps_are_locked_before_the_ledger_as_by_a_capture(self, archive, monkeypatch):
        """In the other order an import and a repair of the same gap would wait for each other."""
        locked = []

        def noting(name):
            does = getattr(archive_module, name)
            return lambda *of, **more: (locked.append(name), does(*of, **more))[1]

        for name in ("judge_gap", "vouch"):
            monkeypatch.setattr(archive_module, name, noting(name))
        held = gap(at(minutes=10), at(minutes=20)), gap(at(minutes=30), at(minutes=40))
        ArchiveImporter().run(archive(whole_day(100)))
        assert {state(one)[0] for one in held} == {"filled"}
        assert locked == ["judge_gap", "judge_gap", "vouch"]

    def test_a_gap_that_reaches_beyond_stays_with_its_true_bounds(self, archive):
        before, after = gap(at(-1), at(1)), gap(at(23), at(25), state="partial")
        report = ArchiveImporter().run(archive(whole_day(100)))
        assert state(before) == ("partial", at(-1), at(0))
        assert state(after) == ("partial", at(24), at(25))
        assert before.evidence["first"] == {
            "started_at": at(-1).isoformat(), "ended_at": at(1).isoformat(),
        }  # fmt: skip
        assert before.rows_added == 59
        assert (report.gaps_in("filled"), report.gaps_in("partial")) == (0, 2)

    @pytest.mark.parametrize("order", list(itertools.permutations(range(4))))
    def test_a_gap_of_days_closes_in_whatever_order_its_files_come(self, archive, order):
        held = gap(at(12), at(24 * 3 + 12))
        days = [DAY + timedelta(days=number) for number in range(4)]
        for number in order:
            ArchiveImporter().run(archive(whole_day(9, days[number]), f"{number}.csv.gz"))
            assert held.state in ("open", "partial")
            held.refresh_from_db()
        assert (held.state, held.attempts) == ("filled", 4)
        interval = CoverageInterval.objects.get()
        assert (interval.started_at, interval.ended_at) == (at(0), at(96))

    def test_the_minutes_in_which_stored_trades_are_missing_are_not_vouched_for(self, archive):
        rows = whole_day(100)
        stored(row(at(minutes=30, seconds=12), 500))
        around, within = gap(at(minutes=29), at(minutes=32)), gap(*(at(minutes=30.3),) * 2)
        clear = gap(at(minutes=31), at(minutes=40))
        report = ArchiveImporter().run(archive(rows))
        assert report.vouched == [Span(at(0), at(0.5)), Span(at(minutes=31), at(24))]
        assert state(around) == ("partial", at(minutes=30), at(minutes=31))
        assert state(within) == ("open", at(minutes=30.3), at(minutes=30.3))
        assert state(clear)[0] == "filled"

    @pytest.mark.parametrize("amiss", ["conflict", "bad"])
    def test_nor_are_those_with_a_conflict_or_a_bad_row(self, archive, amiss):
        rows = whole_day(100)
        if amiss == "conflict":
            stored(rows[29], price=1)
        else:
            rows[29]["size"] = "many"
        held = gap(at(minutes=20), at(minutes=30.5))
        ArchiveImporter().run(archive(rows))
        assert state(held) == ("partial", at(minutes=30), at(minutes=30.5))

    def test_a_bad_row_of_unknown_time_leaves_nothing_vouched_for(self, archive):
        held = gap(at(minutes=20), at(minutes=30))
        report = ArchiveImporter().run(archive([*whole_day(100), row(at(9), 1, timestamp="?")]))
        assert state(held) == ("open", at(minutes=20), at(minutes=30))
        assert (report.vouched, report.new, held.attempts) == ([], 100, 1)
        assert not CoverageInterval.objects.exists()

    def test_a_gap_that_lasts_is_left_to_capture(self, archive):
        held = gap(at(minutes=20), None)
        ArchiveImporter().run(archive(whole_day(100)))
        assert state(held) == ("open", at(minutes=20), None)
        assert (held.attempts, held.rows_added) == (1, 81)

    def test_other_gaps_are_left_alone(self, archive):
        start, end = at(minutes=10), at(minutes=20)
        others = [
            gap(start, end, symbol="ETHUSDT"), gap(start, end, stream="tickers"),
            gap(start, end, state="unfillable"), gap(start, end, state="filled"),
            gap(at(25), at(26)),
        ]  # fmt: skip
        ArchiveImporter().run(archive(whole_day(100)))
        for other in others:
            before = other.state
            assert state(other)[0] == before
            assert other.attempts == 0

    def test_a_file_that_ends_where_a_gap_begins_proves_nothing_of_it(self, archive):
        held = gap(at(24), at(25))
        ArchiveImporter().run(archive(whole_day(100)))
        assert state(held) == ("open", at(24), at(25))

    def test_a_second_import_adds_no_evidence_and_no_interval(self, archive):
        file = archive(whole_day(100))
        held = gap(at(-1), at(1))
        for _ in range(2):
            ArchiveImporter().run(file)
        held.refresh_from_db()
        assert list(held.evidence["archives"]) == [file.sha256]
        assert (held.rows_added, CoverageInterval.objects.count()) == (59, 1)

    def test_a_dry_run_says_what_would_become_of_a_gap(self, archive):
        held = gap(at(minutes=10), at(minutes=20))
        report = ArchiveImporter(dry_run=True).run(archive(whole_day(100)))
        assert report.gaps_in("filled") == 1
        assert state(held) == ("open", at(minutes=10), at(minutes=20))
        assert (held.attempts, PublicTrade.objects.count()) == (0, 0)


@pytest.mark.django_db
class TestIntervals:
    """What is vouched for beside what is vouched for already."""

    def live(self, start, end):
        return CoverageInterval.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=start, ended_at=end, source="live"
        )

    def of_archives(self):
        rows = CoverageInterval.objects.filter(source="archive")
        return list(rows.values_list("started_at", "ended_at"))

    def test_an_interval_of_another_source_stays(self, archive):
        live = self.live(at(3), at(4))
        ArchiveImporter().run(archive(whole_day(100)))
        live.refresh_from_db()
        assert (live.started_at, live.ended_at, live.source) == (at(3), at(4), "live")
        assert self.of_archives() == [(at(0), at(3) - TICK), (at(4) + TICK, at(24))]

    def test_what_another_source_vouches_for_from_the_beginning_is_not_said_again(self, archive):
        self.live(at(0), at(5))
        ArchiveImporter().run(archive(whole_day(100)))
        assert self.of_archives() == [(at(5) + TICK, at(24))]


@pytest.mark.django_db
class TestMissed:
    """Rows that are new where nothing was to be missing."""

    def live(self, start, end, **changes):
        values = {"stream": "trades", "symbol": "BTCUSDT", "source": "live"}
        CoverageInterval.objects.create(started_at=start, ended_at=end, **(values | changes))

    def test_they_are_one_gap_however_many_batches_bring_them(self, archive, monkeypatch):
        monkeypatch.setattr(archive_lines, "BATCH_ROWS", 7)
        self.live(at(minutes=10), at(minutes=20))
        self.live(at(minutes=30), at(minutes=40), source="rest")
        file = archive(whole_day(100))
        report = ArchiveImporter().run(file)
        assert (report.new, report.missed.count) == (100, 20)
        declared = CaptureGap.objects.get()
        assert (declared.rows_added, declared.state) == (20, "filled")
        assert state(declared)[1:] == (at(seconds=601), at(seconds=39 * 60.1))
        assert declared.evidence["archives"][file.sha256]["rows_added"] == 20

    def test_what_a_gap_has_declared_is_not_declared_again(self, archive):
        self.live(at(minutes=10), at(minutes=20))
        gap(at(minutes=5), at(minutes=25))
        assert ArchiveImporter().run(archive(whole_day(100))).missed.count == 0
        assert CaptureGap.objects.count() == 1

    def test_other_feeds_vouch_for_nothing_here(self, archive):
        self.live(at(0), at(24), symbol="ETHUSDT")
        self.live(at(0), at(24), stream="tickers")
        assert ArchiveImporter().run(archive(whole_day(100))).missed.count == 0

    def test_a_time_in_whole_seconds_has_to_lie_a_second_within(self, archive):
        self.live(at(1), at(2))
        times = [at(1), at(1, seconds=1), at(2, seconds=-1), at(2), at(23)]
        rows = [row(t, n, timestamp=str(int(t.timestamp()))) for n, t in enumerate(times)]
        assert ArchiveImporter().run(archive(rows)).missed.count == 2
