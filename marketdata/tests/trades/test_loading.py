"""Trades into arrays: from the database and from files the same, exact or refused."""

from __future__ import annotations

import json
import tempfile
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from marketdata.models import PublicTrade
from marketdata.tests.factories import InstrumentFactory
from marketdata.tests.trades.market import DAY, NEXT_DAY, TICK, expected, np, store, told
from marketdata.trades import database, export, files
from marketdata.trades.arrays import InexactTrade, Tick
from marketdata.trades.database import iter_trades, load_trades
from marketdata.trades.files import RefusedFile, iter_files, load_files
from marketdata.trades.rows import Part

HOUR = timedelta(hours=1)
TICKS = [Decimal(text) for text in ("0.1", "0.5", "10", "0.01", "0.0025", "0.00000001", "1")]
ROWS = st.lists(
    st.tuples(
        st.integers(0, 3 * 3_600_000) | st.sampled_from([0, 3_599_999, 3_600_000, 86_399_999]),
        st.integers(1, 10**9),
        st.booleans(),
    ),
    max_size=30,
)


@pytest.fixture
def small(monkeypatch):
    """Pieces of a few rows."""
    monkeypatch.setattr(database, "SQLITE_ROWS", 4)
    monkeypatch.setattr(export, "ROW_GROUP", 4)
    monkeypatch.setattr(files, "BATCH", 3)


def exported(folder, since=DAY, until=NEXT_DAY):
    done = export.export(
        Part("BTCUSDT", since, until), Path(folder), now=NEXT_DAY, wrote=lambda rows: None
    )
    return done.path


@pytest.mark.django_db
class TestEqual:
    """Three ways, one result."""

    @settings(
        max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
    )
    @given(rows=ROWS, tick=st.sampled_from(TICKS))
    def test_arrays_hold_what_is_stored_wherever_they_are_from(self, small, rows, tick):
        PublicTrade.objects.all().delete()
        store(
            *({"ms": ms, "price": ticks * tick, "is_block_trade": block}
              for ms, ticks, block in rows)
        )  # fmt: skip
        wanted = expected(tick=tick)
        assert told(load_trades("BTCUSDT", DAY, NEXT_DAY, tick_size=tick)) == wanted
        if rows:
            with tempfile.TemporaryDirectory() as folder:
                path = exported(folder)
                read = load_files([path], "BTCUSDT", DAY, NEXT_DAY, tick_size=tick)
            assert told(read) == wanted

    @pytest.mark.usefixtures("small")
    def test_trades_of_one_millisecond_stay_in_the_order_of_their_rows(self, tmp_path):
        store(*({"ms": 7, "price": Decimal(100 - n), "trade_id": str(9 - n)} for n in range(10)))
        prices = [(100 - n) * 10 for n in range(10)]
        loaded = load_trades("BTCUSDT", DAY, NEXT_DAY, tick_size=TICK)
        read = load_files([exported(tmp_path)], "BTCUSDT", DAY, NEXT_DAY, tick_size=TICK)
        assert loaded.price.tolist() == read.price.tolist() == prices

    @pytest.mark.parametrize("late", [0, 1, 400])
    def test_the_first_bound_is_included_and_the_second_is_not(self, tmp_path, late):
        store(*({"ms": ms} for ms in (0, 9, 10, 11, 3_600_009, 3_600_010, 3_600_011)))
        since = DAY + timedelta(milliseconds=10, microseconds=late)
        until = DAY + HOUR + timedelta(milliseconds=10, microseconds=late)
        wanted = expected(since, until)
        assert len(wanted) == 3
        assert told(load_trades("BTCUSDT", since, until, tick_size=TICK)) == wanted
        path = exported(tmp_path)
        assert told(load_files([path], "BTCUSDT", since, until, tick_size=TICK)) == wanted

    def test_other_symbols_are_left_out(self):
        store({"symbol": "ETHUSDT"}, {"price": Decimal(7)})
        assert told(load_trades("BTCUSDT", DAY, NEXT_DAY, tick_size=TICK)) == expected()
        assert len(expected()) == 1

    def test_no_trades_are_arrays_of_the_right_types(self):
        assert told(load_trades("BTCUSDT", DAY, NEXT_DAY, tick_size=TICK)) == []

    @pytest.mark.usefixtures("small")
    def test_pieces_are_small_and_together_the_whole(self, tmp_path):
        store(*({"ms": n * 3_600_000} for n in range(10)))
        path = exported(tmp_path)
        for pieces in (
            list(iter_trades("BTCUSDT", DAY, NEXT_DAY, tick_size=TICK)),
            list(iter_files([path], "BTCUSDT", DAY, NEXT_DAY, tick_size=TICK)),
        ):
            assert max(map(len, pieces)) <= 4
            assert [row for piece in pieces for row in told(piece)] == expected()


