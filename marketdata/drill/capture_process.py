"""`manage.py capture` as a child process, which is stopped, killed and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from django.conf import settings

LAST_WORDS = 5


class CaptureProcess:
    """One capture; a context manager that leaves nothing running.

    What it logs goes to the end of `log`.
    """

    def __init__(self, environment: Mapping[str, str], log: Path, *arguments: str) -> None:
        self._log = log
        self._out = ""
        with log.open("ab") as file:
            self._process = subprocess.Popen(  # noqa: S603
                [
                    sys.executable, str(settings.BASE_DIR / "manage.py"), "capture", "--json",
                    *arguments,
                ],
                env=dict(environment),
                stdout=subprocess.PIPE,
                stderr=file,
                text=True,
                # A Ctrl-C is for the drill, which stops its captures in order.
                start_new_session=True,
            )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.is_alive:
            self.kill()

    @property
    def is_alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def terminate(self) -> None:
        """Ask it to stop, or, the second time, to stop at once."""
        self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it without a word."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._take_output()

    def abandon(self) -> None:
        """End it for good without a wait, from a handler of signals too."""
        self._process.send_signal(signal.SIGKILL)

    def pause(self) -> None:
        """Have it do nothing at all: when this returns, it has stopped."""
        self._process.send_signal(signal.SIGSTOP)
        if self.is_alive:
            os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)

    def resume(self) -> None:
        """Have it go on."""
        self._process.send_signal(signal.SIGCONT)

    def wait(self, seconds: float) -> int | None:
        """Its exit code; None when it has not ended after so many seconds."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None
        self._take_output()
        return self._process.returncode

    def _take_output(self) -> None:
        if self._process.stdout is not None and not self._process.stdout.closed:
            self._out, _ = self._process.communicate()

    def report(self) -> dict[str, Any]:
        """What it said at its end; empty when it said nothing."""
        lines = self._out.splitlines()
        report: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        return report

    def last_words(self) -> str:
        """The end of its log."""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return " | ".join(lines[-LAST_WORDS:])
