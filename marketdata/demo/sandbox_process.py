"""The sandbox as a child process, driven over its own HTTP."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from tempfile import NamedTemporaryFile
from types import TracebackType
from typing import Any, Self
from urllib.request import ProxyHandler, Request, build_opener

from django.conf import settings

from marketdata.bybit.environments import Endpoints
from marketdata.demo.database import DemoAccount
from marketdata.exits import Unavailable

STOP_SECONDS = 10.0
# A proxy of the environment must not stand between two processes of one machine.
_open = build_opener(ProxyHandler({})).open


class SandboxProcess:
    """`manage.py sandbox` on a free port of loopback; a context manager that ends it."""

    def __init__(
        self, *arguments: str, accounts: Sequence[DemoAccount] = (), rate: float = 0
    ) -> None:
        self._command = [
            sys.executable, str(settings.BASE_DIR / "manage.py"), "sandbox", "--json", "--port", "0",
            *arguments,
        ]  # fmt: skip
        self._accounts = [vars(account) | {"rate": rate} for account in accounts]
        self._process: subprocess.Popen[str] | None = None
        self.endpoints = Endpoints()

    def __enter__(self) -> Self:
        # Keys are handed over in a file that nobody else can read and that does not stay.
        with NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(self._accounts, file)
            file.flush()
            self._process = subprocess.Popen(  # noqa: S603
                [*self._command, "--with-parent", "--accounts", file.name],
                stdout=subprocess.PIPE,
                text=True,
                # A Ctrl-C is for the demo, which still needs the ledger; the child ends with it.
                start_new_session=True,
            )
            if self._process.stdout is None or not (line := self._process.stdout.readline()):
                raise Unavailable("The sandbox did not start; what it said stands above.")
        ready = json.loads(line)
        self.endpoints = Endpoints(
            rest=ready["rest"], ws_public=ready["ws_public"], ws_private=ready["ws_private"]
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            if self._process.stdout is not None:
                self._process.stdout.close()

    def pause(self) -> None:
        """Have the market send nothing more."""
        self._post("pause")

    def drain(self) -> None:
        """Return when each connection has read all that was sent to it."""
        self._post("drain")

    def break_connections(self, how: str = "reset") -> None:
        """Break every connection by force."""
        self._post("break", {"how": how})

    def set_account(self, name: str, **changes: Any) -> None:
        """Change how busy an account is, or how it is refused."""
        self._post("account", {"account": name, **changes})

    def resume(self) -> None:
        """Have the market go on."""
        self._post("resume")

    def switch_on(self, name: str, **values: Any) -> None:
        """Switch a fault on; an act that is to happen at once has happened when this returns."""
        self._post("fault", {"name": name, **values})

    def switch_off(self) -> None:
        """End all faults that are on."""
        self._call("DELETE", "fault")

    def fired(self) -> dict[str, int]:
        """How often each fault has fired."""
        fired: dict[str, int] = self._call("GET", "fault")["fired"]
        return fired

    def status(self) -> dict[str, Any]:
        """Its connections, and what it has sent."""
        return self._call("GET", "status")

    def ledger(self) -> Iterator[dict[str, Any]]:
        """What it did and sent, event by event."""
        with _reached(), _open(f"{self.endpoints.rest}/sandbox/ledger", timeout=60) as answer:
            for line in answer:
                yield json.loads(line)

    def _post(self, action: str, body: dict[str, Any] | None = None) -> None:
        self._call("POST", action, body)

    def _call(self, method: str, action: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = Request(  # noqa: S310
            f"{self.endpoints.rest}/sandbox/{action}",
            data=None if method == "GET" else json.dumps(body or {}).encode(),
            headers={"Content-Type": "application/json"},
            method=method,
        )
        with _reached(), _open(request, timeout=30) as answer:
            said: dict[str, Any] = json.load(answer)
            return said


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except (OSError, HTTPException) as error:
        raise Unavailable(f"The sandbox does not answer: {error}.") from None
