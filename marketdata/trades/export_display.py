"""An export on the screen: how far it is, and what became of each day."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from marketdata.trades.export import Exported, hole_as_json


class Screen:
    """Where an export tells of itself: a bar on a terminal, and a line for each day."""

    def __init__(self, console: Console | None, advance: Callable[[int, int], None]) -> None:
        self._console, self._advance = console, advance

    def wrote(self, rows: int) -> None:
        """So many rows more are written."""
        self._advance(rows, 0)

    def finished(self, exported: Exported) -> None:
        """A day is done."""
        self._advance(0, 1)
        if self._console is not None:
            for line in _lines(exported):
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)


@contextmanager
def screen(out: TextIO, days: int, *, quiet: bool) -> Iterator[Screen]:
    """The screen for an export of so many files."""
    console = Console(file=out)
    if quiet or not console.is_terminal:
        yield Screen(None if quiet else console, lambda rows, files: None)
        return
    columns = TextColumn("{task.fields[rows]:,} trades"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as bars:
        task = bars.add_task("", total=days, rows=0)

        def advance(rows: int, files: int) -> None:
            bars.update(task, advance=files, rows=bars.tasks[task].fields["rows"] + rows)

        yield Screen(console, advance)


def summary(exported: Sequence[Exported]) -> str:
    """All of it in one sentence or two."""
    rows, files = sum(each.rows for each in exported), [each for each in exported if each.path]
    size = sum(each.size for each in files)
    words = f"{rows:,} trades in {len(files):,} files, {size / 1e6:,.1f} MB."
    incomplete = [each for each in exported if each.holes]
    if not incomplete:
        return f"{words} All days are complete."
    return f"{words} {len(incomplete)} of {len(exported)} days are incomplete."


def as_json(exported: Sequence[Exported], exit_code: int) -> str:
    """All of it in one line; times are ISO 8601 in UTC, `until` is not included."""
    return json.dumps(
        {
            "files": [_file_json(each) for each in exported],
            "rows": sum(each.rows for each in exported),
            "complete": not any(each.holes for each in exported),
            "exit_code": int(exit_code),
        }
    )


def _file_json(each: Exported) -> dict[str, Any]:
    return {
        # Null: nothing is known of that time, and no file is written for it.
        "path": each.path and str(each.path),
        "symbol": each.part.symbol,
        "day": f"{each.part.since:%Y-%m-%d}",
        "since": each.part.since.isoformat(),
        "until": each.part.until.isoformat(),
        "rows": each.rows,
        "bytes": each.size,
        "complete": not each.holes,
        "missing": [hole_as_json(hole) for hole in each.holes],
    }


def _lines(each: Exported) -> Iterator[str]:
    if each.path is None:
        yield f"{each.part.name}: not written, nothing is known of that day."
        return
    state = "INCOMPLETE" if each.holes else "complete"
    yield f"{each.path}: {each.rows:,} trades, {each.size / 1e6:,.1f} MB, {state}"
    for hole in each.holes:
        start, end = (f"{at:%Y-%m-%d %H:%M:%S.%f}"[:-3] for at in (hole.span.start, hole.span.end))
        yield f"  missing {start} to {end} {hole.state}: {hole.reason}"
