"""How far backtests are, on a terminal: bars that look for themselves.

Trading is not slowed by it: a run is asked where it is by a thread, a few times a second, and in
whatever process it is, the answer goes into memory that is shared with the one that shows it.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from contextlib import contextmanager
from typing import TextIO, TypeAlias

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

SECONDS = 0.2

# How many trades a run is through.
Position: TypeAlias = Callable[[], int]
Positions: TypeAlias = MutableSequence[int]


class Bars(Progress):
    """A line for what is being done, and a bar for each run, drawn at its position."""

    def __init__(self, console: Console, *, disable: bool = False) -> None:
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TimeElapsedColumn(),
        )
        # What is drawn, by a thread, from the next line on: one value, so that it is never half.
        self._followed: tuple[Sequence[TaskID], Positions] = ([], [])
        super().__init__(*columns, console=console, transient=True, disable=disable)
        self._doing = self.add_task("looking at the window", total=None)

    def tell(self, words: str) -> None:
        """Say what is being done."""
        self.update(self._doing, description=escape(words))

    def begin(self, names: Sequence[str], trades: int) -> Positions:
        """Show a bar for each run over so many trades; return where their positions go."""
        positions: Positions = multiprocessing.RawArray("q", len(names))
        self._followed = [self.add_task(escape(name), total=trades) for name in names], positions
        return positions

    def get_renderables(self) -> Iterator[RenderableType]:
        """Look where the runs are, whenever a picture is drawn."""
        for task, position in zip(*self._followed, strict=True):
            self.update(task, completed=position)
        yield from super().get_renderables()


def bars(out: TextIO, *, quiet: bool) -> Bars:
    """Bars on a terminal; elsewhere they show nothing."""
    console = Console(file=out)
    return Bars(console, disable=quiet or not console.is_terminal)


@contextmanager
def noted(positions: Positions, number: int) -> Iterator[Callable[[Position], None]]:
    """Take a run's position once it has begun, and note it until the end."""
    over, threads = threading.Event(), list[threading.Thread]()

    def note(position: Position) -> None:
        while not over.wait(SECONDS):
            positions[number] = position()
        positions[number] = position()

    def begun(position: Position) -> None:
        threads.append(threading.Thread(target=note, args=(position,), daemon=True))
        threads[-1].start()

    try:
        yield begun
    finally:
        over.set()
        for thread in threads:
            thread.join()
