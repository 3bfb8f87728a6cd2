"""Writers store what they are given, and know what became of every row."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import (
    DatabaseError,
    InternalError,
    NotSupportedError,
    OperationalError,
    ProgrammingError,
    connection,
)

from marketdata.capture.public_writers import TickerWriter, TradeWriter
from marketdata.capture.quarantine import Quarantine
from marketdata.capture.tally import StreamKey, Tally
from marketdata.capture.writers import DatabaseUnavailable
from marketdata.models import PublicTrade, QuarantinedMessage, Stream, TickerSnapshot
from marketdata.tests.records import START, ticker, trade

pytestmark = pytest.mark.django_db

# What makes a session read, and write again.
ONLY_READS = {
    "sqlite": ("PRAGMA query_only = ON", "PRAGMA query_only = OFF"),
    "postgresql": ("SET default_transaction_read_only = on", "RESET default_transaction_read_only"),
}


@pytest.fixture
def tally():
    return Tally()


@pytest.fixture
def quarantine(tally):
    return Quarantine(tally)


@pytest.fixture
def writer(tally, quarantine):
    return TradeWriter(tally, quarantine)


def counts(tally: Tally, stream: Stream = Stream.TRADES) -> dict[str, int]:
    assert tally.violations() == []
    columns = tally.snapshot()[StreamKey(stream)]
    return {name: rows for name, rows in columns.items() if rows}


def test_rows_are_stored_as_they_are(writer, tally):
    writer.write([trade(1)])
    writer.flush()
    row = PublicTrade.objects.get()
    assert all(getattr(row, name) == value for name, value in trade(1)._asdict().items())
    assert counts(tally) == {"received": 1, "stored": 1}


def test_rows_that_wait_are_counted_as_buffered(writer, tally):
    writer.write([trade(1), trade(2)])
    assert counts(tally) == {"received": 2, "buffered": 2}


def steps_of_duplicates(writer: TradeWriter, rows: int) -> int:
    """How many thousands of steps SQLite takes to recognise so many rows."""
    batch, steps = [trade(number) for number in range(rows)], []
    writer.write(batch)
    writer.flush()
    connection.connection.set_progress_handler(lambda: steps.append(1), 1000)
    writer.write(batch)
    writer.flush()
    connection.connection.set_progress_handler(None, 0)
    return len(steps)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="it counts the steps of SQLite")
def test_the_work_of_recognising_duplicates_grows_as_their_number(writer):
    assert steps_of_duplicates(writer, 400) < 3 * steps_of_duplicates(writer, 200)


def test_a_trade_sent_twice_is_stored_once(writer, tally):
    writer.write([trade(1), trade(2)])
    writer.flush()
    writer.write([trade(2), trade(3), trade(3)])
    writer.flush()
    assert PublicTrade.objects.count() == 3
    assert counts(tally) == {"received": 5, "stored": 3, "duplicate": 2}


@pytest.mark.parametrize("flush_between", [True, False])
def test_the_same_key_with_another_price_is_a_conflict(writer, tally, quarantine, flush_between):
    writer.write([trade(1)])
    if flush_between:
        writer.flush()
    writer.write([trade(1, price=Decimal("1.5"))])
    writer.flush()
    quarantine.flush()
    assert counts(tally) == {"received": 2, "stored": 1, "quarantined": 1}
    message = QuarantinedMessage.objects.get()
    assert message.reason.startswith("conflict")
    assert "1.5" in message.raw_text


def test_another_receipt_time_or_a_missing_sequence_is_no_conflict(writer, tally):
    writer.write([trade(1)])
    writer.flush()
    writer.write([trade(1, local_ts=START + timedelta(hours=1), sequence=None)])
    writer.flush()
    assert counts(tally) == {"received": 2, "stored": 1, "duplicate": 1}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("price", ["same", "other"])
def test_a_late_trade_that_an_archive_brought_at_a_rounded_time(writer, tally, quarantine, price):
    """The next capture replays what was in the spool while the archive was imported."""
    rows = [trade(0), trade(1, symbol="ETHUSDT"), trade(2)]
    rounded = rows[0]._replace(exchange_ts=rows[0].exchange_ts + timedelta(milliseconds=1))
    archived = rounded._replace(sequence=None)
    if price == "other":
        archived = archived._replace(price=archived.price + 1)
    PublicTrade.objects.bulk_insert([PublicTrade(None, *archived)])
    writer.write(rows)
    writer.flush()
    assert PublicTrade.objects.filter(trade_id=rows[0].trade_id).count() == 1
    counts = tally.snapshot()[StreamKey(Stream.TRADES)]
    told = ("stored", "duplicate", "quarantined")
    assert [counts[name] for name in told] == [2, int(price == "same"), int(price == "other")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("position", [0, 570, 999])
def test_one_bad_row_among_a_thousand_is_quarantined_and_the_others_stored(
    writer, tally, quarantine, position
):
    rows = [trade(number) for number in range(1000)]
    rows[position] = rows[position]._replace(price=None)
    writer.write(rows)
    writer.flush()
    quarantine.flush()
    assert PublicTrade.objects.count() == 999
    assert counts(tally) == {"received": 1000, "stored": 999, "quarantined": 1}
    assert "refused" in QuarantinedMessage.objects.get().reason


@pytest.mark.django_db(transaction=True)
def test_a_row_of_the_wrong_type_is_quarantined(writer, tally):
    writer.write([trade(1), trade(2, sequence="not a number")])
    writer.flush()
    assert counts(tally) == {"received": 2, "stored": 1, "quarantined": 1}


def fail_first(monkeypatch, *errors: Exception) -> None:
    """Have the first inserts fail, each with one of `errors`, and be tried again at once."""
    answers, insert = iter(errors), TradeWriter._insert

    def flaky(self, key, batch):
        for error in answers:
            raise error
        return insert(self, key, batch)

    monkeypatch.setattr(TradeWriter, "_insert", flaky)
    monkeypatch.setattr("marketdata.capture.writers.RETRY_SECONDS", (0.001, 0.002))
    monkeypatch.setattr("marketdata.capture.writers.connection.close", lambda: None)


def test_a_batch_waits_while_the_database_is_away(writer, tally, monkeypatch):
    fail_first(monkeypatch, OperationalError("away"), OperationalError("still away"))
    writer.write([trade(1)])
    writer.flush()
    assert counts(tally) == {"received": 1, "stored": 1}


@pytest.mark.parametrize(
    "kind", [InternalError, ProgrammingError, NotSupportedError, DatabaseError]
)
def test_a_database_that_refuses_without_blaming_a_row_is_waited_for_and_told_of(
    writer, tally, monkeypatch, caplog, kind
):
    fail_first(monkeypatch, kind("cannot execute it"), kind("cannot execute it"))
    writer.write([trade(1)])
    writer.flush()
    assert counts(tally) == {"received": 1, "stored": 1}
    (alarm,) = (record for record in caplog.records if "ALARM" in record.message)
    assert alarm.exc_info[0] is kind


@pytest.mark.django_db(transaction=True)
def test_a_database_that_only_reads_is_away_and_no_row_is_to_blame(
    writer, tally, monkeypatch, caplog
):
    only_reads, writes = ONLY_READS[connection.vendor]
    monkeypatch.setattr("marketdata.capture.writers.connection.close", lambda: None)
    with connection.cursor() as cursor:
        cursor.execute(only_reads)
    writer.write([trade(1), trade(2)])
    writer.request_stop(timeout=0)
    with pytest.raises(DatabaseUnavailable, match="2 rows in hand"):
        writer.flush()
    assert counts(tally) == {"received": 2, "buffered": 2}
    assert not [record for record in caplog.records if "ALARM" in record.message]
    with connection.cursor() as cursor:
        cursor.execute(writes)


def test_rows_that_could_not_be_stored_are_said_at_the_end(writer, tally, monkeypatch):
    def away(self, key, batch):
        raise OperationalError("away")

    monkeypatch.setattr(TradeWriter, "_insert", away)
    monkeypatch.setattr("marketdata.capture.writers.connection.close", lambda: None)
    writer.write([trade(1), trade(2)])
    with pytest.raises(DatabaseUnavailable, match="2 rows of trades"):
        writer.stop(timeout=0)
    assert counts(tally) == {"received": 2, "buffered": 2}


def test_a_dead_writer_is_noticed(writer, monkeypatch):
    def broken(self, key, batch):
        raise RuntimeError("a bug")

    monkeypatch.setattr(TradeWriter, "_insert", broken)
    writer.write([trade(number) for number in range(100)])
    writer.start_auto_flush()
    writer._thread.join(30)
    assert not writer.is_alive()
    assert isinstance(writer.error, RuntimeError)


@pytest.mark.django_db(transaction=True)
def test_the_thread_stores_a_full_batch_and_the_rest_at_the_end(writer, tally):
    writer.start_auto_flush()
    writer.write([trade(number) for number in range(250)])
    writer.stop()
    assert PublicTrade.objects.count() == 250
    assert counts(tally) == {"received": 250, "stored": 250}
    assert writer.lags[StreamKey(Stream.TRADES)][-1] > 0


class TestTickers:
    """The last state of each interval is kept."""

    @pytest.fixture
    def tickers(self, tally, quarantine):
        return TickerWriter(tally, quarantine, interval_ms=1000)

    def stored(self) -> list[int]:
        rows = TickerSnapshot.objects.order_by("exchange_ts")
        return [round((row.exchange_ts - START).total_seconds() * 1000) for row in rows]

    def test_the_last_state_of_each_interval_is_stored(self, tickers, tally):
        tickers.write([ticker(ms) for ms in (0, 100, 900, 1000, 1999, 5000)])
        tickers.flush()
        assert self.stored() == [900, 1999, 5000]
        assert counts(tally, Stream.TICKERS) == {"received": 6, "stored": 3, "conflated": 3}

    def test_a_state_is_held_while_its_interval_lasts(self, tickers, tally):
        tickers.write([ticker(0), ticker(1200)])
        assert counts(tally, Stream.TICKERS) == {"received": 2, "buffered": 2}

    def test_symbols_have_intervals_of_their_own(self, tickers):
        tickers.write([ticker(0), ticker(100, symbol="ETHUSDT"), ticker(200)])
        tickers.flush()
        assert self.stored() == [100, 200]

    def test_an_interval_of_zero_keeps_every_state(self, tally, quarantine):
        writer = TickerWriter(tally, quarantine, interval_ms=0)
        writer.write([ticker(ms) for ms in (0, 100, 900)])
        writer.flush()
        assert self.stored() == [0, 100, 900]

    def test_two_states_of_one_time_are_conflated_and_the_first_stays(self, tally, quarantine):
        writer = TickerWriter(tally, quarantine, interval_ms=0)
        writer.write([ticker(0), ticker(0, last_price=Decimal(5)), ticker(0)])
        writer.flush()
        assert TickerSnapshot.objects.get().last_price == ticker(0).last_price
        expected = {"received": 3, "stored": 1, "conflated": 1, "duplicate": 1}
        assert counts(tally, Stream.TICKERS) == expected
