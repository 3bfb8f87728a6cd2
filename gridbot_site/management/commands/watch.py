"""`manage.py watch`: tell the operator when something is wrong, and when it is over."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from threading import Event
from typing import Any

from django.conf import settings

from accounts.management.teaching import TeachingCommand
from gridbot_site.notifications.conditions import Condition, Key
from gridbot_site.notifications.message import line_of
from gridbot_site.notifications.state import in_folder, locked
from gridbot_site.notifications.watcher import Look, Watcher
from marketdata.capture.notify import notify
from marketdata.capture.signals import stop_on_signals
from marketdata.capture.watchdog import ALIVE, interval_from
from marketdata.exits import ExitCode
from marketdata.management.arguments import positive

HELP = """\
Look at database, capture, streams, gaps, quarantine, disks, clock and keys, and tell what is wrong
to the addresses in GRIDBOT_NOTIFY_URLS, and when it is over.

  manage.py watch                    a service: looks every 30 seconds until it is told to stop
  manage.py watch --interval 60
  manage.py watch --once             one look, for a timer; says what is wrong now
  manage.py watch --once --json

What lasts is told again after hours, what comes and goes is counted. Alerts are kept in a file in
the folder of the spool, so another look, or another process, goes on from there. Without any
address they are in the log alone; a file for them that holds none is a mistake. docs/notifications.md
explains each condition.
Exit codes: 0 looked (also when something is wrong), 1 nobody took a message, 2 usage,
4 configuration, 75 another watch is at work."""


class Command(TeachingCommand):
    """Watch."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--interval", type=positive, default=30.0, metavar="S", help="default: 30 seconds"
        )
        parser.add_argument("--once", action="store_true", help="one look")
        parser.add_argument(
            "--json", action="store_true", help="with --once: one machine-readable line"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Watch."""
        # Loads all of apprise, which --help can do without.
        from gridbot_site.notifications.sending import configured_targets

        targets = configured_targets()
        path = in_folder(Path(settings.GRIDBOT_SPOOL_DIR))
        with locked(path), stop_on_signals() as stop:
            watcher = Watcher(targets, path)
            if options["once"]:
                self._report(watcher.step(), as_json=options["json"])
                return
            self.stdout.write(f"Watching, every {options['interval']:g} s; Ctrl-C stops.")
            self.stdout.flush()
            notify("READY=1")
            while not stop.is_set():
                watcher.step()
                _wait(stop, options["interval"])
            notify("STOPPING=1")

    def _report(self, seen: Look, *, as_json: bool) -> None:
        code = ExitCode.ERROR if seen.deliveries and len(seen.failed) == len(seen.deliveries) else 0
        if as_json:
            told = {
                "wrong": [_told(key, seen.conditions[key]) for key in sorted(seen.conditions)],
                "said": [line_of(event) for event in seen.events],
                "failed": [vars(each) for each in seen.failed],
                "exit_code": int(code),
            }
            self.stdout.write(json.dumps(told))
        else:
            for key in sorted(seen.conditions):
                condition = seen.conditions[key]
                line = f"{condition.severity.name} {key}: {condition.text} {key.playbook}"
                self.stdout.write(line)
            for each in seen.failed:
                self.stderr.write(f"Address {each.position} ({each.scheme}): {each.problem}.")
            wrong, said = len(seen.conditions), len(seen.events)
            news = f"Wrong: {wrong}. Told now: {said}."
            self.stdout.write(news if wrong or said else "All is well.")
        if code:
            sys.exit(code)


def _wait(stop: Event, seconds: float) -> None:
    """Wait, and feed systemd's watchdog: it is to catch a look that hangs, not one that is not due."""
    until, at_most = time.monotonic() + seconds, interval_from(os.environ)
    notify(ALIVE)
    while (left := until - time.monotonic()) > 0 and not stop.wait(min(left, at_most)):
        notify(ALIVE)


def _told(key: Key, condition: Condition) -> dict[str, Any]:
    return {
        "kind": key.kind,
        "subject": key.subject,
        "severity": condition.severity.name.lower(),
        "text": condition.text,
    }
