"""Messages to where the operator reads them, through apprise.

An address holds a token or a password. It is a Secret here and shown nowhere: people are told its
position in the setting and its scheme. What apprise logs repeats parts of it, so nothing of that
reaches a log; of what it says when a message is not taken the last line is kept, without any part
of the address.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final
from urllib.parse import unquote

import apprise
from django.conf import settings

from accounts.secret import SHOWN, Secret
from gridbot_site.listed_secrets import NOTIFY_URLS, listed_with_source
from gridbot_site.notifications.conditions import Severity
from gridbot_site.notifications.message import Message
from marketdata.exits import ConfigurationError

SEND_SECONDS: Final = 20.0
UNKNOWN: Final = "is no address that apprise knows"
LATE: Final = "no answer in {:.0f} s"
BUSY: Final = "an earlier message is still on its way"
KINDS: Final = {
    None: apprise.NotifyType.SUCCESS,
    Severity.WARNING: apprise.NotifyType.WARNING,
    Severity.CRITICAL: apprise.NotifyType.FAILURE,
}
SHORTEST_PART: Final = 3


@dataclass(frozen=True)
class Delivery:
    """What became of a message at one address; `problem` is empty where it was taken."""

    position: int
    scheme: str
    problem: str = ""


class Target:
    """One address. Raises ValueError for what is none; the text says nothing of the address."""

    def __init__(self, position: int, url: Secret) -> None:
        self.position, self.scheme = position, scheme_of(url)
        self._url = url
        self._busy = threading.Lock()
        # What nobody waits for any more, and may be taken yet.
        self._late: _Attempt | None = None
        if _plugin(url) is None:
            raise ValueError(f"address {position} {UNKNOWN}")

    def send(self, message: Message) -> _Attempt:
        """Begin to send; nothing is waited for."""
        return _Attempt(self, message)

    def outcome(self, attempt: _Attempt, timeout: float) -> Delivery:
        """What became of it within `timeout` seconds."""
        problem = attempt.problem(timeout)
        if problem is None:
            self._late = attempt
            problem = LATE.format(SEND_SECONDS)
        return Delivery(self.position, self.scheme, problem)

    @property
    def is_late(self) -> bool:
        """Whether a message is on its way for which nobody waits any more."""
        return self._late is not None

    def late_answer(self) -> str | None:
        """What was wrong with that message, or nothing; None as long as it is not known. Said once."""
        problem = self._late.problem() if self._late else None
        if problem is not None:
            self._late = None
        return problem

    def deliver(self, message: Message) -> str:
        """Send and wait for the answer: what was wrong, or nothing."""
        if not self._busy.acquire(blocking=False):
            return BUSY
        try:
            EAR.forget()
            plugin = _plugin(self._url)
            taken = plugin is not None and plugin.notify(
                body=message.body,
                title=message.title,
                notify_type=KINDS[message.severity],
                body_format=apprise.NotifyFormat.TEXT,
            )
            return "" if taken else self._without_address(EAR.last or "not taken")
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything, with the address
            return type(error).__name__
        finally:
            self._busy.release()

    def _without_address(self, text: str) -> str:
        for part in _parts(self._url):
            text = text.replace(part, SHOWN)
        return " ".join(text.split())[:200]


class _Attempt:
    """A message on its way, in a thread that the end of the process does not wait for."""

    def __init__(self, target: Target, message: Message) -> None:
        self._target = target
        self._problem: str | None = None
        self._thread = threading.Thread(target=self._run, args=(message,), daemon=True)
        self._thread.start()

    def problem(self, timeout: float = 0.0) -> str | None:
        """What was wrong, or nothing; None when that is not known within `timeout` seconds."""
        self._thread.join(max(timeout, 0.0))
        return self._problem

    def _run(self, message: Message) -> None:
        self._problem = self._target.deliver(message)


def configured_targets() -> list[Target]:
    """The addresses of the settings; none where there is no setting.

    Raises ConfigurationError for one that is none, and for a file that holds none: whoever has
    given it means to be told.
    """
    try:
        targets = targets_of(settings.GRIDBOT_NOTIFY_URLS)
    except ValueError as error:
        raise ConfigurationError(f"GRIDBOT_NOTIFY_URLS: {error}.") from None
    source = listed_with_source(NOTIFY_URLS, os.environ)[1]
    if not targets and source:
        raise ConfigurationError(f"{source} holds no address: write one on each line.")
    return targets


def targets_of(urls: Sequence[Secret]) -> list[Target]:
    """The addresses. Raises ValueError with the position of the first that is none."""
    return [Target(position, url) for position, url in enumerate(urls, start=1)]


def send_to_all(targets: Sequence[Target], message: Message) -> list[Delivery]:
    """Send to all addresses at once; it takes SEND_SECONDS at most, whatever hangs."""
    until = time.monotonic() + SEND_SECONDS
    attempts = [(target, target.send(message)) for target in targets]
    return [target.outcome(attempt, until - time.monotonic()) for target, attempt in attempts]


def scheme_of(url: Secret) -> str:
    """The kind of an address (tgram, mailtos, json), which is no secret; "?" where there is none."""
    found = re.match(r"[A-Za-z][A-Za-z0-9]{1,20}(?=://)", url.reveal())
    return found[0].lower() if found else "?"


def _plugin(url: Secret) -> apprise.NotifyBase | None:
    _silence()
    asset = apprise.AppriseAsset(
        app_id="gridbot", app_desc="gridbot", async_mode=False,
        storage_mode=apprise.PersistentStoreMode.MEMORY,
    )  # fmt: skip
    plugin = apprise.Apprise.instantiate(url.reveal(), asset=asset, suppress_exceptions=True)
    return plugin if isinstance(plugin, apprise.NotifyBase) else None


def _parts(url: Secret) -> list[str]:
    """All that an address is made of but its scheme, as written and as meant; the longest first."""
    text = url.reveal().partition("://")[2]
    words = {text, *re.split(r"[/:@?&=,;+]", text)}
    found = words | {unquote(word) for word in words}
    return sorted((each for each in found if len(each) >= SHORTEST_PART), key=len, reverse=True)


class _Ear(logging.Filter):
    """Hears what apprise says in each thread, and lets nobody else hear it: it repeats addresses."""

    def __init__(self) -> None:
        super().__init__()
        self._heard = threading.local()

    def filter(self, record: logging.LogRecord) -> bool:
        """Keep the line, and let it go no further."""
        if record.levelno >= logging.WARNING:
            self._heard.last = record.getMessage()
        return False

    def forget(self) -> None:
        """Nothing was said in this thread."""
        self._heard.last = ""

    @property
    def last(self) -> str:
        """What was said last in this thread."""
        return str(getattr(self._heard, "last", ""))


EAR: Final = _Ear()


@cache
def _silence() -> None:
    """Keep what apprise and its HTTP library log, addresses among it, from all others."""
    logging.getLogger("apprise").addFilter(EAR)
    logging.getLogger("urllib3").setLevel(logging.ERROR)
