"""Where the credential keys come from: the environment, a file, or systemd's credentials."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

VARIABLE, FILE_VARIABLE = "GRIDBOT_CREDENTIAL_KEYS", "GRIDBOT_CREDENTIAL_KEYS_FILE"
SYSTEMD_VARIABLE, SYSTEMD_NAME = "CREDENTIALS_DIRECTORY", "gridbot-credential-keys"


def credential_keys(environment: Mapping[str, str]) -> list[str]:
    """The keys as texts, the sealing one first; none where no source is given.

    GRIDBOT_CREDENTIAL_KEYS separates them by commas. GRIDBOT_CREDENTIAL_KEYS_FILE, or
    gridbot-credential-keys in the folder of systemd's LoadCredential= (systemd.exec(5)), holds
    one on each line; blank lines and those that begin with # are not read. Raises
    ImproperlyConfigured for more than one source, as it would be unclear which key seals, and for
    a file that cannot be read or that others may read.
    """
    keys = [word.strip() for word in environment.get(VARIABLE, "").split(",") if word.strip()]
    sources = [VARIABLE] if keys else []
    if name := environment.get(FILE_VARIABLE):
        keys = _keys_in(Path(name), FILE_VARIABLE, private=True)
        sources.append(FILE_VARIABLE)
    if folder := environment.get(SYSTEMD_VARIABLE):
        path = Path(folder) / SYSTEMD_NAME
        if path.exists():
            # systemd alone decides who sees its folder; access lists show as bits of the group.
            keys = _keys_in(path, f"{SYSTEMD_VARIABLE}/{SYSTEMD_NAME}", private=False)
            sources.append(f"{SYSTEMD_VARIABLE}/{SYSTEMD_NAME}")
    if len(sources) > 1:
        raise ImproperlyConfigured(
            f"Credential keys are given more than once, by {' and '.join(sources)}: keep one."
        )
    return keys


def _keys_in(path: Path, source: str, *, private: bool) -> list[str]:
    try:
        with path.open(encoding="ascii") as file:
            mode = os.fstat(file.fileno()).st_mode
            if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ImproperlyConfigured(
                    f"{source}: {path} holds keys and is open to others; chmod 600 it."
                )
            lines = [line.strip() for line in file]
    except OSError as error:
        raise ImproperlyConfigured(f"{source}: {path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{source}: {path} is no list of keys.") from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ImproperlyConfigured(f"{source}: {path} holds no key.")
    return keys
