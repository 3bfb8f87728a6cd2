"""Processes that trade end with the one that started them, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest

from strategies.backtest.runs.workers import workers

KILLED = """
import os, signal
from strategies.backtest.runs.workers import workers
with workers(2, int) as pool:
    busy = [pool.submit(signal.pause) for _ in range(2)]
    print(pool.submit, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_have_begun_before_they_work():
    begun = []
    with workers(1, lambda: begun.append(1)) as pool:
        assert pool.submit(signal.getsignal, signal.SIGINT).result() == signal.SIG_IGN
        assert pool.submit(os.getppid).result() == os.getpid()
    assert begun == []


def test_an_exception_ends_workers_that_are_busy():
    with pytest.raises(KeyboardInterrupt), workers(2, int) as pool:
        _interrupt([pool.submit(signal.pause) for _ in range(3)])
    assert multiprocessing.active_children() == []


def _interrupt(busy):
    assert len(busy) == 3
    raise KeyboardInterrupt


def test_workers_end_with_a_process_that_was_killed():
    # Whoever lives has the pipe open, and the answer would not come.
    done = subprocess.run([sys.executable, "-c", KILLED], stdout=subprocess.PIPE, timeout=20)
    assert done.returncode == -signal.SIGKILL
