"""System checks of the secrets and hosts that the site starts with: docs/security.md lists them.

Those with `START` are run at every start of anything, also of a web server, and end it. They
never repeat what they look at.
"""

from __future__ import annotations

import math
import os
import stat
from collections import Counter
from collections.abc import Sequence
from ipaddress import ip_address
from itertools import pairwise
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.utils.encoding import force_str

from accounts.checks import START
from gridbot_site.configuration.registry import unknown

KEY_LENGTH = 50
KEY_BITS = 128
SAMPLE_WORDS = ("change", "example", "insecure", "password", "placeholder", "sample", "secret")
FRESH = (
    'Make one: python -c "import secrets; print(secrets.token_urlsafe(50))", or `make .env` '
    "for a whole .env."
)


@register(START)
def secret_key(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Whoever guesses the key that signs sessions is everybody."""
    if settings.DEBUG:
        return []
    return [
        Error(wrong, hint=FRESH, id=id_)
        for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS)
        for wrong, id_ in _weakness(force_str(key))
    ]


@register(START)
def hosts(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A Host header that is not ours is refused, and tracebacks stay on this machine."""
    names = settings.ALLOWED_HOSTS
    if settings.DEBUG:
        strangers = [name for name in names if not _is_loopback(name)]
        hint = "Set GRIDBOT_DEBUG=false, or let GRIDBOT_ALLOWED_HOSTS name this machine alone."
        message = "GRIDBOT_DEBUG shows tracebacks, and GRIDBOT_ALLOWED_HOSTS lets others see them."
        return [Error(message, hint=hint, id="gridbot.E004")] if strangers else []
    if not names or not {"*", "."}.isdisjoint(names):
        message = "GRIDBOT_ALLOWED_HOSTS takes any host name for this site's, or names none."
        return [Error(message, hint="Name the hosts of the admin.", id="gridbot.E003")]
    return []


@register(Tags.security, deploy=True)
def settings_file(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The file with the secrets is its owner's alone."""
    try:
        mode = os.stat(settings.GRIDBOT_SETTINGS_FILE).st_mode
    except OSError:
        return []
    if not mode & (stat.S_IRWXG | stat.S_IRWXO):
        return []
    hint = "chmod 600 the file, and make new secrets if others were on the machine."
    return [Warning("Others may read the settings file.", hint=hint, id="gridbot.W001")]


@register(Tags.compatibility)
def misspelt_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """A setting that nothing reads is a setting that somebody believes in."""
    return [
        Warning(
            f"{name} is no setting of gridbot: nothing reads it.",
            hint=f"Is {meant} meant?" if meant else "`manage.py settings` lists those there are.",
            id="gridbot.W002",
        )
        for name, meant in unknown(os.environ).items()
    ]


@register(Tags.security, deploy=True)
def notification_addresses(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Whoever is to be told of trouble can be told.

    Not at every start: a wrong address must not keep capture from its work.
    """
    if not settings.GRIDBOT_NOTIFY_URLS:
        return []
    # Loads all of apprise: for those alone who have it send something.
    from gridbot_site.notifications.sending import Target

    wrong: list[CheckMessage] = []
    for position, url in enumerate(settings.GRIDBOT_NOTIFY_URLS, start=1):
        try:
            Target(position, url)
        except ValueError as error:
            hint = (
                "Write it as https://appriseit.com/services/ says, and try: manage.py notify --test"
            )
            message = f"GRIDBOT_NOTIFY_URLS: {error}."
            wrong.append(Error(message, hint=hint, id="gridbot.E005"))
    return wrong


def entropy(items: Sequence[Any]) -> float:
    """Shannon's entropy of `items`, in bits: the most that they can hide."""
    return -sum(n * math.log2(n / len(items)) for n in Counter(items).values())


def _weakness(key: str) -> list[tuple[str, str]]:
    if any(word in key.lower() for word in SAMPLE_WORDS):
        return [("SECRET_KEY is a sample, or words.", "gridbot.E002")]
    # A text that repeats itself is found in its double, before the end of the first.
    repeats = key in (key + key)[1:-1]
    # An alphabet has many characters and few steps between them.
    steps = [ord(after) - ord(before) for before, after in pairwise(key)]
    hidden = min(entropy(key), entropy(steps))
    if len(key) < KEY_LENGTH or repeats or hidden < KEY_BITS:
        return [(f"SECRET_KEY is not {KEY_LENGTH} random characters.", "gridbot.E001")]
    return []


def _is_loopback(host: str) -> bool:
    name = host.strip("[]").removeprefix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False
