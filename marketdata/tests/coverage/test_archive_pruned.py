"""Archives of days that were pruned: refused, unless they are wanted back."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from marketdata.coverage.ledger import Source, vouch
from marketdata.coverage.report import report_on
from marketdata.coverage.spans import TICK
from marketdata.models import PublicTrade
from marketdata.prune.lots import Facts
from marketdata.tests.coverage.archive_files import DAY, at, row, stored, text_of, whole_day, write
from marketdata.tests.coverage.test_archive_command import run
from marketdata.tests.prune.scene import FEED, prune

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(tmp_path):
    return write(tmp_path / "BTCUSDT2026-01-02.csv.gz", text_of(whole_day(100)))


@pytest.fixture(autouse=True)
def _pruned():
    """The day, and half of the next, were captured and pruned."""
    for number, when in enumerate((at(1), at(2), at(35), at(47))):
        stored(row(when, 1000 + number))
    vouch(*FEED, DAY, DAY + timedelta(days=2) - TICK, Source.LIVE)
    prune(at(36), Facts(FEED, "BTCUSDT"))


def day_report():
    return report_on(FEED, "BTCUSDT", DAY, DAY + timedelta(days=1) - TICK, at(48))


@pytest.mark.parametrize("flags", [(), ("--dry-run",)])
def test_one_is_refused_and_nothing_is_stored(file, capsys, flags):
    assert run(file, *flags) == 4
    said = capsys.readouterr().err
    assert "BTCUSDT was pruned up to 2026-01-02 23:59:59 UTC of that day. --restore" in said
    assert PublicTrade.objects.count() == 1


def test_a_day_that_is_wanted_back_is_complete_again(file, capsys):
    assert run(file, "--restore", "--json") == 0
    [told] = json.loads(capsys.readouterr().out)["files"]
    assert (told["new"], told["missed"], told["gaps"]["filled"]) == (100, 0, 1)
    assert day_report().holes == []
    after = report_on(FEED, "BTCUSDT", DAY + timedelta(days=1), None, at(48))
    assert [(hole.span.end, hole.state) for hole in after.holes] == [(at(36) - TICK, "pruned")]
    assert run(file) == 0


def test_a_dry_run_takes_nothing_back(file):
    assert run(file, "--restore", "--dry-run") == 0
    [hole] = day_report().holes
    assert hole.state == "pruned"


def test_an_import_that_is_broken_off_leaves_an_open_gap(file, monkeypatch):
    monkeypatch.setattr("marketdata.coverage.archive.ArchiveImporter._close", lambda *args: exit(1))
    assert run(file, "--restore") == 1
    assert [hole.state for hole in day_report().holes] == ["open"]
    monkeypatch.undo()
    assert run(file) == 0
    assert day_report().holes == []


def test_the_next_prune_deletes_it_once_more(file):
    run(file, "--restore")
    assert prune(at(36), Facts(FEED, "BTCUSDT")).deleted == 100
    assert [hole.state for hole in day_report().holes] == ["pruned"]
