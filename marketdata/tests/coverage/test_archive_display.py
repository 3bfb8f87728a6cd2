"""How far an import is, on a terminal and elsewhere."""

from __future__ import annotations

import io

from marketdata.coverage.archive_display import progress


class Terminal(io.StringIO):
    """A terminal that remembers."""

    def isatty(self) -> bool:
        return True


def show(out: io.StringIO, **options: bool) -> str:
    with progress(out, **options) as begin:
        for what in ("checking [b]a.csv", "importing [b]a.csv"):
            moved = begin(what, 2_000_000)
            moved(1_000_000)
            moved(2_000_000)
    return out.getvalue()


def test_a_terminal_gets_a_bar_for_each_pass(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    text = show(Terminal())
    assert "checking [b]a.csv" in text
    assert "importing [b]a.csv" in text
    assert "2.0/2.0 MB" in text


def test_a_file_gets_a_line_for_each_pass():
    assert show(io.StringIO()).splitlines() == [
        "checking [b]a.csv: 2.0 MB", "importing [b]a.csv: 2.0 MB",
    ]  # fmt: skip


def test_json_alone_gets_nothing():
    assert show(io.StringIO(), quiet=True) == ""
