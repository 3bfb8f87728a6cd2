"""A queue of things to do, each at its time, none of them twice at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Task = TypeVar("Task", bound=Hashable)


class TaskQueue(Generic[Task]):
    """Tasks by name: putting one that waits already is nothing new, and one that is being done is
    done again afterwards. `rank` says who goes first of those whose time has come."""

    def __init__(self, rank: Callable[[Task], int]) -> None:
        self._rank = rank
        self._due: dict[Task, float] = {}
        self._busy: set[Task] = set()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, task: Task, delay: float = 0.0) -> None:
        """Have `task` done in `delay` seconds, or earlier where that was said before."""
        with self._changed:
            due = time.monotonic() + delay
            self._due[task] = min(due, self._due.get(task, due))
            self._changed.notify_all()

    def take(self) -> Task | None:
        """Wait for a task; None when the queue is closed. Say `done` afterwards."""
        with self._changed:
            while not self._closed:
                free = {task: due for task, due in self._due.items() if task not in self._busy}
                now = time.monotonic()
                ripe = [task for task, due in free.items() if due <= now]
                if ripe:
                    task = min(ripe, key=lambda each: (self._rank(each), free[each]))
                    del self._due[task]
                    self._busy.add(task)
                    return task
                self._changed.wait(min(free.values()) - now if free else None)
            return None

    def done(self, task: Task) -> None:
        """Another may do `task` now."""
        with self._changed:
            self._busy.discard(task)
            self._changed.notify_all()

    def close(self) -> None:
        """Hand out no more tasks."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
