"""Capture on the screen."""

from __future__ import annotations

import io
import logging
from typing import Any

import pytest

from marketdata.capture import display
from marketdata.capture.display import COLUMNS, live_status, report_text
from marketdata.capture.repair_report import RepairCounts
from marketdata.capture.report import CaptureReport, RepairStatus, StreamStatus
from marketdata.capture.service import CaptureService
from marketdata.exits import ExitCode

COUNTS = dict.fromkeys(COLUMNS, 1234)
STATUS = StreamStatus(
    stream="trades", counts=COUNTS | {"buffered": 7}, lag_seconds=0.25, silent_seconds=None
)


class Terminal(io.StringIO):
    """A file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def service(monkeypatch):
    monkeypatch.setattr(CaptureService, "status", lambda self: [STATUS])
    return CaptureService.__new__(CaptureService)


def test_a_terminal_gets_a_table(service, monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    out = Terminal()
    with live_status(out) as show:
        show(service)
        logging.getLogger(__name__).warning("a line of the log")
    assert "1,234" in out.getvalue()


def test_elsewhere_a_plain_line_comes_now_and_then(service, monkeypatch):
    monkeypatch.setattr(display, "PLAIN_SECONDS", 0)
    out = io.StringIO()
    with live_status(out) as show:
        show(service)
    assert out.getvalue().startswith("trades received=1234 stored=1234")
    assert "buffered=7 lag=0.2 silent=-" in out.getvalue()


def test_plain_lines_do_not_come_at_every_step(service):
    out = io.StringIO()
    with live_status(out) as show:
        show(service)
    assert out.getvalue() == ""


def test_nothing_is_shown_when_it_shall_be_quiet(service):
    out = io.StringIO()
    with live_status(out, quiet=True) as show:
        show(service)
    assert out.getvalue() == ""


def report(**changes) -> CaptureReport:
    options: dict[str, Any] = {
        "seconds": 61.23, "streams": [STATUS], "gaps": 2, "reconnects": 1, "violations": [],
        "problems": [], "exit_code": ExitCode.OK,
    }  # fmt: skip
    return CaptureReport(**options | changes)


def test_the_report_says_that_the_law_held():
    assert "Every row that arrived is accounted for." in report_text(report())
    assert report().as_json()["law_holds"] is True


def test_the_report_says_what_was_repaired():
    counts = RepairCounts(stored=1200, updated=34, filled=3, partial=1, open=2, not_streamed=5)
    told = report(repairs=[RepairStatus("orders", "alice/main", counts)])
    assert (
        "repaired orders of alice/main: 1,234 rows, gaps filled 3, in part or not at all 1, open 2; "
        "5 rows the stream never brought" in report_text(told)
    )
    assert told.as_json()["repairs"]["orders of alice/main"]["updated"] == 34


def test_the_report_says_what_went_wrong_and_not_that_all_is_well():
    text = report_text(report(violations=["trades: received 2, accounted for 1"], problems=["p"]))
    assert "accounted for." not in text
    assert "PROBLEM: trades: received 2, accounted for 1\nPROBLEM: p" in text