@pytest.mark.django_db
class TestExact:
    """What arrays cannot hold is an error that names it."""

    @pytest.mark.parametrize(
        ("price", "tick"),
        [
            ("60000.15", "0.1"),
            ("0.05", "0.1"),
            ("60000.1000000001", "0.1"),
            ("200000000000000", "0.1"),
            ("60000.3", "0.5"),
            ("60005", "10"),
        ],
    )
    def test_a_price_off_the_tick_is_named(self, tmp_path, price, tick):
        size = Decimal(tick)
        store({"price": size}, {"price": Decimal(price), "trade_id": "odd-one"}, {"price": size})
        words = (
            rf"odd-one of 2026-01-02T00:00:00.001000\+00:00.*: its price {price}.* tick {tick}\."
        )
        with pytest.raises(InexactTrade, match=words):
            load_trades("BTCUSDT", DAY, NEXT_DAY, tick_size=size)
        with pytest.raises(InexactTrade, match=words):
            load_files([exported(tmp_path)], "BTCUSDT", DAY, NEXT_DAY, tick_size=size)

    def test_a_time_between_milliseconds_is_named(self, tmp_path):
        store({}, {"exchange_ts": DAY + timedelta(microseconds=1500), "trade_id": "odd-one"})
        with pytest.raises(InexactTrade, match=r"odd-one .*: its time is no whole millisecond"):
            load_trades("BTCUSDT", DAY, NEXT_DAY, tick_size=TICK)
        with pytest.raises(InexactTrade, match=r"00:00:00\.001500"):
            exported(tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_the_tick_is_the_instrument_s(self, tmp_path):
        store({"price": Decimal("60000.5")})
        with pytest.raises(LookupError, match="tick size of BTCUSDT is not known"):
            load_trades("BTCUSDT", DAY, NEXT_DAY)
        unaware = exported(tmp_path)
        with pytest.raises(RefusedFile, match="does not know the tick size"):
            load_files([unaware], "BTCUSDT", DAY, NEXT_DAY)
        InstrumentFactory(tick_size=Decimal("0.5"))
        assert load_trades("BTCUSDT", DAY, NEXT_DAY).price.tolist() == [120_001]
        read = load_files([exported(tmp_path)], "BTCUSDT", DAY, NEXT_DAY)
        assert (read.tick_size, read.price.tolist()) == (Decimal("0.5"), [120_001])

    @pytest.mark.parametrize("size", ["0", "-0.1", "NaN"])
    def test_no_tick_size(self, size):
        with pytest.raises(ValueError, match="is no tick size"):
            Tick.of(Decimal(size))


@given(units=st.integers(0, 10**15 - 1), size=st.sampled_from(TICKS))
def test_a_double_counts_as_the_decimal_that_it_is_of(units, size):
    tick = Tick.of(size)
    price = Decimal(units).scaleb(-tick.decimals)
    [ticks], [exact] = tick.count_doubles(np.array([float(price)]))
    assert exact == tick.holds(price) == (price % size == 0)
    if exact:
        assert ticks == price / size


@given(units=st.integers(1, 10**15 - 1), more=st.integers(1, 4))
def test_a_double_with_more_decimals_than_the_tick_is_never_exact(units, more):
    tick = Tick.of(TICK)
    price = Decimal(units).scaleb(-1 - more)
    [exact] = tick.count_doubles(np.array([float(price)]))[1]
    assert exact == (price % TICK == 0)


@pytest.mark.django_db
class TestFiles:
    """What is refused."""

    def test_files_come_in_any_order_and_what_they_have_beyond_is_left_out(self, tmp_path):
        middle = DAY + 12 * HOUR
        store(*({"ms": n * 7_200_000} for n in range(12)))
        halves = []
        for name, since, until in (("first", DAY, middle), ("second", middle, NEXT_DAY)):
            halves.append(exported(tmp_path, since, until).rename(tmp_path / name))
        since, until = DAY + HOUR, NEXT_DAY - HOUR
        read = load_files(halves[::-1], "BTCUSDT", since, until, tick_size=TICK)
        assert told(read) == expected(since, until)
        assert len(read) == 11

    def test_a_trade_counts_once(self, tmp_path):
        store({})
        path = exported(tmp_path)
        with pytest.raises(RefusedFile, match="overlap"):
            load_files([path, path], "BTCUSDT", DAY, NEXT_DAY, tick_size=TICK)

    def test_another_symbol_is_refused(self, tmp_path):
        store({})
        with pytest.raises(RefusedFile, match="holds BTCUSDT, not ETHUSDT"):
            load_files([exported(tmp_path)], "ETHUSDT", DAY, NEXT_DAY, tick_size=TICK)

    def test_other_files_are_refused(self, tmp_path):
        store({})
        path = exported(tmp_path)
        table = files.pq.read_table(path)
        foreign = {"absent": None, "text": b"no parquet", "cut": path.read_bytes()[:-20]}
        for name, content in foreign.items():
            if content is not None:
                (tmp_path / name).write_bytes(content)
        files.pq.write_table(table.drop_columns("side"), tmp_path / "columns")
        files.pq.write_table(table.replace_schema_metadata({}), tmp_path / "undescribed")
        later = {files.KEY: files.describe(path).dumped().replace(b'"format": 1', b'"format": 2')}
        files.pq.write_table(table.replace_schema_metadata(later), tmp_path / "format")
        for name in (*foreign, "columns", "undescribed", "format"):
            with pytest.raises(RefusedFile, match=name):
                load_files([tmp_path / name], "BTCUSDT", DAY, NEXT_DAY, tick_size=TICK)

    @pytest.mark.parametrize("batch", [2, 100])
    @pytest.mark.parametrize("order", [[1, 0, 2], [0, 2, 1]])
    def test_trades_out_of_order_are_refused(self, tmp_path, monkeypatch, order, batch):
        monkeypatch.setattr(files, "BATCH", batch)
        store({}, {}, {})
        path = exported(tmp_path)
        files.pq.write_table(files.pq.read_table(path).take(order), path)
        with pytest.raises(RefusedFile, match="out of order"):
            load_files([path], "BTCUSDT", DAY, NEXT_DAY, tick_size=TICK)

    @pytest.mark.parametrize("ms", [0, 3_600_000])
    def test_trades_outside_of_the_span_that_a_file_names_are_refused(self, tmp_path, ms):
        store({"ms": ms}, {"ms": 1_800_000})
        path = exported(tmp_path)
        said = vars(files.describe(path)) | {"since": DAY + HOUR / 2, "until": DAY + HOUR}
        metadata = {files.KEY: files.Description(**said).dumped()}
        table = files.pq.read_table(path).replace_schema_metadata(metadata)
        files.pq.write_table(table, path)
        with pytest.raises(RefusedFile, match="outside of its span"):
            load_files([path], "BTCUSDT", DAY, NEXT_DAY, tick_size=TICK)

    def test_a_damaged_page_is_refused(self, tmp_path):
        store(*({"price": Decimal(50_000 + n % 7)} for n in range(500)))
        path = exported(tmp_path)
        written = bytearray(path.read_bytes())
        chunk = files.pq.ParquetFile(path).metadata.row_group(0).column(4)
        written[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
        path.write_bytes(written)
        with pytest.raises(RefusedFile, match="cannot be read"):
            load_files([path], "BTCUSDT", DAY, NEXT_DAY, tick_size=TICK)

    @pytest.mark.parametrize(
        "changes",
        [
            {"since": NEXT_DAY.isoformat(), "until": DAY.isoformat()},
            {"since": "2026-01-02T00:00:00"},
            {"missing": None},
            {"missing": "all"},
            {"missing": [{"from": "2026-01-02T00:00:00", "to": "2026-01-02T01:00:00"}]},
            {"missing": [{"from": "2026-01-02T00:00:00+00:00"}]},
        ],
    )
    def test_a_description_that_makes_no_sense_is_refused(self, tmp_path, changes):
        store({})
        path = exported(tmp_path)
        said = json.dumps(json.loads(files.describe(path).dumped()) | changes)
        table = files.pq.read_table(path).replace_schema_metadata({files.KEY: said})
        files.pq.write_table(table, path)
        with pytest.raises(RefusedFile, match="was not written by export_trades"):
            files.describe(path)

    def test_no_files_are_refused(self):
        with pytest.raises(RefusedFile, match="no files"):
            load_files([], "BTCUSDT", DAY, NEXT_DAY)
