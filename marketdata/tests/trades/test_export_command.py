"""`manage.py export_trades`, as its user types it."""

from __future__ import annotations

import json
import os
import signal
import sys
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

import gridcore
from marketdata.coverage.ledger import Source, vouch
from marketdata.coverage.spans import TICK as MILLISECOND
from marketdata.exits import ExitCode
from marketdata.models import CaptureGap, PublicTrade
from marketdata.tests.factories import EnvironmentStampFactory, InstrumentFactory
from marketdata.tests.trades.market import DAY, NEXT_DAY, store
from marketdata.trades import export, files

pytestmark = pytest.mark.django_db

HOUR = timedelta(hours=1)
COLUMNS = files.SCHEMA.names


@pytest.fixture
def out(tmp_path):
    return tmp_path / "made" / "trades"


def run(capsys, out, *arguments, symbol="BTCUSDT") -> tuple[int, str]:
    given = ("--symbol", symbol, "--out", str(out), *arguments)
    try:
        call_command("export_trades", *given)
    except SystemExit as end:
        return int(end.code or 0), capsys.readouterr().out
    except CommandError as error:
        return error.returncode, str(error)
    return 0, capsys.readouterr().out


def covered(since=DAY, until=NEXT_DAY, symbol="BTCUSDT"):
    vouch("trades", symbol, None, since, until - MILLISECOND, Source.LIVE)


def rows(path):
    return files.pq.read_table(path).to_pylist()


def stored(symbol="BTCUSDT"):
    trades = PublicTrade.objects.filter(symbol=symbol).order_by("exchange_ts", "id")
    return list(trades.values(*COLUMNS))


class TestWritten:
    """What stands in the files."""

    def test_every_column_of_every_trade(self, capsys, out):
        store(
            {"price": Decimal("60000.123456789"), "size": Decimal("0.000001"), "side": "Sell"},
            {"is_block_trade": True, "sequence": None, "trade_id": 'caf\u00e9 "a", b\n,c'},
            {"is_rpi": True, "ms": 86_399_999, "size": Decimal(123_456_789)},
        )
        covered()
        code, shown = run(capsys, out)
        assert code == 0
        assert "2026-01-02.parquet: 3 trades" in shown
        assert "3 trades in 1 files, 0.0 MB. All days are complete." in shown
        [path] = out.iterdir()
        assert rows(path) == stored()
        assert files.pq.read_schema(path).equals(files.SCHEMA)
        column = files.pq.ParquetFile(path).metadata.row_group(0).column(0)
        assert column.compression == "ZSTD"

    def test_a_file_for_each_symbol_and_day_that_the_span_touches(self, capsys, out):
        store(
            *({"ms": n * 86_400_000, "symbol": s} for n in range(3) for s in ("ETHUSDT", "BTCUSDT"))
        )
        for symbol in ("BTCUSDT", "ETHUSDT"):
            covered(until=DAY + 72 * HOUR, symbol=symbol)
        bounds = "--since", "2026-01-02T12:00", "--until", "2026-01-04"
        code, _ = run(capsys, out, *bounds, symbol="btcusdt,ETHUSDT")
        counts = {path.name: len(rows(path)) for path in out.iterdir()}
        assert code == 0
        assert counts == {
            "BTCUSDT-2026-01-02.parquet": 0, "BTCUSDT-2026-01-03.parquet": 1,
            "ETHUSDT-2026-01-02.parquet": 0, "ETHUSDT-2026-01-03.parquet": 1,
        }  # fmt: skip

    def test_row_groups_are_small_and_in_order(self, capsys, out, monkeypatch):
        monkeypatch.setattr(export, "ROW_GROUP", 4)
        store(*({"ms": 100 - n} for n in range(9)))
        covered()
        assert run(capsys, out)[0] == 0
        [path] = out.iterdir()
        metadata = files.pq.ParquetFile(path).metadata
        assert [metadata.row_group(n).num_rows for n in range(3)] == [4, 4, 1]
        assert rows(path) == stored()

    def test_the_file_describes_itself(self, capsys, out):
        EnvironmentStampFactory()
        InstrumentFactory()
        store({})
        covered(until=DAY + HOUR)
        run(capsys, out, "--until", "2026-01-02T02:00")
        [path] = out.iterdir()
        described = files.describe(path)
        assert (described.symbol, described.since, described.until) == (
            "BTCUSDT", DAY, DAY + 2 * HOUR
        )  # fmt: skip
        assert described.environment == "sandbox"
        assert described.tick_size == Decimal("0.1")
        assert described.version == gridcore.__version__
        assert described.seconds_by_source == {"live": 3600.0}
        assert not described.complete
        assert [hole["state"] for hole in described.missing] == ["unvouched"]

    def test_the_same_rows_are_the_same_bytes(self, capsys, out):
        store(*({} for _ in range(50)))
        covered()
        run(capsys, out)
        [path] = out.iterdir()
        first = path.read_bytes()
        assert run(capsys, out, "--force")[0] == 0
        assert path.read_bytes() == first


