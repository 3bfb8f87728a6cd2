"""The import of an archive: what is missing is stored, what is there is compared."""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import OperationalError, connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketdata.bybit.records import TradeRecord
from marketdata.capture.books import Books
from marketdata.capture.public_writers import TradeWriter
from marketdata.capture.writers import DatabaseUnavailable
from marketdata.coverage import archive as archive_module
from marketdata.coverage import archive_lines
from marketdata.coverage.archive import ArchiveImporter, ChangedFile
from marketdata.coverage.archive_matches import Seen
from marketdata.models import CoverageInterval, PublicTrade, QuarantinedMessage
from marketdata.tests.coverage.archive_files import (
    at,
    checked,
    day_of,
    row,
    stored,
    text_of,
    write,
)

pytestmark = pytest.mark.django_db

MS = timedelta(milliseconds=1)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "BTCUSDT2026-01-02.csv.gz"


@pytest.fixture
def imported(path):
    """A function that writes rows to a file and imports it; the report."""

    def run(rows, *, dry_run=False, plain=False):
        archive = checked(write(path, text_of(rows), plain=plain))
        report = ArchiveImporter(dry_run=dry_run).run(archive)
        assert report.is_accounted
        return report

    return run


def whole(when, number, **changes):
    """A line whose time is in whole seconds."""
    return row(when, number, timestamp=str(int(when.timestamp())), **changes)


def stored_ids():
    return sorted(PublicTrade.objects.values_list("trade_id", flat=True))


class TestStoring:
    """Rows that no stored trade matches become trades."""

    def test_a_first_import_stores_everything(self, imported):
        report = imported(day_of(100))
        assert (report.new, report.known, report.only_stored.count) == (100, 0, 0)
        trade = PublicTrade.objects.get(trade_id=str(uuid.UUID(int=7)))
        assert (trade.symbol, trade.exchange_ts) == ("BTCUSDT", at(seconds=420.7))
        assert (trade.side, trade.price, trade.size) == ("Buy", Decimal("60007.5"), Decimal("0.25"))
        assert trade.local_ts > trade.exchange_ts

    @pytest.mark.parametrize("kind", [row, whole])
    def test_a_second_import_changes_nothing(self, imported, kind):
        rows = [kind(at(minutes=number), number) for number in range(1, 101)]
        imported(rows)
        before = list(PublicTrade.objects.order_by("pk").values())
        report = imported(rows)
        assert (report.new, report.known, report.repeated) == (0, 100, 0)
        assert list(PublicTrade.objects.order_by("pk").values()) == before
        assert QuarantinedMessage.objects.count() == 0

    def test_batches_add_up(self, imported, monkeypatch):
        monkeypatch.setattr(archive_lines, "BATCH_ROWS", 7)
        rows = day_of(50)
        for line in rows[::3]:
            stored(line)
        report = imported(rows)
        assert (report.new, report.known) == (33, 17)
        assert len(stored_ids()) == 50

    def test_the_order_of_lines_does_not_matter(self, imported, monkeypatch):
        monkeypatch.setattr(archive_lines, "BATCH_ROWS", 7)
        rows = day_of(50)
        imported(rows[::-1])
        report = imported(rows[::2] + rows[1::2])
        assert (report.new, report.known) == (0, 50)

    @given(
        there=st.sets(st.integers(1, 60)),
        in_file=st.lists(st.integers(1, 60), min_size=1, unique=True),
        shift=st.integers(-1000, 1000),
        batch=st.integers(1, 70),
    )
    @settings(
        max_examples=40, deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )  # fmt: skip
    def test_after_it_the_table_is_the_union(self, path, there, in_file, shift, batch):
        PublicTrade.objects.all().delete()
        CoverageInterval.objects.all().delete()
        rows = {number: row(at(2, seconds=number * 5), number) for number in range(1, 61)}
        for number in there:
            stored(rows[number], exchange_ts=at(2, seconds=number * 5) + shift * MS)
        archive = checked(write(path, text_of(rows[number] for number in in_file)))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(archive_lines, "BATCH_ROWS", batch)
            report = ArchiveImporter().run(archive)
        both = there & set(in_file)
        assert stored_ids() == sorted(str(uuid.UUID(int=n)) for n in there | set(in_file))
        assert (report.new, report.known) == (len(in_file) - len(both), len(both))
        span = report.span
        alone = [at(2, seconds=n * 5) + shift * MS for n in there - set(in_file)]
        assert report.only_stored.count == sum(span.start <= time < span.end for time in alone)
        assert report.is_accounted


