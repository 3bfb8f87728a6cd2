"""What a reconciliation found, as a table or as one line of JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, TextIO

from rich.console import Console
from rich.table import Table

from marketdata.coverage.findings import Finding
from marketdata.coverage.gap_rows import Span


def findings_table(out: TextIO, findings: Sequence[Finding]) -> None:
    """Print one line for each stream of a symbol or an account, and the sum of it."""
    console = Console(file=out)
    # A file or a pipe has no width: no line is cut there.
    if not console.is_terminal:
        console.width = 200
    table = Table("stream", "of", "asked (UTC)", "found", "new", "still missing (UTC)", "note")
    for column in table.columns[3:5]:
        column.justify = "right"
    for finding in findings:
        missing = _span(finding.missing) if finding.missing else "nothing"
        counts = f"{finding.found:,}", f"{finding.new:,}"
        table.add_row(
            finding.stream, finding.subject, _span(finding.asked), *counts, missing, finding.note
        )
    console.print(table)
    open_ones = sum(finding.missing is not None for finding in findings)
    new = sum(finding.new for finding in findings)
    if open_ones:
        console.print(f"{new:,} rows were new; {open_ones} of {len(findings)} are incomplete.")
    else:
        console.print(f"{new:,} rows were new; nothing is missing.")


def findings_json(findings: Sequence[Finding], *, exit_code: int) -> str:
    """All of it in one line; times are ISO 8601 in UTC."""
    return json.dumps(
        {
            "findings": [_as_json(finding) for finding in findings],
            "rows_added": sum(finding.new for finding in findings),
            "exit_code": int(exit_code),
        }
    )


def _as_json(finding: Finding) -> dict[str, Any]:
    state = "failed" if finding.error else "incomplete" if finding.missing else "complete"
    return {
        "stream": finding.stream,
        "subject": finding.subject,
        "asked": _span_json(finding.asked),
        "gaps_asked": len(finding.gaps),
        "gaps": Counter(finding.gaps.values()),
        "rows_found": finding.found,
        "rows_added": finding.new,
        "rows_refused": finding.refused,
        "state": state,
        "missing": _span_json(finding.missing) if finding.missing else None,
        "note": finding.note,
    }


def _span_json(span: Span) -> dict[str, str]:
    return {"from": span.start.isoformat(), "to": span.end.isoformat()}


def _span(span: Span) -> str:
    return f"{_time(span.start)} to {_time(span.end)}"


def _time(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}.{at.microsecond // 1000:03d}"
