"""Follow docs/install.md word for word in a fresh Debian: `python -m docs.try_install`.

Makes a Debian 12 in a folder, boots it under its own systemd, and types every command of the page in
its order. Each is printed with its seconds and exit code; the first that fails ends it, with 1. The
checkout it installs is this one, as committed.

In the place of what a machine of one's own has, it puts this checkout for REPOSITORY, gridbot's own
exchange for the testnet, answers to createsuperuser, and somebody who listens for messages.

It wants root, Linux, and Debian's packages debootstrap and systemd-container. The network is this
machine's, so ports 80, 443, 5432, 8000, 8765, 8790 and 9464 have to be free. Where Debian and PyPI
are reached by other ways than the usual, --mirror names the first and --copy brings the files along.
"""

from __future__ import annotations

import argparse
import os
import pty
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "install.md"
PATHS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EXCHANGE = "http://127.0.0.1:8765"
IN_PLACE = {
    "REPOSITORY": "/srv/gridbot",
    "EVENTSAVER_ENVIRONMENT=testnet": (
        f"EVENTSAVER_ENVIRONMENT=sandbox BYBIT_REST_URL={EXCHANGE} "
        "BYBIT_WS_PUBLIC_URL=ws://127.0.0.1:8765/v5/public/linear "
        "BYBIT_WS_PRIVATE_URL=ws://127.0.0.1:8765/v5/private"
    ),
}
AS_GRIDBOT = "systemd-run --quiet --uid=gridbot --working-directory=/opt/gridbot"
PYTHON = "/opt/gridbot/.venv/bin/python"
LISTENER = (
    "import http.server as h\n"
    "class Take(h.BaseHTTPRequestHandler):\n"
    "    def do_POST(self):\n"
    "        print(self.rfile.read(int(self.headers['Content-Length'])), flush=True)\n"
    "        self.send_response(200); self.end_headers()\n"
    "h.HTTPServer(('127.0.0.1', 8790), Take).serve_forever()\n"
)
# What a machine of one's own has around it, by the command before which it must be there.
AROUND = {
    "systemctl enable --now gridbot-capture": (
        f"{AS_GRIDBOT} --unit=exchange --setenv=GRIDBOT_ENV_FILE=/etc/gridbot/gridbot.env "
        "--property=LoadCredential=gridbot-credential-keys:/etc/gridbot/credential-keys "
        f"{PYTHON} manage.py sandbox --rate 20"
    ),
    # Else the lease of the capture that wrote while it was backed up would not have run out.
    "systemctl stop gridbot-prune.timer": "sleep 20",
    "gridbot notify": f'{AS_GRIDBOT} --unit=listener {PYTHON} -c "{LISTENER}"',
}
# Capture says of itself that it is ready; that every symbol was repaired once takes longer.
PATIENT = ("curl", "gridbot doctor")
ANSWERS = ["operator", "operator@example.com", "correct horse battery", "correct horse battery"]


def commands(page: str) -> list[str]:
    """What the page has one type: the lines of its blocks, continued ones as one."""
    blocks = re.findall(r"^```sh\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.replace("\\\n", "").splitlines() if line]


def main() -> int:
    """Make the machine, follow the page, and say how long it took."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a new folder for the machine; it stays")
    parser.add_argument(
        "--mirror", default="http://deb.debian.org/debian", help="Debian's packages"
    )
    parser.add_argument(
        "--copy",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="into the machine, too",
    )
    given = parser.parse_args()
    print(f"A fresh Debian 12 in {given.folder}", flush=True)
    made = ["debootstrap", "--variant=minbase", "--include=systemd,systemd-sysv,dbus"]
    subprocess.run(
        [*made, "bookworm", given.folder, given.mirror], check=True, stdout=subprocess.DEVNULL
    )
    for path in given.copy:
        target = given.folder / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    with booted(given.folder) as leader:
        return follow(leader, commands(PAGE.read_text(encoding="utf-8")))


def follow(leader: int, lines: list[str]) -> int:
    """Type the lines into the machine; 0 if each went well."""
    folder, whole = "/root", 0.0
    for line in lines:
        for begins, around in AROUND.items():
            if line.startswith(begins):
                subprocess.run(entered(leader, folder, around), check=True)
        typed = line
        for word, instead in IN_PLACE.items():
            typed = typed.replace(word, instead)
        code, seconds = typed_into(leader, folder, typed)
        whole += seconds
        print(f"\n{seconds:7.1f} s  exit {code}  {line}", flush=True)
        if code:
            return 1
        if line.startswith("cd "):
            folder = line.removeprefix("cd ")
    print(f"{len(lines)} commands, {whole / 60:.1f} minutes, every one of them well.", flush=True)
    return 0


def typed_into(leader: int, folder: str, line: str) -> tuple[int, float]:
    """A command's exit code and seconds; what one has to wait for is asked again for a minute."""
    begun = time.monotonic()
    while True:
        if line.startswith("gridbot createsuperuser"):
            code = answered(entered(leader, folder, line))
        else:
            code = subprocess.run(entered(leader, folder, line), check=False).returncode
        seconds = time.monotonic() - begun
        if code == 0 or not line.startswith(PATIENT) or seconds > 60:
            return code, seconds
        time.sleep(2)


def entered(leader: int, folder: str, line: str) -> list[str]:
    """`line` as a command of this machine that runs it in the other one."""
    clean = ["env", "-i", "HOME=/root", f"PATH={PATHS}", "LANG=C.UTF-8", "TERM=dumb"]
    inside = ["nsenter", f"--target={leader}", "--all", f"--wd=/proc/{leader}/root{folder}"]
    kept = [f"{name}={value}" for name, value in os.environ.items() if name.startswith("PIP_")]
    return [*inside, *clean, *kept, "DEBIAN_FRONTEND=noninteractive", "bash", "-c", line]


def answered(command: list[str]) -> int:
    """The exit code of a command that asks, on a terminal of its own."""
    answers = iter(ANSWERS)

    def read(terminal: int) -> bytes:
        said = os.read(terminal, 1024)
        if said.rstrip().endswith(b":"):
            os.write(terminal, f"{next(answers)}\n".encode())
        return said

    return os.waitstatus_to_exitcode(pty.spawn(command, read))


@contextmanager
def booted(folder: Path) -> Iterator[int]:
    """The first process of a machine that runs as long as the context lasts."""
    machine = subprocess.Popen(
        [
            *("systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit"),
            *(f"--directory={folder}", f"--bind-ro={ROOT}:/srv/gridbot"),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield _leader(machine.pid)
    finally:
        machine.terminate()
        machine.wait()


def _leader(parent: int) -> int:
    children = Path(f"/proc/{parent}/task/{parent}/children")
    until = time.monotonic() + 60
    while time.monotonic() < until:
        for child in children.read_text(encoding="ascii").split():
            asked = entered(int(child), "/", "systemctl is-system-running --wait")
            if subprocess.run(asked, check=False, capture_output=True).stdout == b"running\n":
                return int(child)
        time.sleep(0.5)
    raise SystemExit("The machine did not come up within a minute.")


if __name__ == "__main__":
    sys.exit(main())
