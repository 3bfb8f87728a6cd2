"""`manage.py reset_otp USER`: a lost phone, or an operator without recovery codes."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.management.teaching import TeachingCommand
from accounts.models import User
from gridbot_site.second_factor import reset

HELP = """\
Take all authenticator apps and recovery codes from a user, for example after a lost phone. The
next sign-in by password asks to add a new app. The audit log keeps that it happened.

  manage.py reset_otp alice

Exit codes: 0 ok, 1 there is no such user, 2 usage, 4 configuration, 75 the database cannot be
reached."""


class Command(TeachingCommand):
    """Take a user's authenticator apps and recovery codes away; the next sign-in adds new ones."""

    help = HELP

    def add_arguments(self, parser: CommandParser) -> None:
        """Whose."""
        parser.add_argument("user", metavar="USER", help="The name that the user signs in with.")

    def handle(self, *args: Any, **options: Any) -> str:
        """Do it, and say what was there."""
        user = User.objects.filter(username=options["user"]).first()
        if user is None:
            raise CommandError("There is no user of this name.")
        count = reset(user, by="manage.py reset_otp")
        return f"Taken from {user}: {count} devices. The next sign-in asks for a new one."
