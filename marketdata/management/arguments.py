"""What commands share in reading their arguments."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any

from django.core.management.base import CommandError

from accounts.models import BybitAccount, User
from marketdata.capture.accounts import named
from marketdata.coverage.since import moment
from marketdata.exits import ConfigurationError, ExitCode


def positive(text: str) -> float:
    """A number above zero, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above zero")
    return number


def count(text: str) -> int:
    """A whole number from 1 to 100,000, for argparse."""
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= 100_000):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 to 100000")
    return int(text)


def worded(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """`read` for argparse, which then says what its ValueError says."""

    def parse(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def time_argument(now: datetime) -> Callable[[str], Any]:
    """A moment, or an age as of `now`, for argparse: 2h, 7d, or an ISO time (UTC)."""
    return worded(lambda text: moment(text, now))


def check_window(options: Mapping[str, Any]) -> None:
    """Raises CommandError (usage) when --since and --until are given and enclose nothing."""
    since, until = options["since"], options["until"]
    if since and until and since >= until:
        raise CommandError("--since must lie before --until.", returncode=ExitCode.USAGE)


def add_scope(parser: argparse.ArgumentParser, *, required: bool = True) -> None:
    """Whose accounts a command is about: some by name, those of users, or explicitly all."""
    scope = parser.add_mutually_exclusive_group(required=required)
    scope.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="NAME",
        help="user/name, its id, or its name where no other user has one of it; repeatable",
    )
    scope.add_argument(
        "--user", action="append", default=[], metavar="NAME", help="all of this user; repeatable"
    )
    scope.add_argument("--all", action="store_true", help="all accounts of all users")


def has_scope(options: Mapping[str, Any]) -> bool:
    """Whether it was said whose accounts are meant."""
    return bool(options["account"] or options["user"] or options["all"])


def demand_scope(options: Mapping[str, Any], streams: Collection[str]) -> None:
    """Raises CommandError (usage) when `streams` of accounts are asked for, of nobody's."""
    if streams and not has_scope(options):
        raise CommandError(
            f"Whose {' and '.join(streams)}? Say --account USER/NAME, --user NAME, or --all.",
            returncode=ExitCode.USAGE,
        )


def accounts_in_scope(options: Mapping[str, Any]) -> list[BybitAccount]:
    """The accounts that are meant, disabled ones too, the oldest first; without a scope none.

    Raises ConfigurationError for the name of no account, of several, or of no user.
    """
    accounts = BybitAccount.objects.unscoped().select_related("user").order_by("created_at", "pk")
    if options["account"]:
        return list(accounts.filter(pk__in=[a.pk for a in by_name(options["account"])]))
    if users := set(options["user"]):
        known = User.objects.filter(username__in=users).values_list("username", flat=True)
        if missing := sorted(users - set(known)):
            raise ConfigurationError(f"No user is called {', '.join(missing)}.")
        return list(accounts.filter(user__username__in=users))
    return list(accounts) if options["all"] else []


def by_name(names: Collection[str]) -> list[BybitAccount]:
    """The accounts of these names. Raises ConfigurationError for a name of none, or of several."""
    found = named(names)
    if unknown := sorted(set(names) - found.keys()):
        shared = BybitAccount.objects.unscoped().filter(account_name__in=unknown)
        if several := sorted(set(shared.values_list("account_name", flat=True))):
            raise ConfigurationError(
                f"Several users have an account called {', '.join(several)}: say USER/NAME."
            )
        raise ConfigurationError(f"No account is called {', '.join(unknown)}.")
    return list(found.values())