class TestMatching:
    """The same id near the same time is the same trade."""

    @pytest.mark.parametrize("shift", [-1000, -1, 1, 999, 1000])
    def test_within_a_second_it_is_there_and_keeps_its_time(self, imported, shift):
        line = row(at(5), 1)
        trade = stored(line, exchange_ts=at(5) + shift * MS)
        report = imported([line, row(at(6, milliseconds=1), 2)])
        assert (report.new, report.known) == (1, 1)
        trade.refresh_from_db()
        assert trade.exchange_ts == at(5) + shift * MS

    @pytest.mark.parametrize("shift", [-1001, 1001])
    def test_further_off_it_is_another_trade(self, imported, shift):
        line = row(at(5, milliseconds=1), 1)
        stored(line, exchange_ts=at(5, milliseconds=1) + shift * MS)
        report = imported([line])
        assert (report.new, report.known) == (1, 0)

    def test_in_whole_seconds_it_is_the_same_within_the_day(self, imported):
        lines = [whole(at(5), 1), whole(at(6), 2), whole(at(7), 3)]
        stored(lines[0], exchange_ts=at(23, milliseconds=7))
        stored(lines[1], exchange_ts=at(6, milliseconds=999))
        report = imported(lines)
        assert (report.new, report.known, report.only_stored.count) == (1, 2, 0)

    @pytest.mark.parametrize(
        ("changes", "name"),
        [
            ({"price": Decimal("60000")}, "price"),
            ({"size": Decimal("0.26")}, "size"),
            ({"side": "Sell", "size": Decimal("9")}, "side and size"),
        ],
    )
    def test_other_figures_are_a_conflict_and_nothing_changes(self, imported, changes, name):
        lines = [row(at(5), 1), row(at(6), 2)]
        trade = stored(lines[0], **changes)
        report = imported(lines)
        assert (report.new, report.known, report.conflicts) == (1, 0, 1)
        kept = QuarantinedMessage.objects.get()
        assert kept.reason == f"conflict: the trade is stored with another {name}"
        assert kept.raw_text.startswith("BTCUSDT2026-01-02.csv.gz:2: ")
        before = PublicTrade.objects.filter(pk=trade.pk).values().get()
        assert {key: before[key] for key in changes} == changes

    def test_digits_behind_the_point_that_say_nothing_are_no_conflict(self, imported):
        line = row(at(5), 1, price="60001.50000", size="0.2500")
        stored(row(at(5), 1))
        assert imported([line]).known == 1

    def test_the_flags_that_an_archive_does_not_carry_are_not_compared(self, imported):
        line = row(at(5), 1)
        stored(line, is_block_trade=True, is_rpi=True)
        assert imported([line]).known == 1

    @pytest.mark.parametrize("batch", [1, 100])
    @pytest.mark.parametrize("was_there", [False, True])
    def test_a_trade_that_the_file_holds_twice_is_stored_once(
        self, imported, monkeypatch, batch, was_there
    ):
        monkeypatch.setattr(archive_lines, "BATCH_ROWS", batch)
        line = row(at(5), 1)
        if was_there:
            stored(line)
        late = row(at(5, milliseconds=400), 1)
        report = imported([line, late, row(at(6), 2)])
        assert (report.new, report.known, report.repeated) == (2 - was_there, was_there, 1)
        assert len(stored_ids()) == 2

    @pytest.mark.parametrize("kind", [row, whole])
    def test_what_another_writer_stores_meanwhile_is_known(self, path, monkeypatch, kind):
        monkeypatch.setattr(archive_lines, "BATCH_ROWS", 1)
        lines = [kind(at(5), 1), kind(at(6), 2), kind(at(7), 3)]
        stored(lines[2])
        others = iter([lines[1]])

        def meanwhile(position):
            for line in others:
                stored(line, exchange_ts=at(6, milliseconds=123))

        report = ArchiveImporter().run(checked(write(path, text_of(lines))), meanwhile)
        assert (report.new, report.known, report.repeated) == (1, 2, 0)
        assert report.only_stored.count == 0
        assert len(stored_ids()) == 3

    @pytest.mark.parametrize("batch", [1, 100])
    def test_twice_with_other_figures_is_a_conflict(self, imported, monkeypatch, batch):
        monkeypatch.setattr(archive_lines, "BATCH_ROWS", batch)
        report = imported([row(at(5), 1), row(at(5), 1, price="1")])
        assert (report.new, report.conflicts) == (1, 1)

    def test_another_symbol_is_another_trade(self, imported):
        line = row(at(5), 1)
        stored(line, symbol="ETHUSDT")
        report = imported([line])
        assert (report.new, report.only_stored.count) == (1, 0)


