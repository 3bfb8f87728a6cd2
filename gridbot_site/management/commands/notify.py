"""`manage.py notify`: where the operator is told, and whether a message arrives there."""

from __future__ import annotations

import socket
import sys
from argparse import ArgumentParser
from typing import Any

from accounts.management.teaching import TeachingCommand
from gridbot_site.notifications.message import Message
from marketdata.exits import ConfigurationError, ExitCode

HELP = """\
List the addresses in GRIDBOT_NOTIFY_URLS, by position and scheme: the rest of them is secret.

  manage.py notify
  manage.py notify --test      send a message to each, and say what became of it

Exit codes: 0 ok, 1 an address did not take the message, 2 usage, 4 configuration: there is no
address, or one is none that apprise knows."""


class Command(TeachingCommand):
    """Notify."""

    help = HELP

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--test", action="store_true", help="send a message to each address")

    def handle(self, *args: Any, **options: Any) -> None:
        """List, or try."""
        # Loads all of apprise, which --help can do without.
        from gridbot_site.notifications.sending import configured_targets, send_to_all

        targets = configured_targets()
        if not targets:
            raise ConfigurationError("There is no address: set GRIDBOT_NOTIFY_URLS.")
        if not options["test"]:
            for target in targets:
                self.stdout.write(f"{target.position} {target.scheme}")
            return
        host = socket.gethostname()
        message = Message(f"gridbot on {host}: test", "Messages of gridbot arrive here.", None)
        outcomes = send_to_all(targets, message)
        for each in outcomes:
            self.stdout.write(f"{each.position} {each.scheme}: {each.problem or 'taken'}")
        if any(each.problem for each in outcomes):
            sys.exit(ExitCode.ERROR)
