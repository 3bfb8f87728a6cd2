"""Kinds of settings that gridbot alone has: exchange environments, ages, servers."""

from __future__ import annotations

from ipaddress import ip_network

from gridbot_site.configuration.kinds import Kind, explained, items, must_be, optional, text
from marketdata.bybit.environments import Environment, checked_url
from marketdata.prune.policy import AGES_KEPT, retention_age

FILE = text("the path of a file")
ENVIRONMENT = optional(explained(f"one of {', '.join(Environment)}", Environment.parse))
AGE = optional(explained(f"an age {AGES_KEPT}, such as 12h, 90d or 52w", retention_age))
NETWORKS = explained(
    "networks, comma separated", lambda given: [ip_network(each) for each in items(given)]
)


def url(secure: str, plain: str) -> Kind[str]:
    """The URL of a server, or nothing."""
    return Kind(
        f"a URL, {secure}:// or on loopback {plain}://",
        lambda name, given: checked_url(given, name, {secure, plain}) if given else "",
    )


def _digits(given: str) -> str:
    if given and not given.isdecimal():
        raise ValueError
    return given


DIGITS = must_be("a number", _digits, fold=str)
