"""The accounts that a sandbox knows, and the file in which their keys are handed over."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import orjson

from marketdata.sandbox.private.api_key import check_key

MAX_NAME = 100
# A second; more than any machine gets done, so that a slip of the keyboard is told from a wish.
MAX_RATE = 100_000.0
# "params" refuses the authentication of the stream; a code is what REST answers.
REFUSALS = ("", "params", "10003", "10004", "10005", "10006", "10010", "33004")


@dataclass(frozen=True, kw_only=True)
class SandboxAccount:
    """One account: its name, its key, how busy it is, what it may do, and whether it is refused.

    `rate` is events a second of its story (100,000 at most), 0 for an account that only does what it is told; an event is one
    thing that happens to an order (accepted, filled, cancelled) and makes about four frames.
    `key` are fields of what /v5/user/query-api says of the key, in place of the usual ones.
    ValueError says in a sentence what cannot be.
    """

    name: str
    api_key: str
    api_secret: str = field(repr=False)
    rate: float = 0.0
    hedge_mode: bool = True
    read_only: bool = False
    refusal: str = ""
    key: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (_is_text(self.name) and len(self.name) <= MAX_NAME):
            raise ValueError(f"The name of an account has 1 to {MAX_NAME} characters.")
        for secret in (self.api_key, self.api_secret):
            if not (_is_text(secret) and secret.isascii()):
                raise ValueError(f"Account {self.name!r} needs a key and a secret.")
        for name in ("hedge_mode", "read_only"):
            if getattr(self, name) not in (True, False):
                raise ValueError(f"{name} of account {self.name!r} is true or false.")
        check_rate(self.rate)
        check_refusal(self.refusal)
        check_key(self.key)


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and bool(value)


def check_rate(rate: Any) -> None:
    """Raise ValueError for what is no rate."""
    number = isinstance(rate, int | float) and not isinstance(rate, bool)
    # A comparison with NaN is false, so it is refused, too.
    if not (number and 0 <= rate <= MAX_RATE):
        raise ValueError(f"The rate of an account must be 0 to {MAX_RATE:.0f} events a second.")


def check_refusal(refusal: Any) -> None:
    """Raise ValueError for what is no way to refuse."""
    if refusal not in REFUSALS:
        raise ValueError(f"refusal is empty or one of {', '.join(REFUSALS[1:])}.")


def check_distinct(accounts: tuple[SandboxAccount, ...]) -> None:
    """Raise ValueError when a name or a key is given twice."""
    if len({one.name for one in accounts}) != len(accounts):
        raise ValueError("An account is named twice.")
    if len({one.api_key for one in accounts}) != len(accounts):
        raise ValueError("Two accounts have the same key.")


def read_accounts(path: Path) -> tuple[SandboxAccount, ...]:
    """The accounts of a JSON file: a list of objects with the fields of SandboxAccount.

    Raises ValueError for a file that others may read, or that cannot be understood; no message
    shows what stands in it.
    """
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ValueError(f"{path} holds secrets and is open to others; chmod 600 it.")
            text = file.read()
    except OSError as exc:
        raise ValueError(f"{path} cannot be read: {exc.strerror}.") from None
    try:
        entries = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise ValueError(f"{path} is no JSON.") from None
    if not isinstance(entries, list):
        raise ValueError(f"{path} is no list of accounts.")
    return tuple(_account(entry, f"{path}, account {n}") for n, entry in enumerate(entries, 1))


def _account(entry: Any, where: str) -> SandboxAccount:
    names = [one.name for one in fields(SandboxAccount)]
    if not isinstance(entry, dict) or not entry.keys() <= set(names):
        raise ValueError(f"{where}: not an object of {', '.join(names)}.")
    if missing := [name for name in names[:3] if name not in entry]:
        raise ValueError(f"{where}: {', '.join(missing)} missing.")
    try:
        return SandboxAccount(**entry)
    except ValueError as exc:
        raise ValueError(f"{where}: {exc}") from None
