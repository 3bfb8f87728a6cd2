"""Secrets that come from the environment, a file, or systemd's credentials."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from gridbot_site.configuration.of_site import Notifications, Process, Secrets
from gridbot_site.configuration.setting import Setting


@dataclass(frozen=True)
class Listed:
    """Secrets that are given as a list: in the variable, or in a file that `file` or systemd names.

    `separator` stands between them in the variable (None: white space), `noun` is one of them.
    A file without any is a mistake, unless it `may_be_empty`.
    """

    variable: Setting[str]
    file: Setting[str]
    systemd_name: str
    noun: str
    plural: str
    separator: str | None = None
    may_be_empty: bool = False


CREDENTIAL_KEYS = Listed(
    Secrets.GRIDBOT_CREDENTIAL_KEYS,
    Secrets.GRIDBOT_CREDENTIAL_KEYS_FILE,
    "gridbot-credential-keys",
    "key",
    "Credential keys",
    ",",
)
NOTIFY_URLS = Listed(
    Notifications.GRIDBOT_NOTIFY_URLS,
    Notifications.GRIDBOT_NOTIFY_URLS_FILE,
    "gridbot-notify-urls",
    "address",
    "Addresses",
    # Who does not notify needs none.
    may_be_empty=True,
)
LISTS = (CREDENTIAL_KEYS, NOTIFY_URLS)


def listed(what: Listed, environment: Mapping[str, str]) -> list[str]:
    """The secrets as texts, in their order; none where no source is given.

    The variable holds them all; the file that the variable with _FILE names, or that of systemd's
    name in the folder of LoadCredential= (systemd.exec(5)), holds one on each line; blank lines
    and those that begin with # are not read. Raises ImproperlyConfigured where more than one source
    holds some, as it would be unclear which comes first, and for a file that cannot be read, that
    others may read, or that holds none and may not.
    """
    return listed_with_source(what, environment)[0]


def listed_with_source(what: Listed, environment: Mapping[str, str]) -> tuple[list[str], str]:
    """The same, and the name of the source; that is empty where there is none."""
    words = what.variable.read(environment).split(what.separator)
    found = [word.strip() for word in words if word.strip()]
    given = {what.variable.name: found} if found else {}
    if name := what.file.read(environment):
        given[what.file.name] = _lines_of(Path(name), what.file.name, what, private=True)
    if folder := Process.CREDENTIALS_DIRECTORY.read(environment):
        path = Path(folder) / what.systemd_name
        if path.exists():
            # systemd alone decides who sees its folder; access lists show as bits of the group.
            source = f"{Process.CREDENTIALS_DIRECTORY.name}/{what.systemd_name}"
            given[source] = _lines_of(path, source, what, private=False)
    holding = [source for source, found in given.items() if found]
    if len(holding) > 1:
        raise ImproperlyConfigured(
            f"{what.plural} are given more than once, by {' and '.join(holding)}: keep one."
        )
    source = next(iter(holding or given), "")
    return given.get(source, []), source


def credential_keys(environment: Mapping[str, str]) -> list[str]:
    """The keys that seal exchange secrets, the sealing one first; see `listed`."""
    return listed(CREDENTIAL_KEYS, environment)


def _lines_of(path: Path, source: str, what: Listed, *, private: bool) -> list[str]:
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ImproperlyConfigured(
                    f"{source}: {path} holds secrets and is open to others; chmod 600 it."
                )
            lines = [line.strip() for line in file]
    except OSError as error:
        raise ImproperlyConfigured(f"{source}: {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{source}: {path} is no list of them.") from None
    found = [line for line in lines if line and not line.startswith("#")]
    if not found and not what.may_be_empty:
        raise ImproperlyConfigured(f"{source}: {path} holds no {what.noun}.")
    return found