class TestIncomplete:
    """What is missing is named, and the exit code is 6."""

    def test_a_gap_is_named(self, capsys, out):
        store({}, {"ms": 86_400_000})
        covered(until=DAY + 48 * HOUR)
        CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=DAY + HOUR, ended_at=DAY + 2 * HOUR,
            reason="the connection was lost",
        )  # fmt: skip
        code, shown = run(capsys, out)
        assert code == ExitCode.DATA_INCOMPLETE
        assert "2026-01-02.parquet: 1 trades, 0.0 MB, INCOMPLETE" in shown
        assert (
            "  missing 2026-01-02 01:00:00.000 to 2026-01-02 02:00:00.000 open: "
            "the connection was lost" in shown
        )
        assert "2026-01-03.parquet: 1 trades, 0.0 MB, complete" in shown
        assert "1 of 2 days are incomplete." in shown

    def test_a_gap_beyond_the_span_is_not_the_span_s(self, capsys, out):
        covered()
        store({})
        CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=DAY + HOUR, ended_at=DAY + 2 * HOUR,
            reason="lost",
        )  # fmt: skip
        bounds = "--since", "2026-01-02", "--until", "2026-01-02T01:00"
        assert run(capsys, out, *bounds)[0] == 0

    def test_a_day_without_a_trade_is_a_file_where_it_is_vouched_for(self, capsys, out):
        store({"ms": 86_400_000 * 2})
        covered()
        code, shown = run(capsys, out, "--until", "2026-01-05")
        assert code == ExitCode.DATA_INCOMPLETE
        assert sorted(path.name for path in out.iterdir()) == [
            "BTCUSDT-2026-01-02.parquet", "BTCUSDT-2026-01-04.parquet"
        ]  # fmt: skip
        assert rows(out / "BTCUSDT-2026-01-02.parquet") == []
        assert "BTCUSDT-2026-01-03.parquet: not written, nothing is known of that day." in shown

    def test_json_says_the_same(self, capsys, out):
        store({})
        covered(until=DAY + HOUR)
        code, shown = run(capsys, out, "--until", "2026-01-03", "--json")
        told = json.loads(shown)
        [file] = told.pop("files")
        assert code == 6
        assert told == {"rows": 1, "complete": False, "exit_code": 6}
        assert file["path"] == str(out / "BTCUSDT-2026-01-02.parquet")
        assert (file["day"], file["rows"], file["complete"]) == ("2026-01-02", 1, False)
        assert file["bytes"] == (out / "BTCUSDT-2026-01-02.parquet").stat().st_size
        assert file["missing"][0]["from"] == "2026-01-02T01:00:00+00:00"


class TestRefused:
    """What is not done."""

    def test_a_file_that_exists_is_kept_before_anything_is_written(self, capsys, out):
        store({}, {"ms": 86_400_000})
        covered(until=DAY + 48 * HOUR)
        out.mkdir(parents=True)
        existing = out / "BTCUSDT-2026-01-03.parquet"
        existing.write_bytes(b"mine")
        code, words = run(capsys, out)
        assert code == ExitCode.CONFIGURATION
        assert words == f"{existing} exists already: --force replaces it."
        assert [path.read_bytes() for path in out.iterdir()] == [b"mine"]
        assert run(capsys, out, "--force")[0] == 0
        assert len(rows(existing)) == 1

    def test_a_day_that_fails_leaves_nothing_and_what_was_there(self, capsys, out, monkeypatch):
        monkeypatch.setattr(export, "ROW_GROUP", 1)
        store({}, {"exchange_ts": DAY + timedelta(microseconds=1500)})
        covered()
        out.mkdir(parents=True)
        path = out / "BTCUSDT-2026-01-02.parquet"
        path.write_bytes(b"mine")
        code, words = run(capsys, out, "--force")
        assert code == ExitCode.ERROR
        assert "no whole millisecond" in words
        assert list(out.iterdir()) == [path]
        assert path.read_bytes() == b"mine"

    def test_a_day_that_sigterm_interrupts_leaves_nothing(self, out, monkeypatch):
        def ended(path):
            signal.raise_signal(signal.SIGTERM)
            return 0

        # The system is asked for it when all rows of a day are written.
        monkeypatch.setattr(os, "fsync", ended)
        store({})
        covered()
        with pytest.raises(KeyboardInterrupt):
            call_command("export_trades", "--symbol", "BTCUSDT", "--out", str(out))
        assert list(out.iterdir()) == []

    def test_nothing_is_known(self, capsys, out):
        code, words = run(capsys, out)
        assert code == ExitCode.CONFIGURATION
        assert words == "Nothing is known of trades of BTCUSDT in that span."

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            (("--symbol", "../BTCUSDT"), "'../BTCUSDT' is no symbol"),
            (("--symbol", ","), "',' is no symbol"),
            (("--since", "yesterday"), "'yesterday' is no time"),
        ],
    )
    def test_arguments_that_mean_nothing(self, capsys, out, arguments, words):
        assert words in run(capsys, out, *arguments)[1]
        assert not out.exists()

    def test_a_span_that_ends_before_it_begins(self, capsys, out):
        code, _ = run(capsys, out, "--since", "2026-01-03", "--until", "2026-01-03")
        assert code == ExitCode.USAGE
        assert not out.exists()

    def test_a_folder_that_cannot_be_made(self, capsys, tmp_path):
        store({})
        (tmp_path / "file").write_text("")
        code, words = run(capsys, tmp_path / "file" / "out")
        assert code == ExitCode.ERROR
        assert "file" in words

    def test_the_packages_are_missing(self, capsys, out, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
        code, words = run(capsys, out)
        assert code == ExitCode.CONFIGURATION
        assert "make backtest" in words
