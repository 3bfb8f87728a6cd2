"""Secrets that come from the environment, a file, or systemd's credentials."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

SYSTEMD_VARIABLE = "CREDENTIALS_DIRECTORY"


@dataclass(frozen=True)
class Listed:
    """Secrets that are given as a list: the variable, the same in a file, and systemd's name.

    `separator` stands between them in the variable (None: white space), `noun` is one of them.
    """

    variable: str
    systemd_name: str
    noun: str
    plural: str
    separator: str | None = None


CREDENTIAL_KEYS = Listed(
    "GRIDBOT_CREDENTIAL_KEYS", "gridbot-credential-keys", "key", "Credential keys", ","
)
NOTIFY_URLS = Listed("GRIDBOT_NOTIFY_URLS", "gridbot-notify-urls", "address", "Addresses")


def listed(what: Listed, environment: Mapping[str, str]) -> list[str]:
    """The secrets as texts, in their order; none where no source is given.

    The variable holds them all; the file that the variable with _FILE names, or that of systemd's
    name in the folder of LoadCredential= (systemd.exec(5)), holds one on each line; blank lines
    and those that begin with # are not read. Raises ImproperlyConfigured for more than one source,
    as it would be unclear which comes first, and for a file that cannot be read or that others
    may read.
    """
    words = environment.get(what.variable, "").split(what.separator)
    found = [word.strip() for word in words if word.strip()]
    sources = [what.variable] if found else []
    file_variable = f"{what.variable}_FILE"
    if name := environment.get(file_variable):
        found = _lines_of(Path(name), file_variable, what, private=True)
        sources.append(file_variable)
    if folder := environment.get(SYSTEMD_VARIABLE):
        path = Path(folder) / what.systemd_name
        if path.exists():
            # systemd alone decides who sees its folder; access lists show as bits of the group.
            source = f"{SYSTEMD_VARIABLE}/{what.systemd_name}"
            found = _lines_of(path, source, what, private=False)
            sources.append(source)
    if len(sources) > 1:
        raise ImproperlyConfigured(
            f"{what.plural} are given more than once, by {' and '.join(sources)}: keep one."
        )
    return found


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
    if not found:
        raise ImproperlyConfigured(f"{source}: {path} holds no {what.noun}.")
    return found
