"""Findings on the screen, and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any, Final, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text

from marketdata.doctor.findings import Finding, Level, gravest

STYLES: Final = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}
# A file or a pipe has no width.
WIDTH: Final = 160


def table_of(out: TextIO, findings: Sequence[Finding]) -> None:
    """Print one row for each finding, and their count below."""
    console = Console(file=out)
    if not console.is_terminal:
        console.width = WIDTH
    table = Table("check", "", "found", "what to do", show_lines=False)
    for each in findings:
        state = Text(each.level, style=STYLES[each.level])
        advice = f"{each.advice} {each.playbook}".strip()
        table.add_row(Text(each.check), state, Text(each.found), Text(advice))
    console.print(table)
    count = {level: sum(each.level == level for each in findings) for level in Level}
    console.print(
        f"{count[Level.ERROR]} errors, {count[Level.WARNING]} warnings, {count[Level.OK]} as it "
        "should be.",
        highlight=False,
    )


def as_json(findings: Sequence[Finding]) -> dict[str, Any]:
    """Findings as plain values."""
    told = [
        asdict(each) | {"exit_code": int(each.exit_code), "playbook": each.playbook}
        for each in findings
    ]
    return {"findings": told, "exit_code": int(gravest(findings))}
