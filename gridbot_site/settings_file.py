"""The file of settings, `.env`: every line of it is read, or the program does not start."""

from __future__ import annotations

import re
from collections.abc import Container
from io import StringIO
from pathlib import Path
from typing import Final

import environ
from django.core.exceptions import ImproperlyConfigured

from gridbot_site.configuration.of_site import Process

ASSIGNMENT: Final = re.compile(r"(?:export )?(?P<name>\w+)=", re.ASCII)
OF_PROCESS: Final = frozenset(each.name for each in Process.settings())


def read_settings_file(path: Path) -> None:
    """Put what the file says into the process environment, whose own word counts.

    Raises ImproperlyConfigured, which repeats no value, when it cannot be meant as a whole:
    django-environ would go on without it, write a line that it does not understand, a password
    perhaps, to stderr, and of two lines for one name take the first.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ImproperlyConfigured(f"{path} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise ImproperlyConfigured(f"{path} is no text of UTF-8.") from None
    told: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = ASSIGNMENT.match(line)
        name = found["name"] if found else ""
        if wrong := _wrong(name, told):
            raise ImproperlyConfigured(f"{path}, line {number}: {wrong}")
        told[name] = line
    environ.Env.read_env(StringIO("\n".join(told.values())))


def _wrong(name: str, before: Container[str]) -> str:
    if not name:
        return (
            "a setting is written NAME=value, with no blank before or after its name; a comment "
            "begins with #."
        )
    if name in before:
        return f"{name} is set twice: keep one."
    return f"{name} is of the process environment alone." if name in OF_PROCESS else ""
