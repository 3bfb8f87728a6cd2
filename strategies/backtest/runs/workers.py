"""Processes that share what this one has in memory, and never outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def workers(count: int, begin: Callable[[], None]) -> Iterator[ProcessPoolExecutor]:
    """So many processes, forked from this one, each of which calls `begin` first.

    What leaves the block as an exception ends them in the middle of what they do.
    """
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(
        count,
        mp_context=multiprocessing.get_context("fork"),
        initializer=_begin,
        initargs=(begin,),
    ) as pool:
        try:
            yield pool
        except BaseException:
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
            raise


def _begin(begin: Callable[[], None]) -> None:
    # A terminal sends Ctrl-C to all processes of a command: the first of them ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    begin()


def _end_with_parent() -> None:
    """Without it a worker waits for ever for work from a process that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # noqa: S101 - this runs in a child
    parent.join()
    os._exit(1)
