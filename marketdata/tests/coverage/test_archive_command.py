"""`manage.py import_trades`, as its user types it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from decimal import Decimal

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from marketdata.exits import ExitCode
from marketdata.models import (
    CaptureGap,
    CoverageInterval,
    EnvironmentStamp,
    PublicTrade,
    QuarantinedMessage,
)
from marketdata.tests.coverage.archive_files import (
    at,
    day_of,
    row,
    stored,
    text_of,
    whole_day,
    write,
)

TIMEOUT = 50


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "BTCUSDT2026-01-02.csv.gz", text_of(whole_day(100)))


def run(*arguments) -> int:
    try:
        call_command("import_trades", *map(str, arguments))
    except SystemExit as error:
        return int(error.code or 0)
    except CommandError as error:
        sys.stderr.write(str(error))
        return error.returncode
    return 0


def stamp(environment):
    EnvironmentStamp.objects.create(environment=environment)


@pytest.mark.django_db
class TestImport:
    """What it prints, and how it ends."""

    def test_it_says_what_was_found(self, file, capsys):
        CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=at(1), ended_at=at(1.5), reason="lost"
        )
        assert run(file) == 0
        out = capsys.readouterr().out
        assert "checking BTCUSDT2026-01-02.csv.gz: 0.0 MB" in out
        assert "importing BTCUSDT2026-01-02.csv.gz: 0.0 MB" in out
        assert "100 trades are new." in out
        assert CaptureGap.objects.get().state == "filled"

    def test_half_a_day_is_said_to_be_half(self, tmp_path, capsys):
        held = CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=at(13), ended_at=at(14), reason="lost"
        )
        half = write(tmp_path / "BTCUSDT2026-01-02.csv.gz", text_of(day_of(700)))
        assert run(half) == 0
        out = capsys.readouterr().out
        assert "does not vouch for 11:41:10.000 to 24:00:00.000 UTC: it may be cut" in out
        held.refresh_from_db()
        assert held.state == "open"

    def test_several_gzip_members_are_named(self, tmp_path, capsys):
        pieces = (
            text_of(day_of(1400)[:700]),
            "".join(text_of(day_of(1430)[700:]).splitlines(True)[1:]),
        )
        path = tmp_path / "BTCUSDT2026-01-02.csv.gz"
        path.write_bytes(b"".join(gzip.compress(piece.encode()) for piece in pieces))
        assert run(path) == 0
        out = capsys.readouterr().out
        assert "WARNING: it is made of 2 gzip members" in out
        assert "1,430 trades are new." in " ".join(out.split())

    def test_a_gap_filled_by_silence_is_said_loudly(self, file, capsys):
        CaptureGap.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=at(13), ended_at=at(14), reason="lost"
        )
        assert run("--dry-run", file) == 0
        assert "0 rows added" not in capsys.readouterr().out
        assert run(file) == 0
        out = capsys.readouterr().out
        assert f"the gap from {at(13).isoformat()} to {at(14).isoformat()} is filled with 0" in out

    def test_an_archive_with_gaps_of_its_own_is_called_so(self, file, capsys):
        stored(row(at(5, seconds=7), 500))
        assert run(file) == 0
        out = capsys.readouterr().out
        assert "not complete: 1 stored trades are not in it, from 05:00:07 to 05:00:07" in out
        assert "does not vouch for 1 minutes" in out

    def test_rows_that_were_missing_in_what_was_vouched_for_are_declared(self, file, capsys):
        CoverageInterval.objects.create(
            stream="trades", symbol="BTCUSDT", started_at=at(0), ended_at=at(1), source="live"
        )
        for line in whole_day(100)[:49]:
            stored(line)
        warning = "WARNING: 10 of its new trades, from 00:50:05 to 00:59:05 UTC"
        assert run("--dry-run", file) == 0
        assert warning in capsys.readouterr().out
        assert not CaptureGap.objects.exists()
        assert run(file) == 0
        assert warning in capsys.readouterr().out
        declared = CaptureGap.objects.get()
        assert (declared.state, declared.source, declared.rows_added) == ("filled", "archive", 10)
        assert declared.reason == "an archive brought 10 rows that were missing"
        assert (declared.started_at, declared.ended_at) == (
            at(seconds=50 * 60.1), at(seconds=59 * 60.1),
        )  # fmt: skip
        assert run("--json", file) == 0
        assert json.loads(capsys.readouterr().out)["files"][0]["missed"] == 0
        assert CaptureGap.objects.count() == 1

    def test_json_is_one_line(self, file, tmp_path, capsys):
        other = write(tmp_path / "[red]odd.csv", text_of([*day_of(3), row(at(1), 9, side="?")]))
        assert run("--json", file, other) == ExitCode.DATA_INCOMPLETE
        answer = json.loads(capsys.readouterr().out)
        assert (answer["dry_run"], answer["exit_code"]) == (False, 6)
        first, second = answer["files"]
        assert (first["rows"], first["new"], first["known"], first["day"]) == (
            100, 100, 0, "2026-01-02",
        )  # fmt: skip
        assert (second["known"], second["bad"], second["file"]) == (3, 1, "[red]odd.csv")
        assert first["vouched"] == [[at(0).isoformat(), at(24).isoformat()]]

    def test_a_conflict_is_data_that_is_not_complete(self, file, capsys):
        stored(day_of(3)[1], price=Decimal(7))
        for _ in range(2):
            assert run(file) == ExitCode.DATA_INCOMPLETE
        assert "1 rows are for quarantine" in capsys.readouterr().out
        assert QuarantinedMessage.objects.get().count == 2

    def test_a_dry_run_stores_nothing_and_claims_no_database(self, file, capsys):
        assert run("--dry-run", file) == 0
        assert "100 trades would be new; nothing was stored." in capsys.readouterr().out
        assert not PublicTrade.objects.exists()
        assert not EnvironmentStamp.objects.exists()

    def test_one_refused_file_of_several_and_nothing_is_stored(self, file, tmp_path, capsys):
        cut = tmp_path / "cut.csv.gz"
        cut.write_bytes(file.read_bytes()[:-4])
        assert run(file, cut) == ExitCode.CONFIGURATION
        assert "cut.csv.gz is refused: it is cut" in capsys.readouterr().err
        assert not PublicTrade.objects.exists()
        assert not EnvironmentStamp.objects.exists()


@pytest.mark.django_db
class TestEnvironments:
    """Archives are mainnet facts, unless somebody says what else they are."""

    def test_a_database_without_a_stamp_becomes_mainnet(self, file):
        assert run(file) == 0
        assert EnvironmentStamp.objects.get().environment == "mainnet"

    @pytest.mark.parametrize("environment", ["testnet", "demo", "sandbox"])
    def test_another_environment_s_database_is_refused(self, file, environment, capsys):
        stamp(environment)
        assert run(file) == ExitCode.CONFIGURATION
        assert f"--environment {environment}" in capsys.readouterr().err
        assert not PublicTrade.objects.exists()
        assert run("--environment", environment, file) == 0
        assert PublicTrade.objects.count() == 100

    def test_a_file_of_another_environment_is_refused_by_mainnet(self, file):
        stamp("mainnet")
        assert run("--environment", "sandbox", file) == ExitCode.CONFIGURATION


def process(*arguments: str, **environment: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, settings.BASE_DIR / "manage.py", "import_trades", *arguments],
        env=os.environ
        | {"DJANGO_SETTINGS_MODULE": "gridbot_site.settings", "GRIDBOT_ENV_FILE": ""}
        | environment,
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_help_teaches_with_an_example():
    code, out, _ = process("--help")
    assert code == 0
    assert "manage.py import_trades BTCUSDT2026-01-31.csv.gz" in out
    assert "Exit codes" in out


def test_a_database_that_is_away_is_75(file):
    url = "postgresql://nobody:hidden@127.0.0.1:1/none"
    code, out, err = process(str(file), DATABASE_URL=url)
    assert code == ExitCode.UNAVAILABLE
    assert "hidden" not in out + err


def test_no_file_is_a_usage_error():
    assert process()[0] == ExitCode.USAGE