class TestAfterwards:
    """A trade that capture or reconciliation brings after the import."""

    def bring(self, line, **changes):
        record = TradeRecord(
            "BTCUSDT", at(5, milliseconds=123), at(30), line["trdMatchID"], line["side"],
            Decimal(line["price"]), Decimal(line["size"]), False, False, 4711,
        )  # fmt: skip
        books = Books()
        writer = TradeWriter(books.tally, books.quarantine)
        writer.write([record._replace(**changes)])
        writer.flush()
        return books.tally.snapshot()[writer.key()]

    @pytest.mark.parametrize("fraction", ["1230", "1234", "1239"])
    def test_it_is_a_duplicate_where_the_millisecond_is_the_same(self, imported, fraction):
        line = row(at(5), 1, timestamp=f"{int(at(5).timestamp())}.{fraction}")
        imported([line])
        assert self.bring(line)["duplicate"] == 1
        assert len(stored_ids()) == 1

    def test_flags_that_the_archive_did_not_carry_are_no_conflict(self, imported):
        line = row(at(5), 1, timestamp=f"{int(at(5).timestamp())}.1230")
        imported([line])
        assert self.bring(line, is_block_trade=True, is_rpi=True)["duplicate"] == 1
        assert self.bring(line, is_rpi=True, price=Decimal(1))["quarantined"] == 1

    def test_flags_that_two_sources_carry_are_compared(self):
        line = row(at(5), 1, timestamp=f"{int(at(5).timestamp())}.1230")
        stored(line, sequence=4711)
        assert self.bring(line, is_block_trade=True)["quarantined"] == 1

    def test_a_late_trade_that_an_import_brought_is_stored_once_and_known(self, imported):
        line = row(at(5), 1)
        imported([line])
        self.bring(line)
        report = imported([line])
        assert (report.known, report.new, report.only_stored.count) == (1, 0, 0)
        assert len(stored_ids()) == 1


class TestComparison:
    """Archives have gaps of their own."""

    def test_what_is_stored_and_not_in_the_file_is_counted(self, imported):
        rows = day_of(20)
        for line in rows[4:9]:
            stored(line)
        report = imported(rows[:5] + rows[8:])
        assert (report.new, report.known, report.only_stored.count) == (15, 2, 3)
        only = report.only_stored
        assert (only.first, only.last) == (at(seconds=6 * 60.1), at(seconds=8 * 60.1))

    def test_other_days_and_symbols_are_not_looked_for(self, imported):
        stored(row(at(-0.001), 101))
        stored(row(at(24), 102))
        stored(row(at(5), 103), symbol="ETHUSDT")
        assert imported(day_of(3)).only_stored.count == 0

    @given(st.sets(st.integers(1, 1 << 40), max_size=50))
    def test_seen_is_a_set(self, keys):
        seen = Seen()
        assert all(seen.add(key) for key in keys)
        assert not any(seen.add(key) for key in keys)
        assert seen.count == len(keys)
        assert all((key in seen) == (key in keys) for k in keys for key in (k - 1, k, k + 1))


