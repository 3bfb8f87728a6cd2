"""What commands share in reading their arguments."""

from __future__ import annotations

import argparse
import math


def positive(text: str) -> float:
    """A number above zero, for argparse."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number above zero")
    return number


def add_scope(parser: argparse.ArgumentParser) -> None:
    """Whose accounts a command is about: some by name, those of users, or explicitly all."""
    scope = parser.add_mutually_exclusive_group(required=True)
    scope.add_argument(
        "--account",
        action="append",
        default=[],
        metavar="NAME",
        help="its name, user/name or id; repeatable",
    )
    scope.add_argument(
        "--user", action="append", default=[], metavar="NAME", help="all of this user; repeatable"
    )
    scope.add_argument("--all", action="store_true", help="all accounts of all users")
