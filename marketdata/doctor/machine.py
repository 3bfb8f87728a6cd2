"""This machine: settings, files with secrets, disks, what an earlier capture left, time zone."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

from django.conf import settings
from django.core.checks import CheckMessage, run_checks
from django.core.checks.messages import ERROR

from marketdata.capture.spool_segment import SUFFIX
from marketdata.doctor.findings import Finding, error, warning
from marketdata.exits import ExitCode

# Below these shares of a disk, and bytes of it, there is too little left; and next to nothing.
LOW_SHARE, LOW_BYTES = 0.10, 2 * 2**30
LEAST_BYTES: Final = 200 * 2**20
DJANGOS_CHECKS: Final = "https://docs.djangoproject.com/en/5.2/ref/checks/"
# See localtime(5).
LOCAL_TIME: Final = Path("/etc/localtime")
OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
# Judged here, with the other files.
FILE_OF_SETTINGS: Final = "gridbot.W001"


def check_machine(environment: Mapping[str, str]) -> list[Finding]:
    """Everything that no database and no exchange has to be asked for."""
    return [
        *_settings(),
        *_secrets(environment),
        *_disks(),
        *_left_behind(Path(settings.GRIDBOT_SPOOL_DIR)),
        _time_zone(_zone_of_machine()),
    ]


def _settings() -> Iterator[Finding]:
    """Django's system checks, and gridbot's; those for production where it is one."""
    messages = run_checks(include_deployment_checks=not settings.DEBUG)
    judged = [message for message in messages if message.id != FILE_OF_SETTINGS]
    yield from map(_of_message, judged)
    if settings.DEBUG:
        advice = "Set GRIDBOT_DEBUG=false, unless this is a machine of your own."
        yield warning("settings", "GRIDBOT_DEBUG is on: tracebacks, plain http.", advice)
    if not judged:
        yield Finding("settings", "No system check complains.")


def _of_message(message: CheckMessage) -> Finding:
    found = f"{message.msg} ({message.id})"
    advice = message.hint or f"Its number is explained at {DJANGOS_CHECKS}."
    if message.level >= ERROR:
        return error("settings", found, advice)
    return warning("settings", found, advice)


def _secrets(environment: Mapping[str, str]) -> Iterator[Finding]:
    """The files with secrets are their owner's alone."""
    variables = ("GRIDBOT_CREDENTIAL_KEYS_FILE", "GRIDBOT_NOTIFY_URLS_FILE")
    files = [settings.GRIDBOT_SETTINGS_FILE, *(environment.get(name, "") for name in variables)]
    for name in filter(None, files):
        if (mode := _mode(Path(name))) is not None:
            found = f"{name} has mode {mode:04o}."
            if mode & OTHERS:
                advice = f"chmod 600 {name}, and make new secrets if others were on this machine."
                yield error("files", f"Others may read {name}: mode {mode:04o}.", advice)
            else:
                yield Finding("files", found)
    count = len(settings.GRIDBOT_CREDENTIAL_KEYS)
    if count > 1:
        yield warning(
            "files",
            f"There are {count} credential keys: the first seals, the others open what is older.",
            "Finish the rotation: `manage.py rotate_credential_keys`.",
        )
    elif count:
        yield Finding("files", "There is one credential key.")


def _disks() -> Iterator[Finding]:
    """The disk of an SQLite file, and that of the spool."""
    database = settings.DATABASES["default"]
    if database["ENGINE"].endswith("sqlite3"):
        file = Path(database["NAME"])
        if (mode := _mode(file)) is not None and mode & OTHERS:
            found = f"Others on this machine may read the database: {file} has mode {mode:04o}."
            yield warning("files", found, f"chmod 600 {file}* (files beside it, too).")
    else:
        yield Finding("disk", "That of the database's server is not seen from here.")
    yield from check_disks().values()


def check_disks() -> dict[str, Finding]:
    """How full the disks of this machine are, by what is kept there: the database, the spool."""
    database, found = settings.DATABASES["default"], {}
    if database["ENGINE"].endswith("sqlite3"):
        found["database"] = _disk("database", Path(database["NAME"]).parent, 0)
    spool = Path(settings.GRIDBOT_SPOOL_DIR)
    return found | {"spool": _disk("spool", spool, settings.GRIDBOT_SPOOL_MAX_BYTES)}


def _disk(what: str, folder: Path, wanted: int) -> Finding:
    # Of a folder that may not be looked into Path.is_dir() raises; it is as good as none.
    place = next((each for each in (folder, *folder.parents) if os.path.isdir(each)), Path("/"))
    try:
        total, _, free = shutil.disk_usage(place)
    except OSError as problem:
        return error("disk", f"{place} cannot be looked at: {problem.strerror}.", "Mount it.")
    found = f"{_size(free)} of {_size(total)} are free for the {what} ({place})."
    if free < LEAST_BYTES:
        return error("disk", found, "Free some at once: capture is about to stop.", ExitCode.ERROR)
    if not os.access(place, os.W_OK):
        return error("disk", f"{place} cannot be written to.", f"chown it to who runs the {what}.")
    if free < max(min(LOW_BYTES, total * LOW_SHARE), wanted):
        return warning("disk", found, "Free some, or lower GRIDBOT_SPOOL_MAX_BYTES.")
    return Finding("disk", found)


def _left_behind(spool: Path) -> Iterator[Finding]:
    """What captures have left on disk: rows that wait, and pieces that were set aside."""
    try:
        os.listdir(spool)
    except FileNotFoundError:
        yield Finding("spool", "Nothing waits on disk.")
        return
    except OSError as problem:
        found = f"{spool} cannot be looked into: {problem.strerror}."
        yield warning("spool", found, "Run the doctor as the user that capture runs as.")
        return
    mode = _mode(spool) or 0
    if mode & OTHERS:
        found = f"Others may look into {spool}: mode {mode:04o}."
        yield warning("files", found, f"chmod 700 {spool}")
    aside = sorted(str(path) for path in spool.rglob("*.bad"))
    waiting = sum(map(_bytes, spool.rglob(f"*{SUFFIX}")))
    yield Finding(
        "spool", f"{_size(waiting)} wait on disk." if waiting else "Nothing waits on disk."
    )
    if aside:
        found = f"{len(aside)} pieces were set aside and are not in the database: {aside[0]}"
        advice = 'See docs/capture.md, "The spool"; their spans are gaps that an archive may fill.'
        yield error("spool", found, advice, ExitCode.DATA_INCOMPLETE)


def _time_zone(zone: tzinfo) -> Finding:
    now = datetime.now(zone)
    if now.utcoffset():
        found = f"This machine is at {now:%z}: journalctl shows its time, gridbot writes UTC."
        advice = "`journalctl --utc`, or `timedatectl set-timezone UTC`."
        return warning("time zone", found, advice)
    return Finding("time zone", "This machine's time is UTC, as are all times of gridbot.")


def _zone_of_machine(path: Path = LOCAL_TIME) -> tzinfo:
    """The machine's zone, which Django hides from its own process; UTC where none is set."""
    try:
        with path.open("rb") as file:
            return ZoneInfo.from_file(file)
    except (OSError, ValueError):
        return UTC


def _mode(path: Path) -> int | None:
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return None


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        # A capture at work has replayed it just now.
        return 0


def _size(count: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"