class TestQuarantine:
    """No row is dropped in silence."""

    def test_a_bad_row_is_kept_with_file_and_line(self, imported):
        rows = [*day_of(3), row(at(5), 4, side="?")]
        assert (imported(rows).new, imported(rows).bad) == (3, 1)
        kept = QuarantinedMessage.objects.get()
        assert (kept.topic, kept.count) == ("archive.BTCUSDT", 2)
        assert kept.reason == "side is neither Buy nor Sell: '?'"
        assert kept.raw_text.startswith("BTCUSDT2026-01-02.csv.gz:5: 1767")

    def test_a_value_that_the_database_would_round_is_kept_out(self, imported, path):
        rows = [*day_of(3), row(at(5), 4, price="0.1234567890123456789")]
        assert imported(rows).bad == 1
        assert len(stored_ids()) == 3


class TestHonesty:
    """A dry run stores nothing; a file that changes proves nothing."""

    def test_a_dry_run_says_the_same_and_stores_nothing(self, imported):
        rows = [*day_of(30), row(at(5), 40, side="?"), row(at(6), 41)]
        stored(rows[3])
        stored(rows[31], price=Decimal(1))
        stored(row(at(7), 50))

        def numbers(report):
            return (
                report.new, report.known, report.repeated, report.conflicts, report.bad,
                report.only_stored, report.vouched, report.doubtful,
            )  # fmt: skip

        dry = imported(rows, dry_run=True)
        assert PublicTrade.objects.count() == 3
        assert not QuarantinedMessage.objects.exists()
        assert not CoverageInterval.objects.exists()
        assert numbers(imported(rows)) == numbers(dry)

    def test_a_file_that_changed_vouches_for_nothing(self, path):
        archive = checked(write(path, text_of(day_of(20))))
        write(path, text_of(day_of(19)))
        with pytest.raises(ChangedFile):
            ArchiveImporter().run(archive)
        assert not CoverageInterval.objects.exists()


class Refusing:
    """Refuses to store trades while `is_away` says so of the number of the attempt."""

    def __init__(self, is_away):
        self.is_away, self.attempts = is_away, 0

    def __call__(self, execute, sql, params, many, context):
        if sql.startswith('INSERT INTO "public_trades"'):
            self.attempts += 1
            if self.is_away(self.attempts):
                raise OperationalError("the database is locked")
        return execute(sql, params, many, context)


@pytest.mark.django_db(transaction=True)
class TestDatabaseAway:
    """The import waits for the database, and what it leaves is finished by the next one."""

    @pytest.fixture(autouse=True)
    def _small_batches(self, monkeypatch):
        monkeypatch.setattr(archive_lines, "BATCH_ROWS", 20)

    def test_each_batch_is_tried_again(self, path):
        archive = checked(write(path, text_of(day_of(50))))
        refusing = Refusing(lambda attempt: attempt % 2)
        with connection.execute_wrapper(refusing):
            report = ArchiveImporter().run(archive)
        assert (report.new, refusing.attempts) == (50, 6)
        assert report.is_accounted

    def test_one_that_stays_away_ends_the_import(self, path, monkeypatch):
        monkeypatch.setattr(archive_module, "PATIENCE_SECONDS", 0.0)
        archive = checked(write(path, text_of(day_of(50))))
        with (
            connection.execute_wrapper(Refusing(lambda attempt: attempt > 1)),
            pytest.raises(DatabaseUnavailable),
        ):
            ArchiveImporter().run(archive)
        assert PublicTrade.objects.count() == 20
        assert not CoverageInterval.objects.exists()
        report = ArchiveImporter().run(archive)
        assert (report.new, report.known) == (30, 20)
