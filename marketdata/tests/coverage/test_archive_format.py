"""Which files are a daily archive of a linear symbol, and what their lines say."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketdata.coverage import archive_format, archive_lines
from marketdata.coverage.archive_format import ArchiveReader
from marketdata.coverage.archive_lines import RefusedFile
from marketdata.tests.coverage.archive_files import (
    COLUMNS,
    DAY,
    at,
    checked,
    day_of,
    row,
    text_of,
    write,
)

SPOT = "id,timestamp,price,volume,side\n1,1767312000123,60000.5,0.25,buy\n"
GARBAGE = {
    "nothing": (b"", "is empty"),
    "a word": (b"hello", "first line has no end"),
    "zeros": (b"\x00" * 100_000, "a line of more than 4096 bytes"),
    "another packer": (b"PK\x03\x04\n" * 100, "does not name timestamp"),
    "spot": (SPOT.encode(), "archive of the spot market"),
    "packed spot": (gzip.compress(SPOT.encode()), "archive of the spot market"),
    "a header alone": (f"{','.join(COLUMNS)}\n".encode(), "holds no trades"),
    "two bytes of gzip": (b"\x1f\x8b", "gzip data end"),
    "no gzip inside": (b"\x1f\x8bnonsense" * 10, "gzip data are damaged"),
    "more behind it": (
        gzip.compress(text_of(day_of(3)).encode()) + b"more", "gzip data are damaged",
    ),
}  # fmt: skip
NEEDED = ("timestamp", "symbol", "side", "size", "price", "trdMatchID")

in_one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "BTCUSDT2026-01-02.csv.gz"


def records_of(path):
    return [record for batch in ArchiveReader(path, datetime.now(UTC), 15) for record in batch[0]]


def bad_of(path):
    return [row for batch in ArchiveReader(path, datetime.now(UTC), 15) for row in batch.bad]


class TestReading:
    """By the names of the columns, whatever the file is called."""

    @pytest.mark.parametrize("plain", [False, True])
    def test_plain_and_gzip_are_told_by_their_first_bytes(self, path, plain):
        write(path, text_of(day_of(3)), plain=plain)
        archive = checked(path)
        assert (archive.symbol, archive.day, archive.rows) == ("BTCUSDT", DAY, 3)
        assert (archive.first, archive.last) == (at(seconds=60.1), at(seconds=180.3))
        assert archive.is_gzip is not plain

    def test_a_row_becomes_a_record(self, path):
        write(path, text_of([row(at(3, milliseconds=4), 9, side="Sell", size="0.001")]))
        record = records_of(path)[0]
        assert (record.symbol, record.exchange_ts) == ("BTCUSDT", at(3, milliseconds=4))
        assert (record.side, record.price, record.size) == (
            "Sell", Decimal("60009.5"), Decimal("0.001"),
        )  # fmt: skip
        assert record.trade_id == "00000000-0000-0000-0000-000000000009"
        assert (record.is_block_trade, record.is_rpi, record.sequence) == (False, False, None)

    @pytest.mark.parametrize(
        ("text", "milliseconds"),
        [(".1234", 123), (".1239", 123), ("", 0), (".9", 900), (".000000000001", 0)],
    )
    def test_a_time_is_cut_to_the_milliseconds_of_the_stream(self, path, text, milliseconds):
        seconds = str(int(at(5).timestamp()))
        write(path, text_of([row(at(5), 1, timestamp=seconds + text)]))
        assert records_of(path)[0].exchange_ts == at(5, milliseconds=milliseconds)

    def test_columns_may_stand_in_any_order_with_others_between(self, path):
        columns = ("RPI", "trdMatchID", "price", "new", "size", "side", "symbol", "timestamp")
        rows = [row(at(1), 1, RPI="1", new="?"), row(at(2), 2, RPI="0", new="")]
        write(path, text_of(rows, columns))
        records = records_of(path)
        assert [record.is_rpi for record in records] == [True, False]
        assert [record.price for record in records] == [Decimal("60001.5"), Decimal("60002.5")]

    def test_lines_that_end_as_on_windows_are_lines(self, path):
        write(path, text_of(day_of(3)).replace("\n", "\r\n"))
        assert checked(path).rows == 3

    def test_lines_may_stand_in_any_order_of_time(self, path):
        write(path, text_of(day_of(5)[::-1]))
        archive = checked(path)
        assert (archive.first, archive.last) == (at(seconds=60.1), at(seconds=300.5))

    def test_whole_seconds_are_seen(self, path):
        rows = [row(at(1), 1, timestamp=str(int(at(1).timestamp()))), row(at(2), 2)]
        write(path, text_of(rows))
        assert checked(path).whole_seconds
        write(path, text_of([*rows, row(at(3, milliseconds=1), 3)]))
        assert not checked(path).whole_seconds

    def test_every_line_is_read_across_batches_and_chunks(self, path, monkeypatch):
        monkeypatch.setattr(archive_lines, "BATCH_ROWS", 7)
        monkeypatch.setattr(archive_lines, "CHUNK_BYTES", 100)
        write(path, text_of(day_of(50)))
        batches = list(ArchiveReader(path, datetime.now(UTC), 15))
        assert [len(batch.records) for batch in batches] == [7] * 7 + [1]
        assert [line for batch in batches for line in batch.lines] == list(range(2, 52))

    def test_the_position_moves_to_the_end_of_the_file(self, path, monkeypatch):
        monkeypatch.setattr(archive_lines, "BATCH_ROWS", 100)
        write(path, text_of(day_of(1000)))
        positions: list[int] = []
        archive = archive_format.check(path, datetime.now(UTC), 15, positions.append)
        assert positions == sorted(positions)
        assert positions[-1] == archive.size == path.stat().st_size


class TestBadRows:
    """A line that is no trade is set aside, with its number and its reason."""

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"timestamp": "now"}, "timestamp is not in seconds"),
            ({"timestamp": "1767312000123"}, "timestamp is not in seconds"),
            ({"timestamp": "1000000000.5"}, "timestamp is before 2018"),
            ({"timestamp": "9999999999.5"}, "timestamp is in the future"),
            ({"symbol": "btcusdt"}, "symbol is not a symbol"),
            ({"side": "buy"}, "side is neither Buy nor Sell"),
            ({"size": "1e-05"}, "size is not a decimal number"),
            ({"size": "0"}, "size is not positive"),
            ({"price": "-1"}, "price is not positive"),
            ({"price": "1234567890.1234567"}, "price has more digits than can be stored"),
            ({"trdMatchID": ""}, "trdMatchID is not a trade id"),
            ({"trdMatchID": "\x00\x00"}, "trdMatchID is not a trade id"),
            ({"price": "\u0661"}, "price is not a decimal number"),
            ({"foreignNotional": "1,2"}, "row has not 10 fields"),
        ],
    )
    def test_it_says_what_is_wrong(self, path, changes, reason):
        write(path, text_of([row(at(1), 1), row(at(2), 2, **changes), row(at(3), 3)]))
        assert len(records_of(path)) == 2
        bad = bad_of(path)
        assert [(item.line, item.reason.partition(":")[0]) for item in bad] == [(3, reason)]
        assert bad[0].at == (None if "timestamp" in changes else at(2))

    def test_a_few_are_no_reason_to_refuse_the_file(self, path):
        bad = [row(at(5), 1, side="?")] * 10
        write(path, text_of([row(at(1), 1), *bad]))
        assert (checked(path).rows, checked(path).bad) == (11, 10)
        write(path, text_of([row(at(1), 1), *bad, *bad]))
        with pytest.raises(RefusedFile, match="20 of its 21 rows are no trades"):
            checked(path)

    @given(lines=st.lists(st.text(), max_size=5))
    @in_one_folder
    def test_whatever_a_line_says_it_is_a_record_or_a_bad_row(self, path, lines):
        lines = [line.replace("\n", "") for line in lines]
        text = text_of([row(at(1), 1)]) + "".join(f"{line}\n" for line in lines)
        path.write_bytes(text.encode("utf-8", "backslashreplace"))
        assert (len(records_of(path)), len(bad_of(path))) == (1, len(lines))


class TestRefusals:
    """What is not a whole archive is refused, and the text says why."""

    @pytest.mark.parametrize("kind", GARBAGE)
    def test_garbage_and_other_formats(self, path, kind):
        data, reason = GARBAGE[kind]
        path.write_bytes(data)
        with pytest.raises(RefusedFile, match=reason):
            checked(path)

    @pytest.mark.parametrize("name", NEEDED)
    def test_a_column_that_is_missing_or_there_twice(self, path, name):
        columns = [column for column in COLUMNS if column != name]
        for wrong in (columns, [*COLUMNS, name]):
            write(path, text_of(day_of(3), wrong))
            with pytest.raises(RefusedFile, match=f"does not name {name} once"):
                checked(path)

    @given(share=st.floats(0, 1, exclude_max=True))
    @in_one_folder
    def test_gzip_that_is_cut_anywhere(self, path, share):
        data = gzip.compress(text_of(day_of(200)).encode())
        path.write_bytes(data[: int(share * len(data))])
        with pytest.raises(RefusedFile):
            checked(path)

    def test_gzip_with_a_wrong_checksum(self, path):
        data = bytearray(gzip.compress(text_of(day_of(200)).encode()))
        data[-6] ^= 1
        path.write_bytes(bytes(data))
        with pytest.raises(RefusedFile, match="damaged"):
            checked(path)

    def test_a_plain_file_whose_last_line_is_cut_anywhere_in_what_is_needed(self, path):
        text = text_of(day_of(3))
        last = text.splitlines()[-1]
        begin = len(text) - len(last) - 1
        for length in range(1, last.rindex(",") + 2):
            path.write_text(text[: begin + length])
            with pytest.raises(RefusedFile, match="last line is cut"):
                checked(path)

    def test_a_last_line_without_an_end_is_whole_when_all_its_fields_are_there(self, path):
        path.write_text(text_of(day_of(3)).rstrip("\n"))
        assert checked(path).rows == 3

    def test_a_last_line_that_ends_in_a_needed_field_may_be_cut(self, path):
        columns = ("trdMatchID", "timestamp", "symbol", "side", "size", "price")
        path.write_text(text_of(day_of(3), columns).rstrip("\n"))
        with pytest.raises(RefusedFile, match="last line is cut"):
            checked(path)

    @pytest.mark.parametrize("symbol", ["BTCUSD", "BTCUSDH26", "BTCPERP", "BTCUSDT-27MAR26"])
    def test_a_contract_that_is_not_linear_in_usdt(self, path, symbol):
        write(path, text_of([row(at(1), 1, symbol=symbol)]))
        with pytest.raises(RefusedFile, match=f"{symbol} is no linear contract"):
            checked(path)

    def test_several_symbols(self, path):
        write(path, text_of([row(at(1), 1), row(at(2), 2, symbol="ETHUSDT")]))
        with pytest.raises(RefusedFile, match="several symbols: BTCUSDT and ETHUSDT"):
            checked(path)

    def test_several_days(self, path):
        write(path, text_of([row(at(1), 1), row(at(25), 2)]))
        with pytest.raises(RefusedFile, match="more than one day: 2026-01-02 to 2026-01-03"):
            checked(path)

    def test_a_time_that_was_rounded_into_the_next_day_is_of_its_own(self, path):
        write(path, text_of([row(at(1), 1), row(at(23), 2), row(at(24, seconds=1), 3)]))
        assert checked(path).day == DAY

    def test_what_is_no_file(self, path, tmp_path):
        with pytest.raises(RefusedFile, match="no such file"):
            checked(path)
        with pytest.raises(RefusedFile, match="not a file"):
            checked(tmp_path)
        os.mkfifo(path)
        with pytest.raises(RefusedFile, match="not a file"):
            checked(path)

    @given(data=st.binary(max_size=300))
    @in_one_folder
    def test_no_bytes_at_all_are_an_archive_by_chance(self, path, data):
        path.write_bytes(data)
        with pytest.raises(RefusedFile):
            checked(path)


def test_a_day_that_goes_on_is_read_as_well(path):
    now = datetime.now(UTC)
    write(path, text_of([row(now - timedelta(milliseconds=5), 1)]))
    assert checked(path).rows == 1
