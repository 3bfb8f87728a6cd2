"""Which Bybit: the environments, and the endpoints of the one that runs elsewhere."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit


class Environment(StrEnum):
    """An exchange environment; data of two never share a database."""

    MAINNET = "mainnet"
    TESTNET = "testnet"
    DEMO = "demo"
    SANDBOX = "sandbox"

    @classmethod
    def parse(cls, text: str, *, testnet: bool = True) -> Environment:
        """The environment that `text` names, or the one that the testnet flag means.

        Raises ValueError for an unknown name.
        """
        if not text:
            return cls.TESTNET if testnet else cls.MAINNET
        try:
            return cls(text.strip().lower())
        except ValueError:
            known = ", ".join(cls)
            raise ValueError(f"Unknown environment {text!r}; it is one of {known}.") from None


@dataclass(frozen=True, kw_only=True)
class Endpoints:
    """Where a V5 server is reached; empty strings mean the exchange's own hosts."""

    rest: str = ""
    ws_public: str = ""
    ws_private: str = ""


LOOPBACK_NAMES = frozenset({"localhost"})
PLACE = re.compile(r"(?:\[(?P<address>[^\[\]\s]+)\]|(?P<name>[^:\[\]\s]+)):(?P<port>[0-9]+)")
MAX_PORT = 65_535
SECURE_SCHEMES = {"http": "https", "ws": "wss"}


def checked_url(url: str, name: str, schemes: set[str]) -> str:
    """The URL of a server, without a slash at its end.

    Raises ValueError, naming the setting but not its value, for one that is unsafe: plain
    http or ws to another machine, or a user name or password within it.
    """
    url = url.rstrip("/")
    wanted = f"{name} must be a {' or '.join(sorted(schemes))} URL"
    try:
        parts = urlsplit(url)
        _ = parts.port  # read for its check alone
    except ValueError:
        raise ValueError(f"{wanted}.") from None
    if parts.scheme not in schemes or not parts.hostname:
        raise ValueError(f"{wanted}.")
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        raise ValueError(f"{wanted} of host, port and path alone.")
    if parts.scheme in SECURE_SCHEMES and not is_loopback(parts.hostname):
        raise ValueError(
            f"{name} must use {SECURE_SCHEMES[parts.scheme]}: plain {parts.scheme} is accepted "
            "on loopback only."
        )
    return url


def host_and_port(text: str) -> tuple[str, int]:
    """What HOST:PORT names. An IPv6 address stands in brackets, and is returned without them.

    Raises ValueError.
    """
    found = PLACE.fullmatch(text)
    if found is None or int(found["port"]) > MAX_PORT:
        raise ValueError(f"{text!r} is no HOST:PORT")
    return found["address"] or found["name"], int(found["port"])


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
