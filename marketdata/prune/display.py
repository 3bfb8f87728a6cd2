"""A prune on the screen: what would go, how far it is, and what came of it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from marketdata.exits import ExitCode
from marketdata.prune.pruner import Pruning
from marketdata.prune.space import GivenBack
from marketdata.prune.survey import DAY, Line

AHEAD = (30, 90)


@contextmanager
def progress(out: TextIO, rows: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal, which hears of rows as they go."""
    console = Console(file=out)
    if quiet or not console.is_terminal:
        yield lambda gone: None
        return
    columns = TextColumn("rows"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True) as bars:
        task = bars.add_task("", total=rows)
        yield lambda gone: bars.advance(task, gone)


def print_survey(out: TextIO, lines: Sequence[Line], size: int) -> None:
    """What would go, and how the tables will grow; `size` is the database's, in bytes."""
    console = _console(out)
    table = Table("kind", "of", "older than", "rows", "would go", "from (UTC)", "to (UTC)", "now")
    for name in ("comes back", "a day", *(f"in {days} days" for days in AHEAD)):
        table.add_column(name, justify="right")
    for line in lines:
        table.add_row(
            line.kind, Text(line.subject), _age(line.age), f"{line.rows:,}", f"{line.due:,}",
            _time(line.first), _time(line.last), _bytes(line.bytes_now), _bytes(line.bytes_due),
            _bytes(line.bytes_a_day), *(_bytes(line.bytes_in(days)) for days in AHEAD),
        )  # fmt: skip
    console.print(table)
    due = sum(line.due for line in lines)
    ahead = ", ".join(
        f"{_bytes(sum(line.bytes_in(days) for line in lines))} in {days} days" for days in AHEAD
    )
    say(out, f"{due:,} rows would go; nothing was deleted.")
    say(out, f"The database takes {_bytes(size)}; by this policy these tables will take {ahead}.")


def print_pruning(out: TextIO, pruning: Pruning, returned: GivenBack | None) -> None:
    """What went, and what the database takes since."""
    for outcome in pruning.outcomes:
        if outcome.due:
            say(
                out,
                f"{outcome.lot.kind} of {outcome.lot.subject}: {outcome.deleted:,} of "
                f"{outcome.due:,} rows deleted, all before {_time(outcome.until)} UTC",
            )
    if not pruning.due:
        say(out, "Nothing is due.")
        return
    say(
        out,
        f"{pruning.deleted:,} rows deleted; the longest transaction took "
        f"{pruning.pace.longest_seconds:.3f} s.",
    )
    if returned:
        print_given_back(out, returned)
    if pruning.is_stopped:
        say(out, "Stopped by a signal: the same command goes on with the rest.")


def print_given_back(out: TextIO, returned: GivenBack) -> None:
    """What the database took before and takes since, as measured."""
    less, note = returned.before - returned.after, f": {returned.note}" if returned.note else ""
    difference = f"{_bytes(abs(less))} {'less' if less >= 0 else 'more'}"
    say(
        out,
        f"The database took {_bytes(returned.before)} and takes {_bytes(returned.after)}, "
        f"{difference}, after {returned.seconds:.1f} s{note}.",
    )


def survey_json(lines: Sequence[Line], size: int) -> str:
    """The same in one line; bytes are null where they cannot be told."""
    return json.dumps(
        {"dry_run": True, "database_bytes": size, "kinds": [_line_json(line) for line in lines]}
    )


def pruning_json(pruning: Pruning, returned: GivenBack | None, exit_code: ExitCode) -> str:
    """All that came of it in one line."""
    return json.dumps(
        {
            "dry_run": False,
            "rows_due": pruning.due,
            "rows_deleted": pruning.deleted,
            "longest_transaction_seconds": round(pruning.pace.longest_seconds, 3),
            "lots": [
                {
                    "kind": each.lot.kind,
                    "of": each.lot.subject,
                    "before": each.until.isoformat(),
                    "rows_due": each.due,
                    "rows_deleted": each.deleted,
                    "transactions": each.transactions,
                }
                for each in pruning.outcomes
            ],
            "database_bytes_before": returned and returned.before,
            "database_bytes": returned and returned.after,
            "note": returned.note if returned else "",
            "stopped": pruning.is_stopped,
            "exit_code": int(exit_code),
        }
    )


def say(out: TextIO, words: str) -> None:
    """One line, as it is."""
    _console(out).print(words, highlight=False, markup=False, soft_wrap=True)


def _line_json(line: Line) -> dict[str, Any]:
    return {
        "kind": line.kind,
        "of": line.subject,
        "older_than_seconds": line.age.total_seconds(),
        "rows": line.rows,
        "rows_due": line.due,
        "first_due": line.first and line.first.isoformat(),
        "last_due": line.last and line.last.isoformat(),
        "bytes": _whole(line.bytes_now),
        "bytes_due": _whole(line.bytes_due),
        "bytes_a_day": _whole(line.bytes_a_day),
        "bytes_ahead": {str(days): _whole(line.bytes_in(days)) for days in AHEAD},
    }


def _console(out: TextIO) -> Console:
    console = Console(file=out)
    # A file or a pipe has no width: no line is cut there.
    if not console.is_terminal:
        console.width = 240
    return console


def _whole(size: float) -> int | None:
    return None if math.isnan(size) else round(size)


def _bytes(size: float) -> str:
    return "?" if math.isnan(size) else f"{size / 1e6:,.1f} MB"


def _age(age: timedelta) -> str:
    return f"{age / DAY:g} d"


def _time(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d %H:%M:%S}"
