"""The first signal asks, the second does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from marketdata.capture.signals import interrupted_by_sigterm, stop_on_signals

TWICE = """
import os, signal
from marketdata.capture.signals import stop_on_signals
with stop_on_signals() as stop:
    os.kill(os.getpid(), signal.SIGTERM)
    assert stop.wait(10)
    os.kill(os.getpid(), signal.SIGINT)
    stop.clear()
    raise SystemExit("not reached")
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_sets_the_event_and_the_handlers_go_with_it(number):
    before = signal.getsignal(number)
    with stop_on_signals() as stop:
        os.kill(os.getpid(), number)
        assert stop.wait(10)
    assert signal.getsignal(number) == before
    assert isinstance(stop, threading.Event)


def test_the_second_signal_ends_the_process_with_130():
    done = subprocess.run([sys.executable, "-c", TWICE], timeout=30, check=False)
    assert done.returncode == 130


def test_sigterm_interrupts_as_sigint_does_and_the_handler_goes_with_it():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), interrupted_by_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == before
